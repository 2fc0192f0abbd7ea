"""Worlds in which accuracies add up on the log of the error, exactly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import Encoded
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space

MACRO = shipped_space("nasbench-macro")


def uneven_space() -> SearchSpace:
    """Eight layers of 3, 2, 1, 3, 2, 1, 3 and 2 ops."""
    layers = (
        replace(layer, blocks=layer.blocks[: 3 - number % 3]) for number, layer in enumerate(MACRO.layers)
    )
    return replace(MACRO, name="uneven", layers=tuple(layers))


class AdditiveWorld:
    """An evaluator: 101 - exp(-sum), one number per (layer, op), accuracies of about 80 to 97 per cent."""

    description = "a world that adds up"

    def __init__(self, space: SearchSpace, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.rows = [rng.uniform(-0.12, 0.12, len(layer.blocks)) for layer in space.layers]
        self.asked: list[tuple[int, ...]] = []

    def accuracy(self, architecture: Encoded) -> float:
        self.asked.append(architecture.ops)
        return 101 - float(
            np.exp(2.2 - sum(row[op] for row, op in zip(self.rows, architecture.ops, strict=True)))
        )


def centred(rows: list[NDArray[np.float64]] | tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
    """Rows without the constant that a layer's entries have in common, one after the other."""
    return np.concatenate([row - row.mean() for row in rows])
