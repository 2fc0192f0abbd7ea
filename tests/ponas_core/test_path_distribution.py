"""Distributions over paths: draws, the gradient through the softmax, pairs that leave the others alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from ponas_core.cost import CostTable
from ponas_core.path_distribution import (
    Draw,
    draw_among_all,
    draw_pairs,
    draw_path,
    expected_cost,
    expected_cost_gradient,
    gate_costs,
    keep_others,
    log_softmax,
    logit_gradients,
    path_gradients,
    softmax,
    through_softmax,
)
from ponas_core.path_logits import EPSILON, LOGITS, PathLogits, logits_of
from tests.ponas_core.additive import uneven_space

Floats = NDArray[np.float64]
SPACE = uneven_space()


def rows_of(size: int, spread: float = 5.0) -> st.SearchStrategy[Floats]:
    return arrays(np.float64, size, elements=st.floats(-spread, spread))


ROWS = st.lists(st.integers(1, 5).flatmap(rows_of), min_size=1, max_size=4)


def differences(rows: list[Floats], cost: CostTable, step: float = 1e-6) -> list[Floats]:
    """Of E[T] in every logit."""
    found = []
    for layer, row in enumerate(rows):
        slopes = np.zeros(row.size)
        for op in range(row.size):
            moved = []
            for sign in (1, -1):
                other = [each.copy() for each in rows]
                other[layer][op] += sign * step
                moved.append(expected_cost(other, cost))
            slopes[op] = (moved[0] - moved[1]) / (2 * step)
        found.append(slopes)
    return found


@given(ROWS, st.integers(0, 99))
def test_the_gradient_of_the_expected_cost_is_that_of_finite_differences(
    rows: list[Floats], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    cost = CostTable("latency_ms", 2.0, tuple(rng.uniform(0, 3, row.size) for row in rows))
    found = expected_cost_gradient(rows, cost)
    for one, other in zip(found, differences(rows, cost), strict=True):
        assert one == pytest.approx(other, abs=1e-8)
    # and it is what the gates give when all ops are sampled, whichever is active
    draws = [Draw(tuple(range(row.size)), int(rng.integers(row.size))) for row in rows]
    for one, other in zip(found, logit_gradients(rows, draws, gate_costs(cost, draws)), strict=True):
        assert np.array_equal(one, other)


def test_the_expected_cost_is_the_mean_over_networks() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal(size) for size in (3, 1, 2)]
    cost = CostTable("latency_ms", 0.7, tuple(rng.uniform(0, 3, row.size) for row in rows))
    mean = sum(
        math.prod(softmax(row)[op] for row, op in zip(rows, ops, strict=True)) * cost.total(ops)
        for ops in itertools.product(range(3), range(1), range(2))
    )
    assert expected_cost(rows, cost) == pytest.approx(mean)


@given(st.integers(1, 6).flatmap(lambda size: rows_of(size, 1e4)))
def test_probabilities_of_far_spread_logits_are_probabilities(row: Floats) -> None:
    assert np.isfinite(log_softmax(row)).all()
    assert softmax(row).sum() == pytest.approx(1)
    assert np.exp(log_softmax(row)).tolist() == softmax(row).tolist()


@given(st.integers(2, 6).flatmap(rows_of), st.integers(0, 999))
def test_the_jacobian_is_the_written_sum(row: Floats, seed: int) -> None:
    gates = np.random.default_rng(seed).standard_normal(row.size)
    p = softmax(row)
    wanted = [sum(gates[j] * p[j] * ((i == j) - p[i]) for j in range(row.size)) for i in range(row.size)]
    assert through_softmax(p, gates) == pytest.approx(wanted, abs=1e-12)
    assert through_softmax(p, gates).sum() == pytest.approx(0, abs=1e-12)


def test_a_layer_without_a_choice_has_no_gradient() -> None:
    draws = (Draw((0,), 0),)
    assert logit_gradients([np.array([3.0])], draws, [np.array([1e9])])[0].tolist() == [0.0]


# --- draws


def pair_probabilities(p: Floats) -> dict[tuple[int, ...], float]:
    """Of two draws without replacement, one after the other."""
    pairs = itertools.combinations(range(p.size), 2)
    return {(i, j): p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]) for i, j in pairs}


def test_pairs_come_as_two_draws_without_replacement_and_the_active_one_by_its_share() -> None:
    row = np.log([0.5, 0.3, 0.15, 0.05])
    p, rng, count = softmax(row), np.random.default_rng(0), 40_000
    draws = [draw_pairs([row], rng)[0] for _ in range(count)]
    wanted = pair_probabilities(p)
    assert sum(wanted.values()) == pytest.approx(1)
    for pair, probability in wanted.items():
        of_pair = [draw for draw in draws if draw.sampled == pair]
        # five standard deviations
        assert len(of_pair) / count == pytest.approx(probability, abs=5 * math.sqrt(0.25 / count))
        first = sum(draw.active == 0 for draw in of_pair) / len(of_pair)
        share = p[pair[0]] / (p[pair[0]] + p[pair[1]])
        assert first == pytest.approx(share, abs=5 * math.sqrt(0.25 / len(of_pair)))


def test_paths_come_by_their_probabilities() -> None:
    row, count = np.log([0.6, 0.3, 0.1]), 20_000
    rng = np.random.default_rng(1)
    found = np.bincount([draw_path([row], rng)[0] for _ in range(count)], minlength=3) / count
    assert found == pytest.approx([0.6, 0.3, 0.1], abs=5 * math.sqrt(0.25 / count))


def test_a_pair_is_drawn_where_all_but_one_probability_vanish() -> None:
    """A probability below the smallest number is drawn as the second of a pair nevertheless."""
    row = np.array([0.0, 5000.0, -5000.0])
    draws = [draw_pairs([row], np.random.default_rng(seed))[0] for seed in range(20)]
    assert {(draw.sampled, draw.op) for draw in draws} == {((0, 1), 1)}


def test_a_layer_with_one_op_draws_that() -> None:
    rows, rng = [np.zeros(1), np.zeros(3)], np.random.default_rng(0)
    assert draw_pairs(rows, rng)[0] == draw_among_all(rows, rng)[0] == Draw((0,), 0)
    assert draw_among_all(rows, rng)[1].sampled == (0, 1, 2)


# --- two paths


def pair_gradient(row: Floats, pair: tuple[int, ...], gates: Floats) -> Floats:
    return logit_gradients([row], [Draw(pair, 0)], [gates[list(pair)]])[0]


@given(st.integers(2, 5).flatmap(lambda size: rows_of(size, 2)), st.integers(0, 999))
def test_the_expected_gradient_of_two_paths_is_that_of_all_with_a_weight_for_each_pair(
    row: Floats, seed: int
) -> None:
    """w_ij = (1 / (1 - p_i) + 1 / (1 - p_j)) p_i p_j / (p_i + p_j)² beside p_i p_j (g_i - g_j)."""
    gates, p = np.random.default_rng(seed).standard_normal(row.size), softmax(row)
    found = np.zeros(row.size)
    for pair, probability in pair_probabilities(p).items():
        found += probability * pair_gradient(row, pair, gates)
    wanted = np.zeros(row.size)
    for i, j in itertools.permutations(range(row.size), 2):
        weight = (1 / (1 - p[i]) + 1 / (1 - p[j])) * p[i] * p[j] / (p[i] + p[j]) ** 2
        wanted[i] += weight * p[i] * p[j] * (gates[i] - gates[j])
    assert found == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_expected_gradient_of_two_paths_at_even_probabilities_is_a_share_of_that_of_all(
    size: int,
) -> None:
    gates, row = np.random.default_rng(size).standard_normal(size), np.zeros(size)
    found = sum(
        probability * pair_gradient(row, pair, gates)
        for pair, probability in pair_probabilities(softmax(row)).items()
    )
    assert found == pytest.approx(size / (2 * (size - 1)) * through_softmax(softmax(row), gates))


@given(rows_of(2), st.integers(0, 999))
def test_the_gradient_of_two_paths_of_two_is_that_of_all(row: Floats, seed: int) -> None:
    gates = np.random.default_rng(seed).standard_normal(2)
    assert pair_gradient(row, (0, 1), gates) == pytest.approx(through_softmax(softmax(row), gates), abs=1e-12)


@given(
    st.integers(2, 7).flatmap(lambda size: rows_of(size, 30)),
    st.integers(0, 999),
    st.sampled_from([1e-3, 1.0, 30.0]),
)
def test_ops_off_the_pair_keep_their_probability(row: Floats, seed: int, rate: float) -> None:
    """Also where the step is huge; the pair as a whole keeps its own too."""
    rng = np.random.default_rng(seed)
    draws = draw_pairs([row], rng)
    pair = list(draws[0].sampled)
    paths = PathLogits([row])
    for number in (1, 2):
        gradients = logit_gradients(paths.rows, draws, [rng.standard_normal(2)])
        paths.step(gradients, rate, number, draws)
    before, after = softmax(row), softmax(paths.rows[0])
    others = np.delete(np.arange(row.size), pair)
    assert after[others] == pytest.approx(before[others], rel=1e-9, abs=1e-12)
    assert after[pair].sum() == pytest.approx(before[pair].sum(), abs=1e-12)


def test_a_step_raises_one_logit_of_the_pair_and_lowers_the_other() -> None:
    row, draws = np.zeros(4), (Draw((1, 3), 0),)
    paths = PathLogits([row])
    paths.step(logit_gradients([row], draws, [np.array([-1.0, 2.0])]), 0.1, 1, draws)
    found = softmax(paths.rows[0]) - 0.25
    assert found[1] > 0.01
    assert found[3] < -0.01
    assert found[[0, 2]] == pytest.approx([0, 0], abs=1e-15)


def test_what_is_kept_for_the_others_leaves_the_pairs_ratio() -> None:
    before, after = np.array([0.3, -1.0, 2.0]), np.array([0.9, -1.0, 1.0])
    found = keep_others(before, after, [0, 2])
    assert found[0] - found[2] == pytest.approx(after[0] - after[2])
    assert found[1] == after[1]


def test_the_gradient_of_a_paths_probability() -> None:
    rng = np.random.default_rng(0)
    rows, path = [rng.standard_normal(3), rng.standard_normal(1)], (1, 0)

    def surprise(moved: list[Floats]) -> float:
        return -sum(float(log_softmax(row)[op]) for row, op in zip(moved, path, strict=True))

    found = path_gradients(rows, path)
    assert found[1].tolist() == [0.0]
    for op in range(3):
        step = np.eye(3)[op] * 1e-6
        slope = (surprise([rows[0] + step, rows[1]]) - surprise([rows[0] - step, rows[1]])) / 2e-6
        assert found[0][op] == pytest.approx(slope, abs=1e-8)


# --- logits as a file keeps them


def test_the_first_step_moves_every_logit_by_the_rate() -> None:
    """Adam's first step: the gradient divided by its own size."""
    paths = PathLogits([np.zeros(3)])
    paths.step([np.array([4.0, -0.5, 0.0])], 0.01, 1)
    assert paths.rows[0] == pytest.approx([-0.01, 0.01, 0.0], abs=0.02 * EPSILON)


def test_logits_begin_small_by_their_seed() -> None:
    one, other = (PathLogits.drawn(SPACE, np.random.default_rng(5)) for _ in range(2))
    assert [row.tolist() for row in one.rows] == [row.tolist() for row in other.rows]
    assert [row.size for row in one.rows] == [3, 2, 1, 3, 2, 1, 3, 2]
    assert 0 < max(np.abs(row).max() for row in one.rows) < 0.01


def test_logits_go_to_a_state_and_come_back_to_the_last_bit() -> None:
    paths = PathLogits.drawn(SPACE, np.random.default_rng(5))
    for number in range(1, 4):
        paths.step([np.cos(row + number) for row in paths.rows], 0.1, number)
    state = paths.state(SPACE, "momentum:")
    names = {name for name in state if name.startswith(LOGITS)}
    assert names == {f"logits:{layer.name}" for layer in SPACE.layers}
    found = PathLogits.drawn(SPACE, np.random.default_rng(6))
    found.restore(state, SPACE, "momentum:")
    for one, other in zip((*found.rows, *found.squares), (*paths.rows, *paths.squares), strict=True):
        assert one.tobytes() == other.tobytes()
    assert [row.tolist() for row in logits_of(state, SPACE)] == [row.tolist() for row in paths.rows]


def test_logits_of_another_space_are_refused_by_name() -> None:
    state = PathLogits.drawn(SPACE, np.random.default_rng(5)).state(SPACE, "momentum:")
    first = LOGITS + SPACE.layers[0].name
    with pytest.raises(ValueError, match=rf"{first} has shape \(5,\), the layer has 3 ops"):
        logits_of({**state, first: np.zeros(5)}, SPACE)
    del state[first]
    with pytest.raises(KeyError, match=f"no '{first}'"):
        logits_of(state, SPACE)
