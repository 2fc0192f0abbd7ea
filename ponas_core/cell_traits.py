"""What tells most of a cell's accuracy, as a few small numbers.

An edge that nothing reaches, or that reaches nothing, computes nothing that the output sees: it counts as
`none`. Two cells that differ in such edges only are one network. Beside the six edges stand the fewest and
the most convolutions on a path from input to output, which are what makes a cell shallow or deep.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ponas_core.cells import EDGES, LAST_NODE, OPERATIONS

_NONE = OPERATIONS.index("none")
_CONVOLUTIONS = [op for op, name in enumerate(OPERATIONS) if "conv" in name]
_UNCONNECTED = LAST_NODE + 1
"""Value of the path lengths of a cell without a path; one more than the longest path."""


def cell_traits(ops: NDArray[np.intp]) -> tuple[NDArray[np.intp], tuple[int, ...]]:
    """Traits of cells, and how many values each has.

    Args:
        ops: (cells, edges) op indexes.

    Returns:
        (cells, edges + 2): the ops of the edges that matter, `none` elsewhere; the fewest and the most
        convolutions on a path, 4 where there is no path. And the number of values of each column.
    """
    live = _live(ops)
    counts = (*(len(OPERATIONS) for _ in EDGES), _UNCONNECTED + 1, _UNCONNECTED + 1)
    return np.column_stack(
        [live, _convolutions(live, fewest=True), _convolutions(live, fewest=False)]
    ), counts


def _live(ops: NDArray[np.intp]) -> NDArray[np.intp]:
    reached = np.zeros((len(ops), LAST_NODE + 1), np.bool_)
    reaches = reached.copy()
    reached[:, 0] = reaches[:, LAST_NODE] = True
    # edges into a node stand before those out of it
    for edge, (start, end) in enumerate(EDGES):
        reached[:, end] |= reached[:, start] & (ops[:, edge] != _NONE)
    for edge, (start, end) in reversed(list(enumerate(EDGES))):
        reaches[:, start] |= reaches[:, end] & (ops[:, edge] != _NONE)
    starts, ends = (np.array(nodes) for nodes in zip(*EDGES, strict=True))
    return np.where(reached[:, starts] & reaches[:, ends], ops, _NONE)


def _convolutions(ops: NDArray[np.intp], *, fewest: bool) -> NDArray[np.intp]:
    """The fewest or the most convolutions on a path, (cells,)."""
    worse, choose = (_UNCONNECTED, np.minimum) if fewest else (-1, np.maximum)
    on_path = np.full((len(ops), LAST_NODE + 1), worse)
    on_path[:, 0] = 0
    for edge, (start, end) in enumerate(EDGES):
        open_ = (ops[:, edge] != _NONE) & (on_path[:, start] != worse)
        longer = on_path[:, start] + np.isin(ops[:, edge], _CONVOLUTIONS)
        on_path[:, end] = choose(on_path[:, end], np.where(open_, longer, worse))
    at_output = on_path[:, LAST_NODE]
    return np.where(at_output == worse, _UNCONNECTED, at_output)
