"""Which path of a supernet each step takes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.samplers import Sampling, largest_path, sampler
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space, space_from_toml

CANDIDATES = ("conv_k1", "conv_k3", "conv_k5", "mb_k3_e2", "mb_k3_e3", "mb_k5_e6")


def space_of(sizes: list[int]) -> SearchSpace:
    """Layers with so many candidates each."""
    stages = "".join(
        f"[[stages]]\nchannels = 2\nblocks = [{', '.join(f'{block!r}' for block in CANDIDATES[:size])}]\n"
        for size in sizes
    )
    return space_from_toml(
        f'schema_version = 1\nname = "some"\ninput = [2, 4, 4]\nactivation = "relu"\n{stages}'
    )


UNLIKE = space_of([2, 6, 1, 5, 3])


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 2**40))
def test_fair_sampling_deals_out_every_candidate_of_a_layer_before_one_comes_again(
    sizes: list[int], seed: int
) -> None:
    path_of = sampler(space_of(sizes), "fair", seed)
    paths = [path_of(step) for step in range(3 * max(sizes))]
    for layer, size in enumerate(sizes):
        dealt = [path[layer] for path in paths]
        for start in range(0, len(dealt) - size + 1, size):
            assert sorted(dealt[start : start + size]) == list(range(size))


def test_fair_sampling_shuffles_every_layer_and_every_cycle_by_itself() -> None:
    path_of = sampler(space_of([6, 6]), "fair", 0)
    cycles = np.array([path_of(step) for step in range(6 * 50)]).reshape(50, 6, 2)
    orders = [tuple(cycle[:, layer]) for cycle in cycles for layer in (0, 1)]
    # 100 orders of 720 possible: 7 come twice on average; 35 have a chance below 1e-10
    assert len(set(orders)) > 65


def test_fair_sampling_joins_blocks_of_two_layers_evenly() -> None:
    path_of = sampler(space_of([3, 3]), "fair", 1)
    pairs = Counter(path_of(step) for step in range(9000))
    # 1,000 of each pair on average, spread at most 32: 250 off has a chance below 1e-12
    assert len(pairs) == 9
    assert all(abs(count - 1000) < 250 for count in pairs.values())


def test_uniform_sampling_draws_every_candidate_equally_often() -> None:
    draws = 6000
    path_of = sampler(UNLIKE, "uniform", 3)
    paths = np.array([path_of(step) for step in range(draws)])
    for layer, column in zip(UNLIKE.layers, paths.T, strict=True):
        size = len(layer.blocks)
        counts = np.bincount(column, minlength=size)
        assert len(counts) == size
        # 7 standard deviations of a binomial count: for these 17 counts a chance below 1e-10
        room = 7 * np.sqrt(draws / size * (1 - 1 / size))
        assert (np.abs(counts - draws / size) <= room).all()


def test_uniform_sampling_draws_layers_and_steps_by_themselves() -> None:
    path_of = sampler(space_of([2, 2]), "uniform", 3)
    paths = [path_of(step) for step in range(4001)]
    pairs = Counter(paths)
    following = Counter((here[0], there[0]) for here, there in pairwise(paths))
    # 1,000 of each of the four, spread 27: 200 off has a chance below 1e-12
    for counts in (pairs, following):
        assert len(counts) == 4
        assert all(abs(count - 1000) < 200 for count in counts.values())


@pytest.mark.parametrize("sampling", ["fair", "uniform"])
@settings(max_examples=30)
@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=20), st.integers(0, 2**40))
def test_a_path_follows_from_seed_and_step_alone(sampling: Sampling, steps: list[int], seed: int) -> None:
    one, other = sampler(UNLIKE, sampling, seed), sampler(UNLIKE, sampling, seed)
    found = [one(step) for step in steps]
    assert found[::-1] == [other(step) for step in reversed(steps)]
    for path in found:
        assert UNLIKE.architecture(path).ops == path


@pytest.mark.parametrize("sampling", ["fair", "uniform"])
def test_other_seeds_take_other_paths(sampling: Sampling) -> None:
    paths = [[sampler(UNLIKE, sampling, seed)(step) for step in range(30)] for seed in range(5)]
    assert len({str(path) for path in paths}) == 5


def test_the_largest_path_takes_the_most_multiply_accumulates_of_every_layer() -> None:
    assert largest_path(UNLIKE) == (1, 5, 0, 2, 2)
    macro = shipped_space("nasbench-macro")
    assert largest_path(macro) == (2,) * 8


def test_the_largest_path_is_not_always_the_last_candidate() -> None:
    space = space_from_toml(
        'schema_version = 1\nname = "some"\ninput = [2, 4, 4]\nactivation = "relu"\n'
        '[[stages]]\nlayers = 2\nchannels = 2\nblocks = ["mb_k5_e6", "skip", "conv_k1"]\n'
    )
    assert largest_path(space) == (0, 0)
