"""What on a device will disturb a measurement, how much it matters, and the command that stops it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from devices.disturbances import LARGEST_FOREIGN_CORES, measured_gpus
from devices.measurement import Visit
from devices.statistics import unpreempted, visit_ms
from devices.verdicts import why_emulated

Weight: TypeAlias = Literal["serious", "minor", "note"]
WEIGHTS: tuple[Weight, ...] = ("serious", "minor", "note")

HOT_C = 80.0
LARGEST_SPREAD = 0.02
LARGEST_PREEMPTED = 0.05
LITTLE_MEMORY_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that disturbs.

    Attributes:
        weight: `serious`: figures will be wrong or wide; `minor`: they will scatter more; or `note`.
        what: what was found.
        effect: how much it matters.
        cure: the command that stops it, or what to do where there is none.
    """

    weight: Weight
    what: str
    effect: str
    cure: str


@dataclass(frozen=True, slots=True)
class Examination:
    """What a device tells of itself, and what a small benchmark shows.

    Attributes:
        identity: hardware, runtime and settings.
        software: the rest of the fingerprint.
        state: conditions while a graph runs.
        busy: other programs that ran: `pid`, `name`, `processors`.
        probes: visits of one small graph, a list for each of several processes.
    """

    identity: Mapping[str, Any]
    software: Mapping[str, Any]
    state: Mapping[str, Any]
    busy: Sequence[Mapping[str, Any]]
    probes: Sequence[Sequence[Visit]]


def findings(examined: Examination) -> list[Finding]:
    """Everything that was found, what matters most first."""
    parts = (
        _emulation, _clock, _heat, _boards, _container, _other_programs, _memory, _machine, _gpus, _measured,
    )  # fmt: skip
    found = [finding for part in parts for finding in part(examined)]
    return sorted(found, key=lambda one: WEIGHTS.index(one.weight))


def _emulation(examined: Examination) -> Iterator[Finding]:
    why = why_emulated(examined.identity)
    if why is not None:
        yield Finding(
            "serious",
            why,
            "operators are slowed down by very different factors: even the order of two graphs may be wrong",
            "measure on the processor itself; here only what a graph answers can be checked",
        )


def _clock(examined: Examination) -> Iterator[Finding]:
    state = examined.state
    governor, limit, highest = (state.get(key) for key in ("governor", "cpu_limit_mhz", "cpu_highest_mhz"))
    if governor not in (None, "performance"):
        yield Finding(
            "serious",
            f"the clock follows the load (governor {governor})",
            _clock_range(state.get("cpu_mhz"), highest),
            "sudo cpupower frequency-set -g performance",
        )
    if limit and highest and 0 < limit < 0.97 * highest:
        yield Finding(
            "serious",
            f"the clock is limited to {limit:.0f} of {highest:.0f} MHz",
            f"every figure is up to {highest / limit - 1:.0%} slower than the processor can be",
            "sudo cpupower frequency-set -u max, if the limit is not what you want to measure",
        )
    if state.get("turbo"):
        yield Finding(
            "minor",
            "turbo is on",
            "the clock depends on heat and on what other cores do: figures drift over minutes",
            "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost "
            "(Intel: echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo)",
        )
    yield from board_findings(state)


def board_findings(told: Mapping[str, Any]) -> Iterator[Finding]:
    """How a Jetson is set, as its identity or its conditions tell it; both are part of its identity."""
    mode = told.get("power_mode")
    if mode is not None and not str(mode).upper().startswith("MAXN"):
        yield Finding(
            "serious",
            f"the board is in power mode {mode}",
            "every figure is that of this mode; the full one can be twice as fast",
            "sudo nvpmodel -m 0 && sudo jetson_clocks, if the full mode is what you want to measure",
        )
    if told.get("clocks_locked") is False:
        yield Finding(
            "serious",
            "the board's clocks follow the load",
            "short graphs are measured at a lower clock than long ones; at held clocks boards are about "
            "half as fast again",
            "sudo jetson_clocks (after nvpmodel), unless floating clocks are what you want to measure",
        )


def _clock_range(now_mhz: object, highest_mhz: object) -> str:
    if (
        isinstance(now_mhz, int | float)
        and isinstance(highest_mhz, int | float)
        and 0 < now_mhz < highest_mhz
    ):
        slower = highest_mhz / now_mhz - 1
        return f"it ran at {now_mhz:.0f} of {highest_mhz:.0f} MHz just now: up to {slower:.0%} slower"
    return "short graphs are measured at a lower clock than long ones"


def _heat(examined: Examination) -> Iterator[Finding]:
    temperature = examined.state.get("temperature_c")
    if temperature is not None and temperature >= HOT_C:
        yield Finding(
            "serious",
            f"the hottest sensor shows {temperature:.0f} °C",
            "hot processors lower their clock; on phones and boards by up to a half",
            "let it cool down, or add a fan",
        )
    if examined.state.get("throttle_count"):
        yield Finding(
            "minor",
            "the processor has lowered its clock because of heat since it was started",
            "it may do so again in a long bench; rounds in which it does are marked",
            "improve its cooling",
        )


def _boards(examined: Examination) -> Iterator[Finding]:
    """What a Raspberry Pi's firmware and the cooling of phones and boards tell."""
    now, before = (examined.state.get(f"board_{word}throttled_by") or () for word in ("", "was_"))
    if now:
        yield Finding(
            "serious",
            f"the board is slowed down just now by {', '.join(now)}",
            "its clock is lower than it should be, by up to a half",
            _PI_CURES["under-voltage" if "under-voltage" in now else "heat"],
        )
    elif before:
        yield Finding(
            "minor",
            f"the board has been slowed down since it was started, by {', '.join(before)}",
            "it may be again in a long bench; rounds in which it is are marked",
            _PI_CURES["under-voltage" if "under-voltage" in before else "heat"],
        )
    cooled = examined.state.get("cooled_by")
    if cooled:
        yield Finding(
            "serious",
            f"the system holds clocks down because of heat ({', '.join(cooled)})",
            "every figure is that of the lower clock",
            "let it cool down, take it out of its case, or add a fan",
        )


_PI_CURES = {
    "under-voltage": "use a stronger supply and a short, thick cable",
    "heat": "let it cool down, or add a heat sink or a fan",
}


def _container(examined: Examination) -> Iterator[Finding]:
    state = examined.state
    quota, processors = state.get("cpu_quota"), examined.identity.get("cpu_count")
    if quota is not None:
        serious = quota < examined.identity.get("threads", 1) + 1
        yield Finding(
            "serious" if serious else "note",
            f"the container may use {quota:g} processors",
            "when the quota is used up, everything stands still for the rest of a 0.1 s period",
            "start the container without a quota (docker run without --cpus)",
        )
    affinity = state.get("affinity")
    if processors and affinity and processors == examined.identity.get("threads"):
        yield Finding(
            "minor",
            "every processor is measured on",
            "the system and hwprofile itself have no processor of their own and preempt samples",
            "measure with fewer --threads than processors",
        )


def _other_programs(examined: Examination) -> Iterator[Finding]:
    total = sum(float(program["processors"]) for program in examined.busy)
    if total <= LARGEST_FOREIGN_CORES / 4:
        return
    names = ", ".join(
        f"{program['name']} ({program['processors']:.0%} of a processor, process {program['pid']})"
        for program in examined.busy[:3]
    )
    pids = " ".join(str(program["pid"]) for program in examined.busy[:3])
    yield Finding(
        "serious" if total > LARGEST_FOREIGN_CORES else "minor",
        f"other programs are running: {names}",
        "they take the processor, caches and memory bandwidth: one that streams memory on another core "
        "slowed blocks by 5% in the median on a small server (benchmarks/repeatability.py)",
        f"stop them, or pause them while measuring: kill -STOP {pids} (and later kill -CONT {pids})",
    )


def _memory(examined: Examination) -> Iterator[Finding]:
    available = examined.state.get("memory_available_bytes")
    if available is not None and available < LITTLE_MEMORY_BYTES:
        yield Finding(
            "serious",
            f"only {available / 1e6:.0f} MB of memory are free",
            "graphs are swapped out, or the process is killed",
            "stop programs that hold memory",
        )


def _machine(examined: Examination) -> Iterator[Finding]:
    if examined.software.get("virtual_machine"):
        yield Finding(
            "minor",
            "this is a virtual machine",
            "neighbours on the same host slow it down unseen; clocks and temperatures are not told",
            "measure when the host is quiet, look at the statuses, repeat; or use a machine of your own",
        )
    source = examined.software.get("clock_source")
    if source not in (None, "tsc", "arch_sys_counter"):
        yield Finding(
            "minor",
            f"the clock source is {source}",
            "reading the clock takes a microsecond or more",
            "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource",
        )


def _gpus(examined: Examination) -> Iterator[Finding]:
    for gpu in measured_gpus(examined.state):
        name = f"GPU {gpu.get('index')} ({gpu.get('name')})"
        if gpu.get("throttled_by"):
            yield Finding(
                "serious",
                f"{name} is slowed down by {', '.join(gpu['throttled_by'])}",
                "every figure is that of the lower clock",
                "nvidia-smi -q -d PERFORMANCE tells more; lower the load or raise the power limit",
            )
        if gpu.get("mig"):
            yield Finding(
                "note",
                f"{name} is cut into instances (MIG)",
                "its clocks, throttling and energy are told of all instances together",
                "nothing to do where the others are idle",
            )
        if gpu.get("foreign_processes"):
            yield Finding(
                "serious",
                f"{gpu['foreign_processes']} other programs compute on {name}",
                "they take turns with what is measured",
                "nvidia-smi shows them; stop them",
            )
        if gpu.get("persistence") == 0:
            yield Finding(
                "minor",
                f"{name} is switched off between programs",
                "the first second of every process is slower",
                "sudo nvidia-smi -pm 1",
            )


def _measured(examined: Examination) -> Iterator[Finding]:
    """What a small graph shows, whatever the reasons are."""
    times = [np.array([visit_ms(visit) for visit in visits]) for visits in examined.probes if visits]
    if not times:
        return
    within = float(np.median([np.median(np.abs(found / np.median(found) - 1)) for found in times]))
    between = float(np.std(np.log([np.median(found) for found in times]))) if len(times) > 1 else 0.0
    preempted = 1 - float(
        np.mean([unpreempted(visit).mean() for visits in examined.probes for visit in visits])
    )
    loud = within > LARGEST_SPREAD or between > LARGEST_SPREAD or preempted > LARGEST_PREEMPTED
    yield Finding(
        "serious" if loud else "note",
        f"a small graph, measured in {len(times)} processes: {within:.1%} from its median within a process, "
        f"{between:.1%} between processes, {preempted:.0%} of the samples preempted",
        f"intervals will be wider than ±{LARGEST_SPREAD:.0%}"
        if loud
        else f"±{LARGEST_SPREAD:.0%} can be reached",
        "see the other findings; more --rounds narrow an interval" if loud else "nothing to do",
    )
