"""The exact solver: the best architectures under additive limits (multiple-choice knapsack).

One limit: the fronts of all suffixes of the chain, non-dominated in (cost, score), are merged layer by layer
(Nemhauser and Ullmann 1969). They give the whole Pareto front, and the exact value of completing any prefix;
a best-first search over prefixes then yields the k best in order without ever expanding a wasted prefix.

Several limits: integer programming with HiGHS (`scipy.optimize.milp`), no gap allowed.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.cost import ROUNDING, CostTable, Limit

ScoreRows = Sequence[NDArray[np.float64]]
LARGEST_FRONT = 2_000_000


class Infeasible(ValueError):
    """No architecture holds a limit.

    Attributes:
        name: the cost that cannot be held.
        at_most: its limit.
        smallest: its smallest reachable value, the other limits held.
        others: names of those other limits.
    """

    def __init__(self, name: str, at_most: float, smallest: float, others: Sequence[str] = ()) -> None:
        """Store the figures and say them to the last digit, so that the smallest is feasible when typed."""
        self.name, self.at_most, self.smallest = name, float(at_most), float(smallest)
        self.others = tuple(others)
        beside = f" while {', '.join(others)} hold" if others else ""
        super().__init__(
            f"no architecture has {name} <= {self.at_most!r}: "
            f"the smallest reachable is {self.smallest!r}{beside}"
        )


class FrontTooLarge(ValueError):
    """So many networks are non-dominated that the exact front does not fit in memory."""


@dataclass(frozen=True, slots=True)
class Solution:
    """An architecture with its exact score and costs.

    Attributes:
        choices: op index per layer.
        score: sum of the scores.
        costs: total of every cost that was asked for, by name.
    """

    choices: tuple[int, ...]
    score: float
    costs: Mapping[str, float]


def best(scores: ScoreRows, limits: Sequence[Limit]) -> Solution:
    """The architecture with the highest score within all limits; Infeasible when there is none."""
    return k_best(scores, limits, 1)[0]


def k_best(scores: ScoreRows, limits: Sequence[Limit], k: int) -> tuple[Solution, ...]:
    """The k architectures with the highest scores within all limits, the best first.

    Args:
        scores: `scores[layer][op]`, higher is better.
        limits: all of them hold; none is allowed.
        k: how many; fewer are returned where fewer hold the limits.

    Raises:
        Infeasible: no architecture holds the limits.
    """
    for limit in limits:
        smallest = limit.cost.total(limit.cost.smallest())
        if smallest > limit.at_most * (1 + ROUNDING):
            raise Infeasible(limit.cost.name, limit.at_most, smallest)
    found = _search(scores, limits, k) if len(limits) < 2 else _integer_programs(scores, limits, k)
    solutions = (_solution(scores, [limit.cost for limit in limits], choices) for choices in found)
    return tuple(sorted(solutions, key=lambda solution: -solution.score))


def pareto_front(scores: ScoreRows, cost: CostTable) -> tuple[Solution, ...]:
    """All architectures that no other beats in both cost and score, cost rising; ties: one is kept."""
    front: list[Solution] = []
    for choices in _backtrack(_suffix_fronts(scores, cost, math.inf)):
        solution = _solution(scores, [cost], choices)
        # equal sums in another order may differ by their rounding; exact totals tell
        if not front or solution.score > front[-1].score:
            # ... and one that costs the same but for that rounding, and scores less, is beaten
            while front and Limit(cost, front[-1].costs[cost.name]).holds(choices):
                front.pop()
            front.append(solution)
    return tuple(front)


@dataclass(frozen=True, slots=True)
class _Front:
    """Non-dominated completions of one suffix, cost rising; `op` and `rest` lead to the next suffix."""

    cost: NDArray[np.float64]
    score: NDArray[np.float64]
    op: NDArray[np.intp]
    rest: NDArray[np.intp]


def _suffix_fronts(scores: ScoreRows, cost: CostTable, at_most: float) -> list[_Front]:
    """Fronts of the suffixes that begin at each layer, and the empty one behind the last."""
    empty = np.zeros(1, np.intp)
    fronts = [_Front(np.zeros(1), np.zeros(1), empty, empty)]
    # what the layers in front cost at least; a suffix beyond the rest can be dropped
    prefix = np.concatenate([[0.0], np.cumsum([row.min() for row in cost.rows])]) + cost.fixed
    for layer in reversed(range(len(cost.rows))):
        room = at_most * (1 + ROUNDING) - prefix[layer] + ROUNDING * abs(prefix[layer])
        fronts.append(_merge(fronts[-1], cost.rows[layer], np.asarray(scores[layer]), room, _grain(scores)))
    return fronts[::-1]


def _merge(
    after: _Front, costs: NDArray[np.float64], scores: NDArray[np.float64], room: float, grain: float
) -> _Front:
    """Front of one layer in front of a suffix."""
    width = after.cost.size
    if width * costs.size > LARGEST_FRONT:
        raise FrontTooLarge(f"the exact front has over {LARGEST_FRONT} members; solve single budgets instead")
    cost = np.add.outer(costs, after.cost).ravel()
    score = np.add.outer(scores, after.score).ravel()
    within = np.flatnonzero(cost <= room)
    order = within[np.lexsort((-score[within], cost[within]))]
    highest = np.maximum.accumulate(score[order])
    # what is better by the rounding of a sum only is not better: ties would fill the front
    keep = order[np.concatenate([[True], highest[1:] > highest[:-1] + grain])] if order.size else order
    return _Front(cost[keep], score[keep], keep // width, keep % width)


def _grain(scores: ScoreRows) -> float:
    """Difference below which two sums of scores are taken for equal: the rounding of a sum."""
    return ROUNDING * sum(float(np.abs(row).max()) for row in scores)


def _backtrack(fronts: Sequence[_Front]) -> Iterator[tuple[int, ...]]:
    for start in range(fronts[0].cost.size):
        index, choices = start, []
        for front in fronts[:-1]:
            choices.append(int(front.op[index]))
            index = int(front.rest[index])
        yield tuple(choices)


def _search(scores: ScoreRows, limits: Sequence[Limit], k: int) -> list[tuple[int, ...]]:
    """Best-first over prefixes, the exact value of the best completion being known.

    Among equal values the longest prefix goes first, so that ties (layers that can be exchanged) are not
    worked off breadth-first; values that differ by the rounding of a sum only are equal.
    """
    free = CostTable("none", 0.0, tuple(np.zeros(len(row)) for row in scores))
    limit = limits[0] if limits else Limit(free, 0.0)
    fronts = _suffix_fronts(scores, limit.cost, limit.at_most)
    room = limit.at_most * (1 + ROUNDING) - limit.cost.fixed
    grain = _grain(scores)
    # (minus the value, minus the length, prefix, its cost, its score): what is popped first is best
    heap: list[tuple[float, int, tuple[int, ...], float, float]] = [(-math.inf, 0, (), 0.0, 0.0)]
    found: list[tuple[int, ...]] = []
    while heap and len(found) < k:
        promised, _, prefix, cost, score = heapq.heappop(heap)
        layer = len(prefix)
        if layer == len(scores):
            found.append(prefix)
            continue
        after = fronts[layer + 1]
        costs, values = cost + limit.cost.rows[layer], score + np.asarray(scores[layer])
        # one rounding of slack: the same sum in another order must not drop the answer
        places = np.searchsorted(after.cost, room - costs + ROUNDING * abs(room), side="right") - 1
        for op in np.flatnonzero(places >= 0):
            value = float(values[op] + after.score[places[op]])
            bound = promised if abs(value + promised) <= grain else -value
            child = (*prefix, int(op))
            heapq.heappush(heap, (bound, -len(child), child, float(costs[op]), float(values[op])))
    return found


def _integer_programs(scores: ScoreRows, limits: Sequence[Limit], k: int) -> list[tuple[int, ...]]:
    """One integer program a solution; each answer is cut off before the next is asked for."""
    found: list[tuple[int, ...]] = []
    cuts: list[tuple[int, ...]] = []
    while len(found) < k:
        choices = _integer_program(scores, limits, cuts)
        if choices is None:
            break
        cuts.append(choices)
        if all(limit.holds(choices) for limit in limits):
            found.append(choices)  # else: over a limit by the program's tolerance, cut off and asked again
    if not found:
        raise _jointly_infeasible(limits)
    return found


def _integer_program(
    scores: ScoreRows, limits: Sequence[Limit], cuts: Sequence[tuple[int, ...]]
) -> tuple[int, ...] | None:
    """The best choices that differ from every cut; None when there are none."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    sizes = [len(row) for row in scores]
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    one_each = np.zeros((len(sizes), sum(sizes)))
    for layer, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        one_each[layer, start : start + size] = 1
    constraints = [LinearConstraint(one_each, 1, 1)]
    for limit in limits:
        costs = np.concatenate(limit.cost.rows)
        # rows of about 1 suit the program's absolute tolerances; a tiny limit alone would give huge ones
        unit = max(limit.at_most, float(np.abs(costs).max())) or 1.0
        row = costs / unit
        constraints.append(LinearConstraint(row, -np.inf, (limit.at_most - limit.cost.fixed) / unit))
    for choices in cuts:
        row = np.zeros(sum(sizes))
        row[starts + np.array(choices)] = 1
        constraints.append(LinearConstraint(row, -np.inf, len(sizes) - 1))
    objective = -np.concatenate([np.asarray(row, np.float64) for row in scores])
    with _stdout_apart():
        answer = milp(
            objective,
            constraints=constraints,
            integrality=np.ones(sum(sizes)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
    if answer.x is None:
        return None
    return tuple(
        int(np.argmax(answer.x[start : start + size])) for start, size in zip(starts, sizes, strict=True)
    )


@contextlib.contextmanager
def _stdout_apart() -> Iterator[None]:
    """Send what HiGHS prints from C, whatever its options, to stderr: stdout is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _jointly_infeasible(limits: Sequence[Limit]) -> Infeasible:
    """Which value the first cost can reach while the others hold."""
    first, *others = limits
    cheapest = k_best([-row for row in first.cost.rows], others, 1)[0]
    smallest = first.cost.total(cheapest.choices)
    return Infeasible(first.cost.name, first.at_most, smallest, [limit.cost.name for limit in others])


def _solution(scores: ScoreRows, costs: Sequence[CostTable], choices: tuple[int, ...]) -> Solution:
    score = math.fsum(float(row[op]) for row, op in zip(scores, choices, strict=True))
    return Solution(choices, score, {cost.name: cost.total(choices) for cost in costs})
