"""What is particular to a table that is fitted once; `test_contract` holds the rest."""

from __future__ import annotations

import numpy as np
import pytest

from ponas_core.accuracies import KnownAccuracies
from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.searches.ponas import Ponas
from ponas_core.table_fit import fitted_table
from tests.ponas_core.additive import MACRO, AdditiveWorld
from tests.ponas_core.searches.worlds import UNEVEN, World, distinct_cost, listed, solved


def test_the_best_networks_of_a_table_that_random_ones_fill_are_looked_at() -> None:
    candidates = solved(MACRO, complexity(MACRO, "macs"), count=3000)
    world = World(MACRO.op_counts, noise_sd=1.0)
    found = Ponas(checked=5).run(candidates, Ledger(world, most=45), np.random.default_rng(0))
    fitting, checked = world.asked[:40], world.asked[40:]
    known = {ops: World(MACRO.op_counts, noise_sd=1.0).accuracy(MACRO.architecture(ops)) for ops in fitting}
    table = fitted_table(MACRO, KnownAccuracies(known, world.description))
    assert found.table is not None
    assert [row.tolist() for row in found.table.rows] == [row.tolist() for row in table.rows]
    best = candidates.best(table.rows, 5)
    assert set(checked) == set(best) - set(fitting)
    assert found.ops in best


@pytest.mark.parametrize("seed", range(3))
def test_the_best_network_of_a_world_that_adds_up_is_found(seed: int) -> None:
    world = AdditiveWorld(MACRO, seed)
    found = Ponas().run(solved(MACRO), Ledger(world, most=60), np.random.default_rng(seed))
    assert found.ops == tuple(int(row.argmax()) for row in world.rows)


@pytest.mark.parametrize(("most", "fitted"), [(100, 92), (16, 8), (9, 5), (8, 4)])
def test_with_few_evaluations_half_of_them_fit(most: int, fitted: int) -> None:
    world = World(MACRO.op_counts)
    found = Ponas().run(solved(MACRO), Ledger(world, most=most), np.random.default_rng(0))
    assert found.table is not None
    assert found.table.provenance["networks"] == fitted
    assert fitted <= len(world.asked) <= most


def test_without_enough_networks_for_a_table_the_best_that_was_seen_is_chosen() -> None:
    world = World(MACRO.op_counts)
    found = Ponas().run(solved(MACRO), Ledger(world, most=4), np.random.default_rng(0))
    assert found.table is None
    assert found.ops == max(world.asked, key=world.true)


def test_solved_and_listed_candidates_alone_are_evaluated() -> None:
    cost = distinct_cost(UNEVEN)
    for candidates in (listed(UNEVEN, cost, 60), solved(UNEVEN, cost, count=60)):
        world = World(UNEVEN.op_counts)
        found = Ponas(noise=1.0).run(candidates, Ledger(world, most=40), np.random.default_rng(0))
        assert all(map(candidates.holds, [*world.asked, found.ops]))


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(ValueError, match="checked is at least 1"):
        Ponas(checked=0)
    with pytest.raises(ValueError, match="noise a number"):
        Ponas(noise=float("nan"))
