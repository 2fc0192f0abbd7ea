"""Profiles of made-up numbers, written by the real writer; and a device of paper that answers at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from devices.connection import NoEnergySource, RequestFailed
from devices.measurement import EnergySource, EnergyVisit, NodeTimes, Visit
from devices.rounds import Reading, Sampling
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.profile import Kind, Profile
from hwprofile.profile_lines import Header
from hwprofile.profile_writer import ProfileWriter

GRAPHS, ROUNDS, SAMPLES = 84, 13, 9
"""A bench of `proxyless`: graphs, rounds and samples of a graph in a round that make some 10^4 samples."""
PROCESS_SD = 0.004
IDENTITY = {
    "machine": "aarch64", "cpu_model": "made up", "cpu_count": 4, "system": "Linux", "runtime": "onnxruntime",
    "runtime_version": "1.31.1", "threads": 1, "batch": 1, "precision": "fp32",
    "provider": "CPUExecutionProvider", "cache": "warm", "calibration": "random",
}  # fmt: skip
STATE: Mapping[str, Any] = {
    "processors": 4, "affinity": [1], "temperature_c": 48.5, "power_mode": None, "clocks_locked": None,
    "cooled_by": None, "memory_available_bytes": 4666640384, "gpus": None, "load_1min": 0.9,
    "runnable_tasks": 1, "cpu_mhz": 1479.0, "cpu_limit_mhz": None, "cpu_highest_mhz": 1479.0,
    "governor": "performance", "turbo": None, "throttle_count": None, "stolen_s": 0.0, "context_switches": 5,
    "preemptions": 4, "cpu_quota": None, "quota_lacked_s": 0.0, "cpu_pressure_s": 5.993098,
    "memory_pressure_s": 0.0, "board_throttled_by": None, "board_was_throttled_by": None,
}  # fmt: skip
"""What an agent tells of its target, with its counters in `state_at`."""


def state_at(second: float, process: int) -> dict[str, Any]:
    """A quiet state of the target: all its processor time is the agent's."""
    used = round(second, 2)
    counters = {"clock_s": used, "busy_s": used, "busy_here_s": used, "own_s": used, "parent_s": 0.0}
    return {**STATE, **counters, "process": process}


def header(subject: str, rounds: int) -> Header:
    """The header of a made-up profile that aims at so many rounds."""
    return Header("paper", subject, None, IDENTITY, {}, Goal(rounds=rounds, most_rounds=rounds + 3))


def visit(latency_ms: float, samples: int, rng: np.random.Generator) -> Visit:
    """Samples around a latency, of a process with a level of its own."""
    middle_ns = 1e6 * latency_ms * np.exp(PROCESS_SD * rng.standard_normal())
    wall_ns = (middle_ns * (1 + 0.002 * rng.random(samples))).astype(int)
    cpu_ns = wall_ns - rng.integers(100, 2000, samples)
    return Visit(1, tuple(wall_ns.tolist()), tuple(cpu_ns.tolist()), 5, True)


def readings(
    latencies_ms: Mapping[str, float], number: int, samples: int, rng: np.random.Generator
) -> Iterator[Reading]:
    """What a round of these graphs gives: thermometers before every pass and at the end."""
    sampling = Sampling()
    groups = -(-len(latencies_ms) // sampling.group)
    for _ in range(groups * sampling.passes + 1):
        yield Reading("reference", number + 1, visit(1.0, sampling.samples, rng), is_reference=True)
    for name, latency_ms in latencies_ms.items():
        yield Reading(name, number + 1, visit(latency_ms, samples, rng))


def write(
    path: Path, kinds: Mapping[str, Kind], rounds: int, samples: int = SAMPLES, subject: str = "paper"
) -> None:
    """Write a finished profile of these graphs with the real writer.

    Args:
        path: the file.
        kinds: what is measured; a graph's latency is drawn from 1 to 30 ms.
        rounds: how many, all of them quiet.
        samples: of a graph in a round.
        subject: name of the space.
    """
    rng = np.random.default_rng(0)
    latencies_ms = {name: float(np.exp(rng.uniform(0, np.log(30)))) for name in kinds}
    with ProfileWriter(Profile(path, header(subject, rounds))) as writer:
        for number in range(rounds):
            for reading in readings(latencies_ms, number, samples, rng):
                writer.reading(reading, kinds.get(reading.graph, "block"), number)
            writer.append(round_end(len(kinds), number))
        writer.append({"row": "end", "rounds": rounds})


def round_end(graphs: int, number: int) -> dict[str, Any]:
    """The row that closes a round: a state before, after every group, and at the end."""
    states = [state_at(60.0 * number + second, number + 1) for second in range(_states(graphs))]
    return {"row": "round", "round": number, "conditions": states, "seconds": float(len(states))}


def _states(graphs: int) -> int:
    return 2 + -(-graphs // Sampling().group)


def block_names(count: int) -> dict[str, Kind]:
    """Names as long as those of a space's blocks."""
    return dict.fromkeys((f"mb_k3_e{index}@32x112x112-16-s1-relu6" for index in range(count)), "block")


# --- a device made of paper


@dataclass(frozen=True)
class PaperDevice:
    """Answers at once, so that a bench on it costs what the bench itself costs."""

    name: str = "paper"
    settings: Settings = field(default_factory=Settings)

    def process(self, *, detailed: bool = False) -> PaperProcess:
        """A fresh process."""
        return PaperProcess()


@cache
def _moments() -> Sequence[Visit]:
    rng = np.random.default_rng(0)
    return [visit(2.0, Sampling().samples, rng) for _ in range(64)]


@dataclass
class PaperProcess:
    """One process of the device made of paper, as a context manager."""

    identity: Mapping[str, Any] = field(default_factory=lambda: IDENTITY)
    software: Mapping[str, Any] = field(default_factory=dict)
    _given: Sequence[Visit] = field(default_factory=_moments)
    _asked: int = 0
    _states: int = 0

    def __enter__(self) -> PaperProcess:
        """Nothing is started."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is ended."""

    def conditions(self) -> Mapping[str, Any]:
        """A quiet state."""
        self._states += 1
        return state_at(float(self._states), 0)

    def busy_processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """Nothing else runs on paper."""
        return []

    def load(self, name: str, onnx: bytes) -> None:
        """Nothing is loaded."""

    def time(self, name: str, samples: int) -> Visit:
        """The next of a few made-up visits."""
        self._asked += 1
        return self._given[self._asked % len(self._given)]

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """Paper has no profiler."""
        raise RequestFailed("made of paper")

    def energy_source(self) -> EnergySource:
        """Paper has none."""
        raise NoEnergySource("made of paper")

    def energy(self, name: str) -> EnergyVisit:
        """Paper has none."""
        raise RequestFailed("made of paper")

    def unload(self, name: str) -> None:
        """Nothing was loaded."""
