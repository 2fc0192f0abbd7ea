from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.metrics import r2_score

from predictors.calibrated_table import (
    ALONE,
    FEATURES,
    INSIDE,
    LEVEL_SD,
    UNKNOWN_PROCESS_SD,
    CalibratedTable,
    MeasuredNetwork,
    MissingBlock,
    chosen_table,
    fitted_table,
)

ROOT = Path(__file__).parents[2]
Blocks = dict[str, dict[str, float]]


def made_up_blocks(rng: np.random.Generator, count: int = 60) -> Blocks:
    return {
        f"block{n}": {
            "latency_ms": float(rng.uniform(0.02, 0.6)),
            "blocks": 1.0,
            "weight_bytes": float(rng.uniform(1e3, 2e6)),
            "activation_bytes": float(rng.uniform(1e4, 3e6)),
        }
        for n in range(count)
    }


def true_ms(blocks: Blocks, keys: tuple[str, ...], truth: tuple[float, ...]) -> float:
    slope, per_block, per_megabyte, intercept = truth
    return intercept + sum(
        slope * blocks[key]["latency_ms"] + per_block + per_megabyte * blocks[key]["weight_bytes"] / 1e6
        for key in keys
    )


def made_up_networks(
    blocks: Blocks, rng: np.random.Generator, count: int, truth: tuple[float, ...], sd: float
) -> list[MeasuredNetwork]:
    networks = []
    for _ in range(count):
        keys = tuple(rng.choice(list(blocks), rng.integers(8, 24)))
        middle = true_ms(blocks, keys, truth)
        networks.append(MeasuredNetwork(keys, tuple(middle * np.exp(sd * rng.standard_normal(5)))))
    return networks


TRUTH = (1.08, -0.004, 0.03, 0.1)


def errors(count: int, seed: int) -> tuple[float, float]:
    """MAPE over fresh networks of the fitted and of the plain table."""
    rng = np.random.default_rng(seed)
    blocks = made_up_blocks(rng)
    fitted = fitted_table(blocks, made_up_networks(blocks, rng, count, TRUTH, 0.01))
    plain = CalibratedTable(blocks).fit()
    fresh = [tuple(rng.choice(list(blocks), rng.integers(8, 24))) for _ in range(200)]
    truth = np.array([true_ms(blocks, keys, TRUTH) for keys in fresh])
    found = [model.predict(fresh) for model in (fitted, plain)]
    return float(np.abs(found[0] / truth - 1).mean()), float(np.abs(found[1] / truth - 1).mean())


@pytest.mark.parametrize("seed", range(3))
def test_calibration_removes_the_bias_of_the_plain_sum(seed: int) -> None:
    fitted, plain = errors(15, seed)
    assert plain > 0.05
    assert fitted < 0.01


def test_two_networks_already_help_and_more_help_more() -> None:
    two = np.mean([errors(2, seed)[0] for seed in range(8)])
    thirty = np.mean([errors(30, seed)[0] for seed in range(8)])
    plain = np.mean([errors(2, seed)[1] for seed in range(8)])
    assert thirty < two < plain


def at_level(networks: list[MeasuredNetwork], level: float) -> list[MeasuredNetwork]:
    """The same networks on a machine that is slower by a factor."""
    return [MeasuredNetwork(one.keys, tuple(level * ms for ms in one.process_costs)) for one in networks]


def test_intervals_cover_what_a_later_measurement_over_five_processes_shows() -> None:
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        blocks = made_up_blocks(rng)
        # the processes of a profile have a level in common, and the machine drifts until later
        level = float(np.exp(np.hypot(0.02 / 5**0.5, LEVEL_SD) * rng.standard_normal()))
        networks = made_up_networks(blocks, rng, 15, TRUTH, 0.02)
        model = fitted_table(blocks, at_level(networks, level))
        for network in made_up_networks(blocks, rng, 10, TRUTH, 0.02):
            ((low, high),) = model.predict_interval([network.keys])
            inside.append(low <= network.cost <= high)
    # 600 networks in 60 clusters: below 92 % or at 100 % would be a wrong width, not chance
    assert 0.92 <= np.mean(inside) < 1.0


def test_the_plain_table_is_the_sum_and_says_that_it_knows_little() -> None:
    blocks = made_up_blocks(np.random.default_rng(0))
    model = CalibratedTable(blocks).fit()
    keys = [("block1", "block2", "block2")]
    expected = blocks["block1"]["latency_ms"] + 2 * blocks["block2"]["latency_ms"]
    assert model.predict(keys) == pytest.approx([expected])
    assert model.predict_interval(keys)[0] == pytest.approx([expected / 1.5, 1.5 * expected])


@given(st.integers(0, 1000), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_predictions_are_additive_over_blocks(seed: int, networks: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = made_up_blocks(rng, 12)
    model = fitted_table(blocks, made_up_networks(blocks, rng, networks, TRUTH, 0.01))
    keys = tuple(rng.choice(list(blocks), 9))
    whole, front, back, nothing = model.predict([keys, keys[:4], keys[4:], ()])
    assert whole == pytest.approx(front + back - nothing)


@given(st.floats(0.01, 100.0), st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_a_device_slower_by_a_factor_is_predicted_slower_by_that_factor(factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    blocks = made_up_blocks(rng, 12)
    networks = made_up_networks(blocks, rng, 10, TRUTH, 0.01)
    slower = {
        key: {**numbers, "latency_ms": factor * numbers["latency_ms"]} for key, numbers in blocks.items()
    }
    slow_networks = [
        MeasuredNetwork(network.keys, tuple(factor * time for time in network.process_costs))
        for network in networks
    ]
    keys = tuple(rng.choice(list(blocks), 9))
    one, two = fitted_table(blocks, networks), fitted_table(slower, slow_networks)
    assert two.predict([keys]) == pytest.approx(factor * one.predict([keys]), rel=1e-6)
    assert two.predict_interval([keys]) == pytest.approx(factor * one.predict_interval([keys]), rel=1e-6)


def test_a_missing_block_is_an_error_that_names_it() -> None:
    blocks = made_up_blocks(np.random.default_rng(0), 3)
    model = CalibratedTable(blocks).fit()
    with pytest.raises(MissingBlock, match="block99") as caught:
        model.predict([("block1", "block99")])
    assert caught.value.key == "block99"
    with pytest.raises(MissingBlock):
        fitted_table(blocks, [MeasuredNetwork(("other",), (1.0,))])


def test_no_corrected_block_is_free() -> None:
    rng = np.random.default_rng(0)
    blocks = made_up_blocks(rng)
    # networks that take a tenth of the sum of their blocks: the slope's prior cannot follow
    model = fitted_table(blocks, made_up_networks(blocks, rng, 20, (0.1, -0.02, 0.0, 0.0), 0.01))
    assert min(model.block_costs_[key] / blocks[key]["latency_ms"] for key in blocks) >= 0.2 - 1e-12


def test_nothing_to_predict_is_an_empty_array() -> None:
    model = CalibratedTable(made_up_blocks(np.random.default_rng(0))).fit()
    assert model.predict([]).shape == (0,)
    assert model.predict_interval([]).shape == (0, 2)


def test_a_table_is_cloned_and_set_as_an_estimator_of_scikit_learn() -> None:
    blocks = made_up_blocks(np.random.default_rng(0))
    model = CalibratedTable(blocks).fit()
    copy = clone(model)
    assert copy.get_params() == {"blocks": blocks, "measures": (ALONE,)}
    assert not hasattr(copy, "block_costs_")
    assert copy.set_params(measures=(INSIDE,)).measures == (INSIDE,)
    with pytest.raises(ValueError, match=r"no parameter 'time', only blocks, measures"):
        copy.set_params(time=())


def test_the_score_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    blocks = made_up_blocks(rng)
    networks = made_up_networks(blocks, rng, 12, TRUTH, 0.01)
    keys, times_ms = [one.keys for one in networks], [one.cost for one in networks]
    model = fitted_table(blocks, networks)
    assert model.score(keys, times_ms) == pytest.approx(r2_score(times_ms, model.predict(keys)))
    assert model.score(keys[:1] * 2, list(model.predict(keys[:1])) * 2) == 1
    assert model.score(keys[:1] * 2, [5.0, 5.0]) == 0


def test_without_processes_each_network_was_measured_in_one() -> None:
    rng = np.random.default_rng(3)
    blocks = made_up_blocks(rng)
    networks = made_up_networks(blocks, rng, 12, TRUTH, 0.03)
    keys, times_ms = [one.keys for one in networks], [one.cost for one in networks]
    known, unknown = fitted_table(blocks, networks), CalibratedTable(blocks).fit(keys, times_ms)
    assert unknown.predict(keys) == pytest.approx(known.predict(keys), abs=0)
    assert (known.processes_, unknown.processes_) == (5, 1)
    assert (known.process_sd_ > 0.02, unknown.process_sd_) == (True, UNKNOWN_PROCESS_SD)


@pytest.mark.parametrize(
    ("times_ms", "process_ms", "words"),
    [
        ([1.0, 2.0], None, r"1 networks, costs \(2,\)"),
        ([1.0], [[1.0], [1.0]], "processes of 2"),
        ([0.0], None, "above 0"),
        ([float("nan")], None, "above 0"),
    ],
)
def test_networks_and_latencies_that_do_not_agree_are_an_error(
    times_ms: list[float], process_ms: list[list[float]] | None, words: str
) -> None:
    blocks = made_up_blocks(np.random.default_rng(0))
    with pytest.raises(ValueError, match=words):
        CalibratedTable(blocks).fit([("block1",)], times_ms, process_costs=process_ms)


def test_the_table_is_read_without_scikit_learn() -> None:
    code = "import sys, predictors.chain_table; print({'sklearn', 'scipy.optimize'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_the_features_are_named_with_units() -> None:
    assert (ALONE, *FEATURES) == ("latency_ms", "blocks", "weight_bytes", "activation_bytes")


# --- which latencies of a block


def with_inside(blocks: Blocks, rng: np.random.Generator, sd: float) -> Blocks:
    """Blocks whose latency inside a network is 1.2 times that alone, each off by so much."""
    return {
        key: {**numbers, INSIDE: 1.2 * numbers[ALONE] * float(np.exp(sd * rng.standard_normal()))}
        for key, numbers in blocks.items()
    }


@pytest.mark.parametrize(("sd_alone", "sd_inside", "best"), [(0.2, 0.01, INSIDE), (0.01, 0.2, ALONE)])
def test_the_table_that_predicts_held_out_networks_is_chosen(
    sd_alone: float, sd_inside: float, best: str
) -> None:
    rng = np.random.default_rng(5)
    true = made_up_blocks(rng)
    networks = made_up_networks(true, rng, 25, TRUTH, 0.005)
    noisy = {
        key: {**n, ALONE: n[ALONE] * float(np.exp(sd_alone * rng.standard_normal()))}
        for key, n in true.items()
    }
    inside = with_inside(true, rng, sd_inside)
    blocks = {key: {**noisy[key], INSIDE: inside[key][INSIDE]} for key in true}
    table, errors = chosen_table(blocks, networks)
    assert best in table.measures
    assert set(errors) == {ALONE, INSIDE, f"{ALONE}+{INSIDE}"}
    assert errors["+".join(table.measures)] == min(errors.values())
    fresh = [tuple(rng.choice(list(true), 15)) for _ in range(50)]
    truth = np.array([true_ms(true, keys, TRUTH) for keys in fresh])
    assert np.abs(table.predict(fresh) / truth - 1).mean() < 0.02


def test_without_times_inside_or_networks_there_is_no_choice() -> None:
    rng = np.random.default_rng(6)
    blocks = made_up_blocks(rng)
    networks = made_up_networks(blocks, rng, 25, TRUTH, 0.01)
    complete = with_inside(blocks, rng, 0.01)
    gap = {**complete, "block0": blocks["block0"]}
    for given_blocks, given_networks in ((blocks, networks), (gap, networks), (complete, networks[:3])):
        table, errors = chosen_table(given_blocks, given_networks)
        assert (table.measures, errors) == ((ALONE,), {})


@pytest.mark.parametrize(("count", "fits"), [(20, 20), (50, 50), (130, 50)])
def test_every_network_is_held_out_once_and_the_fits_do_not_grow_without_end(
    count: int, fits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    blocks = with_inside(made_up_blocks(rng), rng, 0.01)
    networks = made_up_networks(blocks, rng, count, TRUTH, 0.01)
    learned: list[set[tuple[str, ...]]] = []

    def noting(blocks: Blocks, networks: list[MeasuredNetwork], measures: tuple[str, ...]) -> CalibratedTable:
        learned.append({network.keys for network in networks})
        return fitted_table(blocks, networks, measures)

    monkeypatch.setattr("predictors.calibrated_table.fitted_table", noting)
    chosen_table(blocks, networks)
    everything = learned.pop()  # the last is fitted on all
    assert everything == {network.keys for network in networks}
    assert len(learned) == 3 * fits
    for candidate in (learned[:fits], learned[fits : 2 * fits], learned[2 * fits :]):
        left_out = [keys for known in candidate for keys in everything - known]
        assert sorted(left_out) == sorted(everything)
