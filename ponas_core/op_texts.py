"""Very many architectures read from their texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ponas_core.space import SearchSpace

COMMA, NEWLINE, ZERO = b",\n0"
CHUNK = 1 << 14
"""Texts that are read at once."""


def parse_many(space: SearchSpace, texts: Sequence[str]) -> NDArray[np.integer]:
    """Read architectures as `SearchSpace.parse` does: (networks, layers) op indexes.

    Rows such as `2,0,1` are read all at once; others one by one.

    Raises:
        ArchitectureError: one of them is none of the space.
    """
    ops = np.empty((len(texts), len(space.layers)), np.int16)
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        found = _op_indexes(space, part)
        ops[start : start + CHUNK] = _one_by_one(space, part, start) if found is None else found
    return ops


class ArchitectureError(ValueError):
    """A text is no architecture of the space; `index` tells which one."""

    def __init__(self, message: str, index: int) -> None:
        """Store the index."""
        super().__init__(message)
        self.index = index


def _one_by_one(space: SearchSpace, texts: Sequence[str], start: int) -> NDArray[np.int16]:
    ops = np.empty((len(texts), len(space.layers)), np.int16)
    for row, text in enumerate(texts):
        try:
            ops[row] = space.parse(text).ops
        except ValueError as error:
            raise ArchitectureError(str(error), start + row) from error
    return ops


def _op_indexes(space: SearchSpace, texts: Sequence[str]) -> NDArray[np.uint8] | None:
    """Op indexes of one or two digits between commas; None where a text is anything else, or out of range."""
    layers = len(space.layers)
    text = np.frombuffer("".join(f"{text}\n" for text in texts).encode(), np.uint8)
    digits = text - np.uint8(ZERO)  # what is no digit becomes more than 9
    ends = np.flatnonzero(digits > 9)
    lengths = np.diff(ends, prepend=-1) - 1
    if ends.size != len(texts) * layers or lengths.min() < 1 or lengths.max() > 2:
        return None
    rows = text[ends].reshape(len(texts), layers)
    if (rows[:, :-1] != COMMA).any() or (rows[:, -1] != NEWLINE).any():
        return None
    ops = digits[ends - 1] + np.where(lengths == 2, 10 * digits[ends - 2], 0).astype(np.uint8)
    ops = ops.reshape(rows.shape)
    counts = np.array([len(layer.blocks) for layer in space.layers])
    return None if (ops >= counts).any() else ops
