"""What disturbed a round: read off its thermometers and the target's conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.disturbances import Cause, RoundEvidence, disturbances
from devices.measurement import Visit

MS = 1_000_000


def visits(*times_ms: float) -> list[Visit]:
    return [Visit(1, (round(ms * MS),) * 3, None, 3, True) for ms in times_ms]


def reasons(rounds: Sequence[RoundEvidence], number: int = 0) -> list[str]:
    return [found.reason for found in disturbances(dict(enumerate(rounds)))[number]]


def causes(rounds: Sequence[RoundEvidence], number: int = 0) -> list[Cause]:
    return [found.cause for found in disturbances(dict(enumerate(rounds)))[number]]


# --- the reference


@pytest.mark.parametrize(
    ("now", "others", "reason"),
    [
        ([], [], None),
        ([], [[1.0], [1.0]], None),
        ([1.0], [], None),
        ([1.0, 1.01, 0.99], [], None),
        ([1.0, 1.0, 1.0, 1.5], [], None),
        ([1.0, 1.0, 1.0, 1.5, 1.5], [], "40% of the reference's visits were over 5% from its median"),
        ([1.0, 1.1, 1.2, 1.3], [], "50% of the reference's visits were over 5% from its median"),
        ([1.5], [[1.0]], None),
        ([1.5], [[1.0], []], None),
        ([1.05], [[1.0], [1.0]], None),
        ([1.1], [[1.0], [1.0]], "the reference stood +10.0% from the other rounds"),
        ([0.9], [[1.0], [1.0]], "the reference stood -10.0% from the other rounds"),
        ([1.0], [[1.0], [1.0], [1.5], [1.5]], None),
    ],
    ids=[
        "nothing read",
        "nothing read, others known",
        "one reading",
        "quiet",
        "one outlier",
        "many outliers",
        "drifting",
        "one other round says nothing",
        "an empty round is no other round",
        "near the others",
        "slower than the others",
        "faster than the others",
        "most others agree",
    ],
)
def test_the_reference_tells(now: list[float], others: list[list[float]], reason: str | None) -> None:
    found = reasons([RoundEvidence(visits(*times)) for times in (now, *others)])
    assert found == ([] if reason is None else [reason])


def test_a_first_round_is_judged_beside_the_later_ones() -> None:
    rounds = [RoundEvidence(visits(ms)) for ms in (1.3, 1.0, 1.0, 1.0)]
    assert causes(rounds[:1]) == []
    assert causes(rounds) == ["drift"]


def test_preempted_samples_of_the_reference_are_no_disturbance() -> None:
    preempted = Visit(1, (MS, MS, 3 * MS, 3 * MS, 3 * MS), (MS,) * 5, 3, True)
    assert causes([RoundEvidence([preempted, *visits(1.0, 1.0)])]) == []


# --- canaries


def canary_rounds(*pairs: tuple[float, float]) -> list[RoundEvidence]:
    return [RoundEvidence(visits(level), {"net": visits(canary)[0]}) for level, canary in pairs]


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([(1.0, 5.0), (1.0, 5.1), (1.0, 5.0)], []),
        ([(1.05, 5.25), (1.0, 5.0), (1.0, 5.0)], []),
        ([(1.0, 5.5), (1.0, 5.0), (1.0, 5.0)], ["canary"]),
        ([(1.05, 4.8), (1.0, 5.0), (1.0, 5.0)], ["canary"]),
        ([(1.0, 5.5), (1.0, 5.0)], []),
    ],
    ids=["agree", "move together", "canary alone", "opposite ways", "too few rounds"],
)
def test_canary_and_reference_move_together(pairs: list[tuple[float, float]], found: list[Cause]) -> None:
    assert causes(canary_rounds(*pairs)) == found


def test_a_preempted_canary_says_nothing_more() -> None:
    preempted = Visit(1, (9 * MS,) * 3, (5 * MS,) * 3, 3, True)
    rounds = [RoundEvidence(visits(1.0), {"net": preempted}), *canary_rounds((1.0, 5.0), (1.0, 5.0))]
    assert causes(rounds) == []


# --- conditions


def state(clock_s: float, told: Mapping[str, Any], process: int = 1) -> dict[str, Any]:
    return {"clock_s": clock_s, "process": process, "processors": 2, "affinity": [1], **told}


def round_of(start: Mapping[str, Any], end: Mapping[str, Any]) -> RoundEvidence:
    return RoundEvidence(conditions=[state(0.0, start), state(10.0, end)])


IDLE = {"busy_s": 100.0, "busy_here_s": 50.0, "own_s": 1.0, "parent_s": 2.0}


def later(**seconds: float) -> dict[str, float]:
    return {name: value + seconds.get(name, 0.0) for name, value in IDLE.items()}


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (later(busy_s=10.0, busy_here_s=9.5, own_s=9.5, parent_s=0.5), None),
        (later(busy_s=11.5, busy_here_s=9.5, own_s=9.5, parent_s=0.5), None),
        (
            later(busy_s=20.0, busy_here_s=9.5, own_s=9.5, parent_s=0.5),
            "other programs kept 1.0 processors busy",
        ),
        (
            later(busy_s=10.0, busy_here_s=10.0, own_s=5.0),
            "other programs used 50% of the processor that was measured on",
        ),
    ],
    ids=["alone", "a little beside", "another processor is busy", "this processor is shared"],
)
def test_processor_time_of_other_programs_tells(end: dict[str, float], reason: str | None) -> None:
    assert reasons([round_of(IDLE, end)]) == ([] if reason is None else [reason])


def test_more_processors_tolerate_more_of_other_programs() -> None:
    def busy(processors: int) -> list[str]:
        start = state(0.0, {**IDLE, "processors": processors})
        return reasons([RoundEvidence(conditions=[start, state(10.0, later(busy_s=20.0))])])

    assert busy(2) != []
    assert busy(64) == []


@pytest.mark.parametrize(
    ("told", "gained", "cause", "reason"),
    [
        ("stolen_s", 1.0, "stolen", "the hypervisor withheld 5% of the time"),
        ("stolen_s", 0.1, None, None),
        ("quota_lacked_s", 2.0, "quota", "the container's quota withheld 20% of the time"),
        ("quota_lacked_s", 0.0, None, None),
        ("throttle_count", 3, "throttled", "the processor lowered its clock because of heat 3 times"),
        ("throttle_count", 0, None, None),
    ],
)
def test_counters_tell(told: str, gained: float, cause: Cause | None, reason: str | None) -> None:
    rounds = [round_of({told: 7}, {told: 7 + gained})]
    assert causes(rounds) == ([] if cause is None else [cause])
    assert reasons(rounds) == ([] if reason is None else [reason])


def test_a_clock_below_that_of_the_other_rounds_is_throttling() -> None:
    rounds = [round_of({"cpu_mhz": 800.0}, {"cpu_mhz": mhz}) for mhz in (2000.0, 3000.0, 3000.0, 2950.0)]
    assert reasons(rounds, 0) == ["the clock was 2000 MHz, in other rounds 2975 MHz"]
    assert all(causes(rounds, number) == [] for number in (1, 2, 3))


def test_a_gpu_that_is_slowed_down_says_by_what() -> None:
    gpu = {"index": 0, "throttled_by": ["power cap"]}
    assert reasons([round_of({"gpus": None}, {"gpus": [gpu]})]) == ["the GPU was slowed down by power cap"]


def gpu_clock(mhz: object, **limits: float) -> dict[str, Any]:
    return {"gpus": [{"index": 0, "clock_mhz": mhz, **limits}]}


def test_a_gpus_clock_below_that_of_the_other_rounds_is_throttling() -> None:
    rounds = [round_of(gpu_clock(300), gpu_clock(mhz)) for mhz in (1000, 1300.0, 1300.0, 1290.0, None)]
    assert reasons(rounds, 0) == ["the GPU's clock was 1000 MHz, in other rounds 1295 MHz"]
    assert all(causes(rounds, number) == [] for number in (1, 2, 3, 4))


@pytest.mark.parametrize(("lowest", "told"), [(1300.0, ["throttled"]), (300.0, [])], ids=["held", "floating"])
def test_a_floating_clock_of_an_idle_gpu_says_nothing(lowest: float, told: list[Cause]) -> None:
    limits = {"lowest_clock_mhz": lowest, "highest_clock_mhz": 1300.0}
    rounds = [round_of({}, gpu_clock(mhz, **limits)) for mhz in (1000.0, 1300.0, 1300.0)]
    assert causes(rounds) == told


def test_a_gpu_that_is_not_measured_on_disturbs_nothing() -> None:
    gpus = [{"index": 0, "used": False, "throttled_by": ["power cap"]}, {"index": 1, "used": True}]
    assert reasons([round_of({"gpus": gpus}, {"gpus": gpus})]) == []


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        ({"board_throttled_by": []}, {"board_throttled_by": []}, None),
        (
            {"board_throttled_by": []},
            {"board_throttled_by": ["under-voltage", "throttled"]},
            "the board was slowed down by throttled, under-voltage",
        ),
        (
            {"board_was_throttled_by": []},
            {"board_was_throttled_by": ["frequency capped"]},
            "the board was slowed down by frequency capped",
        ),
        ({"board_was_throttled_by": ["throttled"]}, {"board_was_throttled_by": ["throttled"]}, None),
        ({}, {"board_was_throttled_by": ["throttled"]}, None),
        (
            {"cooled_by": []},
            {"cooled_by": ["thermal-cpufreq-0 3/10"]},
            "the system held clocks down because of heat: thermal-cpufreq-0 3/10",
        ),
    ],
    ids=["well", "now", "in between", "long ago", "not told before", "cooled"],
)
def test_what_a_board_says_of_itself_tells(
    start: dict[str, Any], end: dict[str, Any], reason: str | None
) -> None:
    rounds = [round_of(start, end)]
    assert reasons(rounds) == ([] if reason is None else [reason])
    assert causes(rounds) == ([] if reason is None else ["throttled"])


def test_counters_of_different_processes_are_not_subtracted() -> None:
    states = [state(0.0, {"stolen_s": 0.0}, 1), state(1.0, {"stolen_s": 50.0}, 2)]
    assert causes([RoundEvidence(conditions=states)]) == []


VALUES = st.none() | st.floats(0, 1e6) | st.text(max_size=3)
STATES = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["clock_s", "busy_s", "own_s", "stolen_s", "cpu_mhz", "throttle_count", "processors"]
        ),
        VALUES,
    ),
    max_size=4,
)


@given(st.lists(STATES, min_size=1, max_size=4))
def test_what_a_target_does_not_tell_is_no_error(rounds: list[list[dict[str, Any]]]) -> None:
    evidence = {number: RoundEvidence(conditions=states) for number, states in enumerate(rounds)}
    found = disturbances(evidence)
    assert set(found) == set(evidence)
    assert all(re.search(r"\d", one.reason) for several in found.values() for one in several)
