"""Tables of a space: what is written adds up to what is predicted, and what is missing is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hwprofile.catalog import elastic_space_named, space_named
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.tables.device import TableDevice, TableLatency
from hwprofile.tables.export import TABLE_FORMATS, export_table
from hwprofile.tables.keys import NoKey, keys_of
from hwprofile.tables.space_table import SpaceTable
from hwprofile.tables.values import Entry, KeyedTable, LayerTable
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space
from tests.hwprofile.tables.published import (
    LUTS,
    NOTE10,
    PIXEL1,
    WIDE,
    keys_in,
    needs_tables,
    published_network,
)


def keys(space: SearchSpace) -> set[str]:
    return {
        key
        for layer in space.all_layers
        for op in range(len(layer.blocks))
        for key in keys_of(space, layer, op)
    }


def added(space: SearchSpace, table: KeyedTable, ops: Sequence[int]) -> float:
    """What the published classes compute: the entries of a network's keys, added up."""
    chain = space.architecture(ops).chain
    return sum(table.entries[key].mean_ms for layer, op in chain for key in keys_of(space, layer, op))


@pytest.fixture(scope="module")
def proxyless(proxyless_profile: Path) -> tuple[SpaceLatency, SpaceTable]:
    profile = Profile.load(proxyless_profile)
    latency = SpaceLatency.from_profile(profile, shipped_space("proxyless"))
    return latency, SpaceTable.from_latency(latency, profile)


@needs_tables
def test_our_keys_are_those_of_proxylessnas() -> None:
    # theirs has the first block with three kernels, ours with the one that their networks have
    assert keys_in(PIXEL1) ^ keys(shipped_space("proxyless")) == {
        f"expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:{kernel}-stride:1-idskip:0"
        for kernel in (5, 7)
    }


@needs_tables
@pytest.mark.parametrize("resolution", [160, 176, 192, 208, 224])
def test_our_keys_are_those_of_once_for_all(resolution: int) -> None:
    assert keys(space_named(f"{WIDE}@{resolution}")) == keys_in(NOTE10, str(resolution))


def test_the_wide_space_is_the_shipped_one_with_wider_layers() -> None:
    shipped, wide = elastic_space_named("ofa-mbv3"), elastic_space_named(str(WIDE))
    assert [layer.blocks for layer in wide.space.layers] == [layer.blocks for layer in shipped.space.layers]
    assert set(wide.resolutions) < set(shipped.resolutions)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("nasbench-macro", "layer0: the keys of ProxylessNAS's tables cannot say conv_k1_linear at 32x32x32"),
        ("ponas", "layer0: .* cannot say mb_k3_e3_se"),
        ("fbnet", "layer0: .* cannot say fb_k3_e1 .*--format csv"),
    ],
)
def test_a_block_that_the_keys_cannot_say_is_named(space: str, message: str) -> None:
    with pytest.raises(NoKey, match=message):
        keys(shipped_space(space))


def test_the_table_of_a_profile_is_what_the_solver_sees(proxyless: tuple[SpaceLatency, SpaceTable]) -> None:
    latency, table = proxyless
    assert table.cost.fixed == pytest.approx(latency.cost.fixed, rel=1e-12)
    for row, expected in zip(table.cost.rows, latency.cost.rows, strict=True):
        assert (row == expected).all()
    entry = table.entry(table.space.layers[0], 0)
    assert entry is not None
    assert entry.count == 6
    assert entry.var_ms2 is not None
    assert entry.var_ms2 > 0


def test_the_keys_of_a_network_add_up_to_its_prediction(proxyless: tuple[SpaceLatency, SpaceTable]) -> None:
    latency, table = proxyless
    keyed, rng = table.by_key, np.random.default_rng(0)
    for _ in range(100):
        network = table.space.sample(rng)
        assert added(table.space, keyed, network.ops) == pytest.approx(latency.median_ms(network), rel=1e-9)


def test_what_is_one_block_here_is_written_under_the_last_of_its_keys() -> None:
    space = shipped_space("ofa-mbv3")
    places = [(layer, op) for layer in space.all_layers for op in range(len(layer.blocks))]
    entries = {(layer.name, op): Entry(0.5, 0.1, 5) for layer, op in places if keys_of(space, layer, op)}
    keyed = SpaceTable(space, entries, 0.25).by_key
    assert keyed.entries["AvgPool2D-input:7x7x960-output:1x1x960"] == Entry(0.0)
    assert keyed.entries["Conv_2-input:1x1x960-output:1x1x1280"] == Entry(0.0)
    assert keyed.entries["Logits-input:1x1x1280-output:1000"] == Entry(0.5, 0.1, 5)
    assert keyed.entries["Conv-input:224x224x3-output:112x112x16"] == Entry(0.75, 0.1, 5)
    assert "0.25 ms that every network pays once" in keyed.notes[0]
    assert "the classifier is measured as one, in Logits" in keyed.notes[1]
    again = SpaceTable.from_keys(space, keyed, "here").cost
    assert again.fixed == pytest.approx(4 * 0.5 + 0.25)


def test_a_missing_key_is_named_with_its_layer(proxyless: tuple[SpaceLatency, SpaceTable]) -> None:
    _, table = proxyless
    entries = dict(table.by_key.entries)
    del entries["expanded_conv-input:14x14x80-output:14x14x96-expand:6-kernel:5-stride:1-idskip:0"]
    with pytest.raises(
        UserError, match=r"x\.yaml has no latency for layer12 mb_k5_e6 of proxyless: .*14x14x96-"
    ):
        SpaceTable.from_keys(table.space, KeyedTable(entries), "x.yaml")


def test_layers_go_by_their_names_or_else_by_their_order(proxyless: tuple[SpaceLatency, SpaceTable]) -> None:
    _, table = proxyless
    by_layer = table.by_layer
    reverse = LayerTable(by_layer.layers[::-1], by_layer.rows[::-1], by_layer.fixed_ms)
    numbered = LayerTable(tuple(map(str, range(21))), by_layer.rows, by_layer.fixed_ms)
    for other in (by_layer, reverse, numbered):
        assert SpaceTable.from_layers(table.space, other, "x").by_layer == by_layer


def test_a_missing_op_is_named_with_its_layer_and_skip_may_be_missing(
    proxyless: tuple[SpaceLatency, SpaceTable],
) -> None:
    _, table = proxyless
    found = table.by_layer

    def without(op: str) -> LayerTable:
        rows = tuple({name: entry for name, entry in row.items() if name != op} for row in found.rows)
        return LayerTable(found.layers, rows, found.fixed_ms)

    assert SpaceTable.from_layers(table.space, without("skip"), "x").by_layer == found
    with pytest.raises(UserError, match="x has no latency for layer0 mb_k5_e6; it has mb_k3_e3"):
        SpaceTable.from_layers(table.space, without("mb_k5_e6"), "x")
    renamed = LayerTable(("first", *found.layers[1:]), found.rows, found.fixed_ms)
    with pytest.raises(UserError, match="x has a layer first, which proxyless lacks"):
        SpaceTable.from_layers(table.space, renamed, "x")
    macro, unnamed = shipped_space("nasbench-macro"), LayerTable(found.layers, found.rows, found.fixed_ms)
    with pytest.raises(UserError, match="x is a table of proxyless, not of nasbench-macro"):
        SpaceTable.from_layers(macro, found, "x")
    with pytest.raises(UserError, match="x has 21 layers, but nasbench-macro has 8"):
        SpaceTable.from_layers(macro, unnamed, "x")


def test_one_key_for_two_latencies_is_refused(proxyless: tuple[SpaceLatency, SpaceTable]) -> None:
    _, table = proxyless
    entries = dict(table.entries) | {("layer2", 0): Entry(9.0)}
    with pytest.raises(UserError, match=r"layer2 mb_k3_e3: the key .* would stand for two latencies"):
        _ = SpaceTable(table.space, entries, 0.0).by_key


@pytest.mark.parametrize("form", TABLE_FORMATS)
def test_a_written_table_predicts_what_the_profile_predicts(
    form: str, proxyless: tuple[SpaceLatency, SpaceTable], tmp_path: Path
) -> None:
    library = {"ofa-yaml": "yaml", "parquet": "pyarrow"}.get(form, "json")
    pytest.importorskip(library, reason="the extra `tables` is not installed")
    latency, table = proxyless
    ending = {"ofa-yaml": "yaml", "nni": "json"}.get(form, form)
    words = export_table(table, form, tmp_path / f"t.{ending}", Path("the.profile.jsonl"))
    assert f"{form} of proxyless from the.profile.jsonl" in words
    again = TableLatency(TableDevice.from_file(tmp_path / f"t.{ending}").table(table.space))
    networks = [table.space.sample(np.random.default_rng(seed)) for seed in range(20)]
    medians = [found.median_ms for found in again.predict(networks)]
    assert medians == pytest.approx([latency.median_ms(network) for network in networks], rel=1e-12)


@needs_tables
def test_a_published_network_takes_what_its_name_says() -> None:
    """Once-for-All's network for 30 ms on the Note 10: width 1.2 at 224 pixels."""
    space = space_named(f"{WIDE}@224")
    network = space.parse(published_network("note10_lat-30ms_top1-78.4_finetune-75"))
    latency = TableLatency(TableDevice.from_file(NOTE10).table(space))
    assert latency.median_ms(network) == pytest.approx(29.97, abs=0.01)


@needs_tables
def test_published_tables_reach_from_the_smallest_to_the_largest_network() -> None:
    space = shipped_space("proxyless")
    cost = TableDevice.from_file(PIXEL1).table(space).cost
    assert cost.total(cost.smallest()) == pytest.approx(29.6, abs=0.05)
    assert cost.total([5] * 21) == pytest.approx(191.0, abs=0.05)


@needs_tables
def test_the_table_of_single_path_nas_is_one_of_twenty_layers(tmp_path: Path) -> None:
    space = tmp_path / "single.toml"
    stages = [(24, 2), (40, 2), (80, 2), (96, 1), (192, 2)]
    blocks = '["mb_k3_e3", "mb_k3_e6", "mb_k5_e3", "mb_k5_e6"]'
    space.write_text(
        'schema_version = 1\nname = "single"\ndescription = "x"\n'
        'input = [3, 224, 224]\nactivation = "relu6"\n'
        '[[stem]]\nblock = "conv_k3"\nchannels = 32\nstride = 2\n'
        + "".join(
            f"[[stages]]\nlayers = 4\nchannels = {channels}\nstride = {stride}\nblocks = {blocks}\n"
            for channels, stride in stages
        )
        + '[[head]]\nblock = "classifier"\nchannels = 1000\n'
    )
    table = TableDevice.from_file(LUTS / "singlepath_pixel1_runtime_model.json").table(
        space_named(str(space))
    )
    assert table.cost.rows[0].tolist() == [4.4905, 9.2015, 5.9248, 11.5892]
    assert table.cost.fixed == pytest.approx(3.9844 + 6.4995)
    assert "head" in (table.notice or "")
