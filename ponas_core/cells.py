"""Cells of NAS-Bench-201 (Dong and Yang, ICLR 2020): four nodes, an operation on each of the six edges.

A node is the sum of the edges that end in it; node 0 is the cell's input, node 3 its output.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""What may stand on an edge, in the order of the op indexes."""

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Start and end of each edge, in the order in which a cell is written."""

LAST_NODE = 3

_ON_EDGE = re.compile(r"([^|+~]+)~")


@dataclass(frozen=True)
class Cell:
    """One cell: an op index for each of `EDGES`."""

    ops: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for other than six ops, or an index out of range."""
        if len(self.ops) != len(EDGES):
            raise ValueError(f"{len(self.ops)} ops given, but a cell has {len(EDGES)} edges")
        for (source, target), op in zip(EDGES, self.ops, strict=True):
            if type(op) is not int or not 0 <= op < len(OPERATIONS):
                raise ValueError(f"edge {source}-{target} has ops 0 to {len(OPERATIONS) - 1}, not {op}")

    def __str__(self) -> str:
        """Write the cell as the field does: `|nor_conv_3x3~0|+|none~0|skip_connect~1|+|...|`."""
        edges = list(zip(EDGES, self.ops, strict=True))
        return "+".join(
            "".join(f"|{OPERATIONS[op]}~{source}" for (source, end), op in edges if end == node) + "|"
            for node in range(1, LAST_NODE + 1)
        )

    @property
    def connected(self) -> bool:
        """Whether a path of edges other than `none` joins the input to the output."""
        reached = {0}
        # the edges into a node stand before those out of it
        for (source, target), op in zip(EDGES, self.ops, strict=True):
            if source in reached and OPERATIONS[op] != "none":
                reached.add(target)
        return LAST_NODE in reached


def parse_cell(text: str) -> Cell:
    """Read a cell: the field's own string, or six op indexes (`342101` or `3,4,2,1,0,1`).

    Raises:
        ValueError: an unknown operation, or other edges than a cell has; the message says which.
    """
    stripped = text.strip()
    if "|" in stripped:
        return _from_string(stripped)
    words = list(stripped) if stripped.isdecimal() else re.split(r"[\s,]+", stripped)
    if not all(word.isdecimal() for word in words):
        raise ValueError(f"{text!r} is neither a cell such as {_EXAMPLE} nor six op indexes such as 342101")
    return Cell(tuple(map(int, words)))


_EXAMPLE = str(Cell((3, 4, 2, 1, 0, 1)))


def _from_string(text: str) -> Cell:
    names = _ON_EDGE.findall(text)
    for name in names:
        if name not in OPERATIONS:
            raise ValueError(f"no operation {name!r} in {text!r}; there are {', '.join(OPERATIONS)}")
    cell = Cell(tuple(map(OPERATIONS.index, names)))
    if str(cell) != text:
        raise ValueError(f"{text!r} is not written as a cell; with these operations it is {cell}")
    return cell
