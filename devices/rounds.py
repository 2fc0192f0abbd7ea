"""Rounds: every graph in a fresh process, in random order, at several moments, between thermometers.

Another program's burst lasts a fraction of a second. So a graph is not timed at one stretch: graphs are
loaded in groups, and every group is gone through several times; a burst then meets a part of each graph's
samples, not all samples of one graph. A reference graph is timed before every pass. Where it drifts inside a
round, or stands apart from the other rounds, the machine was disturbed: the round is marked, kept, repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from devices.connection import AgentDied, RequestFailed
from devices.device import Device, DeviceProcess
from devices.measurement import Graph, Visit
from devices.statistics import visit_ms

LARGEST_DRIFT = 0.03


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a round takes its samples.

    Attributes:
        samples: samples at one moment.
        passes: moments at which a graph is timed.
        group: graphs that are loaded together; more spread the moments, and take more memory on the target.
    """

    samples: int = 3
    passes: int = 3
    group: int = 24


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
    """Every graph in a fresh process; iterate over `readings` once.

    Args:
        device: where.
        graphs: what.
        reference: thermometer, timed before every pass and at the end.
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
        self._waiting = [self.graphs[index] for index in self.rng.permutation(len(self.graphs))]
        self._process = self.first_process
        while self._waiting:
            with self.device.process() as running:
                yield from self._in_process(running)
            self._process += 1

    def _in_process(self, running: DeviceProcess) -> Iterator[Reading]:
        """Work off what waits, until nothing does or the process has died on a graph."""
        self.conditions.append(running.conditions())
        running.load(self.reference.name, self.reference.onnx())
        while self._waiting:
            for reading in self._group(running, self._waiting[: self.sampling.group]):
                yield reading
                if not reading.is_reference:
                    self._waiting = [graph for graph in self._waiting if graph.name != reading.graph]
                if reading.error and reading.error.startswith(_DIED):
                    return
        yield self._reference(running)
        self.conditions.append(running.conditions())

    def _group(self, running: DeviceProcess, group: Sequence[Graph]) -> Iterator[Reading]:
        """Load a group, go through it several times, drop it; a graph's reading comes with its last visit."""
        names = []
        for graph in group:
            error = _failure(lambda graph=graph: running.load(_loaded(graph.name), graph.onnx()))  # type: ignore[misc] # called at once
            if error:
                yield Reading(graph.name, self._process, None, error)
            else:
                names.append(graph.name)
        visits: dict[str, Visit] = {}
        for number in range(self.sampling.passes):
            yield self._reference(running)
            for name in self.rng.permutation(names):
                yield from self._visit(running, str(name), visits, is_last=number == self.sampling.passes - 1)
        for name in names:
            running.unload(_loaded(name))

    def _visit(
        self, running: DeviceProcess, name: str, visits: dict[str, Visit], *, is_last: bool
    ) -> Iterator[Reading]:
        """Time a graph at one moment; a graph that failed before is left alone."""
        if name not in visits and not self._is_waiting(name):
            return

        def visit() -> None:
            found = running.time(_loaded(name), self.sampling.samples)
            visits[name] = visits[name].joined(found) if name in visits else found

        error = _failure(visit)
        if error:
            visits.pop(name, None)
            yield Reading(name, self._process, None, error)
        elif is_last:
            yield Reading(name, self._process, visits.pop(name))

    def _is_waiting(self, name: str) -> bool:
        return any(graph.name == name for graph in self._waiting)

    def _reference(self, running: DeviceProcess) -> Reading:
        visit = running.time(self.reference.name, self.sampling.samples)
        return Reading(self.reference.name, self._process, visit, is_reference=True)


def _loaded(name: str) -> str:
    """Id of a graph on the target, apart from the reference, which may be visited as well."""
    return f"visited {name}"


def _failure(action: Callable[[], None]) -> str | None:
    """Why an action on one graph failed; None when it did not."""
    try:
        action()
    except RequestFailed as error:
        return str(error)
    except AgentDied as error:
        return f"{_DIED}{error}"
    return None


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
