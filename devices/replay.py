"""A device made of paper: gives back what was recorded, for tests and for people without the hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from devices.connection import NoEnergySource, RequestFailed
from devices.measurement import EnergySource, EnergyVisit, NodeTimes, Visit
from devices.rounds import Sampling, graph_name
from devices.settings import Settings


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one process showed.

    Attributes:
        visits: samples of every graph, of all moments together, by its name.
        reference_name: name of the thermometer.
        reference: its visits in time order.
        insides: times inside graphs, by their names.
        conditions: states of the target in time order.
        energies: energy of graphs, by their names.
    """

    visits: Mapping[str, Visit]
    reference_name: str
    reference: Sequence[Visit]
    insides: Mapping[str, NodeTimes]
    conditions: Sequence[Mapping[str, Any]]
    energies: Mapping[str, EnergyVisit] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplayDevice:
    """Hands out recorded processes, one after the other.

    Attributes:
        name: as typed.
        settings: of the recording.
        identity: of the recording; must say that it is one.
        software: of the recording.
        processes: what is handed out.
        passes: at how many moments of a process a graph was timed.
        source: what told the energy; None where none was recorded.
    """

    name: str
    settings: Settings
    identity: Mapping[str, Any]
    software: Mapping[str, Any]
    processes: Sequence[Recorded]
    passes: int = Sampling().passes
    source: EnergySource | None = None
    _used: list[Recorded] = field(default_factory=list, compare=False, repr=False)

    def process(self, *, detailed: bool = False) -> ReplayProcess:
        """The next recorded process; it counts as used when a graph is loaded into it."""
        return ReplayProcess(self)

    def next_process(self) -> Recorded:
        """Take the next recorded process; RequestFailed when all were handed out."""
        if len(self._used) == len(self.processes):
            raise RequestFailed(
                f"the recording holds {len(self.processes)} processes, and more are asked for; use the "
                "rounds and precision that it was made with"
            )
        self._used.append(self.processes[len(self._used)])
        return self._used[-1]


class ReplayProcess:
    """One recorded process, as a context manager."""

    def __init__(self, device: ReplayDevice) -> None:
        """Store the device; the first graph takes one of its recorded processes."""
        self._device = device
        self._recorded: Recorded | None = None
        self._moments: dict[str, int] = {}
        self._states = 0
        self.identity = device.identity
        self.software = device.software

    def __enter__(self) -> ReplayProcess:
        """Nothing is started."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is ended."""

    @property
    def recorded(self) -> Recorded:
        """What this process gives back."""
        if self._recorded is None:
            self._recorded = self._device.next_process()
        return self._recorded

    def conditions(self) -> Mapping[str, Any]:
        """The next recorded state; the last one again when there are no more."""
        states = self.recorded.conditions
        self._states += 1
        return dict(states[min(self._states, len(states)) - 1]) if states else {}

    def busy_processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """A recording does not tell."""
        raise RequestFailed("a recording does not tell which programs ran beside it")

    def load(self, name: str, onnx: bytes) -> None:
        """Begin a graph anew."""
        known = graph_name(name) in self.recorded.visits or name == self.recorded.reference_name
        if not known:
            raise RequestFailed(f"the recording has no samples of {graph_name(name)}")
        self._moments[name] = 0

    def time(self, name: str, samples: int) -> Visit:
        """The samples that were recorded at the next moment, however many are asked for."""
        if name not in self._moments:
            raise RequestFailed(f"{name} is not loaded")
        moment = self._moments[name]
        self._moments[name] += 1
        if name == self.recorded.reference_name:
            if moment < len(self.recorded.reference):
                return self.recorded.reference[moment]
            raise RequestFailed(f"the recording has no further visit of the reference {name}")
        return self._part(self.recorded.visits[graph_name(name)], moment)

    def _part(self, visit: Visit, moment: int) -> Visit:
        """An equal share of the samples of all moments together."""
        start, end = (len(visit.wall_ns) * edge // self._device.passes for edge in (moment, moment + 1))
        if moment >= self._device.passes or start == end:
            raise RequestFailed("the recording has no samples of this moment")
        return visit.part(start, end)

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """The recorded times inside a graph."""
        if name not in self.recorded.insides:
            raise RequestFailed(f"the recording has no times inside {name}")
        return self.recorded.insides[name]

    def energy_source(self) -> EnergySource:
        """What told the energy when it was recorded; NoEnergySource where none was."""
        if self._device.source is None:
            raise NoEnergySource("no energy source on this device: the recording holds no energy")
        return self._device.source

    def energy(self, name: str) -> EnergyVisit:
        """The recorded energy of a graph."""
        graph = graph_name(name)
        if graph not in self.recorded.energies:
            raise RequestFailed(f"the recording has no energy of {graph}")
        return self.recorded.energies[graph]

    def unload(self, name: str) -> None:
        """Drop a graph."""
        self._moments.pop(name, None)
