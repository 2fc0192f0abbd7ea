from __future__ import annotations

import csv
import gzip
import itertools
import math
from importlib import resources

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponas_core.accuracies import published_accuracies
from ponas_core.complexity import complexity
from ponas_core.cost import ROUNDING, CostTable, Limit
from ponas_core.solve import FrontTooLarge, Infeasible, best, k_best, pareto_front
from ponas_core.space_file import shipped_space
from ponas_core.table_fit import fitted_table

Rows = tuple[NDArray[np.float64], ...]


@st.composite
def instances(draw: st.DrawFn, costs: int = 1) -> tuple[Rows, list[CostTable]]:
    """Few small numbers, so that ties and equal sums are common."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    # thousandths: sums that differ, differ by more than their rounding
    number = st.one_of(st.integers(-3, 5).map(float), st.integers(-2000, 7000).map(lambda n: n / 1000))
    cost_number = st.one_of(st.integers(0, 5).map(float), st.integers(0, 7000).map(lambda n: n / 1000))

    def rows(numbers: st.SearchStrategy[float]) -> Rows:
        return tuple(np.array(draw(st.lists(numbers, min_size=size, max_size=size))) for size in sizes)

    scores = rows(number)
    fixed = draw(st.integers(0, 3000)) / 1000
    return scores, [CostTable(f"cost{n}", fixed, rows(cost_number)) for n in range(costs)]


def all_choices(scores: Rows) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(row.size) for row in scores)))


def score_of(scores: Rows, choices: tuple[int, ...]) -> float:
    return math.fsum(float(row[op]) for row, op in zip(scores, choices, strict=True))


def brute_force(scores: Rows, limits: list[Limit]) -> list[tuple[float, tuple[int, ...]]]:
    held = [choices for choices in all_choices(scores) if all(limit.holds(choices) for limit in limits)]
    return sorted(((score_of(scores, choices), choices) for choices in held), reverse=True)


def limits_between(costs: list[CostTable], shares: list[float]) -> list[Limit]:
    found = []
    for cost, share in zip(costs, shares, strict=True):
        low = cost.total(cost.smallest())
        high = cost.total([int(row.argmax()) for row in cost.rows])
        found.append(Limit(cost, low + share * (high - low)))
    return found


@given(instances(), st.floats(0, 1.1), st.integers(1, 9))
def test_k_best_equals_brute_force(instance: tuple[Rows, list[CostTable]], share: float, k: int) -> None:
    scores, costs = instance
    limits = limits_between(costs, [share])
    expected = brute_force(scores, limits)
    found = k_best(scores, limits, k)
    assert [solution.score for solution in found] == pytest.approx([score for score, _ in expected[:k]])
    assert len({solution.choices for solution in found}) == len(found)
    for solution in found:
        assert limits[0].holds(solution.choices)
        assert solution.costs == {"cost0": costs[0].total(solution.choices)}


@given(instances(), st.integers(1, 9))
def test_k_best_without_limits_is_the_k_highest_scores(
    instance: tuple[Rows, list[CostTable]], k: int
) -> None:
    scores, _ = instance
    found = k_best(scores, [], k)
    expected = brute_force(scores, [])[:k]
    assert [solution.score for solution in found] == pytest.approx([score for score, _ in expected])


@settings(max_examples=40, deadline=None)
@given(instances(costs=3), st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(1, 4))
def test_several_limits_equal_brute_force(
    instance: tuple[Rows, list[CostTable]], shares: list[float], k: int
) -> None:
    scores, costs = instance
    limits = limits_between(costs, shares)
    expected = brute_force(scores, limits)
    if not expected:
        with pytest.raises(Infeasible):
            k_best(scores, limits, k)
        return
    found = k_best(scores, limits, k)
    assert [solution.score for solution in found] == pytest.approx(
        [score for score, _ in expected[:k]], abs=1e-6
    )


def test_a_limit_of_next_to_nothing_is_held_beside_another() -> None:
    tight, free = CostTable("tight", 0.0, (np.array([0.0, 1.0]),)), CostTable("free", 0.0, (np.zeros(2),))
    found = best([np.array([0.0, 5.0])], [Limit(tight, 2.2250738585072014e-308), Limit(free, 0.0)])
    assert found.choices == (0,)


@given(instances())
def test_the_front_is_what_no_other_beats(instance: tuple[Rows, list[CostTable]]) -> None:
    scores, (cost,) = instance
    front = pareto_front(scores, cost)
    points = [(cost.total(choices), score_of(scores, choices)) for choices in all_choices(scores)]
    prices, values = np.array(points).T
    for solution in front:
        assert not ((prices < solution.costs["cost0"] - 1e-9) & (values > solution.score - 1e-9)).any()
    cheapest, highest = np.array([(s.costs["cost0"], s.score) for s in front]).T
    covered = (cheapest <= prices[:, None] + 1e-9) & (highest >= values[:, None] - 1e-9)
    assert covered.any(axis=1).all()
    assert [s.costs["cost0"] for s in front] == sorted(s.costs["cost0"] for s in front)
    assert all(one.score < two.score for one, two in itertools.pairwise(front))


@given(instances())
def test_every_point_of_the_front_is_the_best_at_its_own_cost(instance: tuple[Rows, list[CostTable]]) -> None:
    scores, (cost,) = instance
    for solution in pareto_front(scores, cost):
        assert best(scores, [Limit(cost, solution.costs["cost0"])]).score == pytest.approx(solution.score)


def test_costs_that_differ_by_the_rounding_of_a_sum_are_one_point_of_the_front() -> None:
    scores = (np.array([2.0, 0.0]), np.array([0.0, -1.0]), np.array([0.0]))
    rows = (np.array([2.0, 0.0]), np.array([4.0, 2.0]), np.array([0.012]))
    assert (2.0 + (2.0 + 0.012)) != 4.0 + 0.012  # as the suffixes are summed
    cost = CostTable("cost0", 0.0, rows)
    for solution in pareto_front(scores, cost):
        assert best(scores, [Limit(cost, solution.costs["cost0"])]).score == solution.score


@given(instances(), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_budget_never_scores_less(
    instance: tuple[Rows, list[CostTable]], one: float, two: float
) -> None:
    scores, costs = instance
    tight, loose = (best(scores, limits_between(costs, [share])) for share in sorted((one, two)))
    assert tight.score <= loose.score + 1e-12


@given(instances())
def test_an_unreachable_budget_names_the_smallest_reachable_cost(
    instance: tuple[Rows, list[CostTable]],
) -> None:
    scores, (cost,) = instance
    smallest = min(cost.total(choices) for choices in all_choices(scores))
    if smallest <= 1e-6:
        return
    with pytest.raises(Infeasible, match="smallest reachable") as caught:
        best(scores, [Limit(cost, 0.9 * smallest)])
    assert caught.value.smallest == pytest.approx(smallest)
    assert caught.value.name == "cost0"
    told = float(str(caught.value).rsplit(" is ", 1)[1])
    assert best(scores, [Limit(cost, told)]).costs["cost0"] == pytest.approx(told)


def test_limits_reachable_alone_but_not_together_are_refused_with_what_is_reachable() -> None:
    scores = (np.array([1.0, 2.0]),)
    fast = CostTable("latency_ms", 0.0, (np.array([1.0, 5.0]),))
    small = CostTable("params", 0.0, (np.array([9.0, 2.0]),))
    with pytest.raises(Infeasible, match="while params hold") as caught:
        best(scores, [Limit(fast, 2.0), Limit(small, 3.0)])
    assert (caught.value.name, caught.value.smallest) == ("latency_ms", 5.0)


def test_a_front_that_does_not_fit_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ponas_core.solve.LARGEST_FRONT", 10)
    rows = tuple(np.array([1.0, 2.0 + 2.0**n, 3.0 + 3.0**n]) for n in range(6))
    with pytest.raises(FrontTooLarge, match="single budgets"):
        pareto_front(rows, CostTable("latency_ms", 0.0, rows))


def _random_proxyless(seed: int) -> tuple[Rows, CostTable]:
    """Latencies and concave scores of the size of the ProxylessNAS space."""
    rng = np.random.default_rng(seed)
    macs = complexity(shipped_space("proxyless"), "macs")
    latency = tuple(row / 4e7 * rng.uniform(0.8, 1.3, row.size) + 0.02 * (row > 0) for row in macs.rows)
    scores = tuple(np.sqrt(row / 1e6) * rng.uniform(0.9, 1.1, row.size) for row in macs.rows)
    return scores, CostTable("latency_ms", 0.5, latency)


@pytest.mark.parametrize("seed", range(2))
def test_one_budget_on_the_proxyless_space_equals_highs(seed: int) -> None:
    _check_against_highs(seed, share=0.45)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 12))
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.9])
def test_many_budgets_on_the_proxyless_space_equal_highs(seed: int, share: float) -> None:
    _check_against_highs(seed, share)


def _check_against_highs(seed: int, share: float) -> None:
    scores, cost = _random_proxyless(seed)
    (limit,) = limits_between([cost], [share])
    # a second limit that never binds sends the problem through the integer program
    free = Limit(CostTable("params", 0.0, cost.rows), 1e9)
    exact, program = best(scores, [limit]), best(scores, [limit, free])
    assert exact.score == pytest.approx(program.score, rel=1e-9)
    assert limit.holds(exact.choices)


def _published_instance() -> tuple[Rows, CostTable, NDArray[np.intp]]:
    space = shipped_space("nasbench-macro")
    known = published_accuracies(space)
    assert known is not None
    return fitted_table(space, known).rows, complexity(space, "macs"), np.array(list(known.values), np.intp)


def test_fifty_budgets_equal_brute_force_over_all_published_networks() -> None:
    scores, cost, every = _published_instance()
    assert len(every) == 6561
    totals = cost.totals(every)
    sums = sum(row[every[:, layer]] for layer, row in enumerate(scores))
    for budget in np.linspace(totals.min(), totals.max(), 50):
        held = totals <= budget * (1 + ROUNDING)
        found = best(scores, [Limit(cost, float(budget))])
        assert found.score == pytest.approx(float(np.asarray(sums)[held].max()), abs=1e-12)


def test_published_costs_are_the_solvers_costs() -> None:
    _, cost, _ = _published_instance()
    data = gzip.decompress(resources.files("ponas_core.data").joinpath("nasbench-macro.csv.gz").read_bytes())
    for row in itertools.islice(csv.DictReader(data.decode().splitlines()), 0, 6561, 97):
        assert cost.total([int(op) for op in row["arch"]]) == int(row["flops"])


@pytest.mark.parametrize("share", [0.1, 0.37, 0.8])
def test_scores_that_are_the_costs_end_in_time_though_ties_are_countless(share: float) -> None:
    # every exchange of two layers of a stage is a tie: a breadth-first search would never end
    macs = complexity(shipped_space("proxyless"), "macs")
    (limit,) = limits_between([macs], [share])
    found = k_best(macs.rows, [limit], 8)
    assert len({solution.choices for solution in found}) == 8
    assert all(limit.holds(solution.choices) for solution in found)
    assert found[0].score + macs.fixed > 0.999 * limit.at_most
