"""A phone without Python as a device: graphs are pushed, and `onnxruntime_perf_test` times them.

A "process" of this device is a folder on the phone for one round. Every visit runs the tool anew, which loads
the graph, runs it once, and writes down the time of each further run: one call of `Session::Run`.
"""

from __future__ import annotations

import contextlib
import math
import re
import secrets
import signal
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from devices.adb import Answer
from devices.agent_device import GRAPH_TIMEOUT_S
from devices.connection import DeviceError, NoAnswer, NoEnergySource, RequestFailed
from devices.measurement import EnergySource, EnergyVisit, NodeTimes, Visit
from devices.perf_test import phone
from devices.perf_test.adb_shell import PROGRAM, PROVIDERS, AdbShell, command
from devices.perf_test.results import latencies_ns
from devices.runtimes.catalog import RUNTIMES
from devices.runtimes.runtime import Unsupported
from devices.settings import Settings

LATENCY_DEFINITION = "onnxruntime_perf_test: one Session::Run, fresh process at every visit"
"""Stands in the identity: such profiles never mix with those of an agent."""
TEMPORARY = "/data/local/tmp"
STALE_MINUTES = 24 * 60
TRIAL_RUNS = 5
WARMUP_MS = 50.0
FEWEST_WARMUP_RUNS = 3
MOST_WARMUP_RUNS = 1000
SAMPLE_MS = 1.0
MOST_SAMPLES = 100
SETTLED = 0.02
LARGEST_RESULTS_BYTES = 400_000
GRACE_S = 30.0
"""What adb and the phone's shell may take beside the tool."""


@dataclass(frozen=True, slots=True)
class PerfTestDevice:
    """A phone, and the settings of a measurement.

    Attributes:
        name: as typed.
        shell: how to reach it, and the tool that is pushed there.
        settings: what runs graphs there, and how; ONNX Runtime with warm caches only.
        calibration: inputs by name that set the ranges of int8; random where absent.
        graph_timeout_s: how long one run of the tool may take.
    """

    name: str
    shell: AdbShell
    settings: Settings
    calibration: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    graph_timeout_s: float = GRAPH_TIMEOUT_S

    def __post_init__(self) -> None:
        """Raise Unsupported for settings that the tool cannot measure."""
        if self.settings.runtime != "onnxruntime":
            raise Unsupported(f"{PROGRAM} runs onnxruntime, not {self.settings.runtime}")
        if self.settings.provider not in PROVIDERS:
            raise Unsupported(
                f"{PROGRAM} on a phone has {', '.join(PROVIDERS)}, not {self.settings.provider}"
            )
        if self.settings.cache != "warm":
            raise Unsupported(f"{PROGRAM} measures with warm caches only, not {self.settings.cache} ones")

    def process(self, *, detailed: bool = False) -> PerfTestProcess:
        """A fresh folder on the phone, to be used as a context manager; `detailed` tells no more here."""
        return PerfTestProcess(self)


@dataclass(slots=True)
class _Pushed:
    """A graph on the phone, and how long one run of it took at last."""

    file: str
    typical_ns: float


class PerfTestProcess:
    """One folder on the phone.

    Raises:
        LinkLost: the phone is out of reach.
        NoAnswer: it, or a graph, takes too long.
        RequestFailed: the tool refused a graph, or crashed on it; the others are not touched.
    """

    def __init__(self, device: PerfTestDevice) -> None:
        """Store the device; `__enter__` makes the folder."""
        self._device = device
        self._adb = device.shell.adb
        self._folder = f"{TEMPORARY}/hwprofile-{secrets.token_hex(8)}"
        self._graphs: dict[str, _Pushed] = {}
        self._pushed = 0
        self._own_s = 0.0

    def __enter__(self) -> PerfTestProcess:
        """Push the tool and read the phone's identity."""
        try:
            version, digest = self._device.shell.build()
            known = phone.facts(self._adb)
            self._choose(known)
            self._push_tool()
        except BaseException:
            self.close()
            raise
        self.identity: Mapping[str, Any] = {
            **phone.hardware(known),
            "runtime_version": version,
            "runtime_build": digest,
            "latency_definition": LATENCY_DEFINITION,
            **asdict(self._device.settings),
        }
        self.software: Mapping[str, Any] = phone.software(known)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the folder."""
        self.close()

    def close(self) -> None:
        """Remove the folder and all in it; a phone that is away keeps it until a later round."""
        with contextlib.suppress(DeviceError):
            self._adb.shell(f"rm -rf {self._folder}")
        self._graphs.clear()

    def conditions(self) -> Mapping[str, Any]:
        """State of the phone now; None for what it does not tell."""
        found = phone.conditions(self._adb, self._affinity, self._ticks_per_s)
        # between two visits the processor is free for others: what they use then disturbs nothing
        return {**found, "processors": self._processors, "affinity": self._affinity, "own_s": self._own_s}

    def busy_processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """Other programs that ran on the phone during so many seconds: `pid`, `name`, `processors`."""
        return phone.busy_processes(self._adb, seconds, self._ticks_per_s)

    def load(self, name: str, onnx: bytes) -> None:
        """Push a graph, and run it a few times: to know that it runs, and how long it takes."""
        self.unload(name)
        settings = self._device.settings
        runtime = RUNTIMES[settings.runtime]
        try:
            artefact = runtime.prepare(onnx, settings.precision, self._device.calibration)
        except Unsupported as error:
            raise RequestFailed(f"{settings.runtime}: {error}") from error
        self._pushed += 1
        file = f"{self._folder}/g{self._pushed}.onnx"
        with tempfile.NamedTemporaryFile(suffix=".onnx") as here:
            here.write(artefact)
            here.flush()
            self._adb.push(here.name, file)
        try:
            typical_ns = statistics.median(self._runs_ns(file, TRIAL_RUNS)[TRIAL_RUNS // 2 :])
        except RequestFailed:
            self._remove(file)
            raise
        self._graphs[name] = _Pushed(file, typical_ns)

    def time(self, name: str, samples: int) -> Visit:
        """Run the tool; every timed run is a sample, and short graphs give more than are asked for."""
        if name not in self._graphs:
            raise RequestFailed(f"{name} is not loaded")
        graph = self._graphs[name]
        warmup = _runs(WARMUP_MS, graph.typical_ns, FEWEST_WARMUP_RUNS, MOST_WARMUP_RUNS)
        kept = _runs(samples * SAMPLE_MS, graph.typical_ns, samples, max(samples, MOST_SAMPLES))
        found = self._runs_ns(graph.file, warmup + kept)
        graph.typical_ns = statistics.median(found[warmup:])
        # the tool itself runs a graph once before it writes anything down
        return Visit(1, found[warmup:], None, 1 + warmup, _has_settled(found[:warmup]))

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """The tool is not asked for them."""
        raise RequestFailed(f"{PROGRAM} does not tell the times of nodes")

    def energy_source(self) -> EnergySource:
        """The tool counts none, and its runs cannot be lined up with what a phone tells."""
        raise NoEnergySource("no energy source on this device: a phone without an agent tells none")

    def energy(self, name: str) -> EnergyVisit:
        """There is no source."""
        raise NoEnergySource("no energy source on this device: a phone without an agent tells none")

    def unload(self, name: str) -> None:
        """Remove a graph from the phone; harmless where there is none."""
        graph = self._graphs.pop(name, None)
        if graph is not None:
            self._remove(graph.file)

    # --- on the phone

    def _choose(self, known: Mapping[str, str]) -> None:
        """Processors for the tool: as many as threads, the last, which on phones are the fast ones."""
        threads, allowed = self._device.settings.threads, phone.allowed_processors(known)
        if allowed is not None and threads > len(allowed):
            raise RequestFailed(
                f"{threads} threads asked for, but this process may use only {len(allowed)} processors"
            )
        self._ticks_per_s = float(known["ticks"]) if re.fullmatch(r"[1-9]\d{0,5}", known["ticks"]) else 100.0
        self._processors = len(phone.processors(known["present"]) or ()) or None
        self._affinity, bound = allowed, ""
        if allowed and known["taskset"] == "yes":
            self._affinity = allowed[-threads:]
            bound = f"taskset {sum(1 << cpu for cpu in self._affinity):x} "
        limit = f"timeout {math.ceil(self._device.graph_timeout_s)} " if known["timeout"] == "yes" else ""
        self._prefix = limit + bound

    def _push_tool(self) -> None:
        """Make the folder, remove what earlier rounds had to leave on the phone, push the tool."""
        stale = f"find {TEMPORARY} -maxdepth 1 -name 'hwprofile-*' -mmin +{STALE_MINUTES} -exec rm -rf {{}} +"
        self._done(self._adb.shell(f"{stale} 2>/dev/null\numask 077\nmkdir {self._folder}"))
        for name, path in self._device.shell.files():
            self._adb.push(path, f"{self._folder}/{name}")
        self._done(self._adb.shell(f"chmod 700 {self._folder}/{PROGRAM}"))

    def _done(self, answer: Answer) -> None:
        if answer.status:
            raise RequestFailed(f"the phone's shell failed: {answer.text.strip()[-300:]}")

    def _remove(self, file: str) -> None:
        self._adb.shell(f"rm -f {file}")

    def _runs_ns(self, file: str, runs: int) -> tuple[int, ...]:
        """Run the tool on a graph and give the time of every run."""
        token = secrets.token_hex(6)
        line = command(self._device.settings, file, runs, self._prefix)
        answer = self._adb.shell(
            f"cd {self._folder} || exit\nrm -f results.csv\n{line} >log.txt 2>&1 </dev/null\ns=$?\ntimes\n"
            f"echo {token}\nhead -c {LARGEST_RESULTS_BYTES} results.csv 2>/dev/null\n"
            f"echo {token}\ntail -c 1500 log.txt\nexit $s",
            self._device.graph_timeout_s + GRACE_S,
        )
        times, results, log = (*answer.text.split(f"{token}\n"), "", "", "")[:3]
        self._own_s += _seconds(times)
        if answer.status:
            raise self._failure(answer.status, log.replace(self._folder, "").strip())
        try:
            return latencies_ns(results, runs)
        except ValueError as error:
            raise RequestFailed(f"{PROGRAM}: {error}") from error

    def _failure(self, status: int, log: str) -> RequestFailed | NoAnswer:
        """Why the tool ended so."""
        if status == 124 and self._prefix.startswith("timeout"):
            return NoAnswer(f"{PROGRAM} took more than {self._device.graph_timeout_s:g} s")
        if "Unknown command line flag" in log:
            return RequestFailed(
                f"this {PROGRAM} does not know its own options (sources between releases 1.21 and 1.23 had "
                f"that on Android): build another release; it says: {log[-300:]}"
            )
        if status > 128:
            with contextlib.suppress(ValueError):
                return RequestFailed(f"{PROGRAM} was ended by {signal.Signals(status - 128).name}: {log}")
        if status in (126, 127):
            return RequestFailed(f"{PROGRAM} cannot be run on this phone (exit status {status}): {log}")
        return RequestFailed(f"{PROGRAM} ended with status {status}: {log}")


def _runs(duration_ms: float, typical_ns: float, fewest: int, most: int) -> int:
    return min(max(math.ceil(duration_ms * 1e6 / typical_ns), fewest), most)


def _has_settled(warmup: Sequence[int]) -> bool:
    """Whether the medians of the last two windows of a warm-up agree."""
    window = len(warmup) // 2
    last, before = statistics.median(warmup[-window:]), statistics.median(warmup[-2 * window : -window])
    return abs(last - before) < SETTLED * before


def _seconds(times: str) -> float:
    """Processor time that a shell's `times` tells: its own and that of the tool."""
    found = re.findall(r"(\d{1,9})m(\d{1,2}(?:\.\d+)?)s", times)
    return sum(60 * int(minutes) + float(seconds) for minutes, seconds in found)
