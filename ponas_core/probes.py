"""Which whole networks are worth measuring beside the blocks."""

from __future__ import annotations

import numpy as np

from ponas_core.complexity import complexity
from ponas_core.cost import CostTable, Limit
from ponas_core.score_table import ScoreTable
from ponas_core.solve import best, pareto_front
from ponas_core.space import Architecture, SearchSpace

LOWEST_SHARE, HIGHEST_SHARE = 0.1, 0.8


def winners(space: SearchSpace, scores: ScoreTable, cost: CostTable, count: int) -> list[Architecture]:
    """Networks that the solver picks at costs evenly spread over 10-80 % of the range of its front.

    A solver picks just the blocks that a table flatters, so its picks, not random networks, show by how much.
    Fewer are returned where neighbouring budgets give one network.

    Args:
        space: the space.
        scores: what the solver maximises.
        cost: the uncorrected cost.
        count: how many budgets.
    """
    front = pareto_front(scores.rows, cost)
    low, high = front[0].costs[cost.name], front[-1].costs[cost.name]
    shares = np.linspace(LOWEST_SHARE, HIGHEST_SHARE, count)
    found = (best(scores.rows, [Limit(cost, low + share * (high - low))]).choices for share in shares)
    return [space.architecture(ops) for ops in dict.fromkeys(found)]


def covering(space: SearchSpace, rng: np.random.Generator, times: int) -> list[Architecture]:
    """Random networks that together hold every candidate of every layer so many times at least.

    Each layer goes through its candidates in an order of its own, as in fair single-path sampling (FairNAS,
    Chu et al. 2021, section 3).
    """
    widest = max(len(layer.blocks) for layer in space.layers)
    found = []
    for _ in range(times):
        orders = [
            [order[index % len(order)] for index in range(widest)]
            for order in (rng.permutation(len(layer.blocks)) for layer in space.layers)
        ]
        found += [space.architecture([int(order[index]) for order in orders]) for index in range(widest)]
    return found


def canaries(space: SearchSpace) -> tuple[Architecture, Architecture]:
    """Two fixed networks, light and heavy, whose latency tells whether a machine's level has moved."""
    rows = complexity(space, "macs").rows
    light, heavy = (
        space.architecture(
            [int(np.argsort(row, kind="stable")[round(share * (row.size - 1))]) for row in rows]
        )
        for share in (1 / 3, 3 / 4)
    )
    return light, heavy
