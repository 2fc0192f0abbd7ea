from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from ponas_core.accuracies import published_accuracies
from ponas_core.evaluation import TabularEvaluator
from ponas_core.held_out import Residuals, held_out_rank, kendall, residuals_of, spearman
from ponas_core.sampling import random_sample
from ponas_core.score_table import ScoreTable, ScoreTableError, log_error, macs_proxy
from ponas_core.space import Architecture
from ponas_core.table_estimation import middle_network, one_change_table
from tests.ponas_core.additive import MACRO, AdditiveWorld

PUBLISHED = published_accuracies(MACRO)
assert PUBLISHED is not None
TABLE = one_change_table(MACRO, TabularEvaluator(PUBLISHED), middle_network(MACRO))


def held_out(count: int) -> tuple[list[Architecture], list[float]]:
    assert PUBLISHED is not None
    networks = random_sample(MACRO, np.random.default_rng(3), count)
    return networks, [PUBLISHED.values[network.ops] for network in networks]


def test_correlations_are_those_of_scipy_ties_included() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 6, (2, 40)).astype(np.float64)
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)
    assert kendall(one, other) == pytest.approx(kendalltau(one, other).statistic)
    assert np.isnan(spearman(np.ones(5), np.arange(5.0)))


def test_what_held_out_networks_say_is_stored_and_counted(tmp_path: Path) -> None:
    networks, accuracies = held_out(40)
    table = held_out_rank(TABLE, networks, accuracies, np.random.default_rng(0), noise_sd=0.15)
    found = table.provenance["held_out"]
    predicted = [TABLE.value(network.ops) for network in networks]
    assert found["spearman"] == pytest.approx(spearmanr(predicted, accuracies).statistic)
    assert found["kendall"] == pytest.approx(kendalltau(predicted, accuracies).statistic)
    for name in ("spearman", "kendall"):
        assert -1 <= found[f"{name}_low"] < found[name] < found[f"{name}_high"] <= 1
    assert found["residual_sd"] == pytest.approx(np.std(np.subtract(accuracies, predicted), ddof=1))
    assert (found["networks"], found["noise_sd"], found["seed"]) == (40, 0.15, 0)
    assert table.provenance["evaluations"] == 17 + 40
    assert TABLE.provenance["evaluations"] == 17
    assert np.array_equal(np.concatenate(table.rows), np.concatenate(TABLE.rows))
    table.save(tmp_path / "table.json")
    assert ScoreTable.load(tmp_path / "table.json").provenance == json.loads(
        json.dumps(dict(table.provenance))
    )


def test_more_networks_make_a_shorter_interval_and_the_seed_repeats_it() -> None:
    lengths = []
    for count in (20, 320):
        rows = [
            held_out_rank(TABLE, *held_out(count), np.random.default_rng(5)).provenance["held_out"]
            for _ in range(2)
        ]
        assert rows[0] == rows[1]
        lengths.append(rows[0]["kendall_high"] - rows[0]["kendall_low"])
    assert lengths[1] < lengths[0] / 2


@pytest.mark.parametrize(
    ("networks", "accuracies", "message"),
    [
        (held_out(4)[0], held_out(4)[1], "at least 5"),
        (held_out(6)[0], held_out(5)[1], "one accuracy a network"),
        ([held_out(1)[0][0]] * 6, held_out(6)[1], "given twice"),
        (held_out(6)[0], [90.0] * 6, "nothing to rank"),
        (held_out(6)[0], [90.0] * 5 + [101.0], "no percentage"),
        (held_out(6)[0], [90.0] * 5 + [float("nan")], "no percentage"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    networks: list[Architecture], accuracies: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        held_out_rank(TABLE, networks, accuracies, np.random.default_rng(0))


def test_a_table_of_something_else_ranks_too_but_is_off_by_no_points() -> None:
    told = held_out_rank(macs_proxy(MACRO), *held_out(6), np.random.default_rng(0)).provenance["held_out"]
    assert -1 <= told["spearman_low"] <= told["spearman"] <= told["spearman_high"] <= 1
    assert not {"residual_sd", "log_sd"} & set(told)


def test_tables_that_say_nothing_are_refused() -> None:
    flat = ScoreTable(MACRO.name, "accuracy", "", tuple(np.zeros(3) for _ in range(8)), -2.0, "log-error")
    with pytest.raises(ValueError, match="says the same"):
        held_out_rank(flat, *held_out(6), np.random.default_rng(0))
    with pytest.raises(ScoreTableError, match="held_out_rank"):
        residuals_of(flat)


def test_errors_are_those_of_the_better_half_with_the_noise_taken_off() -> None:
    rng = np.random.default_rng(0)
    predicted = np.linspace(-4, -2, 2000)
    table_error, noise_sd = 0.2, 1.5
    accuracy = 101 - np.exp(-(predicted + table_error * rng.standard_normal(2000)))
    observed = log_error(np.minimum(accuracy + noise_sd * rng.standard_normal(2000), 100))
    observed[:1000] += 5 * rng.standard_normal(1000)  # the worse half
    found = Residuals.of(predicted, observed)
    assert found.log_sd > 1.1 * table_error
    assert found.table_sd(noise_sd) == pytest.approx(table_error, rel=0.1)
    assert found.table_sd(0.0) == found.log_sd
    assert found.table_sd(1e6) == 0.0


def test_an_exact_table_has_no_error() -> None:
    world = AdditiveWorld(MACRO, 0)
    networks = random_sample(MACRO, np.random.default_rng(0), 30)
    table = one_change_table(MACRO, world, middle_network(MACRO))
    found = held_out_rank(
        table, networks, [world.accuracy(net) for net in networks], np.random.default_rng(0)
    )
    assert found.provenance["held_out"]["spearman"] == pytest.approx(1)
    assert residuals_of(found).log_sd == pytest.approx(0, abs=1e-12)
