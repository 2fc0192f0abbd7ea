"""Latencies on other devices as features: what makes a few measurements on a new one enough.

Devices agree about networks more than about milliseconds. Each other device gives one column, the latency
that its own model predicts, so a network need not have been measured there. The columns are one more group of
the new device's Gaussian process, beside all the others: its weight says how far the devices can be trusted.
Columns are not decorrelated, so that what the devices agree on is believed first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Linear(Protocol):
    """A fitted model whose predictions are a line: a Gaussian process over groups, a ridge regression."""

    def as_linear(self) -> tuple[Floats, float]:
        """Milliseconds per unit of every feature, (features,), and the constant."""
        ...


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
    def of(cls, models: Sequence[Linear]) -> Self:
        """What fitted models of other devices say; the models are not kept.

        Raises:
            ValueError: no model, or models of different features.
        """
        lines = [model.as_linear() for model in models]
        if len({len(weights) for weights, _ in lines}) != 1:
            raise ValueError("sources are models of other devices over the same features, at least one")
        coefficients = np.stack([weights for weights, _ in lines], axis=1)
        return cls(coefficients, np.array([constant_ms for _, constant_ms in lines]))

    def columns(self, features: ArrayLike) -> Floats:
        """Latencies on the other devices, milliseconds: (networks, features) to (networks, devices)."""
        return np.asarray(np.asarray(features, np.float64) @ self.coefficients + self.constants_ms)

    def to_state(self) -> dict[str, Any]:
        """Everything, as arrays."""
        return {"coefficients": self.coefficients, "constants_ms": self.constants_ms}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """What `to_state` gave; columns are equal to the last bit."""
        return cls(np.asarray(state["coefficients"]), np.asarray(state["constants_ms"]))
