"""Chains at several resolutions: reading, printing, drawing, describing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.elastic import ElasticArchitecture, ElasticSpace
from ponas_core.features import Features
from ponas_core.space import Architecture, SearchSpace
from ponas_core.space_file import (
    SpaceError,
    elastic_from_toml,
    elastic_space,
    shipped_space,
    space_from_toml,
    toml_from_space,
)

OFA = elastic_space("ofa-mbv3")
SKIP = 9
TINY = """
schema_version = 1
name = "tiny"
input = [3, 32, 32]
activation = "relu"
resolutions = [16, 24, 32]

[[stages]]
channels = 8
stride = 2
blocks = ["mb_k3_e3", "mb_k5_e3"]

[[stages]]
layers = 3
channels = 8
blocks = ["skip", "mb_k3_e3", "mb_k5_e3"]

[[stages]]
channels = 8
blocks = ["skip"]
"""


# --- resolutions


def test_a_chain_at_another_resolution_is_that_of_a_file_with_this_input() -> None:
    text = toml_from_space(OFA.space)
    for resolution in (128, 160, 220):
        other = text.replace("[3, 224, 224]", f"[3, {resolution}, {resolution}]")
        assert OFA.at(resolution) == space_from_toml(other.replace('"ofa-mbv3"', f'"ofa-mbv3-r{resolution}"'))


def test_the_chain_of_the_file_keeps_its_name() -> None:
    assert OFA.at(224) == OFA.space == shipped_space("ofa-mbv3")
    assert (OFA.name, OFA.at(224).name, OFA.at(160).name) == ("ofa-mbv3", "ofa-mbv3", "ofa-mbv3-r160")
    assert OFA.at(160) is OFA.at(160)


def test_once_for_all_runs_from_128_to_224_in_steps_of_4() -> None:
    assert OFA.resolutions == tuple(range(128, 225, 4))


def test_an_elastic_space_written_as_toml_is_read_as_the_same_space() -> None:
    for space in (OFA, elastic_from_toml(TINY)):
        text = toml_from_space(space)
        assert elastic_from_toml(text) == space
        assert toml_from_space(elastic_from_toml(text)) == text


def test_a_space_of_one_resolution_says_how_to_write_more() -> None:
    with pytest.raises(
        SpaceError, match=r"space proxyless has one resolution; write `resolutions = \[\.\.\.\]`"
    ):
        elastic_space("proxyless")


@pytest.mark.parametrize(
    ("resolutions", "message"),
    [
        ((128, 160), "the input is 3x224x224: it must be square, and resolutions must hold its size"),
        ((224, 160), r"resolutions must ascend from at least 1, got \[224, 160\]"),
        ((160, 160, 224), "resolutions must ascend"),
        ((0, 224), "resolutions must ascend from at least 1"),
    ],
)
def test_resolutions_are_checked_at_birth(resolutions: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElasticSpace(OFA.space, resolutions)


def test_a_network_reads_its_own_resolution() -> None:
    with pytest.raises(ValueError, match="resolution 128, but the architecture reads 3x224x224"):
        ElasticArchitecture(128, OFA.space.architecture([0] * 20))


# --- reading and printing


def canonical(ops: Sequence[int]) -> list[int]:
    """Each stage of four: blocks before skips."""
    stages = [ops[start : start + 4] for start in range(0, 20, 4)]
    return [op for stage in stages for op in sorted(stage, key=lambda op: op == SKIP)]


OPS = st.tuples(*(st.integers(0, 8 if layer % 4 < 2 else 9) for layer in range(20)))


@given(OPS, st.sampled_from(OFA.resolutions))
def test_a_network_is_read_from_indexes_or_blocks_and_printed_in_its_canonical_form(
    ops: tuple[int, ...], resolution: int
) -> None:
    given_order = OFA.at(resolution).architecture(ops)
    network = OFA.parse(f"r{resolution}:{','.join(map(str, ops))}")
    assert OFA.parse(f" r{resolution}: {' '.join(map(str, given_order.blocks))}\n") == network
    assert network == OFA.architecture(resolution, ops)
    assert list(network.architecture.ops) == canonical(ops)
    assert network.architecture.space is OFA.at(resolution)
    assert str(network) == f"r{resolution}:{','.join(map(str, canonical(ops)))}"
    assert OFA.parse(str(network)) == network
    assert hash(OFA.parse(str(network))) == hash(network)


def test_skips_move_behind_all_blocks_of_their_run_and_not_beyond() -> None:
    tiny = elastic_from_toml(TINY)
    assert str(tiny.parse("r24:1,0,2,1,0")) == "r24:1,2,1,0,0"
    assert str(tiny.parse("r24:1,0,0,2,0")) == "r24:1,2,0,0,0"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0," * 19 + "0", r"write resolution and blocks like r128:0,1,\.\.\."),
        ("r0:0", "write resolution and blocks"),
        ("r127:" + "0," * 19 + "0", "ofa-mbv3 has no resolution 127; it has 128, 132"),
        ("r160:" + "0," * 18 + "0", "names 19 blocks, but ofa-mbv3-r160 has 20 layers"),
        ("r160:9" + ",0" * 19, "layer0 has ops 0 to 8, not 9"),
        ("r160:skip" + ",0" * 19, "layer0 has no skip"),
    ],
)
def test_text_that_is_no_network_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OFA.parse(text)


# --- drawing


def test_samples_follow_the_seed_and_are_canonical() -> None:
    one, other = (np.random.default_rng(3) for _ in range(2))
    drawn = [OFA.sample(one) for _ in range(50)]
    assert drawn == [OFA.sample(other) for _ in range(50)]
    assert all(OFA.parse(str(network)) == network for network in drawn)


def test_depths_resolutions_and_blocks_are_drawn_evenly() -> None:
    rng, draws = np.random.default_rng(0), 1500
    networks = [OFA.sample(rng) for _ in range(draws)]
    stages = [
        network.architecture.ops[start : start + 4] for network in networks for start in range(0, 20, 4)
    ]
    depths = Counter(4 - stage.count(SKIP) for stage in stages)
    blocks = Counter(op for stage in stages for op in stage if op != SKIP)
    resolutions = Counter(network.resolution for network in networks)
    for counts, size in ((depths, 3), (blocks, 9), (resolutions, 25)):
        total = sum(counts.values())
        assert len(counts) == size
        # five standard deviations of a binomial count
        assert max(abs(count - total / size) for count in counts.values()) < 5 * (total / size) ** 0.5


def test_a_layer_that_can_only_be_left_out_is_drawn_so() -> None:
    tiny = elastic_from_toml(TINY)
    assert {tiny.sample(np.random.default_rng(seed)).architecture.ops[-1] for seed in range(5)} == {0}


# --- describing


def test_networks_of_all_resolutions_are_rows_of_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(space: SearchSpace, networks: Sequence[Architecture]) -> Features:
        rows = [(space.shape_in.height / 2, sum(network.ops)) for network in networks]
        return Features(("half", "sum"), ("input", "ops"), np.array(rows, np.float64).reshape(-1, 2))

    monkeypatch.setattr(SearchSpace, "describe", describe, raising=False)
    tiny = elastic_from_toml(TINY)
    found = tiny.describe([tiny.parse(text) for text in ("r24:1,1,1,1,0", "r16:0,1,2,0,0", "r24:0,0,0,0,0")])
    assert (found.names, found.groups) == (("half", "sum", "resolution"), ("input", "ops", "resolution"))
    assert found.values.tolist() == [[12, 4, 24], [8, 3, 16], [12, 0, 24]]
    assert tiny.describe([]).values.shape == (0, 3)


def test_chains_of_unlike_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(space: SearchSpace, networks: Sequence[Architecture]) -> Features:
        return Features((space.name,), ("",), np.zeros((len(networks), 1)))

    monkeypatch.setattr(SearchSpace, "describe", describe, raising=False)
    tiny = elastic_from_toml(TINY)
    with pytest.raises(ValueError, match="tiny: columns at resolution 24 differ"):
        tiny.describe([tiny.parse("r24:0,0,0,0,0"), tiny.parse("r16:0,0,0,0,0")])
