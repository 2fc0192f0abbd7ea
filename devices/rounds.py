"""Rounds: every graph once, in random order, in a fresh process, between thermometers.

A reference graph is timed every few graphs. Where it drifts inside a round, or stands apart from the other
rounds, the machine was disturbed: the round is marked, kept and repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from devices.connection import AgentDied, RequestFailed
from devices.device import Device, DeviceProcess
from devices.measurement import Graph, Visit
from devices.statistics import visit_ms

REFERENCE_EVERY = 12
LARGEST_DRIFT = 0.03


@dataclass(frozen=True, slots=True)
class Sampling:
    """Samples of one visit; what differs between processes is larger than what more samples would narrow."""

    samples: int = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """One graph's visit in a round, or why there is none."""

    graph: str
    process: int
    visit: Visit | None
    error: str | None = None
    is_reference: bool = False


@dataclass
class Round:
    """Every graph once, in random order, in a fresh process; iterate over `readings` once.

    Args:
        device: where.
        graphs: what; each is loaded, warmed up, timed and dropped.
        reference: thermometer, timed at the start, every few graphs and at the end.
        rng: gives the order.
        first_process: number of the first process; a graph that kills it costs a new one, numbered on.
        sampling: samples a visit.

    Attributes:
        conditions: state of the target at the start and the end of every process so far.
    """

    device: Device
    graphs: Sequence[Graph]
    reference: Graph
    rng: np.random.Generator
    first_process: int
    sampling: Sampling = Sampling()
    conditions: list[Mapping[str, Any]] = field(default_factory=list)

    def readings(self) -> Iterator[Reading]:
        """Time every graph.

        Raises:
            AgentDied: no process can be started, or it dies on the reference.
            RequestFailed: the runtime refuses the reference.
        """
        waiting = [self.graphs[index] for index in self.rng.permutation(len(self.graphs))]
        process = self.first_process
        while waiting:
            with self.device.process() as running:
                yield from self._visits(running, waiting, process)
            process += 1

    def _visits(self, running: DeviceProcess, waiting: list[Graph], process: int) -> Iterator[Reading]:
        """Work `waiting` off until it is empty or the process has died on a graph."""
        self.conditions.append(running.conditions())
        running.load(self.reference.name, self.reference.onnx())
        position = 0
        while waiting:
            if position % REFERENCE_EVERY == 0:
                yield self._reference(running, process)
            reading = self._visit(running, waiting.pop(0), process)
            yield reading
            if reading.error and reading.error.startswith(_DIED):
                return
            position += 1
        yield self._reference(running, process)
        self.conditions.append(running.conditions())

    def _visit(self, running: DeviceProcess, graph: Graph, process: int) -> Reading:
        name = f"visited {graph.name}"  # apart from the loaded reference, which may be visited as well
        try:
            running.load(name, graph.onnx())
            visit = running.time(name, self.sampling.samples)
            running.unload(name)
        except RequestFailed as error:
            return Reading(graph.name, process, None, str(error))
        except AgentDied as error:
            return Reading(graph.name, process, None, f"{_DIED}{error}")
        return Reading(graph.name, process, visit)

    def _reference(self, running: DeviceProcess, process: int) -> Reading:
        visit = running.time(self.reference.name, self.sampling.samples)
        return Reading(self.reference.name, process, visit, is_reference=True)


_DIED = "the runtime's process died: "


def disturbance(
    reference: Sequence[Visit], earlier: Sequence[Sequence[Visit]], largest_drift: float = LARGEST_DRIFT
) -> str | None:
    """Why a round is not to be trusted, read off its reference; None when it is.

    Args:
        reference: the reference's visits in this round, in time order.
        earlier: the same of the rounds before.
        largest_drift: relative drift inside the round, and distance from the other rounds, that is tolerated.
    """
    times = np.array([visit_ms(visit) for visit in reference])
    if times.size == 0:
        return None
    middle = float(np.median(times))
    drift = float(np.median(np.abs(times / middle - 1)))
    if drift > largest_drift:
        return f"the reference varied by {drift:.1%} within the round"
    usual = [float(np.median([visit_ms(visit) for visit in visits])) for visits in earlier if visits]
    if len(usual) >= 2:
        shift = middle / float(np.median(usual)) - 1
        if abs(shift) > 2 * largest_drift:
            return f"the reference stood {shift:+.1%} from the other rounds"
    return None
