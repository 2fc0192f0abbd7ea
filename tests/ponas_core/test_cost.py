from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.cost import CostTable, Limit

ROWS = (np.array([1.0, 2.0, 0.5]), np.array([4.0]))


@pytest.mark.parametrize(
    ("fixed", "rows", "message"),
    [
        (0.0, (), "at least one layer"),
        (float("nan"), ROWS, "fixed part"),
        (0.0, (np.array([]),), "layer 0: needs one number per op"),
        (0.0, (np.ones(2), np.ones((2, 2))), "layer 1: needs one number per op"),
        (0.0, (np.array([1.0, np.inf]),), "layer 0.*not finite"),
    ],
)
def test_a_cost_is_checked_at_birth(fixed: float, rows: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CostTable("latency_ms", fixed, rows)


@pytest.mark.parametrize("at_most", [float("nan"), -1.0])
def test_a_limit_is_a_number_from_zero_on(at_most: float) -> None:
    with pytest.raises(ValueError, match="a limit is a number"):
        Limit(CostTable("latency_ms", 0.0, ROWS), at_most)


def test_totals_and_the_smallest_network() -> None:
    cost = CostTable("latency_ms", 10.0, ROWS)
    assert cost.total((1, 0)) == 16.0
    assert cost.smallest() == (2, 0)
    assert cost.totals(np.array([[0, 0], [2, 0]])).tolist() == [15.0, 14.5]


def test_a_cost_cannot_be_changed_through_the_arrays_it_was_made_of() -> None:
    row = np.array([1.0, 2.0])
    cost = CostTable("latency_ms", 0.0, (row,))
    row[0] = 9.0
    assert cost.total((0,)) == 1.0
    with pytest.raises(ValueError, match="read-only"):
        cost.rows[0][0] = 9.0


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_a_total_does_not_depend_on_the_order_of_the_layers(values: list[float], random: object) -> None:
    shuffled = sorted(values)
    rows = [tuple(np.array([value]) for value in order) for order in (values, shuffled)]
    one, two = (CostTable("latency_ms", 0.1, row).total([0] * len(values)) for row in rows)
    assert one == two
