"""The logits of a search that learns them by gradient, with what Adam remembers of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.network_weights import Arrays
from ponas_core.path_distribution import Draw, Floats, keep_others
from ponas_core.space import SearchSpace

LOGITS = "logits:"
"""Begins the names of a layer's logits in a file of weights."""
BEGINNING_SD = 1e-3
SQUARES_DECAY = 0.999
EPSILON = 1e-8


class PathLogits:
    """Logits of every layer and Adam without a first moment (betas 0 and 0.999, no decay), as published.

    A first moment would go on moving ops that a step has not sampled; without one they stay where they are.

    Args:
        rows: rows[layer][op], what a search begins with.
    """

    def __init__(self, rows: Sequence[Floats]) -> None:
        self.rows = tuple(np.array(row, np.float64) for row in rows)
        self.squares = tuple(np.zeros(row.size) for row in self.rows)

    @classmethod
    def drawn(cls, space: SearchSpace, rng: np.random.Generator) -> PathLogits:
        """Logits from N(0, 0.001²)."""
        return cls([BEGINNING_SD * rng.standard_normal(len(layer.blocks)) for layer in space.layers])

    def step(
        self, gradients: Sequence[Floats], rate: float, number: int, pairs: Sequence[Draw] | None = None
    ) -> None:
        """One step down the gradients.

        Args:
            gradients: in the logits, one array a layer.
            rate: learning rate.
            number: of this step, from 1 on.
            pairs: what each layer sampled, where ops that were not sampled must keep their probability.
        """
        self.squares = tuple(
            SQUARES_DECAY * square + (1 - SQUARES_DECAY) * gradient**2
            for square, gradient in zip(self.squares, gradients, strict=True)
        )
        unbiased = 1 - SQUARES_DECAY**number
        moved = [
            row - rate * gradient / (np.sqrt(square / unbiased) + EPSILON)
            for row, gradient, square in zip(self.rows, gradients, self.squares, strict=True)
        ]
        if pairs is not None:
            moved = [
                keep_others(before, after, draw.sampled)
                for before, after, draw in zip(self.rows, moved, pairs, strict=True)
            ]
        self.rows = tuple(moved)

    def state(self, space: SearchSpace, momentum: str) -> dict[str, NDArray[Any]]:
        """Logits by name, and what Adam remembers by the same names behind `momentum`."""
        names = [LOGITS + layer.name for layer in space.layers]
        logits = {name: row.copy() for name, row in zip(names, self.rows, strict=True)}
        squares = {momentum + name: square.copy() for name, square in zip(names, self.squares, strict=True)}
        return {**logits, **squares}

    def restore(self, state: Arrays, space: SearchSpace, momentum: str) -> None:
        """Go on from a state; what Adam remembers is 0 where it is absent, as in a finished file.

        Raises:
            KeyError: the state lacks a layer's logits.
            ValueError: a layer has another number of ops.
        """
        self.rows = logits_of(state, space)
        names = [momentum + LOGITS + layer.name for layer in space.layers]
        self.squares = tuple(
            np.array(state[name], np.float64) if name in state else np.zeros(row.size)
            for name, row in zip(names, self.rows, strict=True)
        )


def logits_of(arrays: Mapping[str, NDArray[Any]], space: SearchSpace) -> tuple[Floats, ...]:
    """The logits in a file of weights.

    Raises:
        KeyError: a layer's are absent.
        ValueError: a layer has another number of ops.
    """
    found = []
    for layer in space.layers:
        name = LOGITS + layer.name
        if name not in arrays:
            raise KeyError(f"the weights have no {name!r}")
        row = np.array(arrays[name], np.float64)
        if row.shape != (len(layer.blocks),):
            raise ValueError(f"{name} has shape {row.shape}, the layer has {len(layer.blocks)} ops")
        found.append(row)
    return tuple(found)
