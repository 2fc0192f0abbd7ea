"""Very many architectures read from their texts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ponas_core.cell_space import CellSpace, OpSpace
from ponas_core.cells import LAST_NODE, OPERATIONS

COMMA, NEWLINE, ZERO = b",\n0"
CHUNK = 1 << 14
"""Texts that are read at once."""


def parse_many(space: OpSpace, texts: Sequence[str]) -> NDArray[np.integer]:
    """Read architectures as the space's `parse` does: (networks, places) op indexes.

    Rows such as `2,0,1` or `201`, and cells as the field writes them, are read fast; others one by one.

    Raises:
        ArchitectureError: one of them is none of the space.
    """
    ops = np.empty((len(texts), len(space.op_counts)), np.int16)
    for start in range(0, len(texts), CHUNK):
        part = texts[start : start + CHUNK]
        found = _read_fast(space, part)
        ops[start : start + CHUNK] = _one_by_one(space, part, start) if found is None else found
    return ops


class ArchitectureError(ValueError):
    """A text is no architecture of the space; `index` tells which one."""

    def __init__(self, message: str, index: int) -> None:
        """Store the index."""
        super().__init__(message)
        self.index = index


def _one_by_one(space: OpSpace, texts: Sequence[str], start: int) -> NDArray[np.int16]:
    ops = np.empty((len(texts), len(space.op_counts)), np.int16)
    for row, text in enumerate(texts):
        try:
            ops[row] = space.parse(text).ops
        except ValueError as error:
            raise ArchitectureError(str(error), start + row) from error
    return ops


def _read_fast(space: OpSpace, texts: Sequence[str]) -> NDArray[np.integer] | None:
    """Op indexes of texts that are all written in one of the usual ways; None where they are not."""
    if isinstance(space, CellSpace) and texts[0].startswith("|"):
        return _cells(texts)
    ops = _digits(space, texts)
    return _op_indexes(space, texts) if ops is None else ops


def _cells(texts: Sequence[str]) -> NDArray[np.intp] | None:
    """Cells as the field writes them: three nodes joined with `+`, each one of a few texts."""
    nodes = _node_texts()
    parts = [text.split("+") for text in texts]
    if any(len(part) != LAST_NODE for part in parts):
        return None
    try:
        return np.array([[*nodes[0][one], *nodes[1][two], *nodes[2][three]] for one, two, three in parts])
    except KeyError:
        return None


@cache
def _node_texts() -> tuple[dict[str, tuple[int, ...]], ...]:
    """For each node but the first, every text that it can have, and the ops of the edges that end there."""
    return tuple(
        {
            "".join(f"|{OPERATIONS[op]}~{start}" for start, op in enumerate(ops)) + "|": ops
            for ops in itertools.product(range(len(OPERATIONS)), repeat=node)
        }
        for node in range(1, LAST_NODE + 1)
    )


def _digits(space: OpSpace, texts: Sequence[str]) -> NDArray[np.uint8] | None:
    """Op indexes of one digit each, nothing between them; None where a text is anything else."""
    places = len(space.op_counts)
    # other digits than ASCII's have several bytes
    text = np.frombuffer("".join(texts).encode(), np.uint8)
    if text.size != len(texts) * places or any(len(row) != places for row in texts):
        return None
    ops = (text - np.uint8(ZERO)).reshape(len(texts), places)  # what is no digit is no op either
    return None if (ops >= np.minimum(space.op_counts, 10)).any() else ops


def _op_indexes(space: OpSpace, texts: Sequence[str]) -> NDArray[np.uint8] | None:
    """Op indexes of one or two digits between commas; None where a text is anything else, or out of range."""
    places = len(space.op_counts)
    text = np.frombuffer("".join(f"{text}\n" for text in texts).encode(), np.uint8)
    digits = text - np.uint8(ZERO)  # what is no digit becomes more than 9
    ends = np.flatnonzero(digits > 9)
    lengths = np.diff(ends, prepend=-1) - 1
    if ends.size != len(texts) * places or lengths.min() < 1 or lengths.max() > 2:
        return None
    rows = text[ends].reshape(len(texts), places)
    if (rows[:, :-1] != COMMA).any() or (rows[:, -1] != NEWLINE).any():
        return None
    ops = digits[ends - 1] + np.where(lengths == 2, 10 * digits[ends - 2], 0).astype(np.uint8)
    ops = ops.reshape(rows.shape)
    return None if (ops >= np.array(space.op_counts)).any() else ops
