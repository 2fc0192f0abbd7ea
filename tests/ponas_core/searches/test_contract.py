"""What every search must do, whatever the candidates are."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Evaluator, Ledger
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.evolution import RegularizedEvolution
from ponas_core.searches.interface import Found, Search
from ponas_core.searches.methods import METHODS
from ponas_core.searches.ponas import Ponas
from ponas_core.searches.table_guided import TableGuided
from ponas_core.solve import Infeasible
from tests.hwprofile.plugin_nas.twig import Leap
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import CANDIDATES, UNEVEN, Crew, World, distinct_cost, listed

SEARCHES: dict[str, Search] = {
    **{name: method() for name, method in METHODS.items()},
    "table-guided, noise": TableGuided(noise=2.0),
    "ponas, noise": Ponas(noise=2.0),
    "evolution, ahead": RegularizedEvolution(ahead=4),
    "of another package": Leap(),
}

every_search = pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)


@pytest.fixture(
    scope="module",
    params=[
        # with two budgets every solution is an integer program
        pytest.param(made, marks=pytest.mark.slow if "two budgets" in name else ())
        for name, made in CANDIDATES.items()
    ],
    ids=list(CANDIDATES),
)
def candidates(request: pytest.FixtureRequest) -> Candidates:
    made: Candidates = request.param()
    return made


def run(
    search: Search, candidates: Candidates, evaluator: Evaluator, most: int, seed: int = 0
) -> tuple[Found, Ledger]:
    ledger = Ledger(evaluator, most=most)
    return search.run(candidates, ledger, np.random.default_rng(seed)), ledger


def takes(search: Search, most: int) -> int:
    """The number of evaluations, or the one that the search asks for instead."""
    try:
        run(search, listed(UNEVEN), World(UNEVEN.op_counts), most)
    except ValueError as error:
        more = {int(number) for number in re.findall(r"\d+", str(error)) if int(number) > most}
    else:
        return most
    for asked in sorted(more):
        with contextlib.suppress(ValueError):
            run(search, listed(UNEVEN), World(UNEVEN.op_counts), asked)
            return asked
    raise AssertionError(f"{search} does not take {most} evaluations and does not say how many it takes")


def check(candidates: Candidates, found: Found, ledger: Ledger, most: int) -> None:
    assert candidates.holds(found.ops)
    assert all(candidates.holds(network.ops) for network, _ in ledger.history)
    assert ledger.evaluations <= most
    if found.table is not None:
        assert found.table.space == candidates.space.name
        assert tuple(row.size for row in found.table.rows) == candidates.space.op_counts
        assert all(np.isfinite(row).all() for row in found.table.rows)


@every_search
@pytest.mark.parametrize(("most", "noise_sd"), [(1, 0.0), (2, 3.0), (7, 0.0), (50, 0.0), (50, 3.0)])
def test_only_candidates_are_evaluated_and_returned_and_no_more_than_allowed(
    search: Search, candidates: Candidates, most: int, noise_sd: float
) -> None:
    world = World(candidates.space.op_counts, noise_sd=noise_sd)
    try:
        found, ledger = run(search, candidates, world, most)
    except Infeasible:
        raise
    except ValueError:
        assert takes(search, most) > most
        return
    check(candidates, found, ledger, most)
    assert len(set(world.asked)) == len(world.asked) == ledger.evaluations


@every_search
def test_a_search_that_takes_more_evaluations_says_how_many(search: Search) -> None:
    for most in (1, 2, 7):
        enough = takes(search, most)
        found, ledger = run(search, listed(UNEVEN), World(UNEVEN.op_counts), enough)
        check(listed(UNEVEN), found, ledger, enough)


@every_search
def test_the_same_seed_gives_the_same_result_and_history(search: Search, candidates: Candidates) -> None:
    most = takes(search, 20)
    (one, first), (two, second) = (
        run(search, candidates, World(candidates.space.op_counts, noise_sd=1.0), most, seed=3)
        for _ in range(2)
    )
    assert one.ops == two.ops
    assert first.history == second.history
    assert (one.table is None) == (two.table is None)
    if one.table is not None and two.table is not None:
        assert [row.tolist() for row in one.table.rows] == [row.tolist() for row in two.table.rows]
        assert one.table.provenance == two.table.provenance


@every_search
@pytest.mark.parametrize(
    "name", ["chain, solved under a budget", "cells under a budget", "three in a list", "three, solved"]
)
def test_an_interrupted_search_goes_on_as_if_it_had_not_been_and_pays_for_nothing_twice(
    search: Search, name: str
) -> None:
    candidates = CANDIDATES[name]()
    counts, most = candidates.space.op_counts, takes(search, 20)
    whole, ledger = run(search, candidates, World(counts, noise_sd=1.0), most)
    for stop in range(ledger.evaluations):
        interrupted = World(counts, noise_sd=1.0, most=stop)
        journal = Ledger(interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(search, candidates, journal, most)
        resumed = World(counts, noise_sd=1.0)
        again, fresh = run(search, candidates, Ledger(resumed, history=journal.history), most)
        assert again.ops == whole.ops
        assert fresh.history == ledger.history
        assert interrupted.asked + resumed.asked == [network.ops for network, _ in ledger.history]


class EagerWorld(World):
    """A world that begins with what it hears of."""

    def __init__(self, op_counts: Sequence[int], noise_sd: float) -> None:
        super().__init__(op_counts, noise_sd=noise_sd)
        self.begun: dict[Ops, int] = {}

    def expect(self, architectures: Sequence[Encoded]) -> None:
        for architecture in architectures:
            self.begun.setdefault(architecture.ops, len(self.asked))


@every_search
@pytest.mark.parametrize("name", ["chain, solved under a budget", "cells under a budget", "three in a list"])
def test_announcing_networks_changes_nothing_and_begins_no_more_than_allowed(
    search: Search, name: str
) -> None:
    candidates = CANDIDATES[name]()
    most, counts = takes(search, 30), candidates.space.op_counts
    eager = EagerWorld(counts, 1.0)
    one, first = run(search, candidates, World(counts, noise_sd=1.0), most)
    # a ledger behind the ledger passes on what it hears, as where a journal is kept
    two, second = run(search, candidates, Ledger(eager), most)
    assert one.ops == two.ops
    assert first.history == second.history
    assert len(eager.begun) <= most
    assert set(eager.begun) <= set(eager.asked) or len(eager.asked) == most


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("random", 4),
        ("spos", 3.5),
        ("evolution", 1.6),
        ("evolution, ahead", 3.3),
        ("table-guided", 3.7),
        ("ponas", 3.8),
        ("padnas", 3.5),
        ("ddpnas", 3.7),
        ("proxyless", 2.3),
        ("reinforce", 1),
    ],
)
def test_four_workers_are_given_work(name: str, at_least: float) -> None:
    """How much sooner a search ends than on one, where all evaluations take equally long."""
    counts, most = MACRO.op_counts, 120
    found, ledger = run(SEARCHES[name], listed(MACRO), World(counts), most)
    world = World(counts)
    four = Crew(world, 4)
    again, _ = run(SEARCHES[name], listed(MACRO), four, most)
    assert world.asked == [network.ops for network, _ in ledger.history]
    assert again.ops == found.ops
    assert ledger.evaluations / four.clock >= at_least


@every_search
def test_a_search_ends_where_accuracies_do_not_last(search: Search, candidates: Candidates) -> None:
    most = takes(search, 20)
    ledger = Ledger(World(candidates.space.op_counts), most=most, lasting=False)
    found = search.run(candidates, ledger, np.random.default_rng(0))
    check(candidates, found, ledger, most)


@every_search
@given(seed=st.integers(0, 2**31), count=st.integers(1, 216), most=st.integers(1, 80))
@settings(max_examples=12, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_budget_and_any_number_of_evaluations(search: Search, seed: int, count: int, most: int) -> None:
    candidates = listed(UNEVEN, distinct_cost(UNEVEN, seed), count)
    most = takes(search, most)
    found, ledger = run(search, candidates, World(UNEVEN.op_counts, seed), most, seed)
    check(candidates, found, ledger, most)


@pytest.mark.parametrize("search", [SEARCHES[name] for name in ("random", "evolution", "spos")])
def test_few_candidates_are_all_seen(search: Search, candidates: Candidates) -> None:
    found, ledger = run(search, candidates, World(candidates.space.op_counts), 130)
    assert ledger.evaluations == min(130, len(set(candidates.best(zeros(candidates), 131))))
    assert found.ops == max(ledger.history, key=lambda seen: seen[1])[0].ops


def zeros(candidates: Candidates) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return [np.zeros(count) for count in candidates.space.op_counts]
