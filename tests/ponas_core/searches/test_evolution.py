"""What is particular to evolution; `test_contract` holds the rest."""

from __future__ import annotations

import numpy as np
import pytest

from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Ops, SolvedCandidates
from ponas_core.searches.evolution import RegularizedEvolution, SposEvolution
from ponas_core.searches.interface import Search
from ponas_core.searches.random_search import RandomSearch
from ponas_core.space_file import shipped_space
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import World, distinct_cost, listed, solved

PROXYLESS = shipped_space("proxyless")


class Falling:
    """An evaluator in whose eyes every network is worse than the one before."""

    def __init__(self) -> None:
        self.asked: list[Ops] = []

    def accuracy(self, architecture: Encoded) -> float:
        self.asked.append(architecture.ops)
        return 100.0 - len(self.asked)


def changes(one: Ops, other: Ops) -> int:
    return sum(left != right for left, right in zip(one, other, strict=True))


def test_the_oldest_dies_however_accurate_it_is() -> None:
    world = Falling()
    # every tournament is won by the oldest that is alive
    search = RegularizedEvolution(population=3, tournament=60)
    search.run(SolvedCandidates(PROXYLESS), Ledger(world, most=40), np.random.default_rng(0))
    assert len(world.asked) == 40
    for parent, child in zip(world.asked, world.asked[3:], strict=False):
        assert changes(parent, child) == 1


def test_a_child_holds_the_budget_of_its_parent() -> None:
    cost = distinct_cost(MACRO)
    world = World(MACRO.op_counts)
    candidates = solved(MACRO, cost, count=300)
    RegularizedEvolution(4, 2).run(candidates, Ledger(world, most=80), np.random.default_rng(0))
    near = [
        min(changes(child, before) for before in world.asked[:row])
        for row, child in enumerate(world.asked)
        if row >= 4
    ]
    assert all(map(candidates.holds, world.asked))
    assert np.mean(np.array(near) == 1) > 0.9


@pytest.mark.parametrize("search", [RegularizedEvolution(), SposEvolution()], ids=["regularized", "spos"])
@pytest.mark.parametrize("count", [0, 3000])
def test_evolution_finds_better_networks_than_chance(search: Search, count: int) -> None:
    candidates = listed(MACRO, distinct_cost(MACRO), count) if count else listed(MACRO)
    gains = []
    for seed in range(12):
        world = World(MACRO.op_counts, seed)
        found, chance = (
            tried.run(candidates, Ledger(world, most=60), np.random.default_rng(seed)).ops
            for tried in (search, RandomSearch())
        )
        gains.append(world.true(found) - world.true(chance))
    assert np.mean(gains) > 0.3
    assert np.mean(np.array(gains) < 0) < 0.3


def test_generations_are_many_where_few_evaluations_are_allowed() -> None:
    world = Falling()
    SposEvolution().run(SolvedCandidates(PROXYLESS), Ledger(world, most=40), np.random.default_rng(0))
    assert len(set(world.asked)) == 40
    first, rest = world.asked[:4], world.asked[4:]
    # the first generation is random, the parents stay the first two, and half of each generation crosses them
    assert all(changes(one, other) > 5 for one in first for other in first if one != other)
    for crossed in [ops for start in range(0, 36, 4) for ops in rest[start : start + 2]]:
        assert all(op in (first[0][place], first[1][place]) for place, op in enumerate(crossed))


def test_a_child_joins_the_population_so_many_cycles_later() -> None:
    world = Falling()
    search = RegularizedEvolution(population=3, tournament=60, ahead=4)
    search.run(SolvedCandidates(PROXYLESS), Ledger(world, most=40), np.random.default_rng(0))
    first, children = world.asked[:3], world.asked[3:]
    # the oldest of the first three wins until a child has pushed it out, in the fourth cycle's end
    parents = [first[0]] * 4 + first[1:] + children
    assert all(changes(parent, child) == 1 for parent, child in zip(parents, children, strict=False))


def test_a_converged_population_is_joined_by_others() -> None:
    world = World(MACRO.op_counts)
    ledger = Ledger(world, most=500)
    RegularizedEvolution(2, 10).run(listed(MACRO), ledger, np.random.default_rng(0))
    assert ledger.left == 0


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(ValueError, match="at least one network, not 0 and 3"):
        RegularizedEvolution(population=0)
    with pytest.raises(ValueError, match="at least one network, not 10 and 0"):
        RegularizedEvolution(tournament=0)
    with pytest.raises(ValueError, match="at least one cycle, not 0"):
        RegularizedEvolution(ahead=0)
    with pytest.raises(ValueError, match="population from 4 on and at least one parent, not 3 and 10"):
        SposEvolution(population=3)
    with pytest.raises(ValueError, match="probability of a mutation"):
        SposEvolution(mutation=0.0)
    with pytest.raises(ValueError, match="at least one evaluation"):
        SposEvolution().run(listed(MACRO), Ledger(World(MACRO.op_counts), most=0), np.random.default_rng(0))
