"""The best architectures of a space under limits, by known accuracies or by the score table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ponas_core.accuracies import KnownAccuracies
from ponas_core.cost import ROUNDING, CostTable, Limit
from ponas_core.score_table import Scores
from ponas_core.solve import k_best, pareto_front
from ponas_core.space import Architecture, SearchSpace

COMPARED, COMPARED_SLOWLY = 64, 8
"""How many of the table's best are ranked anew by known accuracies."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Architectures under limits, the best first.

    Attributes:
        architectures: at least one.
        optimal: whether the first is proved to be the best: over all known accuracies, or over the table.
    """

    architectures: tuple[Architecture, ...]
    optimal: bool


def select(space: SearchSpace, scores: Scores, limits: Sequence[Limit], count: int) -> Selection:
    """The best architectures under limits.

    Where every network's accuracy is known, the known ones decide. Where some are, or images are at hand to
    check networks on, the best of the table are ranked anew by that. Else the table decides; its optimum is
    exact.

    Args:
        space: the space.
        scores: the table and the known accuracies.
        limits: all of them hold.
        count: how many to return, fewer where fewer hold the limits.

    Raises:
        Infeasible: no architecture holds the limits.
    """
    if scores.known is not None and len(scores.known.values) == space.size:
        return Selection(_by_known(space, scores.known, limits, count), optimal=True)
    if scores.check is not None:
        checked = scores.check.best(space, scores.table, limits, count)
        ranked = sorted(checked, key=scores.value, reverse=True)
        return Selection(tuple(ranked[:count]), optimal=ranked[0] == checked[0])
    # with several limits every further solution is an integer program of its own
    compared = COMPARED if len(limits) < 2 else COMPARED_SLOWLY
    pool = count if scores.known is None else max(count, compared)
    solutions = k_best(scores.table.rows, limits, pool)
    found = [space.architecture(solution.choices) for solution in solutions]
    ranked = sorted(found, key=scores.value, reverse=True)
    return Selection(tuple(ranked[:count]), optimal=ranked[0] == found[0])


def _by_known(
    space: SearchSpace, known: KnownAccuracies, limits: Sequence[Limit], count: int
) -> tuple[Architecture, ...]:
    ops = np.array(list(known.values), np.intp)
    accuracy = np.array(list(known.values.values()))
    within = np.ones(len(ops), np.bool_)
    for limit in limits:
        within &= limit.cost.totals(ops) <= limit.at_most * (1 + ROUNDING)
    if not within.any():
        # the solver words the refusal: which limit, and its smallest reachable value
        k_best([np.zeros(len(layer.blocks)) for layer in space.layers], limits, 1)
    order = np.flatnonzero(within)[np.argsort(-accuracy[within], kind="stable")]
    return tuple(space.architecture(ops[index]) for index in order[:count])


def front(space: SearchSpace, scores: Scores, cost: CostTable) -> list[Architecture]:
    """Architectures that no other beats in both cost and score, cost rising.

    Exact over all known accuracies where every network's is known, else exact over the table.
    """
    known = scores.known
    if known is None or len(known.values) < space.size:
        return [space.architecture(solution.choices) for solution in pareto_front(scores.table.rows, cost)]
    ops = np.array(list(known.values), np.intp)
    accuracy = np.array(list(known.values.values()))
    order = np.lexsort((-accuracy, cost.totals(ops)))
    highest = np.maximum.accumulate(accuracy[order])
    better = np.concatenate([[True], highest[1:] > highest[:-1]])
    return [space.architecture(ops[index]) for index in order[better]]
