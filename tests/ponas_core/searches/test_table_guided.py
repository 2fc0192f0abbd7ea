"""What is particular to tables over traits, and to the search that draws them."""

from __future__ import annotations

import numpy as np
import pytest

from ponas_core.accuracies import KnownAccuracies
from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.held_out import residuals_of
from ponas_core.score_table import log_error
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.choice import most_accurate
from ponas_core.searches.random_search import distinct
from ponas_core.searches.table_guided import TableGuided
from ponas_core.searches.trait_table import TraitTable
from ponas_core.table_fit import fitted_table
from tests.ponas_core.additive import MACRO, AdditiveWorld
from tests.ponas_core.searches.worlds import CELLS, UNEVEN, World, distinct_cost, listed, solved


def seen(candidates: Candidates, count: int, noise_sd: float = 2.0) -> dict[Ops, float]:
    world, rng = World(candidates.space.op_counts, noise_sd=noise_sd), np.random.default_rng(0)
    networks = distinct(candidates, count, rng)
    return {ops: world.accuracy(candidates.space.architecture(ops)) for ops in networks}


@pytest.mark.parametrize("candidates", [listed(CELLS), solved(UNEVEN)], ids=["cells", "chain"])
@pytest.mark.parametrize("top", [None, 7.0])
@pytest.mark.parametrize("ridge", [0.25, 3.0])
def test_the_mean_is_a_weighted_ridge_regression(
    candidates: Candidates, top: float | None, ridge: float
) -> None:
    known = seen(candidates, 40)
    table = TraitTable.fitted(candidates, known, ridge=ridge, top=top)
    # by hand: an intercept of its own column that nothing is taken off for
    best_first = sorted(known, key=lambda ops: -known[ops])
    weights = np.array([1.0 if top is None else 1 / (1 + best_first.index(ops) / top) for ops in known])
    design = np.array(
        [
            [1.0]
            + [
                float(value == trait)
                for trait, count in zip(candidates.traits(ops), candidates.trait_counts, strict=True)
                for value in range(count)
            ]
            for ops in known
        ]
    )
    target = log_error(list(known.values()))
    penalty = ridge * np.diag([0.0, *np.ones(design.shape[1] - 1)])
    solution = np.linalg.solve((design.T * weights) @ design + penalty, (design.T * weights) @ target)
    assert table.mean == pytest.approx(solution[1:])
    assert np.concatenate(table.rows) == pytest.approx(solution[1:])
    assert [row.size for row in table.rows] == list(candidates.trait_counts)
    # the covariance of the entries: the inverse of the precision, without the intercept
    residuals = target - design @ solution
    variance = float(weights @ residuals**2 / weights.sum())
    covariance = variance * np.linalg.inv((design.T * weights) @ design + penalty)[1:, 1:]
    centred = design[:, 1:] - weights @ design[:, 1:] / weights.sum()
    inverse = np.linalg.inv((centred.T * weights) @ centred + ridge * np.eye(centred.shape[1]))
    assert table.spread @ table.spread.T == pytest.approx(variance * inverse)
    assert table.spread @ table.spread.T == pytest.approx(covariance)


def test_draws_have_that_mean_and_covariance() -> None:
    candidates = solved(UNEVEN)
    table = TraitTable.fitted(candidates, seen(candidates, 25))
    rng = np.random.default_rng(0)
    draws = np.array([np.concatenate(table.draw(rng)) for _ in range(20_000)])
    covariance = table.spread @ table.spread.T
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((draws.mean(axis=0) - table.mean) / sd).max() < 5 / np.sqrt(len(draws))
    scaled = (np.cov(draws.T) - covariance) / np.outer(sd, sd)
    assert np.abs(scaled).max() < 8 / np.sqrt(len(draws))


def test_what_is_known_exactly_is_not_doubted() -> None:
    candidates = solved(UNEVEN)
    table = TraitTable.fitted(candidates, dict.fromkeys(seen(candidates, 20), 90.0))
    assert np.concatenate(table.draw(np.random.default_rng(0))) == pytest.approx(table.mean)
    assert table.mean == pytest.approx(np.zeros(17))


@pytest.mark.parametrize("seed", range(4))
def test_the_best_network_of_a_world_that_adds_up_is_found(seed: int) -> None:
    world, candidates = AdditiveWorld(MACRO, seed), solved(MACRO)
    found = TableGuided().run(candidates, Ledger(world, most=60), np.random.default_rng(seed))
    assert found.ops == tuple(int(row.argmax()) for row in world.rows)
    assert len(world.asked) == 60


@pytest.mark.parametrize("seed", range(2))
def test_the_best_network_within_a_budget_is_found(seed: int) -> None:
    world = AdditiveWorld(MACRO, seed)
    candidates = solved(MACRO, complexity(MACRO, "macs"), count=2000)
    found = TableGuided().run(candidates, Ledger(world, most=60), np.random.default_rng(seed))
    assert found.ops == candidates.best(world.rows)[0]


@pytest.mark.parametrize("top", [0.1, 5.0])
@pytest.mark.parametrize("batch", [1, 100])
def test_solved_and_listed_candidates_alone_are_evaluated(batch: int, top: float) -> None:
    cost = distinct_cost(UNEVEN)
    for candidates in (listed(UNEVEN, cost, 60), solved(UNEVEN, cost, count=60)):
        world = World(UNEVEN.op_counts)
        search = TableGuided(batch=batch, top=top)
        found = search.run(candidates, Ledger(world, most=40), np.random.default_rng(0))
        assert all(map(candidates.holds, [*world.asked, found.ops]))
        assert len(set(world.asked)) == 40


def test_few_candidates_are_all_seen_and_then_it_ends() -> None:
    world = World(UNEVEN.op_counts)
    candidates = solved(UNEVEN, distinct_cost(UNEVEN), count=9)
    found = TableGuided().run(candidates, Ledger(world, most=40), np.random.default_rng(0))
    assert len(world.asked) == 9
    assert found.ops == max(world.asked, key=world.true)


def test_noise_shrinks_what_was_observed_towards_the_table() -> None:
    known = seen(solved(MACRO), 60, noise_sd=4.0)
    table, noise = fitted_table(MACRO, KnownAccuracies(known, "")), 4.0
    # by hand, on the log of the error
    best = max(table.value(ops) for ops in known)
    table_sd, noise_sd = residuals_of(table).table_sd(noise), noise / (101 - best)
    weight = table_sd**2 / (table_sd**2 + noise_sd**2)
    posterior = {
        ops: weight * float(log_error(value)) + (1 - weight) * table.total(ops)
        for ops, value in known.items()
    }
    assert 0 <= weight < 1
    assert most_accurate(known, table, noise) == max(posterior, key=lambda ops: posterior[ops])
    lucky = max(known, key=lambda ops: known[ops])
    assert most_accurate(known, table, 0.0) == most_accurate(known, None, noise) == lucky
    assert most_accurate(known, table, 1e6) == max(known, key=table.value)


def test_the_first_of_equals_is_chosen() -> None:
    assert most_accurate({(1, 0): 90.0, (0, 1): 90.0, (0, 0): 80.0}, None, 0.0) == (1, 0)


def test_shrinking_chooses_better_where_observations_are_noisy() -> None:
    gained = []
    for seed in range(12):
        world = World(MACRO.op_counts, seed, noise_sd=4.0)
        shrunk, lucky = (
            TableGuided(noise=noise).run(solved(MACRO), Ledger(world, most=40), np.random.default_rng(seed))
            for noise in (4.0, 0.0)
        )
        gained.append(world.true(shrunk.ops) - world.true(lucky.ops))
    assert np.mean(gained) > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"first": 0.0}, "first is a share"),
        ({"first": 1.1}, "first is a share"),
        ({"batch": 0}, "batch at least 1"),
        ({"ridge": 0.0}, "above 0"),
        ({"top": 0.0}, "above 0"),
        ({"noise": -1.0}, "noise is a number"),
    ],
)
def test_settings_that_cannot_work_are_told(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TableGuided(**wrong)  # type: ignore[arg-type]  # that is the point
