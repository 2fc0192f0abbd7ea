"""The published tables are read as networks of the shipped spaces, with the sizes that were published."""

from __future__ import annotations

import re

import pytest

from benchmarks.published import SKIP, fbnet, folder, once_for_all, rows
from ponas_core.operators import Classifier, Convolution, SqueezeExcite
from ponas_core.space import Architecture, Layer
from ponas_core.space_file import elastic_space, shipped_space, space_from_toml, toml_from_space

pytestmark = pytest.mark.skipif(
    not folder().is_dir(),
    reason=f"the published measurements {folder()} are absent; HWPROFILE_TEST_DATA tells their folder",
)


def fbnet_flops(layer: Layer, op: int) -> int:
    """As the published column counts, told by its differences between networks.

    Multiply-accumulates without the classifier's bias; two for each number that batch normalisation gives,
    one for each that ReLU gives, but for those of a block's first convolution; one for each that is pooled.
    """
    shape = layer.place.shape_in
    recipe = layer.recipe(op)
    total = recipe.macs(shape)
    for part in recipe.operators:
        out = part.output(shape)
        if isinstance(part, Convolution):
            is_first = len(recipe.operators) > 1 and part is recipe.operators[0]
            total += (2 if is_first or part.activation == "linear" else 3) * out.channels * out.pixels
        elif isinstance(part, Classifier):
            total += shape.channels * shape.pixels
        shape = out
    return total


def test_all_published_networks_of_fbnet_have_their_published_sizes() -> None:
    space = shipped_space("fbnet")
    networks = fbnet()
    assert len(networks) == 4000
    table = [
        [(layer.recipe(op).params, fbnet_flops(layer, op)) for op in range(len(layer.blocks))]
        for layer in space.layers
    ]
    fixed = [(layer.recipe(0).params, fbnet_flops(layer, 0)) for layer in space.fixed_layers]
    for architecture, row in networks:
        found = [*fixed, *(sizes[op] for sizes, op in zip(table, architecture.ops, strict=True))]
        params, flops = (sum(column) for column in zip(*found, strict=True))
        assert (params, flops) == (int(row["params_zcp"]), int(row["flops_zcp"])), architecture


def test_published_networks_of_once_for_all_are_read_with_their_depths_and_resolutions() -> None:
    networks = once_for_all()
    assert len(networks) == 4000
    space = elastic_space("ofa-mbv3")
    assert {network.resolution for network, _ in networks} <= set(space.resolutions)
    for network, row in networks:
        ops = network.architecture.ops
        depths = [4 - ops[start : start + 4].count(SKIP) for start in range(0, 20, 4)]
        assert depths == [int(row[f"d{stage}"]) for stage in range(5)]
        for layer, block in enumerate(network.architecture.blocks):
            if str(block) != "skip":
                words = str(block).removesuffix("_hse")
                assert words == f"mb_k{row[f'ks{layer:02}']}_e{row[f'e{layer:02}']}"
    assert space.parse(str(networks[0][0])) == networks[0][0]


# --- Once-for-All's specialised networks of width 1.2, whose multiply-accumulates are published in millions

WIDE = {16: 24, 24: 32, 40: 48, 80: 96, 112: 136, 160: 192, 960: 1152, 1000: 1000}
BLOCK = re.compile(r"MBInvertedConvLayer:k(\d)e(\d)i\d+o\d+s\da[a-z_]+?se([01])(\+id)?")


def widened(resolution: str) -> str:
    text = toml_from_space(shipped_space("ofa-mbv3")).replace("h1280", "h1536")
    text = re.sub(r"channels = (\d+)", lambda match: f"channels = {WIDE[int(match[1])]}", text)
    return text.replace("[3, 224, 224]", f"[3, {resolution}, {resolution}]")


def specialised(row: dict[str, str]) -> Architecture:
    stages: list[list[str]] = []
    for match in map(BLOCK.fullmatch, row["blocks"].split("|")[1:]):
        assert match
        if match[4] is None:  # a block without identity begins a stage
            stages.append([])
        stages[-1].append(f"mb_k{match[1]}_e{match[2]}{'_hse' if match[3] == '1' else ''}")
    words = [word for stage in stages for word in [*stage, *["skip"] * (4 - len(stage))]]
    return space_from_toml(widened(row["resolution"])).parse(" ".join(words))


def test_specialised_networks_have_their_published_multiply_accumulates() -> None:
    found = {}
    for row in rows("ofa_specialized.csv"):
        if row["device"] != "flops":
            continue
        total = 0
        for layer, op in specialised(dict(row)).chain:
            shape = layer.place.shape_in
            total += layer.recipe(op).macs(shape)
            for part in layer.recipe(op).operators:
                if isinstance(part, SqueezeExcite):  # the product with the gate is not counted there
                    total -= part.channels * shape.pixels
                shape = part.output(shape)
        found[row["value"]] = f"{total / 1e6:.0f}.0"
    assert found == {number: number for number in ("389.0", "482.0", "595.0")}
