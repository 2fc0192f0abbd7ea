"""How good predictions are, in the field's terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Agreement of predicted with measured latencies.

    Attributes:
        bias: mean of predicted / measured - 1.
        mape: mean of |predicted / measured - 1|.
        spearman: rank correlation.
        within_2: share of networks within ±2 %; `within_5`, `within_10` likewise.
    """

    bias: float
    mape: float
    spearman: float
    within_2: float
    within_5: float
    within_10: float


def accuracy(predicted_ms: ArrayLike, measured_ms: ArrayLike) -> Accuracy:
    """Compare predictions with measurements of the same networks, at least two.

    Raises:
        ValueError: different lengths, fewer than two networks, or a measurement that is not positive.
    """
    predicted, measured = np.asarray(predicted_ms, np.float64), np.asarray(measured_ms, np.float64)
    if predicted.shape != measured.shape or predicted.ndim != 1 or predicted.size < 2:
        raise ValueError(
            f"needs two lists of one length, at least 2: got {predicted.shape}, {measured.shape}"
        )
    if not (measured > 0).all():
        raise ValueError("measured latencies must be positive")
    errors = predicted / measured - 1
    within = [float(np.mean(np.abs(errors) <= limit)) for limit in (0.02, 0.05, 0.10)]
    return Accuracy(
        float(errors.mean()), float(np.abs(errors).mean()), spearman(predicted, measured), *within
    )


def spearman(one: ArrayLike, other: ArrayLike) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(np.asarray(one)), rankdata(np.asarray(other)))[0, 1])


def coverage(low_ms: ArrayLike, high_ms: ArrayLike, measured_ms: ArrayLike) -> float:
    """Share of measurements inside their interval."""
    measured = np.asarray(measured_ms)
    return float(np.mean((np.asarray(low_ms) <= measured) & (measured <= np.asarray(high_ms))))
