"""Chains as named numbers: exact totals, one set of columns, blocks alike."""

from __future__ import annotations

import numpy as np
import pytest

from ponas_core.complexity import complexity
from ponas_core.features import Features
from ponas_core.space_file import elastic_space, shipped_space, shipped_spaces


@pytest.mark.parametrize("name", shipped_spaces())
def test_totals_are_the_counts_of_the_space(name: str) -> None:
    space = shipped_space(name)
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(5)]
    features = space.describe(networks)
    for quantity in ("macs", "params"):
        column = features.values[:, features.names.index(quantity)]
        cost = complexity(space, quantity)
        assert column.tolist() == [cost.total(network.ops) for network in networks]


@pytest.mark.parametrize("name", shipped_spaces())
def test_columns_do_not_depend_on_the_networks(name: str) -> None:
    space = shipped_space(name)
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(3)]
    together, alone = space.describe(networks), space.describe(networks[:1])
    assert (together.names, together.groups) == (alone.names, alone.groups)
    assert (together.values[:1] == alone.values).all()
    assert space.describe([]).values.shape == (0, len(alone.names))


def test_each_network_has_one_block_in_every_layer() -> None:
    space = shipped_space("fbnet")
    network = space.sample(np.random.default_rng(0))
    features = space.describe([network])
    chosen = [
        name
        for name, group, value in zip(features.names, features.groups, features.values[0], strict=True)
        if group == "layers" and value
    ]
    assert chosen == [f"layer{at}={block}" for at, block in enumerate(network.blocks)]


def test_blocks_are_the_more_alike_the_nearer_they_are() -> None:
    space = shipped_space("proxyless")
    features = space.describe([])
    alike = features.alike["alike"]
    names = [name.rstrip("~") for name in features.names if name.endswith("~")]
    assert np.linalg.eigvalsh(alike).min() > -1e-9
    assert np.diag(alike) == pytest.approx(1.0)
    at = names.index("layer1=mb_k3_e3")
    assert alike[at, names.index("layer2=mb_k3_e3")] > alike[at, names.index("layer1=mb_k7_e6")]
    assert alike[at, names.index("layer1=mb_k5_e3")] > alike[at, names.index("layer19=mb_k5_e3")]


def test_an_elastic_network_says_its_resolution() -> None:
    space = elastic_space("ofa-mbv3")
    rng = np.random.default_rng(0)
    networks = [space.sample(rng) for _ in range(4)]
    features = space.describe(networks)
    column = features.values[:, features.names.index("resolution")]
    assert column.tolist() == [network.resolution for network in networks]
    macs = features.values[:, features.names.index("macs")]
    expected = [
        complexity(space.at(network.resolution), "macs").total(network.architecture.ops)
        for network in networks
    ]
    assert macs.tolist() == expected


def test_features_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="2 names, 1 groups"):
        Features(("a", "b"), ("g",), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="named twice"):
        Features(("a", "a"), ("g", "g"), np.zeros((1, 2)))
