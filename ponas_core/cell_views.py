"""What is left of a cell once a runtime has removed what needs no computing.

Runtimes differ in what they remove, so a cell has three views:

* *full*: as written; every edge is an operation, `none` makes zeros of its input, `skip_connect` copies.
* *bwd*: `none` is a constant, and what does not reach the output is dropped: what is left in every runtime
  that starts from the outputs.
* *live*: zeros are followed forwards too (an operation on zeros gives zeros, a sum leaves them out), a
  `skip_connect` is its input, average pools of one tensor are one, and what does not reach the output is
  dropped: the work that no runtime can avoid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

from ponas_core.cells import EDGES, LAST_NODE, Cell

Kind: TypeAlias = Literal["input", "zeros", "skip", "conv1x1", "conv3x3", "pool", "add"]

EDGE_KINDS: tuple[Kind, ...] = ("zeros", "skip", "conv1x1", "conv3x3", "pool")
"""Kinds of the operations on edges, in the order of the op indexes."""

_ENDING = tuple(
    tuple((edge, source) for edge, (source, target) in enumerate(EDGES) if target == node)
    for node in range(1, LAST_NODE + 1)
)
"""Index and source of the edges that end in node 1, in node 2, in node 3."""


class Operation(NamedTuple):
    """One operation of a view.

    Attributes:
        kind: what it computes; `add` sums two or more tensors, `zeros` without an input is a constant.
        inputs: positions of the operations whose results it takes.
    """

    kind: Kind
    inputs: tuple[int, ...] = ()


class View(NamedTuple):
    """A cell's computation as a graph.

    Attributes:
        operations: each after all that it takes; the cell's input is one of them where anything takes it.
        output: position of the operation that gives the cell's output.
    """

    operations: tuple[Operation, ...]
    output: int


def full_view(cell: Cell) -> View:
    """The cell as written."""
    graph = _Graph()
    nodes = [graph.append("input")]
    for edges in _ENDING:
        nodes.append(
            graph.total([graph.append(EDGE_KINDS[cell.ops[edge]], nodes[start]) for edge, start in edges])
        )
    return View(tuple(graph.operations), nodes[LAST_NODE])


def bwd_view(cell: Cell) -> View:
    """The cell with `none` as a constant, without what does not reach the output."""
    graph = _Graph()
    nodes = [graph.append("input")]
    for edges in _ENDING:
        terms = [
            graph.append(kind)
            if (kind := EDGE_KINDS[cell.ops[edge]]) == "zeros"
            else graph.append(kind, nodes[start])
            for edge, start in edges
        ]
        nodes.append(graph.total(terms))
    return _reaching_output(graph.operations, nodes[LAST_NODE])


def live_view(cell: Cell) -> View:
    """The cell without work on zeros, copies and repeated pools; a single `zeros` where nothing is left."""
    graph = _Graph()
    nodes: list[int | None] = [graph.append("input")]  # None: zeros
    for edges in _ENDING:
        terms = [
            graph.live(kind, value)
            for edge, start in edges
            if (kind := EDGE_KINDS[cell.ops[edge]]) != "zeros" and (value := nodes[start]) is not None
        ]
        nodes.append(graph.total(terms) if terms else None)
    output = nodes[LAST_NODE]
    if output is None:
        return View((Operation("zeros"),), 0)
    return _reaching_output(graph.operations, output)


VIEWS: dict[str, Callable[[Cell], View]] = {"full": full_view, "bwd": bwd_view, "live": live_view}
"""Every view by the name that its features carry."""


class _Graph:
    """Operations in the making."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def append(self, kind: Kind, *inputs: int) -> int:
        """Append an operation and give its position."""
        self.operations.append(Operation(kind, inputs))
        return len(self.operations) - 1

    def live(self, kind: Kind, value: int) -> int:
        """Append an operation unless its result is there already."""
        if kind == "skip":
            return value
        if kind == "pool" and (known := Operation(kind, (value,))) in self.operations:
            return self.operations.index(known)
        return self.append(kind, value)

    def total(self, terms: list[int]) -> int:
        """The sum of one or more terms."""
        return terms[0] if len(terms) == 1 else self.append("add", *terms)


def _reaching_output(operations: list[Operation], output: int) -> View:
    """The operations that the output needs, in their order."""
    needed = {output}
    for position in range(output, -1, -1):
        if position in needed:
            needed.update(operations[position].inputs)
    if len(needed) == len(operations):
        return View(tuple(operations), output)
    order = sorted(needed)
    new = {old: position for position, old in enumerate(order)}
    kept = (operations[old] for old in order)
    return View(tuple(Operation(kind, tuple([new[i] for i in inputs])) for kind, inputs in kept), new[output])
