"""One contract for every way to fill a score table, and what is special to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata

from ponas_core.accuracies import KnownAccuracies, published_accuracies
from ponas_core.complexity import complexity
from ponas_core.evaluation import Evaluator, Ledger, OutOfEvaluations, TabularEvaluator
from ponas_core.held_out import residuals_of, spearman
from ponas_core.sampling import Band, random_sample
from ponas_core.score_table import ScoreTable, log_error
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space
from ponas_core.table_estimation import (
    Context,
    largest_network,
    middle_network,
    one_change_table,
    progressive_evaluations,
    progressive_table,
)
from ponas_core.table_fit import fitted_estimate, fitted_table
from tests.ponas_core.additive import MACRO, AdditiveWorld, centred, uneven_space

SPACES = [MACRO, uneven_space()]
named = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


class Contract:
    """What holds for every way."""

    method: str
    draws = True

    def table(self, space: SearchSpace, evaluator: Evaluator, seed: int = 0) -> ScoreTable:
        raise NotImplementedError

    def most(self, space: SearchSpace) -> int:
        """The most evaluations it may spend."""
        raise NotImplementedError

    @named
    def test_the_table_fits_its_space_and_tells_how_it_came_about(self, space: SearchSpace) -> None:
        table = self.table(space, AdditiveWorld(space, 1), seed=7)
        table.check(space)
        assert (table.kind, table.link) == ("accuracy", "log-error")
        provenance = table.provenance
        assert provenance["method"] == self.method
        assert provenance["evaluator"] == "a world that adds up"
        assert provenance["seed"] == (7 if self.draws else None)

    @named
    def test_it_spends_what_it_says(self, space: SearchSpace) -> None:
        world = AdditiveWorld(space, 1)
        table = self.table(space, world)
        assert table.provenance["evaluations"] == len(world.asked) == len(set(world.asked))
        assert len(world.asked) <= self.most(space)

    @named
    def test_the_same_seed_gives_the_same_table(self, space: SearchSpace) -> None:
        one, other = (self.table(space, AdditiveWorld(space, 1), seed=5) for _ in range(2))
        assert np.array_equal(np.concatenate(one.rows), np.concatenate(other.rows))
        assert one.provenance == other.provenance

    @named
    def test_the_file_gives_the_table_back(self, space: SearchSpace, tmp_path: Path) -> None:
        table = self.table(space, AdditiveWorld(space, 1))
        table.save(tmp_path / "table.json")
        again = ScoreTable.load(tmp_path / "table.json")
        again.check(space)
        assert np.array_equal(np.concatenate(again.rows), np.concatenate(table.rows))
        assert again.provenance == table.provenance

    @named
    @pytest.mark.parametrize("seed", range(3))
    def test_where_accuracies_add_up_every_network_is_ranked_exactly(
        self, space: SearchSpace, seed: int
    ) -> None:
        world = AdditiveWorld(space, seed)
        table = self.table(space, world, seed)
        assert centred(table.rows) == pytest.approx(centred(world.rows), abs=1e-6)
        networks = random_sample(space, np.random.default_rng(0), min(200, space.size))
        said = np.array([table.value(network.ops) for network in networks])
        true = np.array([world.accuracy(network) for network in networks])
        assert said == pytest.approx(true, abs=1e-4)
        assert rankdata(said.round(5)) == pytest.approx(rankdata(true.round(5)))

    def test_it_goes_on_from_a_ledger_that_knows_some_networks(self) -> None:
        whole = Ledger(AdditiveWorld(MACRO, 1))
        table = self.table(MACRO, whole)
        with pytest.raises(OutOfEvaluations):
            self.table(MACRO, Ledger(AdditiveWorld(MACRO, 1), most=whole.evaluations - 1))
        world = AdditiveWorld(MACRO, 1)
        again = self.table(MACRO, Ledger(world, history=whole.history[:10], most=whole.evaluations))
        assert len(world.asked) == whole.evaluations - 10
        assert np.array_equal(np.concatenate(again.rows), np.concatenate(table.rows))
        assert again.provenance == table.provenance


class TestProgressive(Contract):
    method = "progressive"

    def table(self, space: SearchSpace, evaluator: Evaluator, seed: int = 0) -> ScoreTable:
        return progressive_table(space, evaluator, np.random.default_rng(seed), contexts=3)

    def most(self, space: SearchSpace) -> int:
        return progressive_evaluations(space, 3)


class TestProgressiveInTheLargestContext(TestProgressive):
    def table(self, space: SearchSpace, evaluator: Evaluator, seed: int = 0) -> ScoreTable:
        return progressive_table(space, evaluator, np.random.default_rng(seed), context="largest")

    def most(self, space: SearchSpace) -> int:
        return progressive_evaluations(space, 1, "largest")


class TestOneChange(Contract):
    method, draws = "one-change", False

    def table(self, space: SearchSpace, evaluator: Evaluator, seed: int = 0) -> ScoreTable:
        return one_change_table(space, evaluator, middle_network(space))

    def most(self, space: SearchSpace) -> int:
        return 1 + sum(len(layer.blocks) - 1 for layer in space.layers)


class TestFitted(Contract):
    method = "fitted"

    def table(self, space: SearchSpace, evaluator: Evaluator, seed: int = 0) -> ScoreTable:
        return fitted_estimate(space, evaluator, np.random.default_rng(seed), self.most(space))

    def most(self, space: SearchSpace) -> int:
        return 60


@pytest.mark.parametrize(
    ("contexts", "context", "most"), [(4, "sampled", 6 * 12 + 9 + 3), (4, "largest", 24)]
)
def test_progressive_evaluations_are_counted_beforehand(contexts: int, context: Context, most: int) -> None:
    assert progressive_evaluations(MACRO, contexts, context) == most


def test_candidates_of_a_layer_meet_the_same_contexts_and_the_winners_in_front() -> None:
    world = AdditiveWorld(MACRO, 2)
    ledger = Ledger(world)
    calls: list[tuple[int, int]] = []
    behind: list[list[set[tuple[int, ...]]]] = [[] for _ in MACRO.layers]

    def settle(layer: int, op: int, evaluate: Callable[[], float]) -> float:
        calls.append((layer, op))
        ledger.forget()  # so that every network of the cell is seen
        before = len(world.asked)
        value = evaluate()
        assert all(ops[layer] == op for ops in world.asked[before:])
        behind[layer].append({ops[layer + 1 :] for ops in world.asked[before:]})
        return value

    table = progressive_table(MACRO, ledger, np.random.default_rng(0), contexts=4, settle=settle)
    assert calls == [(layer, op) for layer in range(8) for op in range(3)]
    assert [[len(context) for context in row] for row in behind] == [[4] * 3] * 6 + [[3] * 3, [1] * 3]
    assert all(row[0] == row[1] == row[2] for row in behind)
    assert table.provenance["winners"] == [int(row.argmax()) for row in world.rows]


def test_kept_cells_are_not_evaluated_again() -> None:
    kept: dict[tuple[int, int], float] = {}

    def journal(layer: int, op: int, evaluate: Callable[[], float]) -> float:
        if (layer, op) not in kept:
            kept[layer, op] = evaluate()
        return kept[layer, op]

    def run(ledger: Ledger) -> ScoreTable:
        return progressive_table(MACRO, ledger, np.random.default_rng(4), settle=journal)

    with pytest.raises(OutOfEvaluations):
        run(Ledger(AdditiveWorld(MACRO, 3), most=30))
    assert 0 < len(kept) < 24
    done = len(kept)
    world = AdditiveWorld(MACRO, 3)
    table = run(Ledger(world))
    assert len(kept) == 24
    assert len(world.asked) <= 4 * (24 - done)
    whole = progressive_table(MACRO, AdditiveWorld(MACRO, 3), np.random.default_rng(4))
    assert np.array_equal(np.concatenate(table.rows), np.concatenate(whole.rows))
    assert table.provenance == whole.provenance


def test_a_candidate_is_fine_tuned_before_it_is_evaluated_and_then_paid_for_anew() -> None:
    world = AdditiveWorld(MACRO, 2)
    tuned: list[tuple[tuple[int, ...], int, int, int]] = []

    def fine_tune(prefix: Sequence[int], layer: int, op: int) -> None:
        tuned.append((tuple(prefix), layer, op, len(world.asked)))

    table = progressive_table(MACRO, world, np.random.default_rng(0), contexts=4, fine_tune=fine_tune)
    winners = tuple(table.provenance["winners"])
    assert [call[:3] for call in tuned] == [
        (winners[:layer], layer, op) for layer in range(8) for op in range(3)
    ]
    # nothing of before is kept, not even where the last layers repeat a network
    assert table.provenance["evaluations"] == len(world.asked) == progressive_evaluations(MACRO, 4)
    assert table.provenance["fine_tuned"]
    assert [call[3] for call in tuned[:4]] == [0, 4, 8, 12]


def test_no_contexts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one context"):
        progressive_table(MACRO, AdditiveWorld(MACRO, 0), np.random.default_rng(0), contexts=0)


def test_references_are_the_largest_and_the_middle_network() -> None:
    assert largest_network(MACRO).ops == (2,) * 8
    assert middle_network(MACRO).ops == (1,) * 8
    space = shipped_space("proxyless")
    totals = [
        complexity(space, "macs").total(net.ops) for net in (middle_network(space), largest_network(space))
    ]
    assert totals == sorted(totals)
    # 3, 2 and 1 ops: the lower of two
    assert middle_network(uneven_space()).ops == (1, 0, 0) * 2 + (1, 0)


def test_a_one_change_table_says_the_accuracy_of_its_reference() -> None:
    world = AdditiveWorld(MACRO, 0)
    reference = middle_network(MACRO)
    table = one_change_table(MACRO, world, reference)
    assert table.value(reference.ops) == pytest.approx(world.accuracy(reference))
    assert table.provenance["reference"] == [1] * 8


def test_networks_to_fit_to_lie_within_the_band_and_the_file_says_so() -> None:
    band = Band(complexity(MACRO, "macs"), 30e6, 60e6)
    world = AdditiveWorld(MACRO, 0)
    table = fitted_estimate(MACRO, world, np.random.default_rng(0), 40, bands=[band])
    assert band.holds(np.array(world.asked)).all()
    assert table.provenance["bands"] == [{"cost": "macs", "at_least": 30e6, "at_most": 60e6}]


def test_a_ridge_that_is_given_is_used_and_one_that_is_not_grows_with_the_noise() -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    rng = np.random.default_rng(0)
    ridges = []
    for noise_sd in (0.0, 4.0):
        evaluator = TabularEvaluator(known, noise_sd)
        ridges.append(fitted_estimate(MACRO, evaluator, rng, 96).provenance["ridge"])
    assert ridges[0] < ridges[1]
    few = KnownAccuracies(dict(list(known.values.items())[::100]), "a sample")
    assert fitted_table(MACRO, few, 0.2).provenance["ridge"] == 0.2
    assert 0 < float(fitted_table(MACRO, few).provenance["ridge"]) < 100


def test_what_is_left_out_is_predicted_as_a_fit_without_it_predicts_it() -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    rng = np.random.default_rng(1)
    sample = {net.ops: known.values[net.ops] for net in random_sample(MACRO, rng, 30)}
    table = fitted_table(MACRO, KnownAccuracies(sample, "a sample"), 0.5)
    predicted = []
    for left_out in sample:
        others = {ops: value for ops, value in sample.items() if ops != left_out}
        predicted.append(fitted_table(MACRO, KnownAccuracies(others, "others"), 0.5).total(left_out))
    observed = log_error(list(sample.values()))
    better = np.argsort(-np.array(predicted))[:15]
    assert residuals_of(table).log_sd == pytest.approx(np.std((observed - predicted)[better], ddof=1))


def test_the_fit_ranks_published_networks_from_few_noisy_evaluations() -> None:
    known = published_accuracies(MACRO)
    assert known is not None
    every = {net.keys: net.ops for net in MACRO.enumerate()}.values()
    true = np.array([known.values[ops] for ops in every])
    for noise_sd, least in ((0.15, 0.94), (1.0, 0.88)):
        table = fitted_estimate(MACRO, TabularEvaluator(known, noise_sd, 1), np.random.default_rng(1), 96)
        assert spearman(np.array([table.value(ops) for ops in every]), true) > least
