"""A new device from a few samples: other devices as features, and which networks to measure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.estimators.gaussian_process import GroupedGaussianProcess
from predictors.metrics import spearman
from predictors.sources import Sources
from predictors.suggestion import CONSTANT_VARIANCE, NOISE_VARIANCE, suggest

Floats = NDArray[np.float64]
LAYERS, CHOICES = 8, 4
GROUPS = [0] + [1] * (LAYERS * CHOICES)


class World(NamedTuple):
    """Chains of eight layers with four choices each: their total size and one-hot choices."""

    rows: Floats
    background: Floats
    sources: Sources
    source_ms: Floats


def networks(count: int, seed: int) -> Floats:
    choices = np.random.default_rng(seed).integers(CHOICES, size=(count, LAYERS))
    one_hot = np.eye(CHOICES)[choices].reshape(count, -1)
    return np.column_stack([choices.sum(axis=1), one_hot])


def device_ms(rows: Floats, seed: int) -> Floats:
    """Additive milliseconds; devices of different seeds have nothing in common."""
    return np.asarray(5 + rows[:, 1:] @ np.random.default_rng(seed).gamma(2.0, 0.2, LAYERS * CHOICES))


def gaussian_process(background: Floats, sources: Sources | None = None) -> GroupedGaussianProcess:
    groups = GROUPS + [2] * (0 if sources is None else sources.constants_ms.size)
    return GroupedGaussianProcess(groups, background)


def with_sources(rows: Floats, sources: Sources) -> Floats:
    return np.column_stack([rows, sources.columns(rows)])


@pytest.fixture(scope="module")
def world() -> World:
    rows, background = networks(600, 0), networks(400, 1)
    source_ms = np.stack([device_ms(rows, 10) + device_ms(rows, seed) / 2 for seed in (11, 12, 13)])
    models = [gaussian_process(background).fit(rows[:250], ms[:250]) for ms in source_ms]
    return World(rows, background, Sources.of(models), source_ms)


def test_columns_are_the_latencies_of_the_other_devices(world: World) -> None:
    found_ms = world.sources.columns(world.rows).T
    assert found_ms == pytest.approx(world.source_ms, rel=0.01)


def test_sources_come_back_from_their_state_to_the_last_bit(world: World) -> None:
    again = Sources.from_state(world.sources.to_state())
    assert again.columns(world.rows).tobytes() == world.sources.columns(world.rows).tobytes()


def test_no_sources_and_sources_of_other_features_are_refused(world: World) -> None:
    narrow = GroupedGaussianProcess().fit(world.rows[:10, :3], device_ms(world.rows[:10], 3))
    wide = gaussian_process(world.background).fit(world.rows[:10], device_ms(world.rows[:10], 3))
    for models in ([], [narrow, wide]):
        with pytest.raises(ValueError, match="over the same features, at least one"):
            Sources.of(models)


@pytest.mark.parametrize("like", range(3))
def test_a_device_like_another_but_slower_is_known_from_six_networks(world: World, like: int) -> None:
    rows, background = with_sources(world.rows, world.sources), with_sources(world.background, world.sources)
    model = gaussian_process(background, world.sources)
    measured_ms = 3.0 * world.source_ms[like]
    chosen = suggest(model.prior_rows(rows), 6)
    assert spearman(model.fit(rows[chosen], measured_ms[chosen]).predict(rows), measured_ms) > 0.99


@pytest.mark.parametrize("count", [10, 20])
def test_a_device_unlike_all_others_is_learned_about_as_well_as_without_them(
    world: World, count: int
) -> None:
    rows, background = with_sources(world.rows, world.sources), with_sources(world.background, world.sources)
    differences = []
    for seed in range(5):
        measured_ms = device_ms(world.rows, 100 + seed)
        train = np.random.default_rng(seed).choice(len(rows), count, replace=False)
        alone = gaussian_process(world.background).fit(world.rows[train], measured_ms[train])
        beside = gaussian_process(background, world.sources).fit(rows[train], measured_ms[train])
        differences.append(
            spearman(beside.predict(rows), measured_ms) - spearman(alone.predict(world.rows), measured_ms)
        )
    assert np.mean(differences) > -0.02


def test_latencies_are_believed_to_have_variance_1_before_any_is_measured(world: World) -> None:
    background = with_sources(world.background, world.sources)
    rows = gaussian_process(background, world.sources).prior_rows(background)
    assert np.square(rows).sum(axis=1).mean() == pytest.approx(1.0)
    assert rows.mean(axis=0) == pytest.approx(0.0, abs=1e-9)


def test_each_suggestion_leaves_the_others_as_certain_as_any_single_one_can() -> None:
    rows = np.random.default_rng(3).normal(size=(30, 4))
    chosen = suggest(rows, 5).tolist()

    def doubt(measured: list[int]) -> float:
        covariance = rows @ rows.T + CONSTANT_VARIANCE
        known = covariance[measured]
        noisy = known[:, measured] + NOISE_VARIANCE * np.eye(len(measured))
        return float(np.trace(covariance - known.T @ np.linalg.solve(noisy, known)))

    for step in range(5):
        others = [doubt([*chosen[:step], index]) for index in range(30) if index not in chosen[:step]]
        assert doubt(chosen[: step + 1]) == pytest.approx(min(others))


def test_suggested_networks_differ_lie_in_the_pool_and_are_the_same_again(world: World) -> None:
    rows = gaussian_process(world.background).prior_rows(world.rows)
    chosen = suggest(rows, 40).tolist()
    assert chosen == suggest(rows, 40).tolist()
    assert len(set(chosen)) == 40
    assert set(chosen) <= set(range(len(rows)))


def test_fewer_suggestions_are_the_first_of_more(world: World) -> None:
    rows = gaussian_process(world.background).prior_rows(world.rows)
    assert suggest(rows, 5).tolist() == suggest(rows, 12)[:5].tolist()


def test_all_of_a_pool_and_none_of_it_can_be_suggested() -> None:
    rows = np.random.default_rng(0).normal(size=(6, 2))
    assert sorted(suggest(rows, 6).tolist()) == list(range(6))
    assert suggest(rows, 0).shape == (0,)


def test_suggested_networks_cover_every_choice_of_every_layer_sooner_than_random_ones(world: World) -> None:
    one_hot = world.rows[:, 1:]
    chosen = suggest(gaussian_process(world.background).prior_rows(world.rows), 8)
    draws = [np.random.default_rng(seed).choice(len(world.rows), 8, replace=False) for seed in range(20)]
    seen = [int(one_hot[draw].any(axis=0).sum()) for draw in draws]
    assert one_hot[chosen].any(axis=0).sum() > np.mean(seen)


def test_networks_that_were_suggested_teach_more_than_random_ones(world: World) -> None:
    model = gaussian_process(world.background)
    chosen = suggest(model.prior_rows(world.rows), 12)
    gains = []
    for seed in range(8):
        measured_ms = device_ms(world.rows, 200 + seed)
        draw = np.random.default_rng(seed).choice(len(world.rows), 12, replace=False)
        by_choice, by_chance = (
            spearman(
                gaussian_process(world.background).fit(world.rows[i], measured_ms[i]).predict(world.rows),
                measured_ms,
            )
            for i in (chosen, draw)
        )
        gains.append(by_choice - by_chance)
    assert np.mean(gains) > 0.05


@pytest.mark.parametrize(
    ("rows", "count", "message"),
    [
        (np.zeros((3, 2)), 4, "4 of 3 networks"),
        (np.zeros((3, 2)), -1, "-1 of 3 networks"),
        (np.zeros(3), 1, "matrix of finite numbers"),
        (np.array([[np.nan]]), 1, "matrix of finite numbers"),
    ],
)
def test_what_cannot_be_suggested_is_refused(rows: Floats, count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        suggest(rows, count)
