from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.accuracies import Encoded
from ponas_core.complexity import complexity
from ponas_core.cost import Limit
from ponas_core.score_table import Scores, ScoreTable, ScoreTableError, macs_proxy
from ponas_core.selection import select
from ponas_core.solve import Infeasible, k_best
from ponas_core.table_estimation import middle_network, one_change_table
from ponas_core.table_fit import fitted_estimate
from ponas_core.verification import (
    CHECKED,
    ImageCheck,
    Verification,
    binomial_sd,
    distinct_best,
    observation_weight,
    shrunk,
    verify,
)
from tests.ponas_core.additive import MACRO, AdditiveWorld

MACS, PARAMS = complexity(MACRO, "macs"), complexity(MACRO, "params")
seeds = st.integers(0, 2**31)
million_macs = st.floats(8, 110)


class Other:
    """Observations that have nothing to do with the table."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def accuracy(self, architecture: Encoded) -> float:
        return float(self.rng.uniform(0, 100))


def table(seed: int) -> ScoreTable:
    return one_change_table(MACRO, AdditiveWorld(MACRO, seed), middle_network(MACRO))


def verified(seed: int, mmacs: float, noise_sd: float, table_sd: float, count: int = 5) -> Verification:
    limits = [Limit(MACS, mmacs * 1e6)]
    return verify(MACRO, table(seed), limits, Other(seed), noise_sd=noise_sd, count=count, table_sd=table_sd)


@given(seeds, million_macs, st.floats(0, 50), st.floats(0, 5))
@settings(max_examples=25)
def test_all_candidates_hold_the_limits_and_the_chosen_one_is_theirs(
    seed: int, mmacs: float, noise_sd: float, table_sd: float
) -> None:
    found = verified(seed, mmacs, noise_sd, table_sd)
    assert 1 <= len(found.candidates) <= 5
    assert all(Limit(MACS, mmacs * 1e6).holds(candidate.architecture.ops) for candidate in found.candidates)
    assert len({candidate.architecture.keys for candidate in found.candidates}) == len(found.candidates)
    assert found.chosen in found.candidates
    assert 0 <= found.weight <= 1
    for candidate in found.candidates:
        ends = sorted((candidate.predicted, candidate.observed))
        assert ends[0] - 1e-9 <= candidate.posterior <= ends[1] + 1e-9
    predicted = [candidate.predicted for candidate in found.candidates]
    assert predicted == sorted(predicted, reverse=True)


@given(seeds, million_macs, st.floats(0, 5))
@settings(max_examples=15)
def test_without_noise_the_highest_observation_is_chosen(seed: int, mmacs: float, table_sd: float) -> None:
    found = verified(seed, mmacs, 0.0, table_sd)
    assert found.chosen == max(found.candidates, key=lambda candidate: candidate.observed)
    assert found.chosen.posterior == found.chosen.observed


@given(seeds, million_macs, st.floats(0, 5))
@settings(max_examples=15)
def test_with_endless_noise_the_tables_own_best_is_chosen(seed: int, mmacs: float, table_sd: float) -> None:
    found = verified(seed, mmacs, math.inf, table_sd)
    best = k_best(table(seed).rows, [Limit(MACS, mmacs * 1e6)], 1)[0]
    assert found.chosen == found.candidates[0]
    assert found.chosen.architecture.ops == best.choices
    assert found.chosen.posterior == found.chosen.predicted


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_weight_falls_with_the_noise_and_rises_with_the_tables_error(
    one: float, two: float, sd: float
) -> None:
    low, high = sorted((one, two))
    assert 0 <= observation_weight(sd, high) <= observation_weight(sd, low) <= 1
    if sd:
        assert observation_weight(low, sd) <= observation_weight(high, sd)


def test_the_weight_is_the_share_of_the_tables_variance() -> None:
    assert observation_weight(3, 4) == pytest.approx(9 / 25)
    assert observation_weight(4, 3) == pytest.approx(16 / 25)
    assert observation_weight(0, 0) == 1
    assert observation_weight(0, 1) == 0
    assert observation_weight(1, math.inf) == 0
    assert observation_weight(1e-300, 5e-324) == 1


@pytest.mark.parametrize(
    ("table_sd", "noise_sd"), [(-1, 1), (1, -1), (math.nan, 1), (1, math.nan), (math.inf, 1)]
)
def test_what_is_no_spread_is_refused(table_sd: float, noise_sd: float) -> None:
    with pytest.raises(ValueError, match="no standard deviations"):
        observation_weight(table_sd, noise_sd)


@given(st.floats(0, 99), st.floats(0, 99), st.floats(0, 1))
def test_a_posterior_lies_between_prediction_and_observation(said: float, seen: float, weight: float) -> None:
    assert min(said, seen) - 1e-9 <= shrunk(said, seen, weight) <= max(said, seen) + 1e-9
    assert shrunk(said, seen, 0.0) == said
    assert shrunk(said, seen, 1.0) == seen


def test_an_offset_that_all_predictions_have_moves_no_candidate_past_another() -> None:
    plain = table(1)
    shifted = ScoreTable(
        plain.space, plain.kind, "", plain.rows, plain.intercept + 0.3, plain.link, plain.provenance
    )
    chosen = [
        verify(MACRO, one, [Limit(MACS, 60e6)], Other(2), noise_sd=noise_sd, table_sd=0.1).chosen
        for one, noise_sd in ((plain, 1.0), (shifted, np.exp(-0.3)))
    ]
    assert chosen[0].architecture.ops == chosen[1].architecture.ops


def test_the_error_of_the_table_is_taken_from_what_was_left_out() -> None:
    world = AdditiveWorld(MACRO, 0)
    fitted = fitted_estimate(MACRO, world, np.random.default_rng(0), 40)
    found = verify(MACRO, fitted, [], Other(0), noise_sd=1.0)
    assert found.weight < 0.01  # a table without error needs no observation
    assert len(found.candidates) == 8
    with pytest.raises(ScoreTableError, match="how far it is off"):
        verify(MACRO, table(0), [], Other(0), noise_sd=1.0)
    assert verify(MACRO, table(0), [], Other(0), noise_sd=0.0).weight == 1


def test_several_limits_all_hold() -> None:
    limits = [Limit(MACS, 50e6), Limit(PARAMS, 1.5e6)]
    found = verify(MACRO, table(3), limits, Other(3), noise_sd=0.5, table_sd=0.1, count=3)
    assert len(found.candidates) == 3
    assert all(limit.holds(one.architecture.ops) for limit in limits for one in found.candidates)


def test_spellings_of_one_network_count_once_and_the_best_spelling_stays() -> None:
    rows = tuple(np.array([0.0, 1.0, 0.5]) for _ in MACRO.layers)
    rows[7][:] = [-0.1, 1.0, 0.5]  # an identity is a little worse at the end than before it
    scores = ScoreTable(MACRO.name, "accuracy", "", rows, -4.0, "log-error")
    limits = [Limit(MACS, 20e6)]
    found = distinct_best(MACRO, scores, limits, 6)
    assert len({network.keys for network in found}) == 6
    totals = [scores.total(network.ops) for network in found]
    assert totals == sorted(totals, reverse=True)
    best: dict[tuple[str, ...], float] = {}
    for network in MACRO.enumerate():
        if limits[0].holds(network.ops):
            best[network.keys] = max(best.get(network.keys, -math.inf), scores.total(network.ops))
    assert totals == pytest.approx(sorted(best.values(), reverse=True)[:6])


def test_what_cannot_be_verified_is_refused() -> None:
    with pytest.raises(Infeasible, match="smallest reachable"):
        verified(0, 1, 0.0, 0.0)
    with pytest.raises(ValueError, match="at least one network"):
        verified(0, 50, 0.0, 0.0, count=0)


@pytest.mark.parametrize("noise_sd", [0.0, 1.0, math.inf])
def test_a_table_of_something_else_names_the_candidates_only(noise_sd: float) -> None:
    found = verify(MACRO, macs_proxy(MACRO), [], Other(0), noise_sd=noise_sd)
    assert found.candidates[0].architecture.ops == (2,) * 8
    assert found.chosen.posterior == found.chosen.observed
    assert found.chosen.observed == max(candidate.observed for candidate in found.candidates)


def test_noise_is_told_before_anything_is_paid_for() -> None:
    world = AdditiveWorld(MACRO, 0)
    scores = table(0)
    with pytest.raises(ValueError, match="no standard deviations"):
        verify(MACRO, scores, [], world, noise_sd=-1.0)
    assert not world.asked


def test_the_spread_of_a_count_of_images() -> None:
    assert binomial_sd(90.0, 10_000) == pytest.approx(0.3)
    assert binomial_sd(100.0, 10) == 0
    for accuracy, images in ((101.0, 10), (-1.0, 10), (50.0, 0)):
        with pytest.raises(ValueError, match="is no accuracy"):
            binomial_sd(accuracy, images)


def test_a_check_ranks_the_tables_best_anew_and_remembers_what_it_saw() -> None:
    world, asked = AdditiveWorld(MACRO, 5), []

    class Counted:
        def accuracy(self, architecture: Encoded) -> float:
            asked.append(architecture)
            return world.accuracy(architecture)

    filled = fitted_estimate(MACRO, AdditiveWorld(MACRO, 4), np.random.default_rng(0), 40)
    scores = Scores(filled, check=ImageCheck(Counted(), images=10_000))
    limits = [Limit(MACS, 60e6)]
    found = select(MACRO, scores, limits, 3)
    values = [scores.value(network) for network in found.architectures]
    assert len(found.architectures) == 3
    assert values == sorted(values, reverse=True)
    assert all(limits[0].holds(network.ops) for network in found.architectures)
    assert all(scores.is_checked(network) for network in found.architectures)
    assert len(asked) == CHECKED
    assert select(MACRO, scores, limits, 3) == found
    assert len(asked) == CHECKED  # the second time nothing was paid for
    other = MACRO.architecture([0] * len(MACRO.layers))
    assert not scores.is_checked(other)
    assert scores.value(other) == filled.value(other.ops)
