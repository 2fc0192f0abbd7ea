"""Greedy descents are worth comparing with only if they do what they say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.baselines import fixed_ridge, least_loss, least_loss_per_cost, progressive_with_own_contexts
from ponas_core.cost import CostTable, Limit
from ponas_core.evaluation import Ledger
from ponas_core.solve import best
from tests.ponas_core.additive import MACRO, AdditiveWorld, centred

Descent = Callable[..., tuple[int, ...]]


def test_a_descent_takes_the_step_that_it_names() -> None:
    rows = [np.array([0.0, 3.0]), np.array([0.0, 2.0])]
    limit = Limit(CostTable("ms", 1.0, (np.array([0.0, 9.0]), np.array([0.0, 2.0]))), 10.0)
    assert least_loss(rows, limit) == (1, 0)  # 2 for 2 ms, not 3 for 9
    assert least_loss_per_cost(rows, limit) == (0, 1)
    assert least_loss(rows, Limit(limit.cost, 12.0)) == (1, 1)


@pytest.mark.parametrize("descend", [least_loss, least_loss_per_cost])
def test_a_descent_ends_within_the_limit_and_never_above_the_optimum(descend: Descent) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        rows = [rng.standard_normal(4) for _ in range(6)]
        cost = CostTable("ms", 1.0, tuple(rng.uniform(0, 3, 4) for _ in range(6)))
        limit = Limit(cost, cost.total(cost.smallest()) + float(rng.uniform(0, 5)))
        ops = descend(rows, limit)
        assert limit.holds(ops)
        assert sum(row[op] for row, op in zip(rows, ops, strict=True)) <= best(rows, [limit]).score + 1e-12


def test_tables_of_others_count_what_they_spend() -> None:
    ledger = Ledger(AdditiveWorld(MACRO, 0))
    table = progressive_with_own_contexts(MACRO, ledger, np.random.default_rng(0), 4)
    assert table.provenance["evaluations"] == ledger.evaluations <= 96
    world = AdditiveWorld(MACRO, 0)
    table = fixed_ridge(MACRO, world, np.random.default_rng(0), 90, ridge=1e-9)
    assert centred(table.rows) == pytest.approx(centred(world.rows), abs=1e-6)
    assert table.provenance["evaluations"] == len(world.asked) == 90
