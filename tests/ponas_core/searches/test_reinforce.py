"""What is particular to policies that learn; `test_contract` holds the rest."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ponas_core.cost import CostTable, Limit
from ponas_core.evaluation import Ledger
from ponas_core.path_distribution import log_softmax
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, SolvedCandidates
from ponas_core.searches.categorical import argmax, draw
from ponas_core.searches.interface import Found
from ponas_core.searches.random_search import RandomSearch
from ponas_core.searches.reinforce import MovingAverage, Policy, ProxylessReinforce, Reinforce
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import (
    CELLS,
    UNEVEN,
    World,
    cheapest,
    distinct_cost,
    every,
    listed,
    solved,
)


def logits(counts: tuple[int, ...], seed: int = 0, spread: float = 1.0) -> list[np.ndarray[tuple[int]]]:
    rng = np.random.default_rng(seed)
    return [spread * rng.standard_normal(count) for count in counts]


def logs(op_counts: tuple[int, ...]) -> list[np.ndarray[tuple[int]]]:
    return [log_softmax(row) for row in logits(op_counts)]


def table_of(found: Found) -> ScoreTable:
    assert found.table is not None
    return found.table


def test_free_draws_follow_the_probabilities() -> None:
    log_rows, rng = logs(UNEVEN.op_counts), np.random.default_rng(0)
    candidates = solved(UNEVEN)
    drawn = np.array([draw(log_rows, candidates, rng) for _ in range(4000)])
    for place, row in enumerate(log_rows):
        found = np.bincount(drawn[:, place], minlength=len(row)) / len(drawn)
        assert found == pytest.approx(np.exp(row), abs=0.03)


@pytest.mark.parametrize("count", [100, 8])
def test_draws_under_a_budget_follow_the_probabilities_of_the_candidates(count: int) -> None:
    cost = distinct_cost(UNEVEN)
    log_rows, rng = logs(UNEVEN.op_counts), np.random.default_rng(0)
    held = [tuple(ops) for ops in every(UNEVEN.op_counts).tolist() if cheapest(cost, count).holds(ops)]
    weight = np.exp([sum(row[op] for row, op in zip(log_rows, ops, strict=True)) for ops in held])
    for candidates in (listed(UNEVEN, cost, count), solved(UNEVEN, cost, count=count)):
        found = Counter(draw(log_rows, candidates, rng) for _ in range(2000))
        assert set(found) <= set(held)
        share = np.array([found[ops] for ops in held]) / 2000
        assert share == pytest.approx(weight / weight.sum(), abs=0.05)


def test_candidates_that_a_policy_hardly_ever_draws_are_drawn_still() -> None:
    cost = distinct_cost(MACRO)
    candidates = solved(MACRO, cost, count=30)
    # the policy is all but sure of the dearest ops
    log_rows, rng = (
        [log_softmax(8 * np.eye(3)[int(row.argmax())]) for row in cost.rows],
        np.random.default_rng(0),
    )
    drawn = [draw(log_rows, candidates, rng) for _ in range(60)]
    assert all(map(candidates.holds, drawn))
    assert len(set(drawn)) > 1


def test_a_moving_average_has_no_bias_at_its_start() -> None:
    average = MovingAverage(0.9)
    assert average.updated(90.0) == pytest.approx(90.0)
    assert average.updated(80.0) == pytest.approx((0.9 * 90 + 80) / 1.9)
    assert [average.updated(50.0) for _ in range(300)][-1] == pytest.approx(50.0)
    assert MovingAverage(0.0).updated(3.0) == 3.0


def test_a_policy_climbs_the_gradient() -> None:
    policy = Policy((3, 2), 0.1, 0.9, np.random.default_rng(0))
    before = policy.log_rows
    policy.learn([(0, 1), (2, 1)], [2.0, -2.0])
    step = [after - old for after, old in zip(policy.log_rows, before, strict=True)]
    # the first step of Adam is as long as the learning rate, wherever there is a gradient
    assert step[0][0] > 0.05
    assert step[0][2] < -0.05
    assert step[1] == pytest.approx([0.0, 0.0], abs=1e-9)
    policy.learn([(0, 1)], [0.0])
    for _ in range(200):
        policy.learn([(1, 0)], [1.0])
    assert np.exp(policy.log_rows[0][1]) > 0.95
    assert np.exp(policy.log_rows[1][0]) > 0.95


@pytest.mark.parametrize("count", [0, 1500])
def test_reinforce_finds_better_networks_than_chance(count: int) -> None:
    candidates: Candidates = solved(MACRO, distinct_cost(MACRO), count=count) if count else solved(MACRO)
    gains, sure = [], []
    for seed in range(6):
        world = World(MACRO.op_counts, seed)
        found, chance = (
            tried.run(candidates, Ledger(world, most=100), np.random.default_rng(seed))
            for tried in (Reinforce(), RandomSearch())
        )
        gains.append(world.true(found.ops) - world.true(chance.ops))
        sure.append(np.mean([np.exp(row.max()) for row in table_of(found).rows]))
    assert np.mean(gains) > 0.3
    assert np.mean(sure) > 0.5


def test_proxyless_reinforce_prefers_the_best_network() -> None:
    lost = []
    for seed in range(8):
        world = World(MACRO.op_counts, seed)
        ledger = Ledger(world, most=200)
        found = ProxylessReinforce().run(listed(MACRO), ledger, np.random.default_rng(seed))
        provenance = table_of(found).provenance
        assert provenance["argmax"] == list(found.ops) == list(argmax(table_of(found).rows))
        assert provenance["argmax_holds"] is True
        lost.append(world.true(argmax(world.rows)) - world.true(found.ops))
    assert np.mean(lost) < 0.5


def test_ops_that_break_the_budget_are_projected_onto_the_candidates() -> None:
    # the better an op, the dearer: a policy of independent places is beyond the budget
    holds = []
    for seed in range(4):
        world = World(MACRO.op_counts, seed)
        cost = CostTable("macs", 0.0, tuple(row - row.min() for row in world.rows))
        candidates = solved(MACRO, cost, count=600)
        search = ProxylessReinforce()
        found = search.run(candidates, Ledger(world, most=100), np.random.default_rng(seed))
        table = table_of(found)
        raw = tuple(table.provenance["argmax"])
        assert raw == argmax(table.rows)
        assert table.provenance["argmax_holds"] == candidates.holds(raw)
        assert found.ops == candidates.best(table.rows)[0]
        holds.append(candidates.holds(raw))
    assert not all(holds)


def test_what_costs_less_than_the_budget_earns_more() -> None:
    cost = distinct_cost(MACRO)
    candidates = solved(MACRO, cost, count=3000)
    costs = {
        exponent: np.mean(
            [
                cost.total(
                    ProxylessReinforce(cost_exponent=exponent)
                    .run(
                        candidates, Ledger(World(MACRO.op_counts, seed), most=60), np.random.default_rng(seed)
                    )
                    .ops
                )
                for seed in range(4)
            ]
        )
        for exponent in (0.0, 2.0)
    }
    assert costs[2.0] < costs[0.0] - 3


def test_a_cost_of_nothing_earns_no_infinity() -> None:
    free = CostTable("params", 0.0, tuple(np.arange(count, dtype=float) for count in MACRO.op_counts))
    for at_most in (0.0, 3.0):
        candidates = SolvedCandidates(MACRO, (Limit(free, at_most),))
        found = ProxylessReinforce().run(
            candidates, Ledger(World(MACRO.op_counts), most=40), np.random.default_rng(0)
        )
        assert candidates.holds(found.ops)


def test_a_policy_over_cells_is_a_table_of_six_edges() -> None:
    found = Reinforce().run(listed(CELLS), Ledger(World(CELLS.op_counts), most=5), np.random.default_rng(0))
    assert [row.size for row in table_of(found).rows] == [5] * 6


def test_settings_that_cannot_work_are_told() -> None:
    with pytest.raises(ValueError, match="learning rate is a number above 0, not 0"):
        Reinforce(learning_rate=0)
    with pytest.raises(ValueError, match="momentum of the baseline"):
        ProxylessReinforce(momentum=1.0)
    with pytest.raises(ValueError, match="batch is at least one network, not 0"):
        ProxylessReinforce(batch=0)
    with pytest.raises(ValueError, match="exponent of the cost is a number from 0 on, not -1"):
        ProxylessReinforce(cost_exponent=-1)
    with pytest.raises(ValueError, match="allow at least 20 evaluations, not 19"):
        ProxylessReinforce().run(
            listed(MACRO), Ledger(World(MACRO.op_counts), most=19), np.random.default_rng(0)
        )
