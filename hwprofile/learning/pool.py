"""What a search chooses from: the networks of a space that hold every budget, however these are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwprofile.budget import Budget, exactly, parse_budget
from hwprofile.errors import BadInput, BudgetInfeasible, UserError
from hwprofile.learning.network_latency import AddedLatency, MeasuredLatency, NetworkLatency, latency_named
from ponas_core.cell_space import CellSpace, OpSpace
from ponas_core.complexity import COMPLEXITIES, complexity
from ponas_core.cost import CostTable, Limit
from ponas_core.searches.candidates import Candidates, ListedCandidates, Ops, SolvedCandidates
from ponas_core.solve import Infeasible
from ponas_core.space import SearchSpace

MOST_LISTED = 1_000_000
"""Networks of a space that are listed one by one where their latencies do not add up."""
_LATENCY = "latency_ms"


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates, and what is known of their latencies.

    Attributes:
        candidates: the networks that hold all budgets.
        limits: the budgets, by what they limit.
        added: adds their latencies up; None where they are listed, or none are known.
        listed_ms: latencies of listed candidates, in their order, milliseconds; None as above.
    """

    candidates: Candidates
    limits: Mapping[str, float]
    added: CostTable | None = None
    listed_ms: NDArray[np.float64] | None = field(default=None, repr=False)

    def latency_ms(self, ops: Ops) -> float | None:
        """Latency of a candidate, by which it was held against the budget; None where none is known."""
        if self.added is not None:
            return self.added.total(ops)
        return self._by_ops.get(ops)

    @cached_property
    def _by_ops(self) -> dict[Ops, float]:
        if self.listed_ms is None or not isinstance(self.candidates, ListedCandidates):
            return {}
        rows = map(tuple, self.candidates.ops.tolist())
        return dict(zip(rows, self.listed_ms.tolist(), strict=True))


@dataclass(frozen=True)
class Choosing:
    """What a network that is chosen has to hold.

    Attributes:
        latency: a CSV file with arch,latency_ms, a predictor or a profile; None for none.
        budgets: all of them hold.
    """

    latency: Path | None = None
    budgets: tuple[Budget, ...] = ()

    @classmethod
    def typed(cls, latency: Path | None, budgets: Sequence[str]) -> Choosing:
        """From what a person typed; BadInput for what is no budget."""
        return cls(latency, tuple(map(parse_budget, budgets)))

    def pool(self, space: OpSpace, known: NDArray[np.intp] | None = None) -> Pool:
        """The networks that hold all budgets, among known ones only where these are given.

        Errors are those of `candidates_for`.
        """
        latency = None if self.latency is None else latency_named(self.latency, space)
        return candidates_for(space, self.budgets, latency, known)


def candidates_for(
    space: OpSpace,
    budgets: Sequence[Budget],
    latency: NetworkLatency | None,
    known: NDArray[np.intp] | None = None,
) -> Pool:
    """The networks of a space that hold every budget, compared exactly.

    With known networks, or latencies in a CSV file, those are listed. Where latencies add up, the solver
    finds candidates in a chain of any size. Else all networks are listed, if there are not too many.

    Args:
        space: the space.
        budgets: all of them hold.
        latency: of the networks; those whose latency it does not know are no candidates.
        known: the only networks that may be chosen, distinct, (networks, places) op indexes; None for all.

    Raises:
        BadInput: a budget that cannot be held against these networks.
        BudgetInfeasible: no network holds the budgets; the message gives the smallest reachable value.
        UserError: no network may be chosen, or too many would have to be listed.
    """
    limits = _limits(space, budgets, latency)
    try:
        if known is None and isinstance(latency, MeasuredLatency):
            known = latency.ops
        if known is None and isinstance(space, SearchSpace):
            if latency is None or isinstance(latency, AddedLatency):
                return _solved(space, limits, latency)
            if space.size >= MOST_LISTED:
                raise UserError(
                    f"{latency.origin} does not add up over layers, and {space.name} has too many networks "
                    "to list: give --latency a profile of its blocks, of `hwprofile bench`"
                )
        listed = _every_network(space) if known is None else known
        return _listed(space, listed, limits, latency)
    except Infeasible as error:
        raise BudgetInfeasible(_words(space, error, limits)) from error


def _limits(space: OpSpace, budgets: Sequence[Budget], latency: NetworkLatency | None) -> dict[str, float]:
    """The smallest budget of every quantity, latency first."""
    found: dict[str, float] = {}
    for budget in sorted(budgets, key=lambda budget: budget.quantity != _LATENCY):
        if budget.quantity == "latency_share":
            raise BadInput(
                f"--budget {budget.text}: a share is of the latency of the most accurate network, which a "
                "search does not know yet; write a latency, for example 15ms"
            )
        if budget.quantity == "energy_mj":
            raise BadInput(
                f"--budget {budget.text}: no energy source: a search knows latencies and sizes; "
                "`hwprofile specialize` limits energy too"
            )
        if budget.quantity == _LATENCY and latency is None:
            raise BadInput(f"--budget {budget.text} needs --latency: a CSV file, a predictor or a profile")
        if budget.quantity == "stored_bytes" and isinstance(space, CellSpace):
            raise BadInput(
                f"--budget {budget.text}: the bytes of a network of {space.name} are not known, since a file "
                "holds only what reaches the output; limit parameters instead, for example 0.5Mparams"
            )
        found[budget.quantity] = min(budget.at_most, found.get(budget.quantity, budget.at_most))
    return found


def _solved(space: SearchSpace, limits: Mapping[str, float], latency: AddedLatency | None) -> Pool:
    costs: dict[str, CostTable] = {
        quantity: complexity(space, quantity) for quantity in COMPLEXITIES if quantity in limits
    }
    added = None if latency is None else latency.model.cost
    if added is not None:
        costs[_LATENCY] = added
    held = tuple(Limit(costs[quantity], at_most) for quantity, at_most in limits.items())
    return Pool(SolvedCandidates(space, held), limits, added)


def _every_network(space: OpSpace) -> NDArray[np.intp]:
    counts = space.op_counts
    return np.indices(counts).reshape(len(counts), -1).T


def _listed(
    space: OpSpace, ops: NDArray[np.intp], limits: Mapping[str, float], latency: NetworkLatency | None
) -> Pool:
    values = {}
    if latency is not None:
        latencies_ms = latency.latencies_ms(ops)
        has_one = ~np.isnan(latencies_ms)
        if not has_one.any():
            raise UserError(f"{latency.origin} knows the latency of none of the networks that may be chosen")
        ops, values[_LATENCY] = ops[has_one], latencies_ms[has_one]
    for quantity in COMPLEXITIES:
        if quantity in limits:
            values[quantity] = complexity(space, quantity).totals(ops)
    within = _within(limits, values, len(ops))
    main = next(iter(limits), None)
    costs = None if main is None else values[main][within]
    candidates = ListedCandidates(space, ops[within], costs, None if main is None else limits[main])
    listed_ms = values[_LATENCY][within] if latency is not None else None
    return Pool(candidates, limits, listed_ms=listed_ms)


def _within(
    limits: Mapping[str, float], values: Mapping[str, NDArray[np.float64]], count: int
) -> NDArray[np.bool_]:
    """Which networks hold all limits, (networks,); Infeasible where none does."""
    holds = {quantity: values[quantity] <= at_most for quantity, at_most in limits.items()}
    within = _all(holds.values(), count)
    if within.any():
        return within
    # a limit that can be relaxed while the others hold; where there is none, fewer others
    for first in range(len(limits)):
        for quantity in list(limits)[first:]:
            others = [other for other in list(limits)[first:] if other != quantity]
            left = _all([holds[other] for other in others], count)
            if left.any() and not (left & holds[quantity]).any():
                raise Infeasible(quantity, limits[quantity], float(values[quantity][left].min()), others)
    raise AssertionError("a single limit that nothing holds was found above")


def _all(masks: Iterable[NDArray[np.bool_]], count: int) -> NDArray[np.bool_]:
    kept = np.ones(count, np.bool_)
    for mask in masks:
        kept &= mask
    return kept


def _words(space: OpSpace, error: Infeasible, limits: Mapping[str, float]) -> str:
    """Why no network holds the budgets; the value at the end can be typed as one."""
    others = " and ".join(exactly(name, limits[name]) for name in error.others)
    return (
        f"no network of {space.name} is within {exactly(error.name, error.at_most)}: the smallest reachable"
        f"{f' beside {others}' if others else ''} is {exactly(error.name, error.smallest)}"
    )
