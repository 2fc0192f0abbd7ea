"""Parameters and multiply-accumulates equal the published ones."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from importlib import resources

import pytest

from ponas_core.operators import Convolution, Operator, SqueezeExcite
from ponas_core.space import Architecture, Layer
from ponas_core.space_file import elastic_space, shipped_space, space_from_toml, toml_from_space

PROXYLESS_MOBILE = """
    mb_k5_e3 mb_k3_e3 skip     skip
    mb_k7_e3 mb_k3_e3 mb_k5_e3 mb_k5_e3
    mb_k7_e6 mb_k5_e3 mb_k5_e3 mb_k5_e3
    mb_k5_e6 mb_k5_e3 mb_k5_e3 mb_k5_e3
    mb_k7_e6 mb_k7_e6 mb_k7_e3 mb_k7_e3
    mb_k7_e6
"""


def sizes(layer: Layer, op: int) -> tuple[int, int]:
    recipe = layer.recipe(op)
    return recipe.params, recipe.macs(layer.place.shape_in)


def total(found: Iterable[tuple[int, int]]) -> tuple[int, int]:
    params, macs = zip(*found, strict=True)
    return sum(params), sum(macs)


def published() -> list[dict[str, str]]:
    packed = resources.files("ponas_core").joinpath("data", "nasbench-macro.csv.gz").read_bytes()
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode())))


def test_all_networks_of_nasbench_macro_have_their_published_sizes() -> None:
    space = shipped_space("nasbench-macro")
    fixed = total(sizes(layer, 0) for layer in space.fixed_layers)
    table = [[sizes(layer, op) for op in range(len(layer.blocks))] for layer in space.layers]
    rows = published()
    assert {row["arch"] for row in rows} == {"".join(map(str, x.ops)) for x in space.enumerate()}
    assert len(rows) == 6561
    for row in rows:
        ops = map(int, row["arch"])
        found = total([fixed, *(ops_of[op] for ops_of, op in zip(table, ops, strict=True))])
        assert found == (int(row["params"]), int(row["flops"])), row["arch"]


def test_the_released_proxyless_mobile_network_has_its_published_sizes() -> None:
    # the released network is 32 channels wide in its first stage, the search's default 24
    text = toml_from_space(shipped_space("proxyless")).replace("channels = 24\n", "channels = 32\n")
    chain = space_from_toml(text).parse(PROXYLESS_MOBILE).chain
    params, macs = total(sizes(*part) for part in chain)
    assert params == 4_080_512
    assert round(macs / 1e6) == 320


# --- PONAS, the released networks: expansion, kernel, squeeze-excite of every layer

PONAS = {
    "PONAS-A": "65- 35- 37s 35s 35- 37- 67s 35s 35s 35s 35- 37- 37- 37s 67s 37s 35- 37s 65s",
    "PONAS-B": "63s 37s 65- 35s 35- 35- 67- 35s 35s 35s 65s 37- 37- 37s 67s 37s 35- 37- 65s",
    "PONAS-C": "65- 37s 65s 35s 35- 37- 67- 35s 37s 65s 65s 37- 37- 65s 67s 37s 35- 37s 65s",
}


def macs_of(architecture: Architecture, kind: type[Operator]) -> int:
    """Multiply-accumulates of the operators of a kind."""
    total = 0
    for layer, op in architecture.chain:
        shape = layer.place.shape_in
        for operator in layer.recipe(op).operators:
            total += operator.macs(shape) if isinstance(operator, kind) else 0
            shape = operator.output(shape)
    return total


def test_named_networks_of_ponas_are_the_released_ones() -> None:
    space = shipped_space("ponas")
    released = {
        name: " ".join(f"mb_k{w[1]}_e{w[0]}{'_se' if w[2] == 's' else ''}" for w in text.split())
        for name, text in PONAS.items()
    }
    assert space.named == {name: space.parse(text).ops for name, text in released.items()}


@pytest.mark.parametrize(
    ("name", "published_params", "published_macs", "all_macs"),
    [("PONAS-A", 5.1, 326, 329.5), ("PONAS-B", 5.1, 349, 352.3), ("PONAS-C", 5.6, 376, 380.4)],
)
def test_released_networks_of_ponas_have_their_published_sizes(
    name: str, published_params: float, published_macs: int, all_macs: float
) -> None:
    architecture = shipped_space("ponas").parse(name)
    params, macs = total(sizes(*part) for part in architecture.chain)
    assert round(params / 1e6, 1) == published_params
    # published is what the convolutions alone take, without squeeze-excite (with its convolutions it would be
    # 328, 350 and 378) and without the classifier; our count has everything
    assert round(macs_of(architecture, Convolution) / 1e6) == published_macs
    assert round(macs / 1e6, 1) == all_macs
    squeezed = macs_of(architecture, SqueezeExcite)
    assert macs == macs_of(architecture, Convolution) + squeezed + 1280 * 1000


# --- Once-for-All, written down once more from its paper and released code

STAGES = [(24, 2, False), (40, 2, True), (80, 2, False), (112, 1, True), (160, 2, True)]
"""Channels, stride, squeeze-excite."""
HIDDEN = {  # a quarter of the expanded width in multiples of eight, at most a tenth less
    72: 24, 96: 24, 120: 32, 144: 40, 160: 40, 240: 64, 320: 80, 336: 88, 448: 112, 480: 120, 640: 160,
    672: 168, 960: 240,
}  # fmt: skip


def once_for_all_by_hand(resolution: int, kernel: int, expansion: int, depth: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates with one kernel, expansion and depth everywhere."""
    size = resolution // 2
    # stem, then depthwise 3×3 and 1×1 of 16 channels, batch normalisation behind each
    params = 16 * 3 * 9 + 16 * 9 + 16 * 16 + 2 * 3 * 16
    macs = (16 * 3 * 9 + 16 * 9 + 16 * 16) * size**2
    channels = 16
    for channels_out, stride, squeezes in STAGES:
        for position in range(depth):
            width, smaller = channels * expansion, -(-size // (1 if position else stride))
            params += (
                channels * width + width * kernel**2 + width * channels_out + 4 * width + 2 * channels_out
            )
            macs += channels * width * size**2 + (width * kernel**2 + width * channels_out) * smaller**2
            if squeezes:
                params += 2 * width * HIDDEN[width] + HIDDEN[width] + width
                macs += 2 * width * HIDDEN[width] + width * smaller**2
            channels, size = channels_out, smaller
    params += 160 * 960 + 2 * 960 + 960 * 1280 + 1280 * 1000 + 1000
    return params, macs + 160 * 960 * size**2 + 960 * 1280 + 1280 * 1000


@pytest.mark.parametrize("resolution", [128, 180, 224])
@pytest.mark.parametrize(("kernel", "expansion", "depth"), [(3, 3, 2), (5, 4, 3), (7, 6, 4), (7, 3, 3)])
def test_networks_of_once_for_all_have_the_sizes_computed_by_hand(
    resolution: int, kernel: int, expansion: int, depth: int
) -> None:
    stages = [
        [f"mb_k{kernel}_e{expansion}{'_hse' if squeezes else ''}"] * depth + ["skip"] * (4 - depth)
        for _, _, squeezes in STAGES
    ]
    words = " ".join(word for stage in stages for word in stage)
    network = elastic_space("ofa-mbv3").parse(f"r{resolution}:{words}")
    found = total(sizes(*part) for part in network.architecture.chain)
    assert found == once_for_all_by_hand(resolution, kernel, expansion, depth)
