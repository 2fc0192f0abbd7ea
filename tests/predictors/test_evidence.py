"""The evidence for groups: both systems agree, slopes are slopes, leaving one out is what it says."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from predictors.estimators import evidence
from predictors.estimators.evidence import Design, most_likely

Floats = NDArray[np.float64]


def problem(rows: int, columns: int, seed: int) -> tuple[Design, Floats, Floats]:
    rng = np.random.default_rng(seed)
    design = Design(rng.standard_normal((rows, columns)), np.arange(columns) % 2, 2)
    y = design.rows @ rng.standard_normal(columns) + 0.3 * rng.standard_normal(rows)
    return design, (y - y.mean()) / y.std(), rng.uniform(0.5, 2.0, rows)


@given(st.integers(3, 12), st.integers(2, 12), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_rows_and_columns_give_the_same_solution(rows: int, columns: int, seed: int) -> None:
    design, y, shape = problem(rows, columns, seed)
    variances, noise = evidence._variances(design, np.array([-0.5, 0.3, -2.0]))
    systems = [kind(design.with_constant(), y, shape) for kind in (evidence._ByRows, evidence._ByColumns)]
    one, other = (system.solve(variances, noise) for system in systems)
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(one.known, other.known, rtol=1e-6, atol=1e-8)
    assert one.half_log_determinant == pytest.approx(other.half_log_determinant, rel=1e-8, abs=1e-8)
    covariances = [
        system.covariance(variances, found) for system, found in zip(systems, (one, other), strict=True)
    ]
    np.testing.assert_allclose(*covariances, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("rows", "columns"), [(6, 9), (20, 5)])
def test_the_slopes_are_those_of_the_value(rows: int, columns: int) -> None:
    design, y, shape = problem(rows, columns, 1)
    at = np.array([-0.5, 0.3, -2.0])
    with mock.patch.object(evidence, "minimize") as minimize:
        minimize.return_value.x = at
        most_likely(design, y, shape)
    negative = minimize.call_args.args[0]
    _, slopes = negative(at)
    for index in range(3):
        step = np.zeros(3)
        step[index] = 1e-5
        apart = (negative(at + step)[0] - negative(at - step)[0]) / 2e-5
        assert slopes[index] == pytest.approx(apart, rel=1e-5)


@pytest.mark.parametrize(("rows", "columns"), [(6, 9), (20, 5)])
def test_left_out_rows_are_predicted_as_if_never_seen(rows: int, columns: int) -> None:
    design, y, shape = problem(rows, columns, 2)
    found = most_likely(design, y, shape)
    for index in range(rows):
        rest = np.delete(np.arange(rows), index)
        variances, noise = evidence._variances(design, found.log_weights)
        system = evidence._ByRows(design.with_constant()[rest], y[rest], shape[rest])
        solution = system.solve(variances, noise)
        row = design.with_constant()[index]
        assert found.left_out_mean[index] == pytest.approx(row @ solution.coefficients, abs=1e-7)
        variance = row @ system.covariance(variances, solution) @ row + noise * shape[index]
        assert found.left_out_variance[index] == pytest.approx(variance, rel=1e-6)
