from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.metrics import accuracy, coverage, spearman


def test_the_figures_of_a_hand_computed_case() -> None:
    found = accuracy([1.01, 2.06, 3.33, 3.6], [1.0, 2.0, 3.0, 4.0])
    assert found.bias == pytest.approx((0.01 + 0.03 + 0.11 - 0.10) / 4)
    assert found.mape == pytest.approx((0.01 + 0.03 + 0.11 + 0.10) / 4)
    assert (found.within_2, found.within_5, found.within_10) == (0.25, 0.5, 0.75)
    assert found.spearman == 1.0


@given(st.lists(st.integers(0, 5), min_size=3, max_size=20))
def test_rank_correlation_survives_a_monotone_change_and_turns_with_the_sign(values: list[int]) -> None:
    if len(set(values)) < 2:
        return
    numbers = np.array(values, float)
    assert spearman(numbers, np.exp(numbers)) == pytest.approx(1.0)
    assert spearman(numbers, -numbers) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("predicted", "measured", "message"),
    [([1.0], [1.0], "at least 2"), ([1.0, 2.0], [1.0], "one length"), ([1.0, 2.0], [1.0, 0.0], "positive")],
)
def test_what_cannot_be_compared_is_refused(
    predicted: list[float], measured: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy(predicted, measured)


def test_coverage_counts_both_ends() -> None:
    assert coverage([1, 1, 1, 1], [2, 2, 2, 2], [1.0, 2.0, 0.9, 2.1]) == 0.5
