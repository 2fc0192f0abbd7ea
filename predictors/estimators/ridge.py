"""Ridge regression: the baseline that shrinks all features alike."""

from __future__ import annotations

from typing import Self

import numpy as np
from sklearn.linear_model import RidgeCV

from predictors.estimators.regressor import Floats, LatencyRegressor, State

PENALTIES = np.logspace(-3, 5, 17)


class RidgeRegression(LatencyRegressor):
    """Linear in standardised features; generalised cross-validation picks the penalty.

    Attributes:
        penalty_: the picked one.
    """

    def _learn(self, X: Floats, y: Floats, like: Self | None) -> None:
        self._means, spreads = X.mean(axis=0), X.std(axis=0)
        self._spreads = np.where(spreads > 1e-12, spreads, 1.0)
        found = RidgeCV(PENALTIES).fit((X - self._means) / self._spreads, y)
        self.penalty_ = float(found.alpha_)
        self._coefficients = found.coef_ / self._spreads
        self._constant_ms = float(found.intercept_)

    def _predicted_ms(self, X: Floats) -> Floats:
        return np.asarray((X - self._means) @ self._coefficients + self._constant_ms)

    def as_linear(self) -> tuple[Floats, float]:
        """Milliseconds per unit of every feature, and the constant."""
        return self._coefficients, float(self._constant_ms - self._means @ self._coefficients)

    def _state(self) -> State:
        return {
            "means": self._means,
            "coefficients": self._coefficients,
            "constant_ms": self._constant_ms,
            "penalty": self.penalty_,
        }

    def _restore(self, state: State) -> None:
        self._means, self._coefficients = state["means"], state["coefficients"]
        self._constant_ms, self.penalty_ = state["constant_ms"], state["penalty"]
