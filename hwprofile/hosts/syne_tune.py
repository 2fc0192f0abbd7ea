"""Syne Tune: a space as its configuration space, and latency and violation as metrics, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwprofile.hosts.latency_of_ops import LatencyBudget, choices_of, median_ms, ops_of
from ponas_core.space import SearchSpace

LATENCY, VIOLATION = "latency_ms", "violation_ms"


def config_space(space: SearchSpace) -> dict[str, Any]:
    """A choice of blocks for every layer, by the layer's name; a layer with one block is a constant."""
    from syne_tune.config_space import choice

    return {
        layer: choice(blocks) if len(blocks) > 1 else blocks[0] for layer, blocks in choices_of(space).items()
    }


@dataclass(frozen=True, slots=True)
class LatencyMetrics:
    """What a trial reports of its configuration, to be minimised.

    Attributes:
        budget: the limit.
    """

    budget: LatencyBudget

    def __call__(self, config: Mapping[str, object]) -> dict[str, float]:
        """`latency_ms`, and `violation_ms`: milliseconds above the budget, 0 where it is held.

        Other entries of the configuration are left alone. UserError where a layer is missing.
        """
        ops = ops_of(self.budget.latency.space, config)
        return {
            LATENCY: median_ms(self.budget.latency, ops),
            VIOLATION: max(0.0, self.budget.over_ms(ops)),
        }
