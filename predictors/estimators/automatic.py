"""The model that predicts held-out networks best, and what the others reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted

from predictors.estimators.gaussian_process import GroupedGaussianProcess
from predictors.estimators.regressor import Floats, Interval, LatencyRegressor, State
from predictors.estimators.ridge import RidgeRegression
from predictors.estimators.trees import GradientBoosting, RandomForest

CANDIDATES: Mapping[str, type[LatencyRegressor]] = {
    "gp": GroupedGaussianProcess,
    "ridge": RidgeRegression,
    "boosting": GradientBoosting,
    "forest": RandomForest,
}


class AutomaticRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Fits every kind of model and keeps the one with the smallest error on held-out networks.

    All are held against the same ten folds, each learning anew without the held-out networks. The error is
    the mean of min(|relative error|, 0.5).

    Args:
        gaussian_process: the Gaussian process among the candidates, with its groups; None: one without.
        candidates: names in `CANDIDATES`.
        interval: see `LatencyRegressor`.
        confidence: of the interval.
        seed: of the folds.

    Attributes:
        choice_: name of the chosen candidate.
        errors_: held-out error of every candidate.
        chosen_: the fitted model.
    """

    def __init__(
        self,
        gaussian_process: GroupedGaussianProcess | None = None,
        candidates: Sequence[str] = tuple(CANDIDATES),
        interval: Interval = "scaled",
        confidence: float = 0.95,
        seed: int = 0,
    ) -> None:
        """Store what is given."""
        self.gaussian_process = gaussian_process
        self.candidates = candidates
        self.interval = interval
        self.confidence = confidence
        self.seed = seed

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from measured networks; see `LatencyRegressor.fit`.

        Raises:
            ValueError: no candidate, an unknown one, or as `LatencyRegressor.fit`.
        """
        unknown = sorted(set(self.candidates) - set(CANDIDATES))
        if unknown or not self.candidates:
            raise ValueError(f"candidates are of {', '.join(CANDIDATES)}, got {list(self.candidates)}")
        fitted = {name: self._candidate(name).fit(X, y) for name in self.candidates}
        self.errors_ = {name: model.held_out_error_ for name, model in fitted.items()}
        # where too few networks were measured to hold any out, the first stands
        self.choice_ = min(fitted, key=lambda name: np.nan_to_num(self.errors_[name]))
        self._keep(fitted[self.choice_])
        return self

    def _candidate(self, name: str) -> LatencyRegressor:
        if name == "gp" and self.gaussian_process is not None:
            model = clone(self.gaussian_process)
        else:
            model = CANDIDATES[name]()
        found: LatencyRegressor = model.set_params(
            interval=self.interval, confidence=self.confidence, seed=self.seed
        )
        return found

    def _keep(self, chosen: LatencyRegressor) -> None:
        self.chosen_ = chosen
        self.n_features_in_ = chosen.n_features_in_

    @property
    def networks_(self) -> int:
        """How many different networks were learned from."""
        return self.chosen_.networks_

    @property
    def interval_basis_(self) -> str:
        """What the intervals rest on; see `LatencyRegressor`."""
        return self.chosen_.interval_basis_

    @property
    def held_out_error_(self) -> float:
        """That of the chosen model."""
        return self.chosen_.held_out_error_

    def predict(self, X: ArrayLike) -> Floats:
        """See `LatencyRegressor.predict`."""
        check_is_fitted(self, "chosen_")
        return self.chosen_.predict(X)

    def predict_interval(self, X: ArrayLike) -> Floats:
        """See `LatencyRegressor.predict_interval`."""
        check_is_fitted(self, "chosen_")
        return self.chosen_.predict_interval(X)

    def out_of_range(self, X: ArrayLike) -> NDArray[np.bool_]:
        """See `LatencyRegressor.out_of_range`."""
        check_is_fitted(self, "chosen_")
        return self.chosen_.out_of_range(X)

    def to_state(self) -> State:
        """Everything learned."""
        check_is_fitted(self, "chosen_")
        return {"choice": self.choice_, "errors": self.errors_, "chosen": self.chosen_.to_state()}

    def from_state(self, state: State) -> Self:
        """Take what `to_state` gave, instead of `fit`."""
        self.choice_, self.errors_ = state["choice"], state["errors"]
        self._keep(self._candidate(self.choice_).from_state(state["chosen"]))
        return self
