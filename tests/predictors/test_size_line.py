"""The baseline through one size of a network."""

from __future__ import annotations

import numpy as np
import pytest

from predictors.size_line import SizeLine


def test_a_line_is_found_again() -> None:
    sizes = np.array([1e6, 5e6, 2e7, 3e8])
    line = SizeLine().fit(sizes, 2e-8 * sizes + 0.3)
    assert line.slope_ == pytest.approx(2e-8)
    assert line.intercept_ms_ == pytest.approx(0.3)
    assert line.predict([1e7]) == pytest.approx([0.5])


def test_relative_errors_count_so_a_slow_network_does_not_drown_the_fast_ones() -> None:
    sizes = np.array([1.0, 2.0, 3.0, 1000.0])
    times = np.array([1.0, 2.0, 3.0, 1500.0])
    found = SizeLine().fit(sizes, times).predict(sizes)
    assert np.abs(found[:3] / times[:3] - 1).max() < 0.35


@pytest.mark.parametrize(
    ("sizes", "times", "message"),
    [
        ([1.0], [1.0], "two networks of different size"),
        ([1.0, 1.0], [1.0, 2.0], "two networks of different size"),
        ([1.0, 2.0], [1.0], "two networks of different size"),
        ([1.0, 2.0], [1.0, 0.0], "must be positive"),
    ],
)
def test_what_gives_no_line_is_refused(sizes: list[float], times: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SizeLine().fit(sizes, times)
