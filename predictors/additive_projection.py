"""The additive table that is nearest to any latency model, and how far it is off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from predictors.metrics import Accuracy, accuracy

Floats: TypeAlias = NDArray[np.float64]
Ops: TypeAlias = NDArray[np.intp]

NETWORKS_PER_COEFFICIENT = 10
FEWEST_NETWORKS = 1000
JUDGING_NETWORKS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class AdditiveProjection:
    """A model as a sum over layers, as far as it is one.

    Only sums over whole networks mean something: what one layer adds for every op may as well be another's.

    Attributes:
        fixed_ms: what every network costs.
        rows_ms: rows_ms[layer][op].
        accuracy: of the sums against the model, on random networks that did not make them.
    """

    fixed_ms: float
    rows_ms: tuple[Floats, ...]
    accuracy: Accuracy


def additive_projection(
    predict: Callable[[Ops], Floats],
    op_counts: Sequence[int],
    free: Sequence[int | None],
    rng: np.random.Generator,
) -> AdditiveProjection:
    """Least squares of a model's predictions for random networks.

    Args:
        predict: (networks, layers) op indexes to (networks,) milliseconds.
        op_counts: how many ops each layer has.
        free: of every layer, the op that costs nothing, such as an identity; None where there is none.
        rng: draws the networks.
    """
    count = max(FEWEST_NETWORKS, NETWORKS_PER_COEFFICIENT * (1 + sum(op_counts)))
    ops = rng.integers(0, op_counts, (count + JUDGING_NETWORKS, len(op_counts))).astype(np.intp)
    found_ms = predict(ops)
    design = _one_hot(ops, op_counts)
    # where layers can trade with each other, the smallest solution shares evenly among them
    solved = np.asarray(np.linalg.lstsq(design[:count], found_ms[:count], rcond=None)[0], np.float64)
    ends = np.cumsum(op_counts)
    rows = [solved[1 + end - size : 1 + end] for end, size in zip(ends, op_counts, strict=True)]
    moved = [0.0 if op is None else float(row[op]) for row, op in zip(rows, free, strict=True)]
    return AdditiveProjection(
        float(solved[0]) + sum(moved),
        tuple(np.subtract(row, part) for row, part in zip(rows, moved, strict=True)),
        accuracy(design[count:] @ solved, found_ms[count:]),
    )


def _one_hot(ops: Ops, op_counts: Sequence[int]) -> Floats:
    """(networks, 1 + all ops): 1 for what every network has, and for every op that it has."""
    starts = 1 + np.concatenate([[0], np.cumsum(op_counts)[:-1]])
    found = np.zeros((len(ops), 1 + sum(op_counts)))
    found[:, 0] = 1.0
    np.put_along_axis(found, ops + starts, 1.0, axis=1)
    return found
