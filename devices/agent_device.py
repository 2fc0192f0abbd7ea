"""A device that is measured: a link (how to reach it) times a runtime times settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from devices import circumstances
from devices.connection import AgentDied, Connection, NoEnergySource, RequestFailed
from devices.engine_store import EngineStore, fingerprint
from devices.links.link import Link
from devices.measurement import EnergySource, EnergyVisit, NodeTimes, Visit
from devices.runtimes.catalog import RUNTIMES
from devices.runtimes.runtime import Runtime, Unsupported
from devices.settings import Settings

GRAPH_TIMEOUT_S = 300.0
LARGEST_BUILD_BYTES = 1 << 30
"""Of an answer that brings a serialised engine."""
UNKNOWN_CACHE_BYTES = 64 << 20
LARGEST_EVICTION_BYTES = 512 << 20
PROFILED_RUNS = {"warmup_runs": 4, "runs": 8}
GPU_PROFILED_RUNS = {"warmup_runs": 100, "runs": 20}
GPU_PLAN = {"warmup_ms": 200.0, "ceiling_ms": 1000.0, "rewarm_ms": 10.0, "visit_ms": 50.0}
"""A GPU raises its clocks slowly, and lowers them while a graph is loaded."""


@dataclass(frozen=True, slots=True)
class AgentDevice:
    """A target, and the settings of a measurement.

    Attributes:
        name: as typed.
        link: how to reach it.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8; random where absent.
        graph_timeout_s: how long loading or timing one graph may take.
        store: where what the runtime builds on the target is kept; None keeps nothing.
    """

    name: str
    link: Link
    settings: Settings
    calibration: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    graph_timeout_s: float = GRAPH_TIMEOUT_S
    store: EngineStore | None = None
    _prepared: dict[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)

    @property
    def runtime(self) -> Runtime:
        """What runs graphs on the target."""
        return RUNTIMES[self.settings.runtime]

    def prepared(self, onnx: bytes) -> bytes:
        """What the target loads in place of an ONNX file; converted once for all processes.

        Raises:
            Unsupported: the runtime cannot take the graph.
        """
        key = hashlib.sha256(onnx).digest()
        if key in self._prepared:
            return self._prepared[key]
        artefact = self.runtime.prepare(onnx, self.settings.precision, self.calibration)
        if artefact is not onnx:  # the graph itself is kept by who made it
            self._prepared[key] = artefact
        return artefact

    def process(self, *, detailed: bool = False) -> AgentProcess:
        """A fresh process on the target, to be used as a context manager.

        Args:
            detailed: whether its `software` shall tell what only the imported runtime knows.
        """
        return AgentProcess(self, detailed)


class AgentProcess:
    """One process on the target: the independent unit of every interval.

    Raises:
        AgentDied: the process ended, hung or broke the protocol.
        RequestFailed: it is well, but a request could not be done.
    """

    def __init__(self, device: AgentDevice, detailed: bool) -> None:
        """Store the device; `__enter__` starts the process."""
        self._device = device
        self._detailed = detailed
        self._connection = Connection(device.link, device.runtime.program())
        self._notes: dict[str, Mapping[str, Any]] = {}
        self._is_gpu = device.runtime.on_gpu(device.settings.provider)

    def __enter__(self) -> AgentProcess:
        """Start the process and read its identity."""
        self._connection.__enter__()
        try:
            settings = self._device.settings
            answer = self._connection.request(
                "describe",
                runtime=settings.runtime,
                threads=settings.threads,
                settings=asdict(settings),
                detailed=self._detailed,
            )
            self.identity: Mapping[str, Any] = {**_object(answer, "identity"), **asdict(settings)}
            self.software: Mapping[str, Any] = _object(answer, "software")
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self._connection.close()

    def conditions(self) -> Mapping[str, Any]:
        """State of the target now: load, clocks, temperature; None for what it does not tell."""
        return _object(self._connection.request("conditions"), "conditions")

    def busy_processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """Other programs that ran on the target during so many seconds: `pid`, `name`, `processors`."""
        answer = self._connection.request("busy_processes", seconds=seconds)
        try:
            return circumstances.programs(answer.get("processes"))
        except ValueError as error:
            raise AgentDied(f"the agent's answer is wrong: {error}") from error

    def load(self, name: str, onnx: bytes) -> None:
        """Load a graph under a name, with what was built of it before, and keep what is built of it now."""
        answer = self._send("load", onnx, id=name)
        self._notes[name] = _object(answer, "notes")

    def time(self, name: str, samples: int) -> Visit:
        """Warm a loaded graph up and take so many samples."""
        settings = self._device.settings
        in_caller = settings.threads == 1 and settings.provider in self._device.runtime.in_caller
        plan = {"samples": samples, "thread_clock": in_caller, **(GPU_PLAN if self._is_gpu else {})}
        if settings.cache == "cold":
            plan["evict_bytes"] = self._eviction_bytes()
        answer = self._connection.request("time", b"", self._device.graph_timeout_s, id=name, plan=plan)
        try:
            visit = Visit.from_json(answer)
        except ValueError as error:
            raise AgentDied(f"the agent's answer is {error}") from error
        if len(visit.wall_ns) > samples:
            raise AgentDied(f"the agent took {len(visit.wall_ns)} samples, {samples} were asked for")
        return replace(visit, notes=self._notes.get(name) or None)

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """Run a graph under the runtime's own profiler; RequestFailed where the runtime has none."""
        plan = GPU_PROFILED_RUNS if self._is_gpu else PROFILED_RUNS
        answer = self._send("node_times", onnx, id=name, plan=plan)
        try:
            return NodeTimes.from_json(answer)
        except ValueError as error:
            raise AgentDied(f"the agent's answer is {error}") from error

    def energy_source(self) -> EnergySource:
        """Where the energy of what these settings measure is told; NoEnergySource where nowhere."""
        settings = self._device.settings
        answer = self._connection.request(
            "energy_source", runtime=settings.runtime, provider=settings.provider
        )
        if answer.get("source") is None:
            raise NoEnergySource(str(answer.get("none") or "no energy source on this device"))
        try:
            return EnergySource.from_json(answer["source"])
        except ValueError as error:
            raise AgentDied(f"the agent's answer is wrong: {error}") from error

    def energy(self, name: str) -> EnergyVisit:
        """Run a loaded graph back to back, and count its energy."""
        settings = self._device.settings
        answer = self._connection.request(
            "energy",
            b"",
            self._device.graph_timeout_s,
            id=name,
            runtime=settings.runtime,
            provider=settings.provider,
        )
        try:
            return EnergyVisit.from_json(answer)
        except ValueError as error:
            raise AgentDied(f"the agent's answer is {error}") from error

    def unload(self, name: str) -> None:
        """Drop a loaded graph."""
        self._notes.pop(name, None)
        self._connection.request("unload", id=name)

    def _send(self, verb: str, onnx: bytes, **fields: object) -> Mapping[str, Any]:
        """A request about a graph that travels with it."""
        settings = self._device.settings
        try:
            artefact = self._device.prepared(onnx)
        except Unsupported as error:
            raise RequestFailed(f"{settings.runtime}: {error}") from error
        keys = self._keys(artefact)
        answer, built = self._connection.request_parts(
            verb,
            {"artefact": artefact, **self._kept(keys)},
            self._device.graph_timeout_s,
            LARGEST_BUILD_BYTES if self._device.runtime.builds else 0,
            runtime=settings.runtime,
            settings=asdict(settings),
            **fields,
        )
        for name in set(built) & set(keys):
            if self._device.store is not None:
                self._device.store.put(keys[name], built[name])
        return answer

    def _keys(self, artefact: bytes) -> dict[str, str]:
        """Under which keys what the runtime builds is kept, by the name that it gives to that."""
        runtime = self._device.runtime
        if self._device.store is None or not runtime.builds:
            return {}
        target = fingerprint(self._device.name, self.identity, self.software)
        graph = hashlib.sha256(artefact).hexdigest()
        keys = {name: f"{name} of {graph} for {target}" for name in runtime.builds_for_graph}
        return keys | {name: f"{name} for {target}" for name in runtime.builds_for_target}

    def _kept(self, keys: Mapping[str, str]) -> dict[str, bytes]:
        """What is kept of a graph; what is kept for the target only where that is needed to build."""
        store, runtime = self._device.store, self._device.runtime
        if store is None or not keys:
            return {}
        found = {name: store.get(keys[name]) for name in runtime.builds_for_graph}
        if None in found.values():
            found |= {name: store.get(keys[name]) for name in runtime.builds_for_target}
        return {name: data for name, data in found.items() if data is not None}

    def _eviction_bytes(self) -> int:
        """Twice the last cache: what was there is gone after so much other data."""
        cache = self.software.get("gpu_l2_bytes" if self._is_gpu else "last_level_cache_bytes")
        known = cache if isinstance(cache, int) and cache > 0 else UNKNOWN_CACHE_BYTES
        return min(2 * known, LARGEST_EVICTION_BYTES)


def _object(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Circumstances in an answer; a target may answer anything."""
    try:
        return circumstances.checked(answer.get(name), name)
    except ValueError as error:
        raise AgentDied(f"the agent's answer is wrong: {error}") from error
