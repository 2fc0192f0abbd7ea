"""What disturbed a round: read off its thermometers and the target's conditions.

A pure function of what was recorded, so it is asked anew whenever a profile is read: a first round is judged
beside the later ones too. Thresholds are lenient towards what every machine does, and far below what a
competing program does; `benchmarks/repeatability.py` shows both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from devices.measurement import Visit
from devices.statistics import is_contended, visit_ms

Cause: TypeAlias = Literal["competition", "stolen", "quota", "throttled", "drift", "canary"]

LARGEST_FOREIGN_CORES = 0.2
"""Processors that other programs may keep busy undisturbed; on large machines a share of them."""
LARGEST_FOREIGN_SHARE = 0.05
LARGEST_STOLEN_SHARE = 0.02
LARGEST_QUOTA_SHARE = 0.01
LARGEST_CLOCK_DROP = 0.07
"""Relative drop of a clock below that of the other rounds; the processor's and a GPU's."""
OUTLYING_VISIT = 0.05
LARGEST_OUTLYING_SHARE = 0.34
LARGEST_LEVEL_SHIFT = 0.06
LARGEST_CANARY_DISAGREEMENT = 0.08
FEWEST_ROUNDS = 3
"""Rounds from which one of them can stand apart from the others."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Why a round does not count; `reason` is for people."""

    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class RoundEvidence:
    """What a round left behind to be judged by.

    Attributes:
        reference: visits of the thermometer, in time order.
        canaries: visits of the canary networks, by name.
        conditions: states of the target in time order, each with the `process` it was read in.
    """

    reference: Sequence[Visit] = ()
    canaries: Mapping[str, Visit] = field(default_factory=dict)
    conditions: Sequence[Mapping[str, Any]] = ()


def disturbances(rounds: Mapping[int, RoundEvidence]) -> dict[int, tuple[Disturbance, ...]]:
    """What disturbed each round; an empty tuple where nothing did."""
    levels = {number: _level(evidence.reference) for number, evidence in rounds.items()}
    usual_ms = _usual(levels.values())
    usual_mhz = _usual(_clock_mhz(evidence.conditions) for evidence in rounds.values())
    usual_gpu_mhz = _usual(_gpu_clock_mhz(evidence.conditions) for evidence in rounds.values())
    names = {name for evidence in rounds.values() for name in evidence.canaries}
    canaries = {name: _usual(_canary_ms(found, name) for found in rounds.values()) for name in names}
    return {
        number: (
            *_from_conditions(evidence.conditions, usual_mhz),
            *_from_boards(evidence.conditions, usual_gpu_mhz),
            *_from_reference(evidence.reference, levels[number], usual_ms),
            *_from_canaries(evidence, levels[number], usual_ms, canaries),
        )
        for number, evidence in rounds.items()
    }


def _usual(levels: Iterable[float | None]) -> float | None:
    """The median level, where enough rounds tell one."""
    known = [level for level in levels if level is not None]
    return float(np.median(known)) if len(known) >= FEWEST_ROUNDS else None


def _level(reference: Sequence[Visit]) -> float | None:
    return float(np.median([visit_ms(visit) for visit in reference])) if reference else None


# --- conditions


def _from_conditions(
    conditions: Sequence[Mapping[str, Any]], usual_mhz: float | None
) -> Iterator[Disturbance]:
    spans = [
        (before, after)
        for before, after in pairwise(conditions)
        if before.get("process") == after.get("process")
    ]
    elapsed = _sum(spans, "clock_s")
    if elapsed:
        yield from _competition(spans, elapsed)
        yield from _stolen(spans, elapsed)
        lacked = _sum(spans, "quota_lacked_s")
        if lacked is not None and lacked / elapsed > LARGEST_QUOTA_SHARE:
            yield Disturbance("quota", f"the container's quota withheld {lacked / elapsed:.0%} of the time")
    yield from _throttled(spans, conditions, usual_mhz)


def _competition(spans: Sequence[tuple[Mapping[str, Any], ...]], elapsed: float) -> Iterator[Disturbance]:
    """Processor time that neither the agent nor its host used."""
    ours = (_sum(spans, "own_s") or 0.0) + (_sum(spans, "parent_s") or 0.0)
    here, everywhere = _sum(spans, "busy_here_s"), _sum(spans, "busy_s")
    measured_on = len(spans[0][0].get("affinity") or [0])
    foreign_here = 0.0 if here is None else (here - ours) / elapsed / measured_on
    if foreign_here > LARGEST_FOREIGN_SHARE:
        yield Disturbance(
            "competition", f"other programs used {foreign_here:.0%} of the processor that was measured on"
        )
    elif everywhere is not None:
        foreign = (everywhere - ours) / elapsed
        tolerated = max(LARGEST_FOREIGN_CORES, LARGEST_FOREIGN_SHARE * _processors(spans[0][0]))
        if foreign > tolerated:
            yield Disturbance("competition", f"other programs kept {foreign:.1f} processors busy")


def _stolen(spans: Sequence[tuple[Mapping[str, Any], ...]], elapsed: float) -> Iterator[Disturbance]:
    stolen = _sum(spans, "stolen_s")
    share = 0.0 if stolen is None else stolen / elapsed / _processors(spans[0][0])
    if share > LARGEST_STOLEN_SHARE:
        yield Disturbance("stolen", f"the hypervisor withheld {share:.0%} of the time")


def _throttled(
    spans: Sequence[tuple[Mapping[str, Any], ...]],
    conditions: Sequence[Mapping[str, Any]],
    usual_mhz: float | None,
) -> Iterator[Disturbance]:
    count = _sum(spans, "throttle_count")
    if count:
        yield Disturbance("throttled", f"the processor lowered its clock because of heat {count:.0f} times")
    clock = _clock_mhz(conditions)
    if clock is not None and usual_mhz is not None and clock < (1 - LARGEST_CLOCK_DROP) * usual_mhz:
        yield Disturbance("throttled", f"the clock was {clock:.0f} MHz, in other rounds {usual_mhz:.0f} MHz")
    reasons = {
        reason
        for state in conditions
        for gpu in measured_gpus(state)
        for reason in gpu.get("throttled_by") or ()
    }
    if reasons:
        yield Disturbance("throttled", f"the GPU was slowed down by {', '.join(sorted(reasons))}")


def _from_boards(
    conditions: Sequence[Mapping[str, Any]], usual_gpu_mhz: float | None
) -> Iterator[Disturbance]:
    """A GPU's clock, and what boards and phones say of themselves."""
    clock = _gpu_clock_mhz(conditions)
    if clock is not None and usual_gpu_mhz is not None and clock < (1 - LARGEST_CLOCK_DROP) * usual_gpu_mhz:
        yield Disturbance(
            "throttled", f"the GPU's clock was {clock:.0f} MHz, in other rounds {usual_gpu_mhz:.0f} MHz"
        )
    told = [state.get("board_throttled_by") or () for state in conditions]
    # what has occurred since the round began is over by now, but was there
    told += [
        set(after.get("board_was_throttled_by") or ()) - set(before.get("board_was_throttled_by") or ())
        for before, after in pairwise(conditions)
        if before.get("board_was_throttled_by") is not None
    ]
    reasons = sorted({str(reason) for found in told for reason in found})
    if reasons:
        yield Disturbance("throttled", f"the board was slowed down by {', '.join(reasons)}")
    cooled = sorted({str(one) for state in conditions for one in state.get("cooled_by") or ()})
    if cooled:
        yield Disturbance("throttled", f"the system held clocks down because of heat: {', '.join(cooled)}")


def _processors(state: Mapping[str, Any]) -> int:
    count = state.get("processors")
    return count if isinstance(count, int) and count > 0 else 1


def _sum(spans: Sequence[tuple[Mapping[str, Any], ...]], counter: str) -> float | None:
    """How far a counter went over these spans; None where it is not told."""
    differences = [_difference(before.get(counter), after.get(counter)) for before, after in spans]
    known = [difference for difference in differences if difference is not None]
    return sum(known) if known else None


def _difference(before: object, after: object) -> float | None:
    if isinstance(before, int | float) and isinstance(after, int | float):
        return float(after - before)
    return None


def _clock_mhz(conditions: Sequence[Mapping[str, Any]]) -> float | None:
    """The clock while graphs ran: the state at the start of a process was read before any did."""
    known = [state["cpu_mhz"] for state in conditions[1:] if isinstance(state.get("cpu_mhz"), int | float)]
    return float(np.median(known)) if known else None


def measured_gpus(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The GPUs of a state that are measured on, as far as that is known."""
    return [gpu for gpu in state.get("gpus") or () if gpu.get("used") is not False]


def _floats(gpu: Mapping[str, Any]) -> bool:
    """Whether a GPU tells limits of its clock, and these are apart."""
    lowest = gpu.get("lowest_clock_mhz")
    return lowest is not None and lowest != gpu.get("highest_clock_mhz")


def _gpu_clock_mhz(conditions: Sequence[Mapping[str, Any]]) -> float | None:
    """The same of the GPU that is measured on, the first where that is not known.

    A GPU whose limits are apart idles at a lower clock when it is asked, which says nothing of how it ran.
    """
    known = []
    for state in conditions[1:]:
        clocks = [gpu.get("clock_mhz") for gpu in measured_gpus(state) if not _floats(gpu)]
        known += [clock for clock in clocks[:1] if isinstance(clock, int | float)]
    return float(np.median(known)) if known else None


# --- thermometers


def _from_reference(
    reference: Sequence[Visit], level: float | None, usual_ms: float | None
) -> Iterator[Disturbance]:
    if level is None:
        return
    times = np.array([visit_ms(visit) for visit in reference])
    outlying = float(np.mean(np.abs(times / level - 1) > OUTLYING_VISIT))
    if outlying > LARGEST_OUTLYING_SHARE:
        yield Disturbance(
            "drift",
            f"{outlying:.0%} of the reference's visits were over {OUTLYING_VISIT:.0%} from its median",
        )
    elif usual_ms is not None and abs(level / usual_ms - 1) > LARGEST_LEVEL_SHIFT:
        yield Disturbance("drift", f"the reference stood {level / usual_ms - 1:+.1%} from the other rounds")


def _from_canaries(
    evidence: RoundEvidence,
    level: float | None,
    usual_ms: float | None,
    usual_canary_ms: Mapping[str, float | None],
) -> Iterator[Disturbance]:
    """A canary moves with the reference; where it does not, something but the clock slowed one of them."""
    if level is None or usual_ms is None:
        return
    for name in sorted(evidence.canaries):
        found, usual = _canary_ms(evidence, name), usual_canary_ms[name]
        if found is None or usual is None:
            continue
        apart = (found / usual) / (level / usual_ms) - 1
        if abs(apart) > LARGEST_CANARY_DISAGREEMENT:
            yield Disturbance("canary", f"the canary network {name} stood {apart:+.1%} from the reference")


def _canary_ms(evidence: RoundEvidence, name: str) -> float | None:
    """A canary's latency in a round; None where most of its samples were preempted, which says enough."""
    visit = evidence.canaries.get(name)
    return None if visit is None or is_contended(visit) else visit_ms(visit)
