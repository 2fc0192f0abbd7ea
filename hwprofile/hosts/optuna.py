"""Optuna: a trial that suggests a network, and a latency budget as its constraint. Milliseconds.

Optuna 3 and 4 take constraints from a sampler's `constraints_func`; from 5.0 on that is deprecated, and the
objective calls `trial.set_constraint`. `OptunaBudget` serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwprofile.hosts.latency_of_ops import LatencyBudget, choices_of, median_ms, ops_of
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial


def suggest_ops(trial: Trial, space: SearchSpace) -> tuple[int, ...]:
    """Let a trial choose a block for every layer; parameters are named as the layers are."""
    chosen = {layer: trial.suggest_categorical(layer, blocks) for layer, blocks in choices_of(space).items()}
    return ops_of(space, chosen)


def suggested_ops(trial: FrozenTrial, space: SearchSpace) -> tuple[int, ...]:
    """The network that a finished trial chose."""
    return ops_of(space, trial.params)


@dataclass(frozen=True, slots=True)
class OptunaBudget:
    """A latency budget: above 0 is violated, as Optuna has it.

    Attributes:
        budget: the limit.
        name: of the constraint.
    """

    budget: LatencyBudget
    name: str = "latency"

    def latency_ms(self, trial: FrozenTrial) -> float:
        """Predicted latency of the network that a trial chose, milliseconds."""
        return median_ms(self.budget.latency, suggested_ops(trial, self.budget.latency.space))

    def set_on(self, trial: Trial, ops: tuple[int, ...]) -> None:
        """Optuna 5: say in an objective by how much the network is over, milliseconds."""
        trial.set_constraint(self.name, self.budget.over_ms(ops))

    def constraints(self, trial: FrozenTrial) -> tuple[float]:
        """Optuna 3 and 4: the `constraints_func` of a sampler, milliseconds over the budget."""
        return (self.budget.over_ms(suggested_ops(trial, self.budget.latency.space)),)
