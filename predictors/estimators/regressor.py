"""The contract of every latency predictor, and its intervals.

scikit-learn's: the constructor stores, `fit` learns, what was learned ends in `_`, `predict`, `score`; beside
them `predict_interval` and `out_of_range`. Rows are networks, columns their features, latencies milliseconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import softmax, stdtrit
from scipy.stats import t as student
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

Floats: TypeAlias = NDArray[np.float64]
Interval: TypeAlias = Literal["scaled", "cv+", "none"]
State: TypeAlias = dict[str, Any]

FOLDS = 10
FEWEST_CALIBRATED = 20
"""Below so many networks an interval rests on the model more than on errors that were seen."""
SMALLEST_HALF_WIDTH = 0.005
UNKNOWN_HALF_WIDTH = 0.5
"""Relative half widths: of an exactly additive device, and where nothing could be held out."""
LARGEST_COUNTED_ERROR = 0.5
BEYOND = 0.1
"""A latency further outside the measured ones than this share of them is out of range."""
UNSURE = 2.0
"""So is a network whose spread is so many times the largest of a held-out one."""
BEYOND_COLUMN = 0.5
"""So is one with a number that lies beyond the measured ones by more than this share of their range."""
FEWEST_VALUES = 10
"""Different values from which a column has a range; what is there or not says nothing of it."""
_FREEDOMS = (3, 5, 10, 30)


@dataclass(frozen=True)
class _HeldOut:
    """Networks as predicted by members that did not learn from them.

    Attributes:
        members: models, each without one fold.
        member_of: which member left a network out, (networks,).
        measured_ms: (networks,).
        predicted_ms: (networks,).
        spread_ms: the member's, (networks,).
    """

    members: list[LatencyRegressor]
    member_of: NDArray[np.intp]
    measured_ms: Floats
    predicted_ms: Floats
    spread_ms: Floats

    def with_fold(
        self, member: LatencyRegressor, measured_ms: Floats, predicted_ms: Floats, spread_ms: Floats
    ) -> _HeldOut:
        return _HeldOut(
            [*self.members, member],
            np.append(self.member_of, np.full(len(measured_ms), len(self.members))),
            np.append(self.measured_ms, measured_ms),
            np.append(self.predicted_ms, predicted_ms),
            np.append(self.spread_ms, spread_ms),
        )

    @property
    def ratios(self) -> Floats:
        """|error| / spread."""
        return np.asarray(np.abs(self.measured_ms - self.predicted_ms) / np.maximum(self.spread_ms, 1e-12))


class LatencyRegressor(RegressorMixin, BaseEstimator, ABC):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts latencies in milliseconds, with intervals from errors on held-out networks.

    A subclass learns in `_learn`, predicts in `_predicted_ms` and says in `_spread_ms` what it is unsure of.
    Intervals: the measured networks are dealt into ten folds, everything is learned anew without each, and
    the held-out errors over the spread are what a new network's error over its spread will be like.

    Args:
        interval: `scaled`: the geometric mean of the empirical quantile and that of Student's t fitted to
            the held-out errors; `cv+`: Barber et al. 2021, "Predictive inference with the jackknife+", 3,
            at least 1 - 2 * (1 - confidence) - sqrt(2 / networks) of new networks inside, whatever the model;
            `none`: nothing is held out, which is ten times as quick, and intervals are a guess of ±50 %.
        confidence: share of networks whose measurement shall lie inside.
        seed: of the folds, and of what else is drawn.

    Attributes:
        networks_: how many different networks were learned from.
        interval_basis_: `cross-validated`, `cv+`, or `model-based` below 20 networks.
        held_out_error_: mean over held-out networks of min(|relative error|, 0.5); nan where none could be.
    """

    def __init__(self, interval: Interval = "scaled", confidence: float = 0.95, seed: int = 0) -> None:
        """Store what is given."""
        self.interval = interval
        self.confidence = confidence
        self.seed = seed

    @abstractmethod
    def _learn(self, X: Floats, y: Floats, like: Self | None) -> None:
        """Learn from different networks; `like` has learned from nearly the same and may save time."""

    @abstractmethod
    def _predicted_ms(self, X: Floats) -> Floats:
        """Latencies as the model has them."""

    def _spread_ms(self, X: Floats, predicted_ms: Floats) -> Floats:
        """Spread of a measurement around each prediction, up to one common factor; in proportion to it."""
        return np.abs(predicted_ms)

    def _other_networks(self, rows: Floats) -> Floats:
        """Networks at which models are compared; those learned from unless others are known."""
        return rows

    @abstractmethod
    def _state(self) -> State:
        """What `_learn` learned, as numbers, strings, lists and arrays."""

    @abstractmethod
    def _restore(self, state: State) -> None:
        """Take what `_state` gave."""

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from measured networks.

        Args:
            X: (networks, features).
            y: (networks,) measured latencies, milliseconds; the same network twice counts as its mean.

        Raises:
            ValueError: shapes that do not agree, numbers that are not finite, an unknown `interval`.
        """
        if self.interval not in {"scaled", "cv+", "none"} or not 0 < self.confidence < 1:
            raise ValueError(f"interval is scaled, cv+ or none, confidence in 0..1: {self.get_params()}")
        checked, measured = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        rows, latencies_ms = _collapsed(checked, np.asarray(measured, np.float64))
        self.networks_ = len(rows)
        self.column_range_ = _column_range(rows)
        # matrices are small: threads would wait for each other, and sums would depend on how many there are
        with threadpool_limits(1, user_api="blas"):
            self._fit_alone(rows, latencies_ms, None)
            self._calibrate(rows, latencies_ms)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Latencies of networks, milliseconds: (networks,)."""
        check_is_fitted(self)
        return self._clipped_ms(validate_data(self, X, reset=False, dtype=np.float64))

    def predict_interval(self, X: ArrayLike) -> Floats:
        """Lower and upper end of the interval that holds a measurement, milliseconds: (networks, 2)."""
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        if self.interval_basis_ == "cv+":
            return self._jackknife_ms(rows)
        predicted = self._clipped_ms(rows)
        half = np.maximum(
            self.quantile_ * self._spread_ms(rows, predicted), SMALLEST_HALF_WIDTH * np.abs(predicted)
        )
        return np.column_stack([predicted - np.minimum(half, 0.99 * np.abs(predicted)), predicted + half])

    def out_of_range(self, X: ArrayLike) -> NDArray[np.bool_]:
        """Which networks are unlike all that were measured, so that predictions for them are guesses.

        Those whose latency lies more than 10 % beyond the measured ones, those with a number (such as MACs)
        half a range beyond, and those of which the model is twice as unsure as of any that it held out.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, reset=False, dtype=np.float64)
        predicted = self._predicted_ms(rows)
        low, high = self.range_ms_
        beyond = (predicted < low * (1 - BEYOND)) | (predicted > high * (1 + BEYOND))
        unsure = self._spread_ms(rows, predicted) > UNSURE * self.largest_spread_ms_
        strange = (rows < self.column_range_[0]) | (rows > self.column_range_[1])
        return np.asarray(beyond | unsure | strange.any(axis=1))

    def _fit_alone(self, rows: Floats, latencies_ms: Floats, like: Self | None) -> None:
        self.range_ms_ = (float(latencies_ms.min()), float(latencies_ms.max()))
        self._learn(rows, latencies_ms, like)

    def _clipped_ms(self, rows: Floats) -> Floats:
        """No network is faster than half the fastest measured one."""
        predicted = self._predicted_ms(rows)
        return np.maximum(predicted, self.range_ms_[0] / 2) if self.range_ms_[0] > 0 else predicted

    def _calibrate(self, rows: Floats, latencies_ms: Floats) -> None:
        """Learn what errors on held-out networks are like."""
        seen = self._held_out(rows, latencies_ms)
        own_ms = self._spread_ms(rows, self._clipped_ms(rows))
        asked = "cv+" if self.interval == "cv+" else "cross-validated"
        enough = self.networks_ >= FEWEST_CALIBRATED and bool(seen.members)
        self.interval_basis_ = asked if enough else "model-based"
        if not seen.members:
            self.held_out_error_ = float("nan")
            self.largest_spread_ms_ = float(own_ms.max())
            guess_ms = UNKNOWN_HALF_WIDTH * float(np.abs(latencies_ms).mean())
            self.quantile_ = guess_ms / max(float(own_ms.mean()), 1e-12)
            return
        self.held_out_error_ = relative_errors(seen.predicted_ms, seen.measured_ms)
        self.largest_spread_ms_ = float(max(own_ms.max(), seen.spread_ms.max()))
        # errors are in units of the members' spread: a model that is surer than they are is too sure
        others = self._other_networks(rows)
        spread_ms = self._spread_ms(others, self._clipped_ms(others))
        of_members = [member._spread_ms(others, member._clipped_ms(others)) for member in seen.members]
        typical_ms = np.sqrt(np.square(of_members).mean(axis=0))
        surer = float(np.median(typical_ms / np.maximum(spread_ms, 1e-12)))
        self.quantile_ = error_quantile(seen.ratios, self.confidence) * max(1.0, surer)
        if self.interval_basis_ == "cv+":
            self.members_, self.member_ratios_, self.member_of_ = seen.members, seen.ratios, seen.member_of

    def _held_out(self, rows: Floats, latencies_ms: Floats) -> _HeldOut:
        """Learn everything anew without each fold, and predict it."""
        # what CV+ promises holds for members that know nothing of what they did not learn from
        like = None if self.interval == "cv+" else self
        found = _HeldOut([], np.zeros(0, np.intp), *(np.zeros(0) for _ in range(3)))
        for fold in self._folds(len(rows)):
            member = clone(self)
            member.n_features_in_ = self.n_features_in_
            member._fit_alone(np.delete(rows, fold, 0), np.delete(latencies_ms, fold), like)
            predicted_ms = member._clipped_ms(rows[fold])
            spread_ms = member._spread_ms(rows[fold], predicted_ms)
            found = found.with_fold(member, latencies_ms[fold], predicted_ms, spread_ms)
        return found

    def _folds(self, networks: int) -> Iterator[NDArray[np.intp]]:
        """Indexes of the networks that are held out together; none where too few are left to learn from."""
        if networks >= 3 and self.interval != "none":
            order = np.random.default_rng(self.seed).permutation(networks)
            yield from np.array_split(order, min(FOLDS, networks))

    def _jackknife_ms(self, rows: Floats) -> Floats:
        """CV+ with errors in units of each member's own spread."""
        predicted = np.stack([member._clipped_ms(rows) for member in self.members_])
        spread = np.stack(
            [member._spread_ms(rows, ms) for member, ms in zip(self.members_, predicted, strict=True)]
        )
        centre, half = predicted[self.member_of_], spread[self.member_of_] * self.member_ratios_[:, None]
        rank = min(int(np.ceil(self.confidence * (len(centre) + 1))), len(centre))
        low = np.sort(centre - half, axis=0)[len(centre) - rank]
        high = np.sort(centre + half, axis=0)[rank - 1]
        return np.column_stack([np.maximum(low, 0.0) if self.range_ms_[0] > 0 else low, high])

    def to_state(self) -> State:
        """Everything learned, as numbers, strings, lists and arrays."""
        check_is_fitted(self)
        state = {"learned": self._state()} | {name: getattr(self, name) for name in _LEARNED}
        if self.interval_basis_ == "cv+":
            state["members"] = [member._member_state() for member in self.members_]
            state["member_ratios"], state["member_of"] = self.member_ratios_, self.member_of_
        return state

    def from_state(self, state: State) -> Self:
        """Take what `to_state` gave, instead of `fit`; predictions are equal to the last bit."""
        self._restore(state["learned"])
        for name in _LEARNED:
            value = state[name]
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        if self.interval_basis_ == "cv+":
            self.members_ = [clone(self)._from_member_state(member) for member in state["members"]]
            self.member_ratios_, self.member_of_ = state["member_ratios"], state["member_of"]
        return self

    def _member_state(self) -> State:
        return {"learned": self._state(), "range_ms": self.range_ms_}

    def _from_member_state(self, state: State) -> Self:
        self._restore(state["learned"])
        self.range_ms_ = tuple(state["range_ms"])
        return self


_LEARNED = (
    "n_features_in_", "networks_", "range_ms_", "interval_basis_", "held_out_error_", "largest_spread_ms_",
    "quantile_", "column_range_",
)  # fmt: skip


def error_quantile(ratios: ArrayLike, confidence: float) -> float:
    """How large an error over its spread may be: the quantile of the next one, given those seen.

    The geometric mean of the empirical quantile, which few errors leave open, and that of Student's t,
    averaged over 3, 5, 10 and 30 degrees of freedom by how well each fits.

    Args:
        ratios: |error| / spread of held-out networks, at least one.
        confidence: share of errors below it.
    """
    seen = np.sort(np.asarray(ratios, np.float64))
    empirical = seen[min(int(np.ceil(confidence * (seen.size + 1))), seen.size) - 1]
    if seen[-1] <= 0:
        return 0.0
    scales = np.array([_student_scale(seen, freedom) for freedom in _FREEDOMS])
    log_likelihoods = np.array(
        [
            student.logpdf(seen / scale, freedom).sum() - seen.size * np.log(scale)
            for freedom, scale in zip(_FREEDOMS, scales, strict=True)
        ]
    )
    # few errors cannot tell how heavy the tails are: each possibility counts as far as they allow it
    shares = softmax(log_likelihoods)
    quantiles = stdtrit(np.array(_FREEDOMS), 0.5 + confidence / 2) * scales
    fitted = float(shares @ quantiles) * np.sqrt(1 + 3 / seen.size)
    return float(np.sqrt(empirical * fitted))


def _student_scale(ratios: Floats, freedom: int) -> float:
    """Scale of Student's t that makes the ratios most likely."""
    start = np.log(max(float(np.sqrt(np.mean(np.square(ratios)))), 1e-12))

    def negative(log_scale: Floats) -> float:
        scale = np.exp(log_scale[0])
        return float(ratios.size * log_scale[0] - student.logpdf(ratios / scale, freedom).sum())

    return float(np.exp(minimize(negative, [start], method="Nelder-Mead").x[0]))


def _collapsed(rows: Floats, latencies_ms: Floats) -> tuple[Floats, Floats]:
    """Different rows in order of appearance, each with the mean of its latencies."""
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    inverse = inverse.ravel()
    means = np.bincount(inverse, weights=latencies_ms) / np.bincount(inverse)
    order = np.argsort(first)
    return rows[first[order]], means[order]


def _column_range(rows: Floats) -> Floats:
    """Smallest and largest value of every column that is in range, (2, columns)."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    values = np.sort(rows, axis=0)
    known = 1 + (np.diff(values, axis=0) > 0).sum(axis=0) >= FEWEST_VALUES
    margin = np.where(known, BEYOND_COLUMN * (high - low), np.inf)
    return np.stack([low - margin, high + margin])


def relative_errors(left_out_ms: Floats, measured_ms: Floats) -> float:
    """Mean of min(|relative error|, 0.5): what models and noise models are chosen by."""
    errors = np.abs(left_out_ms - measured_ms) / np.maximum(np.abs(measured_ms), 1e-12)
    return float(np.minimum(errors, LARGEST_COUNTED_ERROR).mean())
