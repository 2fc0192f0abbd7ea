"""Which networks to measure first: those that tell most of all the others.

Greedy minimisation of the mean posterior variance (I-optimal design; Atkinson, Donev and Tobias 2007,
"Optimum experimental designs", 10; Seo et al. 2000, "Gaussian process regression: active data selection").
A Gaussian process knows how sure it will be before it has seen a latency, so all are chosen at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOISE_VARIANCE = 0.05
CONSTANT_VARIANCE = 50.0
"""Of the latencies' mean, which nobody knows; latencies have variance 1."""


def suggest(rows: ArrayLike, count: int) -> NDArray[np.intp]:
    """Choose networks to measure, each the one that makes all the others most certain, given those before.

    Costs pool · columns² and count · pool · (columns + count); nothing is as large as the pool squared.

    Args:
        rows: (pool, columns), the networks to choose from; products of rows are the covariances of their
            latencies, as of `GroupedGaussianProcess.prior_rows`.
        count: how many.

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
    pool = np.column_stack([pool, np.full(len(pool), np.sqrt(CONSTANT_VARIANCE))])
    variances = np.square(pool).sum(axis=1)
    shared = np.einsum("ij,ij->i", pool @ (pool.T @ pool), pool)  # squared covariances with all networks
    told = np.empty((count, len(pool)))  # rank-one parts of the covariance that are known by then
    chosen = np.zeros(count, np.intp)
    for step in range(count):
        gains = shared / (variances + NOISE_VARIANCE)
        gains[chosen[:step]] = -np.inf
        best, before = int(gains.argmax()), told[:step]
        now = pool @ pool[best] - before[:, best] @ before
        now /= np.sqrt(now[best] + NOISE_VARIANCE)
        through = pool @ (now @ pool) - (before @ now) @ before
        shared += now * (now * (now @ now) - 2 * through)
        variances -= np.square(now)
        told[step], chosen[step] = now, best
    return chosen
