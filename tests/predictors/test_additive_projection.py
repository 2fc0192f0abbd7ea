"""The additive table nearest to a model: exact for a sum, and honest about what is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictors.additive_projection import Floats, Ops, additive_projection


class Sum:
    """An additive model."""

    def __init__(self, op_counts: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.fixed = float(rng.uniform(1, 5))
        self.rows = [rng.uniform(0, 3, count) for count in op_counts]

    def __call__(self, ops: Ops) -> Floats:
        found = np.full(len(ops), self.fixed)
        for layer, row in enumerate(self.rows):
            found += row[ops[:, layer]]
        return found


@given(st.lists(st.integers(2, 7), min_size=1, max_size=12), st.integers(0, 50), st.booleans())
def test_a_sum_is_its_own_projection(op_counts: list[int], seed: int, with_free: bool) -> None:
    model = Sum(op_counts, seed)
    free = [0 if with_free and layer % 2 else None for layer in range(len(op_counts))]
    found = additive_projection(model, op_counts, free, np.random.default_rng(seed))
    ops = np.random.default_rng(1).integers(0, op_counts, (50, len(op_counts))).astype(np.intp)
    sums = found.fixed_ms + sum(row[ops[:, layer]] for layer, row in enumerate(found.rows_ms))
    np.testing.assert_allclose(sums, model(ops), rtol=1e-9)
    assert [row[0] == 0 for row, op in zip(found.rows_ms, free, strict=True) if op == 0] == [
        True for op in free if op == 0
    ]
    assert found.accuracy.mape < 1e-9


def test_what_is_no_sum_is_said_to_be_off() -> None:
    additive = Sum([3, 3, 3], 0)

    def product(ops: Ops) -> Floats:
        found: Floats = additive(ops) * (1 + 0.5 * (ops[:, 0] == ops[:, 1]))
        return found

    found = additive_projection(product, [3, 3, 3], [None] * 3, np.random.default_rng(0))
    assert found.accuracy.mape > 0.05
    assert found.accuracy.bias == pytest.approx(0.0, abs=0.1)
    assert found.accuracy.within_10 < 1
