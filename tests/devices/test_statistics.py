"""Medians, intervals and verdicts, and how often an interval is right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.measurement import EnergyVisit, NodeTimes, Visit
from devices.statistics import (
    UNKNOWN_HALF_WIDTH,
    dynamic_mj,
    group_ms,
    interval,
    is_contended,
    level_change,
    summarise,
    summarise_energy,
    unpreempted,
    visit_ms,
)

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure
MS = 1_000_000
LATENCIES = st.floats(1e-3, 1e3)


def visit(wall_ms: Sequence[float], cpu_ms: Sequence[float] | None = None, runs: int = 1) -> Visit:
    cpu = None if cpu_ms is None else tuple(round(value * MS) for value in cpu_ms)
    return Visit(runs, tuple(round(value * MS) for value in wall_ms), cpu, 3, True)


def busy(ms: float, share_preempted: float) -> Visit:
    """Ten samples, of which so many lost a tenth of their time to another program."""
    wall = [ms * (1.1 if index < 10 * share_preempted else 1.0) for index in range(10)]
    return visit(wall, [ms] * 10)


# --- one visit


def test_a_visit_shows_the_median_of_one_inference() -> None:
    assert visit_ms(visit([4.0, 5.0, 60.0], runs=4)) == pytest.approx(1.25)


def test_preempted_samples_are_left_out() -> None:
    measured = visit([2.0, 2.2, 2.4, 9.0, 8.0, 7.0], [2.0, 2.19, 2.39, 2.1, 2.1, 2.1])
    assert unpreempted(measured).tolist() == [True, True, True, False, False, False]
    assert visit_ms(measured) == pytest.approx(2.2)


def test_a_sample_is_preempted_beyond_five_percent() -> None:
    assert unpreempted(visit([1.05, 1.0501], [1.0, 1.0])).tolist() == [True, False]


def test_without_a_thread_clock_no_sample_counts_as_preempted() -> None:
    measured = visit([1.0, 2.0, 30.0])
    assert unpreempted(measured).all()
    assert visit_ms(measured) == pytest.approx(2.0)
    assert not is_contended(measured)


def test_where_every_sample_was_preempted_the_thread_clock_speaks() -> None:
    assert visit_ms(visit([2.0, 4.0, 6.0], [1.0, 1.1, 1.5], runs=2)) == pytest.approx(0.55)


def test_a_thread_clock_that_stood_still_is_no_division_by_zero() -> None:
    still = visit([1.0, 3.0], [0.0, 0.0])
    assert not unpreempted(still).any()
    assert visit_ms(still) == pytest.approx(2.0)
    assert summarise([still, still]).half_width == pytest.approx(0.0)


@pytest.mark.parametrize(("share", "contended"), [(0.0, False), (0.5, False), (0.6, True), (1.0, True)])
def test_a_visit_is_contended_when_most_samples_were_preempted(share: float, contended: bool) -> None:
    assert is_contended(busy(1.0, share)) is contended


# --- intervals


@pytest.mark.parametrize(
    ("draws", "tolerance"), [(2_000, 0.02), pytest.param(40_000, 0.005, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(("processes", "nominal"), [(2, 0.95), (3, 0.95), (5, 0.9375), (6, 0.95), (9, 0.95)])
def test_an_interval_covers_the_truth_as_often_as_it_says(
    processes: int, nominal: float, draws: int, tolerance: float
) -> None:
    # right code leaves these tolerances for 5e-5 of all seeds with 2,000 draws, for 5e-6 with 40,000
    rng, truth, covered = np.random.default_rng(20 + processes), 3.0, 0
    for times in truth * np.exp(0.025 * rng.standard_normal((draws, processes))):
        _, low, high = interval(times.tolist())
        covered += low <= truth <= high
    # interpolated ranks, and the mean of logs for a median, are off by up to half a point
    assert abs(covered / draws - nominal) <= tolerance + 0.01


@NO_DEADLINE
@given(st.lists(LATENCIES, min_size=1, max_size=9), st.floats(1e-3, 1e3))
def test_an_interval_scales_with_its_times(times: list[float], factor: float) -> None:
    scaled = interval([factor * time for time in times])
    assert scaled == pytest.approx([factor * end for end in interval(times)], rel=1e-6)


@NO_DEADLINE
@given(st.lists(LATENCIES, min_size=1, max_size=9))
def test_the_order_of_processes_does_not_matter(times: list[float]) -> None:
    assert interval(sorted(times)) == pytest.approx(interval(times), rel=1e-6)


@NO_DEADLINE
@given(st.lists(LATENCIES, min_size=1, max_size=9))
def test_the_centre_lies_inside_its_interval_and_among_the_times(times: list[float]) -> None:
    centre, low, high = interval(times)
    assert low <= centre * (1 + 1e-9)
    assert centre <= high * (1 + 1e-9)
    assert min(times) * (1 - 1e-9) <= centre <= max(times) * (1 + 1e-9)


def test_a_known_interval() -> None:
    # logs -d, 0, d: mean 0, standard deviation d; Student's 97.5 % quantile at 2 degrees of freedom: 4.302653
    centre, low, high = interval([math.exp(-0.1), 1.0, math.exp(0.1)])
    assert centre == pytest.approx(1.0)
    assert math.log(high) == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    assert math.log(low) == pytest.approx(-math.log(high))


def test_a_single_process_gives_the_wide_interval() -> None:
    factor = 1 + UNKNOWN_HALF_WIDTH
    assert interval([3.0]) == pytest.approx((3.0, 3.0 / factor, 3.0 * factor))


def test_a_known_interval_of_order_statistics() -> None:
    # five: the whole range; nine: mostly the second from each end (96.1 %), a little of the third
    assert interval([5.0, 1.0, 2.0, 4.0, 3.0]) == (3.0, 1.0, 5.0)
    centre, low, high = interval([float(n) for n in range(1, 10)])
    assert centre == 5.0
    assert 2.0 < low < 2.5
    assert high == pytest.approx(10.0 - low)


def test_one_slow_process_of_nine_hardly_moves_an_interval() -> None:
    quiet = [1.0 + 0.001 * n for n in range(9)]
    disturbed = [*quiet[:-1], 2.0]
    assert interval(disturbed) == pytest.approx(interval(quiet), rel=1e-9)


def test_more_processes_narrow_an_interval() -> None:
    rng = np.random.default_rng(0)
    draws = np.exp(0.01 * rng.standard_normal((200, 20)))
    widths = [
        np.mean([np.ptp(interval(row[:count].tolist())) for row in draws]) for count in (2, 3, 5, 9, 20)
    ]
    assert widths == sorted(widths, reverse=True)


# --- summaries


def test_a_summary_counts_processes_not_samples() -> None:
    few, many = visit([1.0] * 2), visit([1.0] * 200)
    assert summarise([few, visit([1.1])]) == summarise([many, visit([1.1] * 200)])


def test_the_spread_is_that_between_processes() -> None:
    assert summarise([visit([1.0]), visit([math.exp(0.1)])]).spread == pytest.approx(
        0.1 / math.sqrt(2), rel=1e-4
    )
    assert math.isnan(summarise([visit([1.0])]).spread)


# --- levels


@NO_DEADLINE
@given(st.lists(st.lists(LATENCIES, min_size=1, max_size=5), min_size=1, max_size=5), st.floats(0.1, 10.0))
def test_a_level_change_is_the_factor_between_the_times(times: list[list[float]], factor: float) -> None:
    slower = [[factor * time for time in of_graph] for of_graph in times]
    assert level_change(times, slower) == pytest.approx(factor - 1, abs=1e-9)
    assert level_change(slower, times) == pytest.approx(1 / factor - 1, abs=1e-9)


def test_graphs_weigh_the_same_however_long_they_take_or_often_they_ran() -> None:
    before = [[1.0], [100.0, 100.0, 100.0]]
    now = [[2.0, 2.0], [50.0]]
    assert level_change(before, now) == pytest.approx(0.0)


def test_levels_of_different_graphs_are_not_compared() -> None:
    with pytest.raises(ValueError):
        level_change([[1.0]], [[1.0], [2.0]])


# --- inside a graph


def test_nodes_are_summed_by_group_and_those_that_a_runtime_put_in_go_with_their_neighbour() -> None:
    nodes = ("ReorderInput", "a/conv_0_nchwc", "a/conv_1_nchwc", "ReorderOutput", "b/gemm_2")
    times = NodeTimes(nodes, ((1, 10, 20, 2, 5), (3, 10, 22, 2, 5)), (40, 44))
    found = group_ms(times, lambda node: node.split("/")[0] if "/" in node else None)
    assert found == pytest.approx({"a": 0.035, "b": 0.005})


def test_runs_that_something_slowed_down_do_not_count() -> None:
    times = NodeTimes(("a/x",), ((100,), (101,), (99,), (400,)), (1, 1, 1, 1))
    assert group_ms(times, lambda node: "a") == pytest.approx({"a": 0.1})


@NO_DEADLINE
@given(st.lists(st.lists(st.integers(1, 10_000), min_size=3, max_size=3), min_size=1, max_size=6))
def test_nothing_is_lost_between_groups(us: list[list[int]]) -> None:
    times = NodeTimes(("x", "a/1", "b/2"), tuple(map(tuple, us)), (1,) * len(us))
    whole, parts = group_ms(times, lambda node: "all"), group_ms(times, layer)
    assert sum(parts.values()) == pytest.approx(whole["all"])


def layer(node: str) -> str | None:
    return node.split("/", maxsplit=1)[0] if "/" in node else None


# --- energy


def test_energy_of_an_inference_is_over_processes() -> None:
    # 2 W idle; 1000 runs in a second, 5 to 7 J in all
    visits = [EnergyVisit(1000, 10**9, joules * 10**6, "rapl", 5 * 10**8, 10**6) for joules in (5, 6, 7)]
    found = summarise_energy(visits)
    assert (found.median_mj, found.dynamic_mj, found.processes) == (6.0, 4.0, 3)
    assert (found.median_mj, found.low_mj, found.high_mj) == interval([5.0, 6.0, 7.0])
    assert found.half_width == pytest.approx((found.high_mj - found.low_mj) / 12)


def test_an_inference_may_add_less_than_a_source_scatters() -> None:
    assert dynamic_mj(EnergyVisit(10, 10**9, 10**6, "rapl", 10**9, 2 * 10**6)) == pytest.approx(-100.0)
