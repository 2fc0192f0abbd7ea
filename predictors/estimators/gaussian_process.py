"""A Gaussian process over groups of features: the hierarchical additive model, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from predictors.estimators.evidence import Design, Posterior, most_likely
from predictors.estimators.regressor import Floats, Interval, LatencyRegressor, State, relative_errors

LARGE_SAMPLE = 300
"""Networks from which the groups for large samples are worth their time."""
STUDENT_FREEDOM = 4.0
MEDIAN_SQUARED_NORMAL = 0.4549
"""Median of the square of a standard normal number."""
SMALLEST_SHAPE = 0.01
JITTER = 1e-6
COMPARED = 200
"""Networks of the background at which models are compared."""
SMALLEST_VARIANCE = 1e-5
"""Share of a group's variance below which a direction is left out."""
_UNUSED = -1
_NONE = np.zeros(0)


@dataclass(frozen=True)
class _Columns:
    """From features to the columns of the regression: centred, scaled, mixed within their group.

    Attributes:
        means: of the features over the background.
        used: indexes of the features of each group that vary there.
        mixing: of each group, how its features become columns: (features, columns).
    """

    means: Floats
    used: list[list[int]]
    mixing: list[Floats]

    @classmethod
    def over(cls, background: Floats, groups: Sequence[int], covariances: Mapping[int, Floats]) -> _Columns:
        """Scales such that every group has variance 1 over the background."""
        means, spreads = background.mean(axis=0), background.std(axis=0)
        varies = spreads > 1e-9 * np.maximum(1.0, np.abs(means))
        used, mixing = [], []
        for group in sorted(set(groups) - {_UNUSED}):
            own = np.flatnonzero(np.asarray(groups) == group)
            members = own[varies[own]].tolist()
            if not members:
                continue
            if group in covariances:
                rows = np.flatnonzero(varies[own])
                factor = _factor(covariances[group][np.ix_(rows, rows)])
            else:
                factor = np.diag(1 / spreads[members])
            used.append(members)
            mixing.append(_principal((background - means)[:, members], factor))
        return cls(means, used, mixing)

    def design(self, X: Floats) -> Design:
        """Columns of networks."""
        centred = X - self.means
        parts = [centred[:, members] @ mix for members, mix in zip(self.used, self.mixing, strict=True)]
        sizes = [part.shape[1] for part in parts]
        rows = np.concatenate(parts, axis=1) if parts else np.zeros((len(X), 0))
        return Design(rows, np.repeat(np.arange(len(parts)), sizes), len(parts))


def _factor(covariance: Floats) -> Floats:
    """L with L Lᵀ = covariance, a little more on its diagonal."""
    return np.linalg.cholesky(covariance + JITTER * np.diag(covariance).mean() * np.eye(len(covariance)))


def _principal(centred: Floats, factor: Floats) -> Floats:
    """Mixing (features, columns) that spans what the networks vary in, of variance 1 in all.

    Directions without a share of the variance are left out: one-hot columns depend on each other, and fewer
    columns make every solution cheaper.
    """
    mixed = centred @ factor
    variances, directions = np.linalg.eigh(mixed.T @ mixed / len(mixed))
    kept = variances > SMALLEST_VARIANCE * variances.sum()
    return np.asarray(factor @ directions[:, kept] / np.sqrt(variances.sum()))


class GroupedGaussianProcess(LatencyRegressor):
    """Latencies from groups of features, each with a weight that the measurements decide.

    Three noise models are fitted, constant, in proportion to the latency, and robust (one step towards
    Student's t with 4 degrees of freedom); leave-one-out chooses.

    Args:
        groups: the group of every column of X, numbers; None: all columns are one group.
        background: (any, features), networks that nobody needs to have measured; columns are scaled over
            them, so that the prior is that of the space. None: the training rows.
        covariances: prior covariance between the coefficients of a group's columns, by group; columns of
            other groups are scaled one by one and independent.
        large_sample: groups that are used from 300 networks on.
        interval: see `LatencyRegressor`, as for the others.
        confidence: of the interval.
        seed: of the folds.

    Attributes:
        noise_: `constant`, `proportional` or `robust`.
        posterior_: what was learned of the columns.
        left_out_ms_: every measured network as predicted from all the others, at the weights of all.
    """

    def __init__(
        self,
        groups: Sequence[int] | None = None,
        background: ArrayLike | None = None,
        covariances: Mapping[int, ArrayLike] | None = None,
        large_sample: Sequence[int] = (),
        interval: Interval = "scaled",
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        """Store what is given."""
        super().__init__(interval, confidence, seed)
        self.groups = groups
        self.background = background
        self.covariances = covariances
        self.large_sample = large_sample

    _columns: _Columns
    posterior_: Posterior

    def _learn(self, X: Floats, y: Floats, like: Self | None) -> None:
        self._columns = self._scaled_columns(X, len(X)) if like is None else like._columns
        design = self._columns.design(X)
        self._mean_ms = float(y.mean())
        self._sd_ms = float(y.std()) or max(abs(self._mean_ms), 1.0)
        standard = (y - self._mean_ms) / self._sd_ms
        start = None if like is None else like.posterior_.log_weights

        def error(found: Posterior) -> float:
            return relative_errors(found.left_out_mean * self._sd_ms + self._mean_ms, y)

        constant = most_likely(design, standard, np.ones(len(y)), start)
        shape = self._proportional(constant.left_out_mean * self._sd_ms + self._mean_ms)
        proportional = most_likely(design, standard, shape, constant.log_weights)
        base = min(constant, proportional, key=error)
        surprise = np.square(standard - base.left_out_mean) / base.left_out_variance
        surprise *= MEDIAN_SQUARED_NORMAL / max(float(np.median(surprise)), 1e-12)
        shape = base.noise_shape * (STUDENT_FREEDOM + surprise) / (STUDENT_FREEDOM + 1)
        robust = most_likely(design, standard, shape, base.log_weights)
        fits = {"constant": constant, "proportional": proportional, "robust": robust}
        self.noise_ = min(fits, key=lambda name: error(fits[name]))
        self.posterior_ = fits[self.noise_]
        self._grows = base is proportional
        self.left_out_ms_ = self.posterior_.left_out_mean * self._sd_ms + self._mean_ms

    def prior_rows(self, X: ArrayLike) -> Floats:
        """Rows whose products are the covariances of latencies believed before anything is measured.

        What `predictors.suggestion.suggest` asks for. Every group explains as much; groups for large samples
        are left out. Needs no `fit`.

        Args:
            X: (networks, features).

        Returns:
            (networks, columns), for latencies of mean 0 and variance 1 over the background.
        """
        rows = np.asarray(X, np.float64)
        design = self._scaled_columns(rows, 0).design(rows)
        return np.asarray(design.rows / np.sqrt(max(design.groups, 1)))

    def _scaled_columns(self, X: Floats, networks: int) -> _Columns:
        """Columns to learn from so many networks; `X` stands in for the background where there is none."""
        groups = [0] * X.shape[1] if self.groups is None else [int(group) for group in self.groups]
        if len(groups) != X.shape[1]:
            raise ValueError(f"{len(groups)} groups were given for {X.shape[1]} columns")
        if networks < LARGE_SAMPLE:
            groups = [_UNUSED if group in set(self.large_sample) else group for group in groups]
        background = X if self.background is None else np.asarray(self.background, np.float64)
        covariances = {int(key): np.asarray(value) for key, value in (self.covariances or {}).items()}
        return _Columns.over(background, groups, covariances)

    def _proportional(self, latencies_ms: Floats) -> Floats:
        """Noise variance relative to that of the mean latency, where noise grows with latency."""
        return np.maximum(np.square(latencies_ms / (self._mean_ms or 1.0)), SMALLEST_SHAPE)

    def _predicted_ms(self, X: Floats) -> Floats:
        rows = self._columns.design(X).with_constant()
        return np.asarray(rows @ self.posterior_.coefficients * self._sd_ms + self._mean_ms)

    def as_linear(self) -> tuple[Floats, float]:
        """Milliseconds per unit of every feature, and the constant: what predictions are but for rounding."""
        weights, at = np.zeros(len(self._columns.means)), 0
        for members, mix in zip(self._columns.used, self._columns.mixing, strict=True):
            weights[members] += mix @ self.posterior_.coefficients[at : at + mix.shape[1]] * self._sd_ms
            at += mix.shape[1]
        constant = self._mean_ms + self._sd_ms * self.posterior_.coefficients[-1]
        return weights, float(constant - self._columns.means @ weights)

    def _spread_ms(self, X: Floats, predicted_ms: Floats) -> Floats:
        rows = self._columns.design(X).with_constant()
        variance = np.einsum("ij,ij->i", rows @ self.posterior_.covariance, rows)
        noise = self._proportional(predicted_ms) if self._grows else 1.0
        total = np.maximum(variance, 0.0) + self.posterior_.noise_variance * noise
        return np.asarray(self._sd_ms * np.sqrt(total))

    def _other_networks(self, rows: Floats) -> Floats:
        return rows if self.background is None else np.asarray(self.background, np.float64)[:COMPARED]

    def _state(self) -> State:
        found = self.posterior_
        return {
            "means": self._columns.means,
            "used": self._columns.used,
            "mixing": self._columns.mixing,
            "mean_ms": self._mean_ms,
            "sd_ms": self._sd_ms,
            "noise": self.noise_,
            "grows": self._grows,
            "log_weights": found.log_weights,
            "coefficients": found.coefficients,
            "covariance": found.covariance,
        }

    def _restore(self, state: State) -> None:
        self._columns = _Columns(state["means"], state["used"], state["mixing"])
        self._mean_ms, self._sd_ms = state["mean_ms"], state["sd_ms"]
        self.noise_, self._grows = state["noise"], state["grows"]
        self.posterior_ = Posterior(
            state["log_weights"], _NONE, state["coefficients"], state["covariance"], _NONE, _NONE
        )
