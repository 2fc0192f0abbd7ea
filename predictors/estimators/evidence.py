"""Linear regression whose coefficients have a prior scale per group, found by the evidence for it.

y = X m + noise, m_j ~ N(0, w_group(j)), noise_i ~ N(0, w_noise * shape_i): a Gaussian process with one
linear kernel a group. A group that the data do not ask for is driven to nothing, which makes a hierarchy of
groups, from the whole of a network to its single layers, a hierarchical additive model (MacKay 1992,
"Bayesian interpolation"; Rasmussen and Williams 2006, "Gaussian processes for machine learning", 2.1, 5.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Floats = NDArray[np.float64]

CONSTANT_VARIANCE = 50.0
"""Prior variance of the constant, in units of y's."""
LOG_WEIGHT_SD = 4.0
NOISE_PRIOR = 0.05
MOST_STEPS = 40
_LOG_WEIGHT_BOUNDS, _LOG_NOISE_BOUNDS = (-25.0, 12.0), (-18.0, 6.0)


@dataclass(frozen=True)
class Design:
    """Rows of features with the group of every column.

    Attributes:
        rows: (n, p); a constant is added.
        group: (p,), numbers from 0.
        groups: how many there are.
    """

    rows: Floats
    group: NDArray[np.intp]
    groups: int

    def with_constant(self) -> Floats:
        """Rows with a last column of ones."""
        return np.column_stack([self.rows, np.ones(len(self.rows))])


@dataclass(frozen=True)
class Posterior:
    """What rows and latencies say of the coefficients, given the weights.

    Attributes:
        log_weights: of the groups, the noise last.
        noise_shape: (n,), relative noise variance of every row.
        coefficients: (p + 1,), the constant last.
        covariance: (p + 1, p + 1), of the coefficients.
        left_out_mean: (n,), every row as predicted from all the others.
        left_out_variance: (n,), of an observation, noise included.
    """

    log_weights: Floats
    noise_shape: Floats
    coefficients: Floats
    covariance: Floats
    left_out_mean: Floats
    left_out_variance: Floats

    @property
    def noise_variance(self) -> float:
        """Of a row of shape 1."""
        return float(np.exp(self.log_weights[-1]))


@dataclass(frozen=True)
class _Solution:
    """The most likely coefficients at fixed weights.

    Attributes:
        coefficients: (p + 1,).
        known: 1 - posterior / prior variance of each.
        half_log_determinant: of the covariance of y.
        root: what the system needs to give their covariance.
    """

    coefficients: Floats
    known: Floats
    half_log_determinant: float
    root: Floats


class _ByRows:
    """The system of as many equations as there are rows; cheaper where these are few."""

    def __init__(self, rows: Floats, y: Floats, noise_shape: Floats) -> None:
        self.rows, self.y, self.noise_shape = rows, y, noise_shape

    def solve(self, variances: Floats, noise_variance: float) -> _Solution:
        covariance = (self.rows * variances) @ self.rows.T
        covariance[np.diag_indices_from(covariance)] += noise_variance * self.noise_shape
        factor = cho_factor(covariance, lower=True, check_finite=False)
        half_log_determinant = float(np.log(np.diag(factor[0])).sum())
        root = solve_triangular(factor[0], self.rows, lower=True, check_finite=False)
        coefficients = variances * (self.rows.T @ cho_solve(factor, self.y, check_finite=False))
        return _Solution(coefficients, variances * np.square(root).sum(axis=0), half_log_determinant, root)

    def covariance(self, variances: Floats, found: _Solution) -> Floats:
        root = found.root * variances
        return np.asarray(np.diag(variances) - root.T @ root)


class _ByColumns:
    """The equivalent system of as many equations as there are columns."""

    def __init__(self, rows: Floats, y: Floats, noise_shape: Floats) -> None:
        weighted = rows / noise_shape[:, None]
        self.products, self.against_y = rows.T @ weighted, weighted.T @ y
        self.log_noise_shape = float(np.log(noise_shape).sum())
        self.count = len(rows)

    def solve(self, variances: Floats, noise_variance: float) -> _Solution:
        scale = np.sqrt(variances)
        precision = self.products * (scale[:, None] * scale / noise_variance)
        precision[np.diag_indices_from(precision)] += 1
        factor, _ = cho_factor(precision, lower=True, check_finite=False)
        log_noise = self.log_noise_shape + self.count * np.log(noise_variance)
        half_log_determinant = float(np.log(np.diag(factor)).sum() + 0.5 * log_noise)
        lower, _ = dpotri(factor, lower=True)
        inverse = np.tril(lower) + np.tril(lower, -1).T
        coefficients = scale * (inverse @ (scale * self.against_y)) / noise_variance
        return _Solution(coefficients, 1 - np.diag(inverse), half_log_determinant, inverse)

    def covariance(self, variances: Floats, found: _Solution) -> Floats:
        scale = np.sqrt(variances)
        return np.asarray(scale[:, None] * found.root * scale)


def most_likely(design: Design, y: Floats, noise_shape: Floats, start: Floats | None = None) -> Posterior:
    """The posterior at the weights that explain the data best, under broad priors on their logarithms.

    Args:
        design: features.
        y: (n,), of mean 0 and variance 1.
        noise_shape: (n,), relative noise variance of each row.
        start: log weights to begin with, the noise last; None for the prior mean.
    """
    rows = design.with_constant()
    kind = _ByRows if len(rows) <= rows.shape[1] else _ByColumns
    system = kind(rows, y, noise_shape)
    prior = np.log(np.append(np.full(design.groups, 1 / max(design.groups, 1)), NOISE_PRIOR))

    def negative(log_weights: Floats) -> tuple[float, Floats]:
        """Minus the logarithm of evidence and prior, and its slopes."""
        variances, noise_variance = _variances(design, log_weights)
        found = system.solve(variances, noise_variance)
        residuals = y - rows @ found.coefficients
        misfit = float(residuals @ (residuals / noise_shape)) / noise_variance
        used = np.square(found.coefficients) / variances
        apart = (log_weights - prior) / LOG_WEIGHT_SD
        value = 0.5 * (misfit + float(used.sum()) + float(apart @ apart)) + found.half_log_determinant
        of_groups = np.bincount(design.group, (found.known - used)[:-1], design.groups)
        slopes = 0.5 * np.append(of_groups, len(y) - found.known.sum() - misfit)
        return value, slopes + apart / LOG_WEIGHT_SD

    bounds = [_LOG_WEIGHT_BOUNDS] * design.groups + [_LOG_NOISE_BOUNDS]
    first = prior if start is None else start
    options = {"maxiter": MOST_STEPS, "ftol": 1e-6}
    log_weights = minimize(negative, first, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    variances, noise_variance = _variances(design, log_weights)
    found = system.solve(variances, noise_variance)
    covariance = system.covariance(variances, found)
    noise = noise_variance * noise_shape
    own = np.einsum("ij,ij->i", rows @ covariance, rows) / noise
    left = np.maximum(1 - own, 1e-9)  # what a row does not know of itself
    left_out_mean = y - (y - rows @ found.coefficients) / left
    return Posterior(log_weights, noise_shape, found.coefficients, covariance, left_out_mean, noise / left)


def _variances(design: Design, log_weights: Floats) -> tuple[Floats, float]:
    """Prior variance of every coefficient, the constant last, and of the noise."""
    weights = np.exp(log_weights)
    return np.append(weights[:-1][design.group], CONSTANT_VARIANCE), float(weights[-1])
