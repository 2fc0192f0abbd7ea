"""What is particular to DDPNAS; `test_contract` holds the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.ddpnas import Ddpnas
from ponas_core.searches.interface import Found
from ponas_core.searches.random_search import RandomSearch
from ponas_core.space import SearchSpace
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import CELLS, UNEVEN, World, distinct_cost, listed, solved


def ran(
    search: Ddpnas, candidates: Candidates, most: int, seed: int = 0, *, lasting: bool = False
) -> tuple[Found, Ledger, World]:
    world = World(candidates.space.op_counts, seed)
    ledger = Ledger(world, most=most, lasting=lasting)
    return search.run(candidates, ledger, np.random.default_rng(seed)), ledger, world


def table_of(found: Found) -> ScoreTable:
    assert found.table is not None
    return found.table


def alive(found: Found) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in table_of(found).rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("rounds", "cost"), [(3, 42), (8, 112)])
def test_cells_cost_what_the_paper_says(rounds: int, cost: int, seed: int) -> None:
    found, ledger, _ = ran(Ddpnas(rounds=rounds), listed(CELLS), 1000, seed)
    assert ledger.evaluations == cost == rounds * Ddpnas().cost_of_a_sampling(CELLS.op_counts)
    assert [len(ops) for ops in alive(found)] == [1] * 6


def test_a_chain_of_three_ops_costs_fifteen_however_many_layers_it_has() -> None:
    found, ledger, _ = ran(Ddpnas(rounds=3), listed(MACRO), 1000)
    assert ledger.evaluations == 15
    assert [op for (op,) in alive(found)] == list(found.ops)


def test_as_many_samplings_as_evaluations_allow_are_taken_unless_told() -> None:
    assert ran(Ddpnas(), listed(CELLS), 113)[1].evaluations == 112
    assert ran(Ddpnas(), listed(CELLS), 100)[1].evaluations == 98
    endless = Ledger(World(CELLS.op_counts), lasting=False)
    Ddpnas().run(listed(CELLS), endless, np.random.default_rng(0))
    assert endless.evaluations == 42


def test_a_network_that_is_known_already_costs_nothing_where_accuracies_last() -> None:
    _, ledger, world = ran(Ddpnas(rounds=40), solved(UNEVEN), 1000, lasting=True)
    assert ledger.evaluations == len(set(world.asked)) == len(world.asked)
    assert ledger.evaluations < 40 * Ddpnas().cost_of_a_sampling(UNEVEN.op_counts)


def test_every_deal_has_each_op_that_is_alive_once() -> None:
    rounds = 3
    _, _, world = ran(Ddpnas(rounds=rounds), listed(CELLS), 1000)
    dealt = iter(world.asked)
    before: list[set[int]] = [set(range(5))] * 6
    for size in (5, 4, 3, 2):
        deals = [np.array([next(dealt) for _ in range(size)]) for _ in range(rounds)]
        for place in range(6):
            ops = {frozenset(deal[:, place].tolist()) for deal in deals}
            assert len(ops) == 1  # nothing goes within a round
            assert all(len(set(deal[:, place].tolist())) == size for deal in deals)
            (now,) = ops
            assert now <= before[place]
            before[place] = set(now)
    assert next(dealt, None) is None


def test_a_place_with_fewer_ops_deals_them_as_evenly_as_can_be() -> None:
    _, _, world = ran(Ddpnas(rounds=1), solved(UNEVEN), 3)
    deal = np.array(world.asked)
    for place, count in enumerate(UNEVEN.op_counts):
        times = np.bincount(deal[:, place], minlength=count)
        assert times.min() >= 3 // count
        assert times.max() <= -(-3 // count)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("temperature", ["point", "spread"])
def test_one_round_is_what_it_is_by_hand(momentum: float, temperature: str) -> None:
    search = Ddpnas(rounds=1, momentum=momentum, temperature="spread" if temperature == "spread" else "point")
    found, ledger, _ = ran(search, solved(UNEVEN), 3)
    networks = [network.ops for network, _ in ledger.history]
    accuracies = [accuracy for _, accuracy in ledger.history]
    unit = 1.0 if temperature == "point" else float(np.std(accuracies))
    share = [np.exp((accuracy - max(accuracies)) / unit) for accuracy in accuracies]
    for place, count in enumerate(UNEVEN.op_counts):
        credit = np.array(
            [
                np.mean([s for s, ops in zip(share, networks, strict=True) if ops[place] == op])
                for op in range(count)
            ]
        )
        theta = credit / credit.sum() + momentum / count
        theta /= theta.sum()
        if count > 1:
            theta[theta.argmin()] = 0  # the worst goes
        assert table_of(found).rows[place] == pytest.approx(theta / theta.sum())
    assert found.ops == tuple(int(row.argmax()) for row in table_of(found).rows)


def test_samplings_of_a_round_count_alike() -> None:
    found, ledger, _ = ran(Ddpnas(rounds=2, stop_at=2), listed(MACRO), 6)
    accuracies = np.array([accuracy for _, accuracy in ledger.history])
    ops = np.array([network.ops for network, _ in ledger.history])
    for place in range(8):
        credit = np.zeros(3)
        for deal in (slice(0, 3), slice(3, 6)):
            share = np.exp(accuracies[deal] - accuracies[deal].max())
            credit[ops[deal, place]] += share / share.sum() / 2
        theta = (credit + 0.5 / 3) / 1.5
        theta[theta.argmin()] = 0
        assert table_of(found).rows[place] == pytest.approx(theta / theta.sum())


@pytest.mark.parametrize("credit", ["softmax", "regression"])
@pytest.mark.parametrize("most", [1, 4, 9, 20, 42, 60])
def test_theta_stays_a_distribution_wherever_evaluations_end(credit: str, most: int) -> None:
    search = Ddpnas(rounds=3, credit="regression" if credit == "regression" else "softmax")
    found, ledger, _ = ran(search, listed(CELLS), most)
    assert ledger.evaluations == min(most, 42)
    for row in table_of(found).rows:
        assert row.sum() == pytest.approx(1)
        assert (row >= 0).all()


def test_two_ops_a_place_can_be_left_to_choose_from() -> None:
    found, ledger, _ = ran(Ddpnas(rounds=3, stop_at=2), listed(CELLS), 1000)
    assert ledger.evaluations == 3 * (5 + 4 + 3)
    assert [len(ops) for ops in alive(found)] == [2] * 6
    assert found.ops == tuple(int(row.argmax()) for row in table_of(found).rows)
    found, ledger, _ = ran(Ddpnas(rounds=1, stop_at=2), solved(UNEVEN), 1000)
    assert ledger.evaluations == 3
    assert [len(ops) for ops in alive(found)] == [min(2, count) for count in UNEVEN.op_counts]


def test_a_place_is_left_alone_that_has_no_more_ops_than_are_left_at_the_end() -> None:
    found, ledger, _ = ran(Ddpnas(rounds=2, stop_at=3), solved(UNEVEN), 1000)
    assert ledger.evaluations == 0
    assert [len(ops) for ops in alive(found)] == list(UNEVEN.op_counts)


@given(count=st.integers(1, 216), seed=st.integers(0, 10_000), stop_at=st.integers(1, 3))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_a_tight_budget_never_leaves_nothing_to_choose(count: int, seed: int, stop_at: int) -> None:
    candidates = listed(UNEVEN, distinct_cost(UNEVEN, seed), count)
    for search in (Ddpnas(rounds=2, stop_at=stop_at), Ddpnas(rounds=2, credit="regression", checked=2)):
        check(candidates, search, seed)


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_a_tight_budget_that_the_solver_holds_never_leaves_nothing_to_choose(count: int) -> None:
    check(solved(UNEVEN, distinct_cost(UNEVEN), count=count), Ddpnas(rounds=2), 0)
    both = solved(UNEVEN, distinct_cost(UNEVEN), distinct_cost(UNEVEN, 1), count=max(50, count))
    check(both, Ddpnas(rounds=1, credit="regression"), 0)


def check(candidates: Candidates, search: Ddpnas, seed: int) -> None:
    found, ledger, _ = ran(search, candidates, 20, seed)
    assert candidates.holds(found.ops)
    assert all(candidates.holds(network.ops) for network, _ in ledger.history)
    assert ledger.evaluations <= 20


def test_what_is_checked_is_spent_on_the_best_of_the_table() -> None:
    candidates = listed(CELLS)
    found, ledger, world = ran(Ddpnas(rounds=2, credit="regression", checked=6), candidates, 34)
    assert ledger.evaluations == 34
    pruning, checked = world.asked[:28], world.asked[28:]
    assert len(set(checked) - set(pruning)) == 6
    first = np.mean([world.true(ops) for ops in pruning[:10]])
    assert np.mean([world.true(ops) for ops in checked]) > first + 3
    assert found.ops == max(ledger.history, key=lambda seen: seen[1])[0].ops


def test_evaluations_that_are_kept_for_checks_are_not_dealt() -> None:
    _, ledger, _ = ran(Ddpnas(credit="regression", checked=10), listed(CELLS), 40)
    assert ledger.evaluations == 40  # 2 samplings of 14 and 10, and 2 that are left
    found, ledger, _ = ran(Ddpnas(credit="regression", checked=10), listed(CELLS), 3)
    assert ledger.evaluations == 3
    assert listed(CELLS).holds(found.ops)


def test_a_price_on_cost_prefers_cheaper_networks() -> None:
    cost = distinct_cost(MACRO)
    candidates = solved(MACRO, cost, count=5000)

    def mean(weight: float) -> float:
        search = Ddpnas(rounds=3, latency_weight=weight)
        return float(np.mean([cost.total(ran(search, candidates, 15, seed)[0].ops) for seed in range(6)]))

    assert mean(100.0) < mean(0.0) - 3


def test_a_price_without_a_budget_is_none() -> None:
    assert ran(Ddpnas(latency_weight=9), listed(CELLS), 42)[0].ops == ran(Ddpnas(), listed(CELLS), 42)[0].ops


def gains(search: Ddpnas, space: SearchSpace, most: int) -> list[float]:
    """How far above the random search's networks, in points, in worlds that add up."""
    found = []
    for seed in range(10):
        candidates = solved(space, complexity(space, "macs"), count=3000)
        ops, _, world = ran(search, candidates, most, seed, lasting=True)
        ledger = Ledger(World(space.op_counts, seed), most=most)
        chance: Ops = RandomSearch().run(candidates, ledger, np.random.default_rng(seed)).ops
        found.append(world.true(ops.ops) - world.true(chance))
    return found


def test_it_learns_and_regression_learns_more() -> None:
    softmax = gains(Ddpnas(rounds=9), MACRO, 45)
    regression = gains(Ddpnas(rounds=9, credit="regression"), MACRO, 45)
    assert np.mean(softmax) > 0
    assert np.mean(regression) > np.mean(softmax) + 0.5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rounds": 0}, "at least one sampling"),
        ({"stop_at": 0}, "one op left"),
        ({"momentum": -1.0}, "momentum"),
        ({"momentum": float("nan")}, "momentum"),
        ({"latency_weight": float("inf")}, "latency_weight"),
        ({"checked": -1, "credit": "regression"}, "from 0 on"),
        ({"checked": 3}, "needs credit=regression"),
    ],
)
def test_settings_that_cannot_work_are_told(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Ddpnas(**wrong)  # type: ignore[arg-type]  # that is the point


def test_under_a_tight_budget_a_deal_is_filled_with_candidates_that_hold_what_is_missing() -> None:
    candidates = solved(MACRO, complexity(MACRO, "macs"), count=1000)
    _, ledger, world = ran(Ddpnas(rounds=1), candidates, 5)
    assert ledger.evaluations == 5
    assert all(candidates.holds(ops) for ops in world.asked)
    reachable = {(place, op) for place in range(8) for op in range(3) if _can_hold(candidates, place, op)}
    dealt = {(place, op) for ops in world.asked[:3] for place, op in enumerate(ops)}
    assert len(dealt) > 0.6 * len(reachable)


def _can_hold(candidates: Candidates, place: int, op: int) -> bool:
    rows = [np.zeros(count) for count in candidates.space.op_counts]
    rows[place][op] = 1.0
    return candidates.best(rows)[0][place] == op
