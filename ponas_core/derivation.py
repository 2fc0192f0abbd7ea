"""Networks that follow from learned logits: the most probable one, and the most probable within hard limits.

A search that holds a target in expectation says nothing of one network: the most probable may cost far more.
The exact solver finds the most probable that holds the limits, its score being the sum of log-probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponas_core.cell_space import OpSpace
from ponas_core.cost import CostTable, Limit
from ponas_core.path_distribution import LogitRows, expected_cost, log_softmax
from ponas_core.score_table import ScoreTable
from ponas_core.solve import best
from ponas_core.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class Derived:
    """Two networks of a distribution over paths, and their costs by name.

    Attributes:
        argmax: the most probable network.
        projected: the most probable network that holds the limits; the same where the first holds them.
        expected: E[T] of each cost; holding it does not bind either network.
        argmax_costs: of the most probable network.
        projected_costs: of the one within the limits.
        argmax_log_probability: sum of the logarithms of its ops' probabilities.
        projected_log_probability: likewise.
    """

    argmax: Architecture
    projected: Architecture
    expected: Mapping[str, float]
    argmax_costs: Mapping[str, float]
    projected_costs: Mapping[str, float]
    argmax_log_probability: float
    projected_log_probability: float


def log_probability_table(space: OpSpace, logits: LogitRows) -> ScoreTable:
    """A score table whose sum is the logarithm of a network's probability.

    Args:
        space: the space.
        logits: logits[layer][op].

    Raises:
        ScoreTableError: there are not as many logits as blocks, or one is not finite.
    """
    table = ScoreTable(
        space=space.name,
        kind="custom",
        meaning="log-probability of each block in a search's distribution over paths; no accuracy",
        rows=tuple(log_softmax(row) for row in logits),
    )
    table.check(space)
    return table


def derive(
    space: SearchSpace, logits: LogitRows, limits: Sequence[Limit] = (), costs: Sequence[CostTable] = ()
) -> Derived:
    """The networks that a search ends with.

    Args:
        space: the space.
        logits: logits[layer][op].
        limits: all of them hold for the projected network.
        costs: what else is told of both networks, such as the cost that was searched with.

    Raises:
        Infeasible: no network holds the limits.
        ScoreTableError: there are not as many logits as blocks, or one is not finite.
    """
    table = log_probability_table(space, logits)
    argmax = space.architecture([int(row.argmax()) for row in table.rows])
    within = all(limit.holds(argmax.ops) for limit in limits)
    projected = argmax if within else space.architecture(best(table.rows, limits).choices)
    told = {cost.name: cost for cost in [*costs, *(limit.cost for limit in limits)]}
    return Derived(
        argmax=argmax,
        projected=projected,
        expected={name: expected_cost(logits, cost) for name, cost in told.items()},
        argmax_costs={name: cost.total(argmax.ops) for name, cost in told.items()},
        projected_costs={name: cost.total(projected.ops) for name, cost in told.items()},
        argmax_log_probability=table.total(argmax.ops),
        projected_log_probability=table.total(projected.ops),
    )
