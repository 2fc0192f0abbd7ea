"""What a search chooses from, under latencies of every kind."""

from __future__ import annotations

import csv
import io
import itertools
from pathlib import Path

import numpy as np
import pytest

from hwprofile.budget import parse_budget
from hwprofile.catalog import network_space_named
from hwprofile.errors import BudgetInfeasible, UserError
from hwprofile.latency import SpaceLatency
from hwprofile.learning.network_latency import NetworkLatency, latency_named
from hwprofile.learning.pool import Pool, candidates_for
from hwprofile.profile import Profile
from ponas_core.cell_space import OpSpace
from ponas_core.complexity import complexity
from ponas_core.searches.candidates import ListedCandidates, SolvedCandidates
from tests.hwprofile.learning.known_worlds import CELLS, MACRO, World, answer, cell, commas, run

BUDGETS = [parse_budget(text) for text in ("35MMACs", "0.6Mparams")]


def networks(pool: Pool) -> set[tuple[int, ...]]:
    """All candidates."""
    space = pool.candidates.space
    every = itertools.product(*(range(count) for count in space.op_counts))
    return {ops for ops in every if pool.candidates.holds(ops)}


def predictor(folder: Path, space: str, latencies: Path) -> Path:
    path = folder / "model.json"
    fitted = run("fit", "--networks", latencies, "--space", space, "--model", "ridge", "--out", path)
    assert fitted.exit_code == 0, fitted.output
    return path


def predicted(*arguments: object) -> dict[str, float]:
    """What `hwprofile predict` says."""
    result = run("predict", *arguments, "--quiet")
    assert result.exit_code == 0, result.output
    return {row["arch"]: float(row["latency_ms"]) for row in csv.DictReader(io.StringIO(result.stdout))}


def test_without_latency_or_list_the_solver_finds_chains_by_their_sizes() -> None:
    pool = candidates_for(MACRO, BUDGETS, None)
    assert isinstance(pool.candidates, SolvedCandidates)
    assert pool.limits == {"macs": 35e6, "params": 0.6e6}
    limits = [(complexity(MACRO, "macs"), 35e6), (complexity(MACRO, "params"), 0.6e6)]
    every = itertools.product(range(3), repeat=8)
    assert networks(pool) == {
        ops for ops in every if all(cost.total(ops) <= at_most for cost, at_most in limits)
    }
    assert pool.latency_ms(next(iter(networks(pool)))) is None


@pytest.mark.parametrize("space", [MACRO, CELLS], ids=lambda space: space.name)
def test_without_anything_every_network_is_a_candidate(space: OpSpace) -> None:
    pool = candidates_for(space, [], None)
    assert pool.candidates.count == (3**8 if space is MACRO else 5**6)
    assert pool.candidates.cost_limit() is None


def test_a_profile_adds_up_so_the_solver_holds_its_budgets(home: Path, macro_profile: Path) -> None:
    latency = latency_named(macro_profile, MACRO)
    model = SpaceLatency.from_profile(Profile.load(macro_profile), MACRO)
    budget = float(np.median([model.cost.total(ops) for ops in itertools.product(range(3), repeat=8)]))
    pool = candidates_for(MACRO, [parse_budget(f"{budget!r}ms"), *BUDGETS], latency)
    assert isinstance(pool.candidates, SolvedCandidates)
    assert pool.candidates.cost_limit() == budget
    found = networks(pool)
    assert 0 < len(found) < 3**8 / 2
    for ops in found:
        assert pool.latency_ms(ops) == model.cost.total(ops) == pool.candidates.cost(ops)
    with pytest.raises(BudgetInfeasible, match="the smallest reachable is") as caught:
        candidates_for(MACRO, [parse_budget("1us")], latency)
    smallest = str(caught.value).rsplit(" is ", 1)[1]
    assert networks(candidates_for(MACRO, [parse_budget(smallest)], latency))


def test_latencies_in_a_file_list_the_candidates(tmp_path: Path) -> None:
    world = World.written(tmp_path, CELLS, cell, networks=50)
    latency = latency_named(world.latencies_csv, CELLS)
    budgets = [parse_budget(f"{world.median_ms()!r}ms"), parse_budget("90MMACs")]
    pool = candidates_for(CELLS, budgets, latency)
    assert isinstance(pool.candidates, ListedCandidates)
    found = {str(CELLS.architecture(ops)): pool.latency_ms(ops) for ops in networks(pool)}
    assert found == {
        name: ms
        for name, ms in world.latency_ms.items()
        if ms <= world.median_ms() and CELLS.macs(CELLS.parse(name)) <= 90e6
    }


@pytest.mark.parametrize("space", ["nasbench-macro", "nasbench201"])
def test_a_predictor_lists_every_network_of_a_space_that_is_not_too_large(
    home: Path, tmp_path: Path, space: str
) -> None:
    definition = network_space_named(space)
    assert isinstance(definition, OpSpace)
    world = World.written(tmp_path, definition, commas if space == "nasbench-macro" else cell, networks=60)
    model = predictor(tmp_path, space, world.latencies_csv)
    latency = latency_named(model, definition)
    pool = candidates_for(definition, [parse_budget(f"{world.median_ms()!r}ms")], latency)
    assert 100 < pool.candidates.count < definition.size
    told = predicted(model, "--networks", world.latencies_csv)
    assert len(told) == len(world.latency_ms)
    for name, latency_ms in told.items():
        ops = definition.parse(name).ops
        assert pool.candidates.holds(ops) == (latency_ms <= world.median_ms())
        if pool.candidates.holds(ops):
            assert pool.latency_ms(ops) == pytest.approx(latency_ms, rel=1e-12)


def test_a_large_space_needs_latencies_that_add_up(home: Path, tmp_path: Path) -> None:
    large = network_space_named("proxyless")
    assert isinstance(large, OpSpace)
    world = World.written(tmp_path, large, commas, networks=20)
    latency: NetworkLatency = latency_named(predictor(tmp_path, "proxyless", world.latencies_csv), large)
    with pytest.raises(UserError, match="give --latency a profile"):
        candidates_for(large, [], latency)
    few = np.array([large.parse(name).ops for name in world.latency_ms], np.intp)
    assert candidates_for(large, [], latency, few).candidates.count == len(few)


def test_an_elastic_predictor_is_asked_at_the_resolution_of_the_chain(home: Path, tmp_path: Path) -> None:
    chain = network_space_named("ofa-mbv3@160")
    assert isinstance(chain, OpSpace)
    world = World.written(tmp_path, chain, lambda ops: f"r160:{commas(ops)}", networks=20)
    latency = latency_named(predictor(tmp_path, "ofa-mbv3", world.latencies_csv), chain)
    ops = np.array([chain.parse(name.removeprefix("r160:")).ops for name in world.latency_ms], np.intp)
    told = predicted(latency.origin, "--networks", world.latencies_csv)
    assert latency.latencies_ms(ops).tolist() == pytest.approx(list(told.values()), rel=1e-12)


def test_the_command_takes_profiles_and_predictors(home: Path, tmp_path: Path, macro_profile: Path) -> None:
    world = World.written(tmp_path, MACRO, commas, networks=80)
    model = predictor(tmp_path, "nasbench-macro", world.latencies_csv)
    asked = ["--networks", world.latencies_csv]
    for path, told in (
        (model, predicted(model, *asked)),
        (macro_profile, predicted("--space", "nasbench-macro", "--profile", macro_profile, *asked)),
    ):
        budget = float(np.median(list(told.values())))
        found = answer("search", "random", *world.evaluator, "--latency", path, "--budget", f"{budget!r}ms")
        within = {name: ms for name, ms in told.items() if ms <= budget}
        assert {row["architecture"]: row["latency_ms"] for row in found["history"]} == pytest.approx(within)
        assert found["latency_ms"] <= budget


def test_models_of_another_space_are_refused(home: Path, tmp_path: Path, macro_profile: Path) -> None:
    world = World.written(tmp_path, CELLS, cell, networks=20)
    model = predictor(tmp_path, "nasbench201", world.latencies_csv)
    cifar100 = network_space_named("nasbench201-cifar100")
    assert isinstance(cifar100, OpSpace)
    with pytest.raises(UserError, match="predicts networks of nasbench201, not of nasbench201-cifar100"):
        latency_named(model, cifar100)
    with pytest.raises(UserError, match="holds nasbench-macro, not the blocks of nasbench201"):
        latency_named(macro_profile, CELLS)
    with pytest.raises(UserError, match="line 2"):
        latency_named(world.latencies_csv, MACRO)
