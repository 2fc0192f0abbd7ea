"""How far boards are apart: what the rounds of a profile say of it, and how far that is believed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.board_spread import BoardSpread
from devices.statistics import Summary, widened

BOARDS = {number: "abcd"[number % 4] for number in range(12)}
OFFSETS = st.lists(st.floats(-0.3, 0.3), min_size=4, max_size=4)


def times(
    offsets: dict[str, float], boards: dict[int, str], noise: float = 0.0, graphs: int = 20, seed: int = 0
) -> dict[str, dict[int, float]]:
    """Latencies of graphs on boards that are so much slower, with so much noise common to a round."""
    rng = np.random.default_rng(seed)
    rounds = {number: rng.normal(0, noise) if noise else 0.0 for number in boards}
    return {
        f"graph{graph}": {
            number: (graph + 1) * float(np.exp(offsets[board] + rounds[number]))
            for number, board in boards.items()
        }
        for graph in range(graphs)
    }


@given(OFFSETS)
def test_levels_are_the_boards_own_against_their_middle(offsets: list[float]) -> None:
    wanted = dict(zip("abcd", offsets, strict=True))
    found = BoardSpread.of(times(wanted, BOARDS), BOARDS)
    middle = np.median(offsets)
    assert found.levels == pytest.approx({b: np.expm1(o - middle) for b, o in wanted.items()}, abs=1e-9)
    # without noise all of the scatter is between boards
    assert found.sd == pytest.approx(np.std(offsets, ddof=1), abs=1e-9)
    # Student's t with three degrees of freedom
    assert found.half_width == pytest.approx(np.expm1(3.18244630528 * found.sd / 2), rel=1e-6)


def test_one_board_leaves_no_doubt_of_this_kind() -> None:
    boards = dict.fromkeys(range(5), "a")
    assert BoardSpread.of(times({"a": 0.1}, boards), boards) == BoardSpread()
    assert BoardSpread.of({}, {}) == BoardSpread()


def test_what_rounds_scatter_is_not_taken_for_a_difference_of_boards() -> None:
    found = [
        BoardSpread.of(times(dict.fromkeys("abcd", 0.0), BOARDS, 0.01, seed=seed), BOARDS).sd
        for seed in range(200)
    ]
    assert np.mean(np.square(found)) < 0.005**2  # the scatter of a board's mean alone would be 0.0058
    assert np.mean(np.equal(found, 0.0)) > 0.3


def test_the_interval_holds_the_middle_of_all_boards_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(400):
        offsets = dict(zip("abcd", rng.normal(0, 0.03, 4), strict=True))
        found = BoardSpread.of(times(offsets, BOARDS, 0.005, graphs=3, seed=seed), BOARDS)
        held += abs(np.mean(list(offsets.values()))) <= np.log1p(found.half_width)
    assert 0.92 <= held / 400 <= 0.98


def test_a_graph_that_one_board_alone_saw_says_nothing() -> None:
    measured = times(dict(zip("abcd", (0.0, 0.01, 0.02, 0.03), strict=True)), BOARDS)
    expected = BoardSpread.of(measured, BOARDS)
    measured["alone"] = {0: 1.0, 4: 17.0}
    assert BoardSpread.of(measured, BOARDS) == expected


def test_a_board_that_stands_apart_is_named() -> None:
    found = BoardSpread.of(times({"a": 0.0, "b": 0.0, "c": 0.1, "d": 0.002}, BOARDS, 0.001), BOARDS)
    assert list(found.disagreeing) == ["c"]
    assert found.disagreeing["c"] == pytest.approx(np.expm1(0.1), abs=0.01)
    assert found.in_words == f"c is {found.disagreeing['c']:.1%} slower than the others"


def test_of_two_that_differ_both_are_named() -> None:
    boards = {number: "ab"[number % 2] for number in range(6)}
    assert set(BoardSpread.of(times({"a": 0.0, "b": -0.2}, boards), boards).disagreeing) == {"a", "b"}


def test_a_board_whose_rounds_scatter_that_much_is_not_named() -> None:
    boards = {number: "ab"[number % 2] for number in range(4)}
    measured = {"graph": {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.3}}
    assert BoardSpread.of(measured, boards).disagreeing == {}


@given(st.floats(1e-3, 1e3), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0, 0.5))
def test_an_interval_becomes_wider_by_a_doubt_and_keeps_its_median(
    median_ms: float, below: float, above: float, doubt: float
) -> None:
    summary = Summary(median_ms, median_ms * float(np.exp(-below)), median_ms * float(np.exp(above)), 5, 0.01)
    found = summary.widened(float(np.expm1(doubt)))
    assert found.median_ms == summary.median_ms
    assert np.log(median_ms / found.low_ms) == pytest.approx(np.hypot(below, doubt), abs=1e-9)
    assert np.log(found.high_ms / median_ms) == pytest.approx(np.hypot(above, doubt), abs=1e-9)


def test_many_intervals_are_widened_at_once() -> None:
    median, low, high = np.array([1.0, 2.0]), np.array([0.9, 1.9]), np.array([1.2, 2.2])
    found = widened(median, low, high, 0.1)
    each = [Summary(*one, 5, 0.0).widened(0.1) for one in zip(median, low, high, strict=True)]
    assert np.allclose(found, [[one.low_ms for one in each], [one.high_ms for one in each]])
