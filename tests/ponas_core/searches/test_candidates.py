"""Listed and solved candidates against brute force."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponas_core.cell_traits import cell_traits
from ponas_core.cost import CostTable, Limit
from ponas_core.searches.candidates import Candidates, ListedCandidates, Ops, SolvedCandidates
from ponas_core.solve import Infeasible
from ponas_core.space_file import shipped_space
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import (
    CANDIDATES,
    CELLS,
    UNEVEN,
    World,
    cheapest,
    distinct_cost,
    every,
    listed,
    solved,
)

COUNTS = UNEVEN.op_counts
ALL: list[Ops] = [tuple(ops) for ops in every(COUNTS).tolist()]
PROXYLESS = shipped_space("proxyless")


def whole_numbers(seed: int, most: int, name: str = "macs") -> CostTable:
    """A cost of whole numbers, whose sums have no rounding."""
    rng = np.random.default_rng(seed)
    return CostTable(name, 2.0, tuple(rng.integers(0, most, count).astype(float) for count in COUNTS))


def score_rows(seed: int, counts: tuple[int, ...] = COUNTS) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-20, 20, count) / 4 for count in counts]


def score(rows: list[NDArray[np.float64]], ops: Ops) -> float:
    return math.fsum(row[op] for row, op in zip(rows, ops, strict=True))


def both(cost: CostTable, at_most: float) -> tuple[Candidates, Candidates]:
    ops = every(COUNTS)
    return (
        ListedCandidates.under(UNEVEN, ops, cost.totals(ops), at_most, cost.name),
        SolvedCandidates(UNEVEN, (Limit(cost, at_most),)),
    )


@given(
    seed=st.integers(0, 2**31),
    most=st.sampled_from([2, 5, 100]),
    share=st.floats(0, 1),
    count=st.sampled_from([1, 2, 5, 300]),
)
@settings(max_examples=40, derandomize=True)
def test_both_kinds_agree_with_all_networks_tried(seed: int, most: int, share: float, count: int) -> None:
    cost, rows = whole_numbers(seed, most), score_rows(seed)
    costs = sorted(map(cost.total, ALL))
    at_most = costs[int(share * (len(ALL) - 1))]
    held = [ops for ops in ALL if cost.total(ops) <= at_most]
    rng = np.random.default_rng(seed)
    without = {ALL[row] for row in rng.integers(len(ALL), size=30)} | set(held[:3])
    wanted = sorted((score(rows, ops) for ops in held if ops not in without), reverse=True)[:count]
    for candidates in both(cost, at_most):
        assert {ops for ops in ALL if candidates.holds(ops)} == set(held)
        assert candidates.cost_limit() == at_most
        assert all(candidates.cost(ops) == cost.total(ops) for ops in held)
        assert candidates.count >= len(held)
        found = candidates.best(rows, count, without=without)
        assert len(set(found)) == len(found)
        assert set(found) <= set(held) - without
        assert [score(rows, ops) for ops in found] == pytest.approx(wanted)
        assert not candidates.best(rows, count, without=held)


@given(seed=st.integers(0, 2**31), kept=st.lists(st.sets(st.integers(0, 2)), min_size=8, max_size=8))
@settings(max_examples=40, derandomize=True)
def test_within_leaves_the_networks_whose_ops_are_alive(seed: int, kept: list[set[int]]) -> None:
    cost, rows = whole_numbers(seed, 10), score_rows(seed)
    alive = [
        {op for op in ops if op < count} | ({0} if place else set())
        for place, (ops, count) in enumerate(zip(kept, COUNTS, strict=True))
    ]
    at_most = sorted(map(cost.total, ALL))[40]
    held = [
        ops
        for ops in ALL
        if cost.total(ops) <= at_most and all(op in set_ for op, set_ in zip(ops, alive, strict=True))
    ]
    for candidates in both(cost, at_most):
        if not held:
            with pytest.raises(Infeasible):
                candidates.within(alive)
            continue
        less = candidates.within(alive)
        assert {ops for ops in ALL if less.holds(ops)} == set(held)
        assert less.cost_limit() == at_most
        assert score(rows, less.best(rows)[0]) == pytest.approx(max(score(rows, ops) for ops in held))
        assert less.sample(np.random.default_rng(seed)) in held
        same = less.within([range(3)] * 8)
        assert {ops for ops in ALL if same.holds(ops)} == set(held)


def test_a_place_without_ops_leaves_no_candidate() -> None:
    for candidates in (listed(UNEVEN), solved(UNEVEN), solved(UNEVEN, distinct_cost(UNEVEN), count=5)):
        with pytest.raises(Infeasible):
            candidates.within([[], *([range(3)] * 7)])


def test_a_budget_that_nothing_holds_tells_the_smallest_cost() -> None:
    cost = whole_numbers(0, 10)
    smallest = min(map(cost.total, ALL))
    for make in (0, 1):
        with pytest.raises(Infeasible) as raised:
            both(cost, smallest - 1)[make]
        assert raised.value.smallest == smallest
    other = CostTable("params", 0.0, tuple(-row for row in cost.rows))
    least = min(cost.total(ops) for ops in ALL if other.total(ops) <= -20)
    with pytest.raises(Infeasible) as raised:
        SolvedCandidates(
            UNEVEN,
            (
                Limit(cost, least - 1),
                Limit(CostTable("params", 50.0, other.rows), 30.0),
            ),
        )
    assert raised.value.smallest == least


@pytest.mark.parametrize("seed", range(3))
def test_several_limits_agree_with_all_networks_tried(seed: int) -> None:
    costs = [whole_numbers(seed, 20), whole_numbers(seed + 100, 20, "params")]
    limits = tuple(cheapest(cost, 90) for cost in costs)
    held = {ops for ops in ALL if all(limit.holds(ops) for limit in limits)}
    candidates, rows = SolvedCandidates(UNEVEN, limits), score_rows(seed)
    assert {ops for ops in ALL if candidates.holds(ops)} == held
    without = set(sorted(held, key=lambda ops: -score(rows, ops))[:3])
    wanted = sorted((score(rows, ops) for ops in held - without), reverse=True)[:4]
    assert [score(rows, ops) for ops in candidates.best(rows, 4, without=without)] == pytest.approx(wanted)
    rng = np.random.default_rng(seed)
    counts = Counter(candidates.sample(rng) for _ in range(30 * len(held)))
    assert set(counts) == held
    assert max(counts.values()) < 3 * 30


@pytest.mark.parametrize("count", [1, 2, 3, 10, 60])
def test_samples_are_the_cheapest_networks_all_about_as_often(count: int) -> None:
    cost = distinct_cost(UNEVEN)
    held = {ops for ops in ALL if cheapest(cost, count).holds(ops)}
    for candidates in (listed(UNEVEN, cost, count), solved(UNEVEN, cost, count=count)):
        rng = np.random.default_rng(0)
        counts = Counter(candidates.sample(rng) for _ in range(100 * count))
        assert set(counts) == held
        assert list(counts.values()) == pytest.approx([100] * count, rel=0.4)


def test_a_budget_that_one_network_in_ten_thousand_holds_is_sampled_evenly() -> None:
    rng = np.random.default_rng(4)
    counts = PROXYLESS.op_counts
    rows = [rng.uniform(0, 10, count) if place < 6 else np.zeros(count) for place, count in enumerate(counts)]
    prefixes = list(itertools.product(*map(range, counts[:6])))
    costs = np.array([score(rows[:6], ops) for ops in prefixes])
    at_most = float(np.sort(costs)[len(prefixes) // 10_000])
    held = {ops for ops, cost in zip(prefixes, costs, strict=True) if cost <= at_most}
    candidates = SolvedCandidates(PROXYLESS, (Limit(CostTable("macs", 0.0, tuple(rows)), at_most),))
    drawn = [candidates.sample(rng) for _ in range(150 * len(held))]
    found = Counter(ops[:6] for ops in drawn)
    assert set(found) == held
    assert list(found.values()) == pytest.approx([150] * len(held), rel=0.3)
    for place in range(6, len(counts)):
        free = Counter(ops[place] for ops in drawn)
        assert list(free.values()) == pytest.approx([len(drawn) / counts[place]] * counts[place], rel=0.3)


def test_networks_too_rare_to_be_drawn_are_solved_for() -> None:
    # one limit wants the first ops, the other the last: one network in 6561 is exactly between
    up = CostTable("macs", 0.0, tuple(np.array([0.0, 1.0, 2.0]) for _ in range(8)))
    down = CostTable("params", 16.0, tuple(np.array([0.0, -1.0, -2.0]) for _ in range(8)))
    weights = CostTable(
        "latency_ms", 0.0, tuple(np.array([0.0, 3.0**place, 5.0**place]) for place in range(8))
    )
    only = (1, 0, 0, 1, 0, 0, 0, 2)
    limits = (
        Limit(up, up.total(only)),
        Limit(down, down.total(only)),
        Limit(weights, weights.total(only)),
        Limit(CostTable("stored_bytes", 4e5, tuple(-row for row in weights.rows)), 4e5 - weights.total(only)),
    )
    candidates = SolvedCandidates(MACRO, limits)
    rng = np.random.default_rng(0)
    for _ in range(3):
        assert candidates.holds(candidates.sample(rng))


@pytest.mark.parametrize("make", CANDIDATES.values(), ids=CANDIDATES)
def test_traits_and_their_sums(make: Callable[[], Candidates]) -> None:
    candidates = make()
    rng = np.random.default_rng(0)
    rows = score_rows(0, candidates.trait_counts)
    ops = candidates.sample(rng)
    best = candidates.best_by_traits(rows, 2)
    assert len(candidates.traits(ops)) == len(candidates.trait_counts)
    values = [score(rows, candidates.traits(found)) for found in best]
    assert values == sorted(values, reverse=True)
    assert values[0] >= score(rows, candidates.traits(ops)) - 1e-9
    if candidates.space is CELLS:
        assert candidates.traits(ops) == tuple(cell_traits(np.array([ops]))[0][0].tolist())
        assert best[0] == max_listed(candidates, rows)


def max_listed(candidates: Candidates, rows: list[NDArray[np.float64]]) -> Ops:
    assert isinstance(candidates, ListedCandidates)
    every_one: list[Ops] = [tuple(ops) for ops in candidates.ops.tolist()]
    traits = cell_traits(candidates.ops)[0].tolist()
    values = [score(rows, one) for one in traits]
    return every_one[int(np.argmax(values))]


def test_a_list_is_checked() -> None:
    ops = every(COUNTS)
    with pytest.raises(ValueError, match="no network of uneven"):
        ListedCandidates(UNEVEN, ops[:0])
    with pytest.raises(ValueError, match="twice"):
        ListedCandidates(UNEVEN, ops[[0, 1, 0]])
    with pytest.raises(ValueError, match="does not hold"):
        ListedCandidates(UNEVEN, ops[:2], np.array([1.0, 3.0]), 2.0)


def test_without_a_budget_there_is_no_cost() -> None:
    for candidates in (listed(UNEVEN), solved(UNEVEN)):
        assert candidates.cost_limit() is None
        assert candidates.cost(ALL[0]) is None
        assert candidates.count == len(ALL)
        assert all(map(candidates.holds, ALL))
        rows = World(COUNTS).rows
        assert candidates.best(rows) == [tuple(int(row.argmax()) for row in rows)]
