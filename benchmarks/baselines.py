"""What others do, and what was done before: to be compared with, not to be used.

Greedy solvers of a score table, progressive cells without common contexts, and a ridge of fixed strength.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ponas_core.cost import Limit
from ponas_core.evaluation import Evaluator, ledger_of
from ponas_core.sampling import random_sample
from ponas_core.score_table import ScoreTable, log_error
from ponas_core.space import Architecture, SearchSpace
from ponas_core.table_estimation import progressive_table

Ops = tuple[int, ...]


def least_loss(rows: Sequence[NDArray[np.float64]], limit: Limit) -> Ops:
    """From every layer's best, replace the block that loses least by a cheaper one, until the limit holds."""
    return _descend(rows, limit, lambda loss, saving: loss)


def least_loss_per_cost(rows: Sequence[NDArray[np.float64]], limit: Limit) -> Ops:
    """The same by the loss for each unit of cost that is saved."""
    return _descend(rows, limit, lambda loss, saving: loss / saving)


def _descend(
    rows: Sequence[NDArray[np.float64]], limit: Limit, price: Callable[[float, float], float]
) -> Ops:
    ops = [int(np.argmax(row)) for row in rows]
    while not limit.holds(ops):
        steps = []
        for layer, (row, costs) in enumerate(zip(rows, limit.cost.rows, strict=True)):
            now = ops[layer]
            for op in np.flatnonzero(costs < costs[now]).tolist():
                loss, saving = float(row[now] - row[op]), float(costs[now] - costs[op])
                steps.append((price(loss, saving), layer, op))
        _, layer, op = min(steps)
        ops[layer] = op
    return tuple(ops)


def progressive_with_own_contexts(
    space: SearchSpace, evaluator: Evaluator, rng: np.random.Generator, contexts: int
) -> ScoreTable:
    """Progressive cells whose candidates meet contexts of their own."""
    ledger = ledger_of(evaluator)
    cells: list[list[float]] = [[] for _ in space.layers]

    def settle(layer: int, op: int, evaluate: Callable[[], float]) -> float:
        winners = [int(np.argmax(row)) for row in cells[:layer]]
        behind = [space.sample(rng).ops[layer + 1 :] for _ in range(contexts)]
        networks = [space.architecture((*winners, op, *rest)) for rest in behind]
        cells[layer].append(float(np.mean([ledger.accuracy(network) for network in networks])))
        return cells[layer][-1]

    table = progressive_table(space, ledger, rng, contexts=1, settle=settle)
    return _counted(table, ledger.evaluations)


def fixed_ridge(
    space: SearchSpace, evaluator: Evaluator, rng: np.random.Generator, count: int, ridge: float = 0.2
) -> ScoreTable:
    """A fit to random networks that shrinks entries towards 0, as strongly whatever the noise."""
    networks = random_sample(space, rng, count)
    target = log_error([evaluator.accuracy(network) for network in networks])
    design = one_hot(space, networks)
    centre, mean = design.mean(axis=0), target.mean()
    gram = (design - centre).T @ (design - centre) + ridge * np.eye(design.shape[1])
    entries = np.linalg.solve(gram, (design - centre).T @ (target - mean))
    ends = np.cumsum([0, *(len(layer.blocks) for layer in space.layers)])
    rows = tuple(entries[start:end] for start, end in itertools.pairwise(ends))
    table = ScoreTable(space.name, "accuracy", "", rows, float(mean - centre @ entries), "log-error")
    return _counted(table, count)


def one_hot(space: SearchSpace, networks: Sequence[Architecture]) -> NDArray[np.float64]:
    """One column for each (layer, op)."""
    return np.array(
        [
            np.concatenate(
                [np.eye(len(layer.blocks))[op] for layer, op in zip(space.layers, net.ops, strict=True)]
            )
            for net in networks
        ]
    )


def _counted(table: ScoreTable, evaluations: int) -> ScoreTable:
    return ScoreTable(
        table.space,
        table.kind,
        table.meaning,
        table.rows,
        table.intercept,
        table.link,
        {"evaluations": evaluations},
    )
