"""Cells as named numbers: what latency predictors learn from.

A group is a view of the cell (`full`, `bwd`, `live`; see `ponas_core.cell_views`) and a way to look at it:

* `cnt`: how many operations of each kind; a sum of three terms is two additions.
* `crit`: the longest path from input to output under several weights of the operations, the work beside that
  path, and the operations one, two and three edges deep: what counts where operations run side by side.
* `wl1`: how often each operation occurs with its neighbours: labels after one iteration of Weisfeiler and
  Lehman (Shervashidze et al., JMLR 2011), once with what an operation takes, once with its consumers too.
* `ctx`: tensors that feed a convolution (each needs a ReLU), convolutions that a runtime may fuse with the
  one addition or convolution that takes their result, tensors taken more than once, most tensors alive at
  once.

The group `edges` has one column for each operation on each edge.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.cell_views import VIEWS, View
from ponas_core.cells import EDGES, OPERATIONS, Cell
from ponas_core.features import Features

BASIC_GROUPS = ("full.cnt", "bwd.cnt", "live.cnt", "bwd.crit", "live.crit", "bwd.wl1", "live.wl1")
"""Groups that a predictor of a few measured cells may use."""

LARGE_SAMPLE_GROUPS = ("bwd.ctx", "live.ctx", "edges")
"""Groups that need many measured cells."""

Columns: TypeAlias = Mapping[str, NDArray[Any]]
"""Named columns, each with one number for every view."""

_PATHS: dict[str, dict[str, float]] = {
    "conv3x3": {"conv3x3": 1},
    "convolutions": {"conv3x3": 1, "conv1x1": 1},
    "work": {"conv3x3": 9, "conv1x1": 1, "pool": 0.5, "add": 0.2},
    "operations": {"conv3x3": 1, "conv1x1": 1, "pool": 1, "add": 1},
    "mixed": {"conv3x3": 2.5, "conv1x1": 1, "pool": 1, "add": 0.3},
}
"""Weights under which paths are measured; every addition of a sum counts, other kinds weigh nothing.

`work` goes by multiply-accumulates, `operations` by the price of a call, `mixed` lies between them.
"""

_KINDS = (
    "", "input", "zeros", "skip", "conv1x1", "conv3x3", "pool", "add", "output",
)  # fmt: skip
"""Codes of the kinds: nothing, those of operations, and what takes the cell's output."""

_CODE = {kind: code for code, kind in enumerate(_KINDS)}
_CONVOLUTIONS = [_CODE["conv1x1"], _CODE["conv3x3"]]
_ON_EDGES = [*_CONVOLUTIONS, _CODE["pool"]]
_DEEPEST = 3
_MOST_INPUTS = 3


def describe(cells: Sequence[Cell]) -> Features:
    """Named numbers of cells, the same columns for whichever cells.

    What is the same for every cell there is makes no column. The first call looks at all of them, which takes
    a second or two; later ones look answers up.
    """
    index = np.array([_number(cell) for cell in cells], np.intp)
    names: list[str] = []
    groups: list[str] = []
    values: list[NDArray[np.float64]] = []
    for group in (*BASIC_GROUPS, *LARGE_SAMPLE_GROUPS):
        columns, table, row_of = _table(group)
        names += [f"{group}:{column}" for column in columns]
        groups += [group] * len(columns)
        values.append(table[row_of[index]].astype(np.float64))
    return Features(tuple(names), tuple(groups), np.hstack(values))


def _number(cell: Cell) -> int:
    """Place of a cell among all, the last edge changing fastest."""
    return functools.reduce(lambda number, op: number * len(OPERATIONS) + op, cell.ops, 0)


@functools.cache
def _table(group: str) -> tuple[tuple[str, ...], NDArray[Any], NDArray[np.intp]]:
    """Columns of a group, its values for every distinct view, and the row of every cell."""
    if group == "edges":
        columns, row_of = _edges(), np.arange(len(OPERATIONS) ** len(EDGES))
    else:
        view, look = group.split(".")
        graphs, row_of = _graphs(view)
        columns = _LOOKS[look](graphs)
    telling = {name: column for name, column in columns.items() if (column != column[0]).any()}
    return tuple(telling), np.stack(list(telling.values()), axis=1), row_of


def _edges() -> Columns:
    ops = np.indices((len(OPERATIONS),) * len(EDGES)).reshape(len(EDGES), -1)
    return {
        f"{source}-{target}={name}": ops[edge] == op
        for edge, (source, target) in enumerate(EDGES)
        for op, name in enumerate(OPERATIONS)
    }


@functools.cache
def _graphs(view: str) -> tuple[_Graphs, NDArray[np.intp]]:
    """The distinct views of all cells, and which of them each cell has."""
    places: dict[View, int] = {}
    every_cell = map(Cell, itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))
    row_of = [places.setdefault(VIEWS[view](cell), len(places)) for cell in every_cell]
    return _Graphs(list(places)), np.array(row_of, np.intp)


class _Graphs:
    """Many views as arrays, so that what follows is worked out for all at once.

    Attributes:
        kinds: (graphs, steps + 1), codes of the operations; 0 behind a graph's last one.
        inputs: (graphs, steps, 3), positions of what each operation takes; `steps`, where nothing stands,
            for none.
        outputs: (graphs,), position of the cell's output.
    """

    def __init__(self, views: Sequence[View]) -> None:
        self.steps = max(len(view.operations) for view in views)
        self.rows = np.arange(len(views))
        self.kinds = np.zeros((len(views), self.steps + 1), np.intp)
        self.inputs = np.full((len(views), self.steps, _MOST_INPUTS), self.steps)
        self.outputs = np.array([view.output for view in views])
        places, kinds, slots, inputs = [], [], [], []
        for row, view in enumerate(views):
            for step, (kind, taken) in enumerate(view.operations):
                places.append((row, step))
                kinds.append(_CODE[kind])
                for slot, value in enumerate(taken):
                    slots.append((row, step, slot))
                    inputs.append(value)
        self.kinds[tuple(np.array(places).T)] = kinds
        self.inputs[tuple(np.array(slots).T)] = inputs

    def of_inputs(self, values: NDArray[Any], step: int) -> NDArray[Any]:
        """What an array of (graphs, steps + 1) says of the inputs of a step: (graphs, 3)."""
        found: NDArray[Any] = values[self.rows[:, None], self.inputs[:, step]]
        return found

    @functools.cached_property
    def times(self) -> NDArray[np.intp]:
        """(graphs, steps), as how many operations each counts: a sum of three is two additions."""
        terms = (self.inputs < self.steps).sum(axis=2)
        return np.where(self.kinds[:, :-1] == _CODE["add"], terms - 1, 1)

    @functools.cached_property
    def consumers(self) -> NDArray[np.intp]:
        """(graphs, steps, kinds), how many operations of each kind take a result."""
        found = np.zeros((*self.kinds.shape, len(_KINDS)), np.intp)
        np.add.at(found, (self.rows[:, None, None], self.inputs, self.kinds[:, :-1, None]), 1)
        found[self.rows, self.outputs, _CODE["output"]] += 1
        return found[:, :-1]


def _counts(graphs: _Graphs) -> Columns:
    kinds = graphs.kinds[:, :-1]
    return {
        kind: np.where(kinds == code, graphs.times, 0).sum(axis=1)
        for kind, code in _CODE.items()
        if kind not in {"", "input", "output"}
    }


def _critical(graphs: _Graphs) -> Columns:
    columns = {f"path.{name}": _longest_path(graphs, _coded(weights)) for name, weights in _PATHS.items()}
    work = _coded(_PATHS["work"])[graphs.kinds[:, :-1]]
    columns["work.beside"] = (work * graphs.times).sum(axis=1) - columns["path.work"]
    depths = _depths(graphs)
    for depth in range(1, _DEEPEST + 1):
        here = (depths == depth) & np.isin(graphs.kinds[:, :-1], _ON_EDGES)
        columns[f"depth{depth}.heaviest"] = np.where(here, work, 0.0).max(axis=1)
        columns[f"depth{depth}.operations"] = here.sum(axis=1)
    return columns


def _coded(weights: Mapping[str, float]) -> NDArray[np.float64]:
    return np.array([weights.get(kind, 0.0) for kind in _KINDS])


def _longest_path(graphs: _Graphs, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(graphs,), the heaviest way from input to output."""
    lengths = np.zeros(graphs.kinds.shape)
    for step in range(graphs.steps):
        own = weights[graphs.kinds[:, step]] * graphs.times[:, step]
        lengths[:, step] = own + graphs.of_inputs(lengths, step).max(axis=1)
    found: NDArray[np.float64] = lengths[graphs.rows, graphs.outputs]
    return found


def _depths(graphs: _Graphs) -> NDArray[np.intp]:
    """(graphs, steps), most convolutions and pools on a way from the input to an operation, it included."""
    depths = np.zeros(graphs.kinds.shape, np.intp)
    for step in range(graphs.steps):
        own = np.isin(graphs.kinds[:, step], _ON_EDGES)
        depths[:, step] = own + graphs.of_inputs(depths, step).max(axis=1)
    return depths[:, :-1]


def _labels(graphs: _Graphs) -> Columns:
    taken = np.stack([np.sort(graphs.of_inputs(graphs.kinds, step)) for step in range(graphs.steps)], axis=1)
    labels = np.concatenate([graphs.kinds[:, :-1, None], taken], axis=2)
    return {**_occurrences(graphs, labels), **_occurrences(graphs, labels, graphs.consumers)}


def _occurrences(
    graphs: _Graphs, labels: NDArray[np.intp], consumers: NDArray[np.intp] | None = None
) -> dict[str, NDArray[Any]]:
    """How often each label occurs in each graph.

    Args:
        graphs: the graphs.
        labels: (graphs, steps, 1 + 3), an operation's kind, and the sorted kinds of what it takes.
        consumers: (graphs, steps, kinds), made part of the label where given.
    """
    graph, step = np.nonzero(graphs.kinds[:, :-1])
    parts = labels if consumers is None else np.concatenate([labels, consumers], axis=2)
    # every part is below the number of kinds, so the parts are digits of one number: quick to sort
    numbers = parts[graph, step] @ len(_KINDS) ** np.arange(parts.shape[2])
    _, first, column = np.unique(numbers, return_index=True, return_inverse=True)
    table = np.zeros((len(first), len(graphs.rows)), np.uint8)
    np.add.at(table, (column, graph), 1)
    names = [_label(*np.split(parts[graph[at], step[at]], [1, 1 + _MOST_INPUTS])) for at in first]
    return dict(zip(names, table, strict=True))


def _label(kind: NDArray[np.intp], taken: NDArray[np.intp], consumers: NDArray[np.intp]) -> str:
    """For example `add(conv3x3,pool)`, or with its consumers `add(conv3x3,pool)>conv1x1,output`."""
    label = f"{_KINDS[kind[0]]}({','.join(_KINDS[code] for code in taken if code)})"
    if not len(consumers):
        return label
    takers = [kind for kind, times in zip(_KINDS, consumers, strict=True) for _ in range(times)]
    return f"{label}>{','.join(takers)}"


def _context(graphs: _Graphs) -> Columns:
    consumers, convolutions = graphs.consumers, np.isin(graphs.kinds[:, :-1], _CONVOLUTIONS)
    single = consumers.sum(axis=2) == 1
    fusing = consumers[:, :, [*_CONVOLUTIONS, _CODE["add"]]].any(axis=2)
    return {
        "convolved": consumers[:, :, _CONVOLUTIONS].any(axis=2).sum(axis=1),
        "fusable": (convolutions & single & fusing).sum(axis=1),
        "shared": (consumers.sum(axis=2) > 1).sum(axis=1),
        "most_alive": _most_alive(graphs),
    }


def _most_alive(graphs: _Graphs) -> NDArray[np.intp]:
    """(graphs,), most tensors needed at once while the operations run in their order, the result included."""
    last = np.zeros(graphs.kinds.shape, np.intp)
    for step in range(graphs.steps):
        last[graphs.rows[:, None], graphs.inputs[:, step]] = step
    last[graphs.rows, graphs.outputs] = graphs.steps
    made = np.arange(graphs.steps)
    there = graphs.kinds[:, :-1] > 0
    alive = [(there & (made <= step) & (last[:, :-1] >= step)).sum(axis=1) for step in range(graphs.steps)]
    most: NDArray[np.intp] = np.max(alive, axis=0)
    return most


_LOOKS: dict[str, Callable[[_Graphs], Columns]] = {
    "cnt": _counts,
    "crit": _critical,
    "wl1": _labels,
    "ctx": _context,
}
