"""Which whole networks are measured beside the blocks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ponas_core.onnx_graph import layer_of, network_model
from ponas_core.probes import covering
from ponas_core.space_file import shipped_space, shipped_spaces


@pytest.mark.parametrize("name", shipped_spaces())
@pytest.mark.parametrize("times", [1, 3])
def test_covering_networks_hold_every_candidate_of_every_layer_evenly(name: str, times: int) -> None:
    space = shipped_space(name)
    found = covering(space, np.random.default_rng(0), times)
    widest = max(len(layer.blocks) for layer in space.layers)
    assert len(found) == times * widest
    for index, layer in enumerate(space.layers):
        counts = Counter(architecture.ops[index] for architecture in found)
        assert set(counts) == set(range(len(layer.blocks)))
        assert max(counts.values()) - min(counts.values()) <= times


@pytest.mark.parametrize("name", shipped_spaces())
def test_expected_counts_are_those_of_random_networks(name: str) -> None:
    space, rng, draws = shipped_space(name), np.random.default_rng(1), 400
    counts = Counter(key for _ in range(draws) for key in space.sample(rng).keys)
    for key, expected in space.expected_counts.items():
        # five standard deviations of a binomial count
        assert counts[key] / draws == pytest.approx(expected, abs=5 * (expected / draws) ** 0.5 + 1e-9)


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_node_of_a_network_tells_its_layer(name: str) -> None:
    space = shipped_space(name)
    architecture = space.sample(np.random.default_rng(2))
    nodes = network_model(architecture).graph.node
    layers = [layer_of(node.name) for node in nodes]
    wanted = [layer.name for layer, op in architecture.chain if layer.key(op) is not None]
    assert list(dict.fromkeys(layers)) == wanted


def test_a_node_that_a_runtime_put_in_has_no_layer() -> None:
    assert layer_of("ReorderOutput") is None
    assert layer_of("layer3/conv_1_nchwc") == "layer3"
