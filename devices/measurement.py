"""What a device gives back: raw samples of one visit, and the circumstances of a round."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from devices.agent.timing import PARTS
from devices.circumstances import checked

LONGEST_NS = 10**15
"""Eleven days: beyond it a sample, or one of its parts, is no measurement."""
MOST_RUNS = 10**9


@dataclass(frozen=True, slots=True)
class Graph:
    """Something to time: a name, and its ONNX bytes made when they are needed."""

    name: str
    onnx: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Visit:
    """Raw samples of one graph in one process, taken at one or several moments.

    Attributes:
        runs_per_sample: inferences timed together as one sample.
        wall_ns: wall time of each sample, all of its inferences together.
        cpu_ns: CPU time of the timing thread for each sample; None where it says nothing.
        warmup_runs: inferences before the first sample.
        settled: whether the warm-up ended because two windows agreed.
        h2d_ns: copying the inputs of one inference to the device, measured apart, as often as there are
            samples; None where the target does not tell, as is each of the next two.
        d2h_ns: copying its outputs back.
        enqueue_ns: what starting one inference costs the host's thread.
        notes: what loading the graph told, as JSON values; None for nothing.
    """

    runs_per_sample: int
    wall_ns: tuple[int, ...]
    cpu_ns: tuple[int, ...] | None
    warmup_runs: int
    settled: bool
    h2d_ns: tuple[int, ...] | None = None
    d2h_ns: tuple[int, ...] | None = None
    enqueue_ns: tuple[int, ...] | None = None
    notes: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for no samples, or samples that took no time or took days."""
        if not 1 <= self.runs_per_sample <= MOST_RUNS or not self.wall_ns or min(self.wall_ns) <= 0:
            raise ValueError("a visit needs samples that took time")
        if max(self.wall_ns) > LONGEST_NS or self.warmup_runs < 0:
            raise ValueError("samples of more than days, or fewer than no runs before them")
        for name, column in self._columns.items():
            if column is None:
                continue
            if len(column) != len(self.wall_ns):
                raise ValueError(f"wall_ns and {name} differ in length")
            if not 0 <= min(column) <= max(column) <= LONGEST_NS:
                raise ValueError(f"{name}: time runs forwards, and not for days")

    @property
    def _columns(self) -> dict[str, tuple[int, ...] | None]:
        """What may stand beside every sample."""
        return {name: getattr(self, name) for name in ("cpu_ns", *PARTS)}

    def joined(self, later: Visit) -> Visit:
        """The samples of this visit and a later one of the same graph in the same process, as one."""
        mine, other = self._columns, later._columns
        told = {name for name, column in mine.items() if column is not None}
        if self.runs_per_sample != later.runs_per_sample or told != {
            name for name, column in other.items() if column is not None
        }:
            raise ValueError("visits of different graphs or settings cannot be joined")
        columns: dict[str, Any] = {name: (mine[name] or ()) + (other[name] or ()) for name in told}
        return replace(self, wall_ns=self.wall_ns + later.wall_ns, **columns)

    def part(self, start: int, end: int) -> Visit:
        """The samples from one index up to another; ValueError when there are none."""
        columns: dict[str, Any] = {
            name: column[start:end] for name, column in self._columns.items() if column is not None
        }
        return replace(self, wall_ns=self.wall_ns[start:end], **columns)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Visit:
        """Read the fields that `to_json` writes; ValueError when one is missing or of another type."""
        try:
            cpu = fields.get("cpu_ns")
            return cls(
                _whole(fields["runs_per_sample"]),
                _wholes(fields["wall_ns"]),
                None if cpu is None else _wholes(cpu),
                _whole(fields["warmup_runs"]),
                _truth(fields["settled"]),
                **{name: _wholes(fields[name]) for name in PARTS if name in fields},
                notes=checked(fields["notes"], "notes") if "notes" in fields else None,
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not the samples of a visit: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; parts and notes that are not told are left out."""
        columns = {name: self._columns[name] for name in PARTS}
        return {
            "runs_per_sample": self.runs_per_sample,
            "wall_ns": list(self.wall_ns),
            "cpu_ns": None if self.cpu_ns is None else list(self.cpu_ns),
            "warmup_runs": self.warmup_runs,
            "settled": self.settled,
            **{name: list(column) for name, column in columns.items() if column is not None},
            **({} if self.notes is None else {"notes": dict(self.notes)}),
        }


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """Time of each node inside one graph in one process, by the runtime's own profiler.

    Attributes:
        nodes: names, in the order of execution.
        us: for every run, microseconds of every node; fractions where the profiler tells them.
        run_us: for every run, microseconds of the whole.
    """

    nodes: tuple[str, ...]
    us: tuple[tuple[float, ...], ...]
    run_us: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for no runs, or runs that tell other nodes than the names say."""
        if not self.us or len(self.us) != len(self.run_us):
            raise ValueError("node times need runs, and a whole for each")
        if any(len(run) != len(self.nodes) for run in self.us):
            raise ValueError("a run tells more or fewer nodes than there are names")
        if not all(0 <= time <= LONGEST_NS for run in (*self.us, self.run_us) for time in run):
            raise ValueError("times of nodes run forwards, and not for days")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> NodeTimes:
        """Read the fields that `to_json` writes; ValueError when one is missing or of another type."""
        try:
            runs = tuple(_numbers(run) for run in _list(fields["us"]))
            return cls(tuple(map(_text, _list(fields["nodes"]))), runs, _numbers(fields["run_us"]))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not the times of nodes: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "nodes": list(self.nodes),
            "us": [list(run) for run in self.us],
            "run_us": list(self.run_us),
        }


@dataclass(frozen=True, slots=True)
class EnergySource:
    """Where a target tells its energy.

    Attributes:
        name: short: `nvml`, `rapl package-0`, `ina3221 VDD_IN`.
        scope: what the energy is of: a whole module, a GPU, a processor package.
        resolution_ms: about how often the count is renewed.
    """

    name: str
    scope: str
    resolution_ms: float

    @classmethod
    def from_json(cls, fields: object) -> EnergySource:
        """Read the fields that `to_json` writes; ValueError when one is missing or of another type."""
        if not isinstance(fields, dict):
            raise ValueError("an energy source is an object")
        name, scope, resolution = (fields.get(key) for key in ("name", "scope", "resolution_ms"))
        if not isinstance(name, str) or not isinstance(scope, str) or type(resolution) not in (int, float):
            raise ValueError("an energy source has name, scope and resolution_ms")
        if not 0 < float(resolution or 0) < math.inf:
            raise ValueError(f"an energy source has a resolution above 0, not {resolution} ms")
        return cls(name, scope, float(resolution or 0))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"name": self.name, "scope": self.scope, "resolution_ms": self.resolution_ms}


@dataclass(frozen=True, slots=True)
class EnergyVisit:
    """Energy of one graph run back to back in one process, and of the process idle.

    Attributes:
        runs: inferences.
        wall_ns: their wall time together.
        energy_uj: what the source counted in that time, microjoules; what an idle target uses is in it.
        source: name of the source.
        idle_ns: for how long the idle process was watched.
        idle_uj: what the source counted in that time.
    """

    runs: int
    wall_ns: int
    energy_uj: int
    source: str
    idle_ns: int
    idle_uj: int

    def __post_init__(self) -> None:
        """Raise ValueError for no inferences, or ones that took no time or no energy."""
        if min(self.runs, self.wall_ns, self.energy_uj, self.idle_ns) < 1 or self.idle_uj < 0:
            raise ValueError("a visit for energy needs runs that took time and energy")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> EnergyVisit:
        """Read the fields that `to_json` writes; ValueError when one is missing or of another type."""
        try:
            runs, wall_ns, energy_uj = (_whole(fields[key]) for key in ("runs", "wall_ns", "energy_uj"))
            idle_ns, idle_uj = _whole(fields["idle_ns"]), _whole(fields["idle_uj"])
            return cls(runs, wall_ns, energy_uj, str(fields["source"]), idle_ns, idle_uj)
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not the energy of a visit: {error!r}") from error

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "runs": self.runs,
            "wall_ns": self.wall_ns,
            "energy_uj": self.energy_uj,
            "source": self.source,
            "idle_ns": self.idle_ns,
            "idle_uj": self.idle_uj,
        }


def _whole(value: object) -> int:
    if type(value) is not int or abs(value) >= 1 << 63:  # True is an int too
        raise TypeError(f"{value!r:.80} is not a whole number of 64 bits")
    return value


def _list(values: object) -> list[Any] | tuple[Any, ...]:
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{values!r:.80} is not a list")
    return values


def _wholes(values: object) -> tuple[int, ...]:
    return tuple(_whole(value) for value in _list(values))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is not a text")
    return value


def _numbers(values: object) -> tuple[float, ...]:
    return tuple(_number(value) for value in _list(values))


def _number(value: object) -> float:
    """A number of microseconds; a whole one stays whole."""
    if type(value) is float and math.isfinite(value):
        return value
    return _whole(value)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is neither true nor false")
    return value
