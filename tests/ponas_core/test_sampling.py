from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.complexity import complexity
from ponas_core.sampling import Band, random_sample
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space
from tests.ponas_core.additive import MACRO, uneven_space

SPACES = [MACRO, uneven_space(), shipped_space("proxyless")]


@given(st.sampled_from(SPACES), st.integers(0, 2**31), st.integers(0, 60))
@settings(max_examples=30)
def test_networks_are_distinct_and_repeat_with_the_seed(space: SearchSpace, seed: int, count: int) -> None:
    found = random_sample(space, np.random.default_rng(seed), count)
    assert len({network.ops for network in found}) == len(found) == count
    again = random_sample(space, np.random.default_rng(seed), count)
    assert [network.ops for network in found] == [network.ops for network in again]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_networks_lie_within_bands_and_are_not_those_that_were_taken(space: SearchSpace) -> None:
    rng, macs = np.random.default_rng(0), complexity(space, "macs")
    totals = sorted(macs.total(space.sample(rng).ops) for _ in range(100))
    band = Band(macs, totals[25], totals[75])
    taken = random_sample(space, rng, 10, bands=[band])
    found = random_sample(space, rng, 10, bands=[band], without=taken)
    assert all(band.at_least <= macs.total(network.ops) <= band.at_most for network in [*taken, *found])
    assert not {network.ops for network in taken} & {network.ops for network in found}


def test_a_small_space_is_sampled_to_the_last_network() -> None:
    space = uneven_space()
    found = random_sample(space, np.random.default_rng(0), space.size)
    assert {network.ops for network in found} == {network.ops for network in space.enumerate()}
    with pytest.raises(ValueError, match=f"{space.size + 1} distinct networks.*found {space.size}"):
        random_sample(space, np.random.default_rng(0), space.size + 1)


def test_every_op_comes_as_often_as_the_others() -> None:
    found = random_sample(shipped_space("proxyless"), np.random.default_rng(0), 3000)
    counts = np.bincount([network.ops[3] for network in found])
    assert counts.size == 7
    assert counts == pytest.approx(np.full(7, 3000 / 7), rel=0.2)


def test_a_band_that_nothing_lies_in_is_named() -> None:
    macs = complexity(MACRO, "macs")
    with pytest.raises(ValueError, match="macs within 0 and 1: found 0"):
        random_sample(MACRO, np.random.default_rng(0), 1, bands=[Band(macs, 0, 1)])
    with pytest.raises(ValueError, match="no number lies within"):
        Band(macs, 2, 1)
