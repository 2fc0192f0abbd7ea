"""Rounds: every graph in a fresh process, in random order, at several moments, between thermometers.

Another program's burst lasts a fraction of a second. So a graph is not timed at one stretch: graphs are
loaded in groups, and every group is gone through several times; a burst then meets a part of each graph's
samples, not all samples of one graph. A reference graph is timed before every pass, and the target's
conditions are read between groups: what disturbed a round is read off them (`disturbances.py`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

import numpy as np

from devices.connection import AgentDied, DeviceError, LinkLost, NoAnswer, RequestFailed
from devices.device import Device, DeviceProcess, identity_differences
from devices.measurement import EnergyVisit, Graph, NodeTimes, Visit
from devices.patience import NO_PATIENCE, Patience

Failure: TypeAlias = Literal["refused", "died", "timeout"]
FAILURES: tuple[Failure, ...] = ("refused", "died", "timeout")
Sort: TypeAlias = Literal["visit", "reference", "inside", "energy"]
SORTS: tuple[Sort, ...] = ("visit", "reference", "inside", "energy")


class IdentityChanged(DeviceError):
    """A fresh process is on another device, or one set otherwise; the message names the difference."""


def nobody(text: str) -> None:
    """Tell nobody."""


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
    """What one graph showed in a round, or why it showed nothing.

    Attributes:
        graph: its name.
        process: number of the process.
        visit: its samples.
        inside: the times of its nodes, where that was asked for instead.
        energy: its energy, where that was asked for instead.
        error: why there is none of these.
        failure: the sort of error.
        is_reference: whether this is the thermometer.
        is_inside: whether the times of its nodes were asked for.
        is_energy: whether its energy was asked for.
    """

    graph: str
    process: int
    visit: Visit | None = None
    inside: NodeTimes | None = None
    energy: EnergyVisit | None = None
    error: str | None = None
    failure: Failure | None = None
    is_reference: bool = False
    is_inside: bool = False
    is_energy: bool = False

    @property
    def sort(self) -> Sort:
        """What was asked of the graph."""
        special = {"reference": self.is_reference, "inside": self.is_inside, "energy": self.is_energy}
        return next((sort for sort in SORTS if special.get(sort)), "visit")

    def to_json(self) -> dict[str, Any]:
        """What it showed, or why nothing, as JSON values; without its name and place."""
        found = self.visit or self.inside or self.energy
        return {"error": self.error, "failure": self.failure} if found is None else found.to_json()


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
        profiled: graphs to be run under the runtime's own profiler at the end.
        identity: what every process must be; None where that does not matter.
        patience: how long a device that went away is waited for.
        tell: is told what is waited for.
        powered: graphs whose energy is read after everything else, unless they fail before.

    Attributes:
        conditions: states of the target at the start of every process, after every group, and at the end.
    """

    device: Device
    graphs: Sequence[Graph]
    reference: Graph
    rng: np.random.Generator
    first_process: int
    sampling: Sampling = Sampling()
    profiled: Sequence[Graph] = ()
    identity: Mapping[str, Any] | None = None
    patience: Patience = NO_PATIENCE
    tell: Callable[[str], None] = nobody
    powered: Sequence[Graph] = ()
    conditions: list[Mapping[str, Any]] = field(default_factory=list)

    def readings(self) -> Iterator[Reading]:
        """Time every graph.

        A link that is lost, or an agent that dies with no graph in hand, costs a process and what it had not
        told yet; the next one goes on.

        Raises:
            AgentDied: the device is gone, or its agent dies without a graph, and patience is used up.
            IdentityChanged: it came back as another one.
            RequestFailed: the runtime refuses the reference.
        """
        self._waiting = deque(self.graphs[index] for index in self.rng.permutation(len(self.graphs)))
        self._to_profile = [self.profiled[index] for index in self.rng.permutation(len(self.profiled))]
        self._to_power = [self.powered[index] for index in self.rng.permutation(len(self.powered))]
        self._process = self.first_process
        self._fruitless: Counter[type[AgentDied]] = Counter()
        while self._waiting or self._to_profile or self._to_power:
            try:
                with self.device.process() as running:
                    self._check_identity(running)
                    yield from self._in_process(running)
            except AgentDied as error:
                kind = LinkLost if isinstance(error, LinkLost) else AgentDied
                self.patience.wait(error, self._fruitless[kind], self.tell)
                self._fruitless[kind] += 1
            self._process += 1

    def _check_identity(self, running: DeviceProcess) -> None:
        differences = identity_differences(self.identity or running.identity, running.identity)
        if differences:
            raise IdentityChanged(
                f"it is another device now, or set otherwise ({'; '.join(differences)}, before / now)"
            )

    def _in_process(self, running: DeviceProcess) -> Iterator[Reading]:
        """Work off what waits, until nothing does or the process has died on a graph."""
        self._read_conditions(running)
        running.load(self.reference.name, self.reference.onnx())
        while self._waiting:
            for reading in self._group(running, list(islice(self._waiting, self.sampling.group))):
                yield reading
                if not reading.is_reference:
                    self._fruitless.clear()
                    # a group is the beginning of what waits: nothing is gone through as a whole
                    self._waiting.remove(next(one for one in self._waiting if one.name == reading.graph))
                if reading.failure:
                    self._to_power = [graph for graph in self._to_power if graph.name != reading.graph]
                if reading.failure in _FATAL:
                    return
            self._read_conditions(running)
        yield self._reference(running)
        while self._to_profile:
            reading = self._inside(running, self._to_profile[-1])
            self._to_profile.pop()
            self._fruitless.clear()
            yield reading
            if reading.failure in _FATAL:
                return
        self._read_conditions(running)
        if self._to_power:
            yield from self._energies(running)

    def _energies(self, running: DeviceProcess) -> Iterator[Reading]:
        """Graphs back to back, which heats the target: nothing else is measured after that."""
        while self._to_power:
            reading = self._energy(running, self._to_power[-1])
            self._to_power.pop()
            self._fruitless.clear()
            yield reading
            if reading.failure in _FATAL:
                return
        self._read_conditions(running, phase=ENERGY)

    def _read_conditions(self, running: DeviceProcess, **notes: str) -> None:
        self.conditions.append({**running.conditions(), **notes, "process": self._process})

    def _group(self, running: DeviceProcess, group: Sequence[Graph]) -> Iterator[Reading]:
        """Load a group, go through it several times, drop it; a graph's reading comes with its last visit."""
        living: dict[str, Visit | None] = {}
        for graph in group:
            failed = _failure(lambda graph=graph: running.load(_loaded(graph.name), graph.onnx()))  # type: ignore[misc] # called at once
            if failed:
                yield self._failed(graph.name, failed)
            else:
                living[graph.name] = None
        for number in range(self.sampling.passes):
            yield self._reference(running)
            for name in map(str, self.rng.permutation(list(living))):
                failed = _failure(lambda name=name: self._visit(running, name, living))  # type: ignore[misc] # called at once
                if failed:
                    del living[name]
                    yield self._failed(name, failed)
                elif number == self.sampling.passes - 1:
                    yield Reading(name, self._process, living[name])
        for name in living:
            running.unload(_loaded(name))

    def _visit(self, running: DeviceProcess, name: str, visits: dict[str, Visit | None]) -> None:
        """Time a graph at one moment, and add the samples to those of the moments before."""
        found, before = running.time(_loaded(name), self.sampling.samples), visits[name]
        try:
            visits[name] = found if before is None else before.joined(found)
        except ValueError as error:
            raise AgentDied(f"the agent's answers contradict each other: {error}") from error

    def _inside(self, running: DeviceProcess, graph: Graph) -> Reading:
        found: list[NodeTimes] = []
        failed = _failure(lambda: found.append(running.node_times(graph.name, graph.onnx())))
        if failed:
            return replace(self._failed(graph.name, failed), is_inside=True)
        return Reading(graph.name, self._process, inside=found[0], is_inside=True)

    def _energy(self, running: DeviceProcess, graph: Graph) -> Reading:
        found: list[EnergyVisit] = []

        def measure() -> None:
            running.load(_loaded(graph.name), graph.onnx())
            found.append(running.energy(_loaded(graph.name)))
            running.unload(_loaded(graph.name))

        failed = _failure(measure)
        if failed:
            return replace(self._failed(graph.name, failed), is_energy=True)
        return Reading(graph.name, self._process, energy=found[0], is_energy=True)

    def _reference(self, running: DeviceProcess) -> Reading:
        visit = running.time(self.reference.name, self.sampling.samples)
        return Reading(self.reference.name, self._process, visit, is_reference=True)

    def _failed(self, name: str, failed: tuple[Failure, str]) -> Reading:
        return Reading(name, self._process, failure=failed[0], error=failed[1])


ENERGY = "energy"
"""`phase` of a state that was read after graphs had run back to back: it says nothing of latencies."""
_FATAL = ("died", "timeout")
"""After these a process is gone."""


_VISITED = "visited "


def _loaded(name: str) -> str:
    """Id of a graph on the target, apart from the reference, which may be visited as well."""
    return _VISITED + name


def graph_name(loaded: str) -> str:
    """Name of the graph that was loaded under this id."""
    return loaded.removeprefix(_VISITED)


def _failure(action: Callable[[], None]) -> tuple[Failure, str] | None:
    """Why an action on one graph failed; None when it did not."""
    try:
        action()
    except LinkLost:
        raise  # no graph is to blame
    except RequestFailed as error:
        return "refused", str(error)
    except NoAnswer as error:
        return "timeout", str(error)
    except AgentDied as error:
        return "died", f"the runtime's process died: {error}"
    return None
