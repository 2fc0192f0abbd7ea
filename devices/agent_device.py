"""A device that is measured: a link (how to reach it) times a runtime times settings."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from devices.connection import AgentDied, Connection, RequestFailed
from devices.links.link import Link
from devices.measurement import NodeTimes, Visit
from devices.runtimes.catalog import RUNTIMES
from devices.runtimes.runtime import Runtime, Unsupported
from devices.settings import Settings

GRAPH_TIMEOUT_S = 300.0
UNKNOWN_CACHE_BYTES = 64 << 20
LARGEST_EVICTION_BYTES = 512 << 20
PROFILED_RUNS = {"warmup_runs": 4, "runs": 8}


@dataclass(frozen=True, slots=True)
class AgentDevice:
    """A target, and the settings of a measurement.

    Attributes:
        name: as typed.
        link: how to reach it.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8; random where absent.
        graph_timeout_s: how long loading or timing one graph may take.
    """

    name: str
    link: Link
    settings: Settings
    calibration: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    graph_timeout_s: float = GRAPH_TIMEOUT_S
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

    def __enter__(self) -> AgentProcess:
        """Start the process and read its identity."""
        self._connection.__enter__()
        try:
            settings = self._device.settings
            answer = self._connection.request(
                "describe", runtime=settings.runtime, threads=settings.threads, detailed=self._detailed
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
        found = self._connection.request("busy_processes", seconds=seconds).get("processes")
        if not isinstance(found, list):
            raise AgentDied("the agent's answer lacks processes")
        return found

    def load(self, name: str, onnx: bytes) -> None:
        """Load a graph under a name."""
        self._send("load", onnx, id=name)

    def time(self, name: str, samples: int) -> Visit:
        """Warm a loaded graph up and take so many samples."""
        settings = self._device.settings
        in_caller = settings.threads == 1 and settings.provider in self._device.runtime.in_caller
        plan = {"samples": samples, "thread_clock": in_caller}
        if settings.cache == "cold":
            plan["evict_bytes"] = self._eviction_bytes()
        answer = self._connection.request("time", b"", self._device.graph_timeout_s, id=name, plan=plan)
        try:
            return Visit.from_json(answer)
        except ValueError as error:
            raise AgentDied(f"the agent's answer is {error}") from error

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """Run a graph under the runtime's own profiler; RequestFailed where the runtime has none."""
        answer = self._send("node_times", onnx, id=name, plan=PROFILED_RUNS)
        try:
            return NodeTimes.from_json(answer)
        except ValueError as error:
            raise AgentDied(f"the agent's answer is {error}") from error

    def unload(self, name: str) -> None:
        """Drop a loaded graph."""
        self._connection.request("unload", id=name)

    def _send(self, verb: str, onnx: bytes, **fields: object) -> Mapping[str, Any]:
        """A request about a graph that travels with it."""
        settings = self._device.settings
        try:
            artefact = self._device.prepared(onnx)
        except Unsupported as error:
            raise RequestFailed(f"{settings.runtime}: {error}") from error
        return self._connection.request(
            verb,
            artefact,
            self._device.graph_timeout_s,
            runtime=settings.runtime,
            settings=asdict(settings),
            **fields,
        )

    def _eviction_bytes(self) -> int:
        """Twice the last cache: what was there is gone after so much other data."""
        cache = self.software.get("last_level_cache_bytes")
        known = cache if isinstance(cache, int) and cache > 0 else UNKNOWN_CACHE_BYTES
        return min(2 * known, LARGEST_EVICTION_BYTES)


def _object(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of an answer that must be an object; a target may answer anything."""
    part = answer.get(name)
    if not isinstance(part, dict):
        raise AgentDied(f"the agent's answer lacks {name}")
    return part
