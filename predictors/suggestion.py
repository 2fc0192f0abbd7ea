"""Which networks to measure first: those that tell most of all the others.

Greedy minimisation of the mean posterior variance (I-optimal design; Atkinson, Donev and Tobias 2007,
"Optimum experimental designs", 10; Seo et al. 2000, "Gaussian process regression: active data selection").
A Gaussian process knows how sure it will be before it has seen a latency, so all are chosen at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_CANDIDATES = 2000
"""Drawn from a larger pool."""
NOISE_VARIANCE = 0.05
CONSTANT_VARIANCE = 50.0
"""Of the latencies' mean, which nobody knows; latencies have variance 1."""


def suggest(rows: ArrayLike, count: int, seed: int = 0) -> NDArray[np.intp]:
    """Choose networks to measure, each the one that makes all the others most certain, given those before.

    Args:
        rows: (pool, columns), the networks to choose from; products of rows are the covariances of their
            latencies, as of `GroupedGaussianProcess.prior_rows`.
        count: how many.
        seed: of the draw of candidates from a pool of more than 2,000.

    Returns:
        (count,) indexes of rows, no index twice, the most telling first.

    Raises:
        ValueError: a count that the pool does not hold, rows that are no matrix of finite numbers.
    """
    pool = np.asarray(rows, np.float64)
    if pool.ndim != 2 or not np.isfinite(pool).all():
        raise ValueError(f"rows must be a matrix of finite numbers: got shape {pool.shape}")
    if not 0 <= count <= len(pool):
        raise ValueError(f"{count} of {len(pool)} networks cannot be suggested")
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(pool), min(len(pool), max(MOST_CANDIDATES, count)), replace=False)
    covariance = pool[drawn] @ pool[drawn].T + CONSTANT_VARIANCE
    chosen: list[int] = []
    for _ in range(count):
        variances = np.diag(covariance) + NOISE_VARIANCE
        gains = np.square(covariance).sum(axis=0) / variances
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        told = covariance[best] / np.sqrt(variances[best])
        covariance -= np.outer(told, told)
    return np.asarray(drawn[chosen], np.intp)
