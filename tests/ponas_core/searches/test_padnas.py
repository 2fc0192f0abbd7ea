"""What is particular to PAD-NAS; `test_contract` holds the rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.accuracies import Encoded
from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.interface import Found
from ponas_core.searches.padnas import PRUNED, PadNas
from ponas_core.searches.random_search import RandomSearch
from ponas_core.space_file import shipped_space, shipped_spaces
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import CELLS, UNEVEN, World, distinct_cost, listed, solved

Alive = Sequence[Sequence[int]]


def ran(
    search: PadNas, candidates: Candidates, most: int, seed: int = 0
) -> tuple[Found, Ledger, list[tuple[Alive, int]]]:
    """What was found, what it cost, and the alive ops and evaluations before each stage."""
    ledger = Ledger(World(candidates.space.op_counts, seed), most=most)
    stages: list[tuple[Alive, int]] = []

    def train(stage: int, alive: Alive) -> None:
        assert stage == len(stages)
        stages.append((list(alive), ledger.evaluations))

    found = replace(search, train=train).run(candidates, ledger, np.random.default_rng(seed))
    return found, ledger, stages


def table_of(found: Found) -> ScoreTable:
    assert found.table is not None
    return found.table


def test_every_stage_trains_once_before_it_evaluates_its_share() -> None:
    found, ledger, stages = ran(PadNas(stages=4), solved(MACRO), 48)
    assert [count for _, count in stages] == [0, 10, 20, 30]
    assert ledger.evaluations == 48
    assert stages[0][0] == [(0, 1, 2)] * 8
    assert table_of(found).provenance["alive"] == [list(ops) for ops in stages[-1][0]]


def test_what_is_evaluated_is_alive() -> None:
    _, ledger, stages = ran(PadNas(keep=0.6), listed(CELLS), 80)
    ends = [*(count for _, count in stages), ledger.evaluations]
    for (alive, start), end in zip(stages, ends[1:], strict=True):
        for network, _ in ledger.history[start:end]:
            assert all(op in ops for op, ops in zip(network.ops, alive, strict=True))


@pytest.mark.parametrize(("keep", "fewest"), [(0.7, 2), (0.5, 1), (0.01, 1), (0.3, 3), (1.0, 1), (0.5, 9)])
def test_a_stage_keeps_the_share_of_ops_that_is_asked_for(keep: float, fewest: int) -> None:
    for candidates in (listed(CELLS), solved(UNEVEN)):
        _, _, stages = ran(PadNas(stages=4, keep=keep, fewest=fewest), candidates, 60)
        for stage, ((before, _), (after, _)) in enumerate(itertools.pairwise(stages), start=1):
            for old, new, count in zip(before, after, candidates.space.op_counts, strict=True):
                assert set(new) <= set(old)
                assert len(new) == min(len(old), max(fewest, math.ceil(keep**stage * count)))


class Changing:
    """An evaluator whose accuracies are all but perfect until the last training."""

    def __init__(self) -> None:
        self.trained = 0
        self.asked: list[tuple[int, Ops]] = []
        self.world = World(MACRO.op_counts)

    def train(self, stage: int, alive: Alive) -> None:
        self.trained = stage + 1

    def accuracy(self, architecture: Encoded) -> float:
        self.asked.append((self.trained, architecture.ops))
        true = self.world.true(architecture.ops)
        return true - 20 if self.trained == 3 else 160 - true


def test_what_was_evaluated_before_a_training_counts_no_more() -> None:
    changing = Changing()
    search = PadNas(keep=1.0, train=changing.train)
    found = search.run(solved(MACRO), Ledger(changing, most=60), np.random.default_rng(0))
    last = [ops for stage, ops in changing.asked if stage == 3]
    assert found.ops == max(last, key=changing.world.true)
    assert table_of(found).provenance["networks"] == len(last) - search.checked
    assert table_of(found).value(found.ops) == pytest.approx(changing.world.true(found.ops) - 20, abs=3)


def test_a_network_is_evaluated_again_after_a_training() -> None:
    candidates = listed(UNEVEN, distinct_cost(UNEVEN), 5)
    ledger = Ledger(World(UNEVEN.op_counts), most=40)
    trained: list[int] = []
    search = PadNas(keep=1.0, band=0, train=lambda stage, alive: trained.append(stage))
    search.run(candidates, ledger, np.random.default_rng(0))
    assert ledger.evaluations == 15
    assert len({network.ops for network, _ in ledger.history}) == 5
    kept = Ledger(World(UNEVEN.op_counts), most=40)
    PadNas(keep=1.0, band=0).run(candidates, kept, np.random.default_rng(0))
    assert kept.evaluations == 5


@given(
    count=st.integers(1, 216), seed=st.integers(0, 10_000), keep=st.floats(0.01, 1), most=st.integers(4, 40)
)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_a_candidate_is_always_left(count: int, seed: int, keep: float, most: int) -> None:
    candidates = listed(UNEVEN, distinct_cost(UNEVEN, seed), count)
    check(candidates, PadNas(keep=keep, fewest=1, credit="mean" if seed % 2 else "ridge"), most, seed)


@pytest.mark.parametrize("count", [1, 2, 30, 200])
def test_a_candidate_is_always_left_that_the_solver_finds(count: int) -> None:
    check(solved(UNEVEN, distinct_cost(UNEVEN), count=count), PadNas(keep=0.1, fewest=1), 12, 0)
    both = solved(UNEVEN, distinct_cost(UNEVEN), distinct_cost(UNEVEN, 1), count=max(50, count))
    check(both, PadNas(stages=2, keep=0.1, fewest=1), 8, 0)


def check(candidates: Candidates, search: PadNas, most: int, seed: int) -> None:
    found, ledger, stages = ran(search, candidates, most, seed)
    assert candidates.holds(found.ops)
    assert ledger.evaluations <= most
    assert all(candidates.holds(network.ops) for network, _ in ledger.history)
    for alive, _ in stages:
        assert candidates.within(alive).count >= 1  # else it raises


def test_networks_lie_near_the_budget_where_there_are_any() -> None:
    cost = complexity(MACRO, "macs")
    candidates = solved(MACRO, cost, count=3000)
    limit = candidates.cost_limit()
    assert limit is not None
    _, ledger, _ = ran(PadNas(band=0.9, checked=1), candidates, 46)
    costs = [cost.total(network.ops) for network, _ in ledger.history[:45]]
    assert all(0.9 * limit <= one <= limit for one in costs)
    _, ledger, _ = ran(PadNas(band=0.0, checked=1), candidates, 46)
    assert min(cost.total(network.ops) for network, _ in ledger.history) < 0.9 * limit


def test_a_band_without_networks_is_no_end() -> None:
    cost = distinct_cost(UNEVEN)
    candidates = listed(UNEVEN, cost, 216)
    slack = replace(candidates, limit=10 * float(cost.totals(candidates.ops).max()))
    _, ledger, _ = ran(PadNas(checked=2), slack, 20)
    assert ledger.evaluations == 20


@pytest.mark.parametrize("diversity", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_subsets_are_in_the_order_of_their_merit(diversity: float, size: int) -> None:
    worth = np.array([3.0, -1.0, 4.0, 1.0, 5.0])
    ops = (0, 1, 3, 4)
    log_macs = np.log1p(complexity(CELLS, "macs").rows[2])
    found = PadNas(diversity=diversity)._by_merit(ops, worth, log_macs, size)
    macs = log_macs[list(ops)]
    quality = worth[list(ops)]

    def merit(subset: tuple[int, ...]) -> float:
        mean = (np.mean([worth[op] for op in subset]) - quality.mean()) / quality.std()
        apart = [
            abs(macs[ops.index(one)] - macs[ops.index(other)]) / macs.std()
            for one in subset
            for other in subset
            if one < other
        ]
        return float(mean + diversity * (np.mean(apart) if apart else 0.0))

    assert set(found) == set(itertools.combinations(ops, size))
    merits = [merit(subset) for subset in found]
    assert merits == pytest.approx(sorted(merits, reverse=True))


def test_without_diversity_the_best_ops_stay() -> None:
    search = PadNas(stages=2, keep=0.5, fewest=1, diversity=0, credit="mean")
    _, ledger, stages = ran(search, solved(MACRO), 68)
    first = ledger.history[: stages[1][1]]
    for place, kept in enumerate(stages[1][0]):
        means = [np.mean([value for net, value in first if net.ops[place] == op]) for op in range(3)]
        assert set(kept) == set(np.argsort(means)[-2:].tolist())


def test_diversity_keeps_what_is_unlike() -> None:
    def macs_apart(diversity: float) -> float:
        search = PadNas(stages=2, keep=0.5, fewest=1, diversity=diversity, credit="mean")
        macs = complexity(MACRO, "macs").rows
        _, _, stages = ran(search, solved(MACRO), 40)
        return float(sum(np.ptp(row[list(ops)]) for row, ops in zip(macs, stages[1][0], strict=True)))

    assert macs_apart(100.0) > macs_apart(0.0)
    assert macs_apart(100.0) == sum(np.ptp(row) for row in complexity(MACRO, "macs").rows)


def test_the_table_takes_no_pruned_op_where_others_hold_the_budget() -> None:
    cost = complexity(MACRO, "macs")
    search = PadNas(stages=3, keep=0.5, fewest=2)
    for count in (6561, 2000):
        candidates = solved(MACRO, cost, count=count)
        found, _, stages = ran(search, candidates, 60)
        table, alive = table_of(found), stages[-1][0]
        held = [ops for ops in itertools.product(*alive) if candidates.holds(ops)]
        assert 2 <= len(held) < count
        assert set(candidates.best(table.rows, len(held))) == set(held)


def test_the_table_tells_a_number_of_networks_of_pruned_ops_in_the_largest_space() -> None:
    space = max((shipped_space(name) for name in shipped_spaces()), key=lambda one: len(one.layers))
    found, _, stages = ran(PadNas(keep=0.5, fewest=1), solved(space), 24)
    table = table_of(found)
    alive = stages[-1][0]
    pruned = [
        next((op for op in range(count) if op not in ops), 0)
        for count, ops in zip(space.op_counts, alive, strict=True)
    ]
    assert table.total(pruned) < table.total(found.ops) - PRUNED
    assert math.isfinite(table.value(pruned))
    assert table.value(pruned) < table.value(found.ops)


@pytest.mark.parametrize("stages", [1, 3, 6])
def test_too_few_evaluations_are_refused_with_the_number_that_it_takes(stages: int) -> None:
    with pytest.raises(ValueError, match=f"take {stages + 1} evaluations, not {stages}"):
        ran(PadNas(stages=stages), solved(MACRO), stages)
    found, ledger, _ = ran(PadNas(stages=stages), solved(MACRO), stages + 1)
    assert 1 <= ledger.evaluations <= stages + 1
    assert solved(MACRO).holds(found.ops)


@pytest.mark.parametrize("credit", ["mean", "share", "ridge"])
def test_it_learns(credit: str) -> None:
    search = replace(PadNas(), credit=credit)  # type: ignore[arg-type]  # one of three words
    candidates, gains = solved(MACRO, complexity(MACRO, "macs"), count=3000), []
    for seed in range(6):
        world = World(MACRO.op_counts, seed)
        found, chance = (
            tried.run(candidates, Ledger(world, most=60), np.random.default_rng(seed))
            for tried in (search, RandomSearch())
        )
        gains.append(world.true(found.ops) - world.true(chance.ops))
    assert np.mean(gains) > 0.5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stages": 0}, "at least 1"),
        ({"fewest": 0}, "at least 1"),
        ({"checked": 0}, "at least 1"),
        ({"keep": 0.0}, "keep is a share"),
        ({"keep": 1.1}, "keep is a share"),
        ({"band": -0.1}, "band one from 0 to 1"),
        ({"diversity": -1.0}, "from 0 on"),
        ({"noise": float("nan")}, "from 0 on"),
    ],
)
def test_settings_that_cannot_work_are_told(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PadNas(**wrong)  # type: ignore[arg-type]  # that is the point
