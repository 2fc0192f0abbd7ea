"""The networks that a search may choose from: those of a space that hold the budget.

Two ways to know them: `ListedCandidates`, one by one, with a cost of any kind; `SolvedCandidates`, by
additive limits, however many they are. Whatever a search asks of them costs no evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.cell_space import CellSpace, OpSpace
from ponas_core.cell_traits import cell_traits
from ponas_core.cost import ROUNDING, CostTable, Limit
from ponas_core.solve import Infeasible, k_best
from ponas_core.space import SearchSpace

Ops: TypeAlias = tuple[int, ...]
Rows: TypeAlias = Sequence[NDArray[np.float64]]
"""rows[place][op]: one number per op of each place; a network's is their sum."""

_COST_STEPS = 1000
"""Steps that the room between the cheapest network and the limit is divided into, to draw from it."""
_DRAWS = 1000
"""Draws after which networks that hold all limits are taken to be too rare to be drawn."""


class Candidates(Protocol):
    """The networks of a space that hold the budget; there is at least one."""

    @property
    def space(self) -> OpSpace:
        """The space."""
        ...

    @property
    def count(self) -> float:
        """How many there are, where that is known; else an upper bound."""
        ...

    @property
    def trait_counts(self) -> tuple[int, ...]:
        """Number of values of each trait."""
        ...

    def traits(self, ops: Ops) -> Ops:
        """What tells most of a network's accuracy, one value each: its ops, unless the space knows better."""
        ...

    def holds(self, ops: Ops) -> bool:
        """Whether a network is one of them."""
        ...

    def cost(self, ops: Ops) -> float | None:
        """What the budget is about, of a network that is one of them; None where there is no budget."""
        ...

    def cost_limit(self) -> float | None:
        """The budget; None where there is none."""
        ...

    def sample(self, rng: np.random.Generator) -> Ops:
        """One of them at random, all about equally likely."""
        ...

    def best(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """Those with the highest sums of one number per op, the best first.

        Fewer than `count` where there are no more, networks in `without` left out.
        """
        ...

    def best_by_traits(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """As `best`, with one number per value of each trait."""
        ...

    def within(self, alive: Sequence[Collection[int]]) -> Candidates:
        """Those whose ops are all alive.

        Args:
            alive: for each place, the ops that are.

        Raises:
            Infeasible: there are none.
        """
        ...


@dataclass(frozen=True, eq=False)
class ListedCandidates:
    """Candidates known one by one, such as the rows of a table; their cost may be anything.

    Attributes:
        space: the space.
        ops: (networks, places) op indexes, distinct, at least one network.
        costs: of each network; None without a budget. All are within the limit.
        limit: the budget; None for none.
    """

    space: OpSpace
    ops: NDArray[np.intp]
    costs: NDArray[np.float64] | None = None
    limit: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for no networks, a network twice, or a cost over the limit."""
        if not len(self.ops):
            raise ValueError(f"no network of {self.space.name} is a candidate")
        if len(self._index) != len(self.ops):
            raise ValueError("a candidate is listed twice")
        if self.costs is not None and self.limit is not None and (self.costs > self.limit).any():
            raise ValueError("a candidate does not hold the limit")

    @classmethod
    def under(
        cls, space: OpSpace, ops: NDArray[np.intp], costs: NDArray[np.float64], limit: float, name: str
    ) -> ListedCandidates:
        """The networks whose cost is at most the limit, exactly; the others are left out.

        Raises:
            Infeasible: there are none; it tells the smallest cost.
        """
        within = costs <= limit
        if not within.any():
            raise Infeasible(name, limit, float(costs.min()))
        return cls(space, ops[within], costs[within], limit)

    @cached_property
    def _index(self) -> dict[Ops, int]:
        return {ops: row for row, ops in enumerate(map(tuple, self.ops.tolist()))}

    @cached_property
    def _traits(self) -> NDArray[np.intp]:
        return cell_traits(self.ops)[0] if isinstance(self.space, CellSpace) else self.ops

    @property
    def count(self) -> float:
        """How many there are."""
        return len(self.ops)

    @property
    def trait_counts(self) -> tuple[int, ...]:
        """Number of values of each trait."""
        return cell_traits(self.ops[:1])[1] if isinstance(self.space, CellSpace) else self.space.op_counts

    def traits(self, ops: Ops) -> Ops:
        """The traits of one of them."""
        return tuple(self._traits[self._index[ops]].tolist())

    def holds(self, ops: Ops) -> bool:
        """Whether a network is listed."""
        return ops in self._index

    def cost(self, ops: Ops) -> float | None:
        """Cost of one of them."""
        return None if self.costs is None else float(self.costs[self._index[ops]])

    def cost_limit(self) -> float | None:
        """The budget."""
        return self.limit

    def sample(self, rng: np.random.Generator) -> Ops:
        """One of them, all equally likely."""
        return self._at(int(rng.integers(len(self.ops))))

    def best(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """Those with the highest sums, the first listed of equals."""
        return self._highest(self.ops, rows, count, without)

    def best_by_traits(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """Those with the highest sums over traits, the first listed of equals."""
        return self._highest(self._traits, rows, count, without)

    def within(self, alive: Sequence[Collection[int]]) -> ListedCandidates:
        """Those whose ops are all alive; Infeasible where there are none."""
        kept = np.ones(len(self.ops), np.bool_)
        for place, ops in enumerate(alive):
            kept &= np.isin(self.ops[:, place], list(ops))
        if not kept.any():
            raise Infeasible("cost", math.inf if self.limit is None else self.limit, math.inf)
        costs = None if self.costs is None else self.costs[kept]
        return ListedCandidates(self.space, self.ops[kept], costs, self.limit)

    def _at(self, row: int) -> Ops:
        return tuple(self.ops[row].tolist())

    def _highest(
        self, chosen: NDArray[np.intp], rows: Rows, count: int, without: Collection[Ops]
    ) -> list[Ops]:
        score = np.zeros(len(chosen))
        for place, row in enumerate(rows):
            score += np.asarray(row)[chosen[:, place]]
        score[[self._index[ops] for ops in without if ops in self._index]] = -np.inf
        count = min(count, int((score > -np.inf).sum()))
        if count == 1:
            return [self._at(int(score.argmax()))]
        return [self._at(row) for row in np.argsort(-score, kind="stable")[:count].tolist()]


@dataclass(frozen=True, eq=False)
class SolvedCandidates:
    """Candidates known by additive limits, found by the exact solver; there may be 1e20 of them.

    Attributes:
        space: the space.
        limits: all of them hold; the first is what `cost` tells.
        alive: for each layer, the ops that may be chosen; None for all.
    """

    space: SearchSpace
    limits: tuple[Limit, ...] = ()
    alive: tuple[tuple[int, ...], ...] | None = None
    _allowed: tuple[NDArray[np.intp], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raise Infeasible where there are none, with the smallest reachable cost."""
        alive = self.alive or tuple(tuple(range(count)) for count in self.space.op_counts)
        object.__setattr__(self, "_allowed", tuple(np.array(sorted(ops), np.intp) for ops in alive))
        if not all(map(len, alive)):
            limit = self.limits[0].at_most if self.limits else math.inf
            raise Infeasible(self.limits[0].cost.name if self.limits else "cost", limit, math.inf)
        k_best([np.zeros(len(ops)) for ops in self._allowed], self._limits, 1)

    @cached_property
    def _limits(self) -> tuple[Limit, ...]:
        """The limits over the ops that are alive."""
        return tuple(
            Limit(CostTable(limit.cost.name, limit.cost.fixed, self._rows(limit.cost.rows)), limit.at_most)
            for limit in self.limits
        )

    def _rows(self, rows: Rows) -> tuple[NDArray[np.float64], ...]:
        return tuple(np.asarray(row, np.float64)[ops] for row, ops in zip(rows, self._allowed, strict=True))

    @property
    def count(self) -> float:
        """How many there would be without limits."""
        return math.prod(len(ops) for ops in self._allowed)

    @property
    def trait_counts(self) -> tuple[int, ...]:
        """Number of ops of each layer."""
        return self.space.op_counts

    def traits(self, ops: Ops) -> Ops:
        """The ops."""
        return ops

    def holds(self, ops: Ops) -> bool:
        """Whether a network's ops are alive and within all limits."""
        if self.alive is not None and not all(op in kept for op, kept in zip(ops, self.alive, strict=True)):
            return False
        return all(limit.holds(ops) for limit in self.limits)

    def cost(self, ops: Ops) -> float | None:
        """Cost by the first limit."""
        return self.limits[0].cost.total(ops) if self.limits else None

    def cost_limit(self) -> float | None:
        """The first limit."""
        return self.limits[0].at_most if self.limits else None

    def sample(self, rng: np.random.Generator) -> Ops:
        """One of them, all equally likely.

        The room under the first limit is divided into steps, and costs are counted in whole steps, rounded
        down; so how many completions a prefix has can be counted. A draw that is beyond a limit, by its
        rounding or since there are others, is thrown away. Where almost all draws are, the solver finds a
        network for random scores, and not all are equally likely then.
        """
        if not self.limits:
            return tuple(int(rng.choice(ops)) for ops in self._allowed)
        for _ in range(0 if self._rare else _DRAWS):
            ops = self._draw(rng)
            if self.holds(ops):
                return ops
        return self.best([rng.standard_normal(count) for count in self.space.op_counts])[0]

    @cached_property
    def _rare(self) -> bool:
        """Whether draws are in vain, so that no call need try them anew."""
        rng = np.random.default_rng(0)
        return not any(self.holds(self._draw(rng)) for _ in range(_DRAWS))

    def _draw(self, rng: np.random.Generator) -> Ops:
        room, ops = _COST_STEPS, []
        for layer, (alive, steps) in enumerate(zip(self._allowed, self._steps, strict=True)):
            fits = steps <= room
            ways = np.where(fits, self._completions[layer + 1][np.where(fits, room - steps, 0)], 0.0)
            up_to = np.cumsum(ways)
            chosen = int(np.searchsorted(up_to, rng.random() * up_to[-1], side="right"))
            room -= int(steps[chosen])
            ops.append(int(alive[chosen]))
        return tuple(ops)

    @cached_property
    def _steps(self) -> tuple[NDArray[np.intp], ...]:
        """Cost of every op above the layer's cheapest, in whole steps, rounded down."""
        cost, at_most = self._limits[0].cost, self._limits[0].at_most
        spare = at_most - cost.total(cost.smallest())
        most = _COST_STEPS + 1
        if spare <= 0:
            return tuple(np.where(row > row.min(), most, 0) for row in cost.rows)
        return tuple(
            np.minimum((row - row.min()) / spare * _COST_STEPS * (1 - ROUNDING), most).astype(np.intp)
            for row in cost.rows
        )

    @cached_property
    def _completions(self) -> list[NDArray[np.float64]]:
        """How many networks of the layers from each one on fit in each number of steps, relatively."""
        found = [np.ones(_COST_STEPS + 1)]
        for steps in reversed(self._steps):
            ways = np.zeros(_COST_STEPS + 1)
            for step in steps[steps <= _COST_STEPS]:
                ways[step:] += found[-1][: _COST_STEPS + 1 - step]
            found.append(ways / ways.max())  # 1e300 networks are not counted, only compared
        return found[::-1]

    def best(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """Those with the highest sums, exactly."""
        found: list[Ops] = []
        asked = count
        while True:
            solutions = list(self._solutions(rows, asked))
            found = [ops for ops in solutions if ops not in without][:count]
            # a network that is left out takes the place of one that is not
            if len(found) == count or len(solutions) < asked:
                return found
            asked = min(2 * asked, count + len(without)) if asked < count + len(without) else 2 * asked

    def _solutions(self, rows: Rows, count: int) -> Iterator[Ops]:
        for solution in k_best(self._rows(rows), self._limits, count):
            chosen = zip(self._allowed, solution.choices, strict=True)
            yield tuple(int(alive[choice]) for alive, choice in chosen)

    def best_by_traits(self, rows: Rows, count: int = 1, *, without: Collection[Ops] = ()) -> list[Ops]:
        """Those with the highest sums, exactly."""
        return self.best(rows, count, without=without)

    def within(self, alive: Sequence[Collection[int]]) -> SolvedCandidates:
        """Those whose ops are all alive; Infeasible where there are none."""
        both = tuple(
            tuple(sorted(set(kept.tolist()) & set(ops)))
            for kept, ops in zip(self._allowed, alive, strict=True)
        )
        return SolvedCandidates(self.space, self.limits, both)
