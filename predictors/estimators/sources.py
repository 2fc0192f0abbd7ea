"""Latencies on other devices as features: what makes a few measurements on a new one enough.

Devices agree about networks more than about milliseconds. Each other device gives one column, the latency
that its own model predicts, so a network need not have been measured there. The columns are one more group of
the new device's Gaussian process, beside all the others: its weight says how far the devices can be trusted.
Columns are not decorrelated, so that what the devices agree on is believed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from predictors.estimators.gaussian_process import GroupedGaussianProcess
from predictors.estimators.regressor import Floats, State


@dataclass(frozen=True)
class Sources:
    """Lines of other devices over the same features.

    Attributes:
        coefficients: (features, devices), milliseconds.
        constants_ms: (devices,).
    """

    coefficients: Floats
    constants_ms: Floats

    @classmethod
    def of(cls, models: Sequence[GroupedGaussianProcess]) -> Self:
        """What fitted models of other devices say; the models are not kept.

        Raises:
            ValueError: no model, or models of different features.
        """
        lines = [model.linear() for model in models]
        if len({len(line) for line, _ in lines}) != 1:
            raise ValueError("sources are models of other devices over the same features, at least one")
        return cls(
            np.stack([line for line, _ in lines], axis=1), np.array([constant for _, constant in lines])
        )

    def columns(self, X: ArrayLike) -> Floats:
        """Latencies predicted on the other devices, milliseconds: (networks, devices)."""
        return np.asarray(np.asarray(X, np.float64) @ self.coefficients + self.constants_ms)

    def to_state(self) -> State:
        """Everything, as arrays."""
        return {"coefficients": self.coefficients, "constants_ms": self.constants_ms}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """What `to_state` gave; columns are equal to the last bit."""
        return cls(np.asarray(state["coefficients"]), np.asarray(state["constants_ms"]))
