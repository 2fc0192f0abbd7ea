"""Parameters and multiply-accumulates equal the published ones."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from importlib import resources

from ponas_core.space import Layer
from ponas_core.space_file import shipped_space, space_from_toml, toml_from_space

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
