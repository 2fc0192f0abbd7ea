"""Candidates of every kind, and evaluators that know all of them."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import Encoded
from ponas_core.cell_space import CELL_SPACES, OpSpace
from ponas_core.complexity import complexity
from ponas_core.cost import CostTable, Limit
from ponas_core.evaluation import Evaluator
from ponas_core.searches.candidates import Candidates, ListedCandidates, Ops, SolvedCandidates
from ponas_core.space import SearchSpace
from tests.ponas_core.additive import MACRO, uneven_space

UNEVEN = uneven_space()
CELLS = CELL_SPACES["nasbench201"]


@cache
def every(op_counts: tuple[int, ...]) -> NDArray[np.intp]:
    """All networks of a space, (networks, places)."""
    return np.array(list(np.ndindex(*op_counts)), np.intp)


def cheapest(cost: CostTable, count: int) -> Limit:
    """The limit that so many networks hold, and more where costs are equal."""
    counts = tuple(len(row) for row in cost.rows)
    return Limit(cost, float(np.sort(cost.totals(every(counts)))[count - 1]))


def listed(space: OpSpace, cost: CostTable | None = None, count: int = 0) -> ListedCandidates:
    """All networks of a space, or the cheapest."""
    ops = every(space.op_counts)
    if cost is None:
        return ListedCandidates(space, ops)
    return ListedCandidates.under(space, ops, cost.totals(ops), cheapest(cost, count).at_most, cost.name)


def solved(space: SearchSpace, *costs: CostTable, count: int = 0) -> SolvedCandidates:
    """As many networks as are the cheapest of each cost."""
    return SolvedCandidates(space, tuple(cheapest(cost, count) for cost in costs))


def distinct_cost(space: OpSpace, seed: int = 0) -> CostTable:
    """A cost of which no two networks have the same."""
    rng = np.random.default_rng(seed)
    return CostTable("latency_ms", 3.0, tuple(rng.uniform(0, 10, count) for count in space.op_counts))


CANDIDATES: dict[str, Callable[[], Candidates]] = {
    "chain, solved": lambda: solved(MACRO),
    "chain, solved under a budget": lambda: solved(MACRO, complexity(MACRO, "macs"), count=1500),
    "uneven chain, solved under two budgets": lambda: solved(
        UNEVEN, distinct_cost(UNEVEN), distinct_cost(UNEVEN, 1), count=50
    ),
    "uneven chain, some ops": lambda: solved(UNEVEN).within([range(max(1, n - 1)) for n in UNEVEN.op_counts]),
    "uneven chain, listed under a budget": lambda: listed(UNEVEN, distinct_cost(UNEVEN), 100),
    "cells": lambda: listed(CELLS),
    "cells under a budget": lambda: listed(CELLS, distinct_cost(CELLS), 4000),
    "one in a list": lambda: listed(UNEVEN, distinct_cost(UNEVEN), 1),
    "three in a list": lambda: listed(UNEVEN, distinct_cost(UNEVEN), 3),
    "three cells": lambda: ListedCandidates(CELLS, np.array([[0] * 6, [2, 2, 2, 2, 2, 2], [4] * 6])),
    "one, solved": lambda: solved(MACRO, distinct_cost(MACRO), count=1),
    "three, solved": lambda: solved(MACRO, distinct_cost(MACRO), count=3),
}
"""Every kind that a search must do with."""


class World:
    """An evaluator: accuracies of about 60 to 100 per cent that add up, with noise where asked for.

    A network's noise is always the same, so that an interrupted search meets it again.

    Args:
        op_counts: number of ops of each place.
        seed: of accuracies and noise.
        noise_sd: standard deviation of the noise, in points.
        most: evaluations after which the next one is interrupted.
    """

    description = "a world that adds up"

    def __init__(
        self, op_counts: Sequence[int], seed: int = 0, noise_sd: float = 0.0, most: float = np.inf
    ) -> None:
        rng = np.random.default_rng(seed)
        self.rows = [rng.uniform(-2, 2, count) for count in op_counts]
        self._seed, self._noise_sd, self._most = seed, noise_sd, most
        self.asked: list[Ops] = []

    def true(self, ops: Ops) -> float:
        return 80 + float(sum(row[op] for row, op in zip(self.rows, ops, strict=True)))

    def accuracy(self, architecture: Encoded) -> float:
        if len(self.asked) >= self._most:
            raise KeyboardInterrupt
        self.asked.append(architecture.ops)
        noise = np.random.default_rng([self._seed, *architecture.ops]).standard_normal()
        return float(np.clip(self.true(architecture.ops) + self._noise_sd * noise, 0, 100))


class Crew:
    """Workers of paper who take one unit of time for a network, so that only the order of a search counts.

    Args:
        evaluator: answers.
        workers: how many; whoever is free first begins with what was announced first.
    """

    def __init__(self, evaluator: Evaluator, workers: int) -> None:
        self.clock = 0.0
        self._evaluator = evaluator
        self._free_at = [0.0] * workers
        self._done_at: dict[Ops, float] = {}

    def expect(self, architectures: Sequence[Encoded]) -> None:
        for architecture in architectures:
            if architecture.ops not in self._done_at:
                done_at = max(heapq.heappop(self._free_at), self.clock) + 1
                heapq.heappush(self._free_at, done_at)
                self._done_at[architecture.ops] = done_at

    def accuracy(self, architecture: Encoded) -> float:
        self.expect([architecture])
        self.clock = max(self.clock, self._done_at[architecture.ops])
        return self._evaluator.accuracy(architecture)
