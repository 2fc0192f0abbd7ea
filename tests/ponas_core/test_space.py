"""Spaces and architectures: what they promise, how they are read and written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ponas_core.blocks import Block, Conv, FBConv, MBConv, Placement, PoolLinear, Skip, parse_block
from ponas_core.operators import ACTIVATIONS, Activation, Gate, Recipe, TensorShape
from ponas_core.space import Architecture, Layer, SearchSpace
from ponas_core.space_file import (
    SpaceError,
    load_space,
    shipped_space,
    shipped_spaces,
    space_from_toml,
    toml_from_space,
)

SPACES = {name: shipped_space(name) for name in shipped_spaces()}
MACRO = SPACES["nasbench-macro"]
PROXYLESS = SPACES["proxyless"]
NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure
TINY = TensorShape(4, 8, 8)


def layer(*blocks: str, name: str = "layer0", shape: TensorShape = TINY, channels: int = 4) -> Layer:
    return Layer(name, Placement(shape, channels, 1, "relu"), tuple(map(parse_block, blocks)))


def space(*layers: Layer, stem: tuple[Layer, ...] = (), head: tuple[Layer, ...] = ()) -> SearchSpace:
    return SearchSpace("tiny", "", TINY, stem, layers, head)


# --- layers and spaces are checked at birth


def test_a_layer_needs_candidates() -> None:
    with pytest.raises(ValueError, match="layer0 has no candidate blocks"):
        layer()


def test_a_layer_refuses_a_block_named_twice() -> None:
    with pytest.raises(ValueError, match="layer0 names a block twice: mb_k3_e3, skip, mb_k3_e3"):
        layer("mb_k3_e3", "skip", "mb_k3_e3")


def test_a_layer_refuses_a_block_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="layer0: skip cannot stand where the shape changes"):
        layer("mb_k3_e3", "skip", channels=5)


def test_a_layer_refuses_candidates_that_give_different_shapes() -> None:
    with pytest.raises(ValueError, match="layer0: all candidates must give one shape, these give"):
        layer("conv_k3", "classifier")


@pytest.mark.parametrize("name", ["", "two words", "-option", "a/b", "ä", "name\n"])
def test_a_space_refuses_a_name_that_cannot_be_typed(name: str) -> None:
    with pytest.raises(ValueError, match="the name of a space is letters, digits"):
        SearchSpace(name, "", TINY, (), (layer("skip"),), ())


def test_a_space_needs_a_searchable_layer() -> None:
    with pytest.raises(ValueError, match="space tiny has no searchable layers"):
        space(stem=(layer("conv_k3"),))


def test_a_space_refuses_layers_that_do_not_fit_each_other() -> None:
    with pytest.raises(ValueError, match="layer1 expects 4x8x8, but gets 6x8x8"):
        space(layer("conv_k3", channels=6), layer("conv_k3", name="layer1"))


def test_a_space_refuses_a_first_layer_that_does_not_fit_the_input() -> None:
    with pytest.raises(ValueError, match="layer0 expects 5x8x8, but gets 4x8x8"):
        space(layer("conv_k3", shape=TensorShape(5, 8, 8)))


def test_a_space_refuses_two_layers_of_one_name_since_weights_go_by_it() -> None:
    with pytest.raises(ValueError, match=r"two layers have one name.*layer0, layer0"):
        space(layer("conv_k3"), layer("conv_k3"))


def test_a_space_refuses_a_choice_in_its_stem() -> None:
    with pytest.raises(ValueError, match="stem0 is fixed: give it one block, not 2"):
        space(layer("skip"), stem=(layer("conv_k1", "conv_k3", name="stem0"),))


def test_a_space_refuses_a_classifier_that_is_not_its_last_layer() -> None:
    behind = layer("conv_k1", name="layer1", shape=TensorShape(3, 1, 1))
    with pytest.raises(ValueError, match="layer0: a classifier can only be the last layer"):
        space(layer("classifier", channels=3), behind)


# --- architectures are checked at birth


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ((0,) * 7, "7 ops given, but nasbench-macro has 8 layers"),
        ((0,) * 9, "9 ops given, but nasbench-macro has 8 layers"),
        ((), "0 ops given"),
        ((0, 0, 0, 3, 0, 0, 0, 0), "layer3 has ops 0 to 2, not 3"),
        ((0, 0, 0, 0, 0, 0, 0, -1), "layer7 has ops 0 to 2, not -1"),
        ((0, 0.5, 0, 0, 0, 0, 0, 0), r"layer1 has ops 0 to 2, not 0\.5"),
        ((0, True, 0, 0, 0, 0, 0, 0), "layer1 has ops 0 to 2, not True"),
    ],
)
def test_an_architecture_cannot_hold_what_its_space_lacks(ops: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(MACRO, ops)


def test_an_architecture_takes_numpys_whole_numbers_and_no_others() -> None:
    ops = np.array([2, 2, 1, 0, 2, 1, 1, 0], np.int32)
    assert MACRO.architecture(ops.tolist()) == MACRO.architecture(list(ops))
    with pytest.raises(TypeError, match="integer"):
        MACRO.architecture([1.9] * 8)  # type: ignore[list-item]


def test_architectures_are_equal_by_space_and_ops() -> None:
    ops = [0] * 8
    assert MACRO.architecture(ops) == shipped_space("nasbench-macro").architecture(ops)
    assert hash(MACRO.architecture(ops)) == hash(shipped_space("nasbench-macro").architecture(ops))
    assert MACRO.architecture(ops) != MACRO.architecture([*ops[1:], 1])
    one, other = space(layer("conv_k1")), space(layer("conv_k3"))
    assert one.architecture([0]) != other.architecture([0])


def test_the_chain_of_an_architecture_runs_from_stem_to_head() -> None:
    architecture = MACRO.architecture([0, 0, 1, 2, 0, 1, 2, 0])
    names = [f"{place.name}:{place.blocks[op]}" for place, op in architecture.chain]
    assert names == [
        "stem0:conv_k3",
        "layer0:conv_k1_linear",
        "layer1:skip",
        "layer2:mb_k3_e3",
        "layer3:mb_k5_e6",
        "layer4:skip",
        "layer5:mb_k3_e3",
        "layer6:mb_k5_e6",
        "layer7:skip",
        "head0:conv_k1",
        "head1:classifier",
    ]
    assert architecture.blocks == tuple(place.blocks[op] for place, op in architecture.chain[1:-2])


# --- reading and printing architectures


@pytest.mark.parametrize(
    "text",
    [
        "2,2,1,0,2,1,1,0",
        "22102110",
        " 2, 2, 1, 0\n2 1 1 0 ",
        "mb_k5_e6 mb_k5_e6 mb_k3_e3 skip mb_k5_e6 mb_k3_e3 mb_k3_e3 skip",
        "mb_k5_e6,2,1,skip,2,mb_k3_e3,1,0",
    ],
)
def test_an_architecture_is_read_from_indexes_digits_or_block_strings(text: str) -> None:
    assert MACRO.parse(text).ops == (2, 2, 1, 0, 2, 1, 1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names 0 blocks, but nasbench-macro has 8 layers"),
        ("2210211", "names 1 blocks, but nasbench-macro has 8 layers"),
        ("mb_k3_e3", "names 1 blocks, but nasbench-macro has 8 layers"),
        ("2,2,1,0,2,1,1", "names 7 blocks"),
        ("2,2,1,0,2,1,1,0,0", "names 9 blocks"),
        ("22102113", "layer7 has ops 0 to 2, not 3"),
        ("2,2,1,0,2,1,1,-1", "unknown block '-1'"),
        ("2,2,1,0,2,1,1,1.5", r"unknown block '1\.5'"),
        ("skip,2,1,0,2,1,1,0", "layer0 has no skip; it has conv_k1_linear, mb_k3_e3, mb_k5_e6"),
        ("2,2,1,0,2,1,1,mb_k7_e6", "layer7 has no mb_k7_e6; it has skip, mb_k3_e3, mb_k5_e6"),
    ],
)
def test_text_that_is_no_architecture_of_the_space_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MACRO.parse(text)


def test_an_op_index_above_nine_is_read_in_a_space_of_one_layer() -> None:
    one = space(layer(*(f"conv_k{2 * half + 1}" for half in range(12))))
    assert one.parse("11").ops == (11,)
    assert one.parse("7").ops == (7,)


def architectures(of: SearchSpace) -> st.SearchStrategy[Architecture]:
    return st.tuples(*(st.integers(0, len(place.blocks) - 1) for place in of.layers)).map(of.architecture)


@NO_DEADLINE
@given(st.sampled_from(sorted(SPACES)).flatmap(lambda name: architectures(SPACES[name])))
def test_parsing_a_printed_architecture_gives_the_architecture(architecture: Architecture) -> None:
    of = architecture.space
    assert of.parse(str(architecture)) == architecture
    assert of.parse(" ".join(map(str, architecture.blocks))) == architecture
    if max(architecture.ops) < 10:
        assert of.parse("".join(map(str, architecture.ops))) == architecture


# --- the shipped spaces are the published ones


def test_the_sizes_of_the_shipped_spaces_are_exact() -> None:
    assert MACRO.size == 3**8 == 6561
    assert PROXYLESS.size == 6**6 * 7**15
    assert f"{PROXYLESS.size:.1e}" == "2.2e+17"
    assert SPACES["fbnet"].size == 9**22
    assert SPACES["ofa-mbv3"].size == 9**10 * 10**10
    assert SPACES["ponas"].size == 12**19
    assert SPACES["digits"].size == SPACES["cifar-tiny"].size == 4**6 == 4096


def test_all_architectures_are_enumerated_once_the_last_layer_changing_fastest() -> None:
    found = [str(architecture) for architecture in MACRO.enumerate()]
    assert found[:4] == [f"0,0,0,0,0,0,{end}" for end in ("0,0", "0,1", "0,2", "1,0")]
    assert found[-1] == "2,2,2,2,2,2,2,2"
    assert len(set(found)) == len(found) == MACRO.size


def test_samples_follow_the_seed_and_reach_every_op() -> None:
    one, other = (np.random.default_rng(3) for _ in range(2))
    drawn = [MACRO.sample(one).ops for _ in range(200)]
    assert drawn == [MACRO.sample(other).ops for _ in range(200)]
    # chance that an op of one of 8 layers is missed in 200 draws: 24 · (2/3)^200 < 1e-33
    assert [set(ops) for ops in zip(*drawn, strict=True)] == [{0, 1, 2}] * 8


EXPANDED = tuple(MBConv(kernel, expansion) for expansion in (3, 6) for kernel in (3, 5, 7))


def test_ops_of_proxyless_are_expansion_3_then_6_with_kernels_3_5_7_then_skip() -> None:
    stages = {0: 24, 4: 40, 8: 80, 12: 96, 16: 192, 20: 320}
    for position, place in enumerate(PROXYLESS.layers):
        first = position in stages
        assert place.blocks == (EXPANDED if first else (*EXPANDED, Skip())), place.name
        assert place.place.stride == (2 if position in {0, 4, 8, 16} else 1), place.name
        channels = stages[max(start for start in stages if start <= position)]
        assert place.place.channels_out == channels, place.name


def test_ops_of_nasbench_macro_are_identity_or_its_substitute_then_two_inverted_residuals() -> None:
    residuals = (MBConv(3, 3), MBConv(5, 6))
    for position, place in enumerate(MACRO.layers):
        first: Block = Conv(1, linear=True) if position in {0, 2, 5} else Skip()
        assert place.blocks == (first, *residuals), place.name


def test_ops_of_fbnet_are_in_the_order_of_the_published_tables() -> None:
    blocks = [FBConv(k, e, g) for k in (3, 5) for e, g in ((1, 1), (1, 2), (3, 1), (6, 1))]
    first = dict(zip((0, 1, 5, 9, 13, 17, 21), (16, 24, 32, 64, 112, 184, 352), strict=True))
    for position, place in enumerate(SPACES["fbnet"].layers):
        last: Block = Conv(1) if position in first and position else Skip()
        assert place.blocks == (*blocks, last), place.name
        assert place.place.stride == (2 if position in {5, 9, 17} else 1), place.name
        assert place.place.channels_out == first[max(start for start in first if start <= position)]


def test_ops_of_once_for_all_are_expansions_3_4_6_each_with_kernels_3_5_7_then_skip() -> None:
    stages: list[tuple[int, int, Activation, Gate | None]]
    stages = [(24, 2, "relu", None), (40, 2, "relu", "hard_sigmoid"), (80, 2, "hswish", None)]
    stages += [(112, 1, "hswish", "hard_sigmoid"), (160, 2, "hswish", "hard_sigmoid")]
    space = SPACES["ofa-mbv3"]
    for position, place in enumerate(space.layers):
        channels, stride, activation, gate = stages[position // 4]
        blocks = [MBConv(k, e, gate) for e in (3, 4, 6) for k in (3, 5, 7)]
        assert place.blocks == (*blocks, *([Skip()] if position % 4 > 1 else [])), place.name
        assert place.place.channels_out == channels, place.name
        assert place.place.stride == (1 if position % 4 else stride), place.name
        assert place.place.activation == activation, place.name
    fixed = [f"{place.blocks[0]}@{place.place}" for place in space.fixed_layers]
    assert fixed == [
        "conv_k3@3x224x224-16-s2-hswish",
        "mb_k3_e1@16x112x112-16-s1-relu",
        "conv_k1@160x7x7-960-s1-hswish",
        "classifier_h1280@960x7x7-1000-s1-hswish",
    ]


def test_ops_of_ponas_are_expansion_then_kernel_then_squeeze_excite() -> None:
    stages = {0: (32, 2), 2: (40, 2), 6: (80, 2), 10: (96, 1), 14: (192, 2), 18: (320, 1)}
    assert len(SPACES["ponas"].layers) == 19
    for position, place in enumerate(SPACES["ponas"].layers):
        channels, stride = stages[max(start for start in stages if start <= position)]
        assert place.place.channels_out == channels, place.name
        assert place.place.stride == (stride if position in stages else 1), place.name
        for expansion, e in enumerate((3, 6)):
            for kernel, k in enumerate((3, 5, 7)):
                for squeezes, ending in enumerate(("", "_se")):
                    op = (expansion * 3 + kernel) * 2 + squeezes
                    assert str(place.blocks[op]) == f"mb_k{k}_e{e}{ending}"
    fixed = [f"{place.blocks[0]}@{place.place}" for place in SPACES["ponas"].fixed_layers]
    assert fixed == [
        "conv_k3@3x224x224-32-s2-relu6",
        "mb_k3_e1@32x112x112-16-s1-relu6",
        "conv_k1@320x7x7-1280-s1-relu6",
        "classifier@1280x7x7-1000-s1-relu6",
    ]


@pytest.mark.parametrize(
    ("name", "stages", "leaves_out_the_first"),
    [
        ("digits", ((16, 1), (32, 2), (64, 2)), {0}),
        ("cifar-tiny", ((16, 1), (32, 2), (64, 2)), set()),
    ],
)
def test_ops_of_the_small_spaces_are_identity_or_its_substitute_then_inverted_residuals(
    name: str, stages: tuple[tuple[int, int], ...], leaves_out_the_first: set[int]
) -> None:
    residuals = (MBConv(3, 3), MBConv(3, 6), MBConv(5, 6))
    for position, place in enumerate(SPACES[name].layers):
        stage, later = divmod(position, 2)
        kept = later or stage in leaves_out_the_first
        first: Block = Skip() if kept else Conv(1, linear=True)
        assert place.blocks == (first, *residuals), place.name
        assert (place.place.channels_out, place.place.stride) == (
            stages[stage][0],
            1 if later else stages[stage][1],
        )


# --- keys


@pytest.mark.parametrize("name", sorted(SPACES))
def test_two_blocks_share_a_key_exactly_when_their_graphs_are_equal(name: str) -> None:
    of = SPACES[name]
    graphs: dict[str | None, set[tuple[Recipe, TensorShape]]] = {}
    for place in (*of.fixed_layers, *of.layers):
        for op in range(len(place.blocks)):
            graphs.setdefault(place.key(op), set()).add((place.recipe(op), place.place.shape_in))
    identities = graphs.pop(None, set())
    assert all(recipe == Recipe(()) for recipe, _ in identities)
    assert all(len(found) == 1 for found in graphs.values())
    assert len(set.union(*graphs.values())) == len(graphs)
    assert set(of.keyed_blocks) == set(graphs)
    assert all(place.key(op) == key for key, (place, op) in of.keyed_blocks.items())


def test_an_identity_has_no_key_and_adds_none_to_its_network() -> None:
    assert MACRO.layers[1].key(0) is None
    assert len(MACRO.architecture([2] * 8).keys) == 8 + 3
    assert len(MACRO.architecture([0] * 8).keys) == 3 + 3


def test_a_key_names_the_block_and_where_it_stands() -> None:
    assert PROXYLESS.layers[0].key(1) == "mb_k5_e3@16x112x112-24-s2-relu6"


# --- TOML


@pytest.mark.parametrize("name", sorted(SPACES))
def test_a_shipped_space_written_as_toml_is_read_as_the_same_space(name: str) -> None:
    assert space_from_toml(toml_from_space(SPACES[name])) == SPACES[name]


def test_an_unknown_shipped_space_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        KeyError, match="no shipped space 'macro'; there are cifar-tiny, digits, fbnet, nasbench-macro"
    ):
        shipped_space("macro")


def draw_blocks(draw: st.DrawFn, here: Placement, *, most: int) -> tuple[Block, ...]:
    fitting: list[Block] = [Conv(1), Conv(3), Conv(3, linear=True), MBConv(5, 2)]
    fitting += [MBConv(3, 1, "sigmoid"), MBConv(3, 2, "hard_sigmoid"), FBConv(3, 1)]
    if here.shape_in.channels % 2 == here.channels_out % 2 == 0:
        fitting.append(FBConv(5, 2, groups=2))
    if here.keeps_shape:
        fitting.append(Skip())
    return tuple(draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=most, unique=True)))


@st.composite
def small_spaces(draw: st.DrawFn) -> SearchSpace:
    activations = draw(st.lists(st.sampled_from(ACTIVATIONS), min_size=1, max_size=2))
    sizes = st.integers(1, 20)
    shape_in = shape = TensorShape(draw(sizes), draw(sizes), draw(sizes))
    sections: dict[str, list[Layer]] = {"stem": [], "layer": [], "head": []}
    for title, found in sections.items():
        for position in range(draw(st.integers(1 if title == "layer" else 0, 4))):
            channels = draw(st.just(shape.channels) | sizes)
            activation: Activation = draw(st.sampled_from(activations))
            here = Placement(shape, channels, draw(st.sampled_from([1, 1, 2, 3])), activation)
            blocks = draw_blocks(draw, here, most=6 if title == "layer" else 1)
            found.append(Layer(f"{title}{position}", here, blocks))
            shape = here.shape_out
    if draw(st.booleans()):
        last = Placement(shape, draw(sizes), 1, draw(st.sampled_from(activations)))
        classifier = PoolLinear(draw(st.sampled_from([0, 12])))
        sections["head"].append(Layer(f"head{len(sections['head'])}", last, (classifier,)))
    named = st.dictionaries(
        st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,9}", fullmatch=True),
        st.tuples(*(st.integers(0, len(layer.blocks) - 1) for layer in sections["layer"])),
        max_size=3,
    )
    return SearchSpace(
        name=draw(st.from_regex(r"[A-Za-z0-9._][A-Za-z0-9._-]{0,9}", fullmatch=True)),
        description=draw(st.text(st.characters(exclude_categories=["Cs"]))),
        shape_in=shape_in,
        stem=tuple(sections["stem"]),
        layers=tuple(sections["layer"]),
        head=tuple(sections["head"]),
        named=draw(named),
    )


@NO_DEADLINE
@given(small_spaces())
@example(SearchSpace("emoji", '\U0001f600 \x7f " \\ \r\n \x00 \u2028', TINY, (), (layer("skip"),), ()))
def test_a_space_written_as_toml_is_read_as_the_same_space(written: SearchSpace) -> None:
    text = toml_from_space(written)
    assert space_from_toml(text) == written
    assert toml_from_space(space_from_toml(text)) == text


GOOD = """\
schema_version = 1
name = "tiny"
description = "Two choices at three layers"
input = [3, 32, 32]
activation = "relu6"

[[stem]]
block = "conv_k3"
channels = 16
stride = 2

[[stages]]
layers = 3
channels = 24
stride = 2
blocks = ["mb_k3_e3", "mb_k5_e6_se"]

[[stages]]
channels = 24
blocks = ["mb_k3_e3", "skip"]

[[head]]
block = "classifier"
channels = 10
"""


def test_a_space_is_read_as_it_stands_in_the_file() -> None:
    read = space_from_toml(GOOD)
    assert (read.name, read.description, read.size) == ("tiny", "Two choices at three layers", 16)
    found = [
        (here.name, str(here.place), *map(str, here.blocks))
        for here in (*read.stem, *read.layers, *read.head)
    ]
    assert found == [
        ("stem0", "3x32x32-16-s2-relu6", "conv_k3"),
        ("layer0", "16x16x16-24-s2-relu6", "mb_k3_e3", "mb_k5_e6_se"),
        ("layer1", "24x8x8-24-s1-relu6", "mb_k3_e3", "mb_k5_e6_se"),
        ("layer2", "24x8x8-24-s1-relu6", "mb_k3_e3", "mb_k5_e6_se"),
        ("layer3", "24x8x8-24-s1-relu6", "mb_k3_e3", "skip"),
        ("head0", "24x8x8-10-s1-relu6", "classifier"),
    ]


def test_a_table_may_have_an_activation_of_its_own() -> None:
    read = space_from_toml(GOOD.replace("[[head]]", '[[head]]\nactivation = "hswish"'))
    activations = [here.place.activation for here in (*read.stem, *read.layers, *read.head)]
    assert activations == ["relu6"] * 5 + ["hswish"]
    assert space_from_toml(toml_from_space(read)) == read


def test_the_description_may_be_left_out() -> None:
    assert (
        space_from_toml(GOOD.replace('description = "Two choices at three layers"\n', "")).description == ""
    )


HUGE = "0x" + "f" * 5000
MALFORMED = [
    # (what stands in the good file, what replaces it, what the message says)
    ('name = "tiny"', "name = ", r"not a TOML file: .*line 2"),
    ('name = "tiny"', 'name = "tiny"\nname = "tiny"', r"not a TOML file: .*line 3"),
    ('name = "tiny"', "[" * 5000, "not a TOML file"),
    ("layers = 3", "layers = " + "9" * 5000, "not a TOML file"),
    # versions
    ("schema_version = 1\n", "", "write `schema_version = 1` at the top"),
    ("schema_version = 1", "schema_version = 0", "write `schema_version = 1` at the top"),
    ("schema_version = 1", 'schema_version = "1"', "write `schema_version = 1` at the top"),
    ("schema_version = 1", "schema_version = true", "write `schema_version = 1` at the top"),
    ("schema_version = 1", "schema_version = 2", "schema version 2, this program reads 1: update hwprofile"),
    ("schema_version = 1", f"schema_version = {HUGE}", "a huge number, this program reads 1: update"),
    # unknown keys
    (
        'name = "tiny"',
        'name = "tiny"\ncolour = 3',
        "the space has no key 'colour'; known keys: schema_version, name",
    ),
    (
        'block = "conv_k3"',
        'block = "conv_k3"\nlayers = 2',
        r"stem\[0\] has no key 'layers'; known keys: .*block",
    ),
    (
        "[[stages]]\nchannels = 24\nblocks",
        "[[stages]]\nchannels = 24\nblock",
        r"stages\[1\] has no key 'block'",
    ),
    # missing keys and wrong types
    ('name = "tiny"\n', "", "the space needs `name` as str, got nothing"),
    ('name = "tiny"', 'name = ["tiny"]', r"the space needs `name` as str, got \['tiny'\]"),
    ('name = "tiny"', 'name = "a b"', "the name of a space is letters, digits.*'a b'"),
    (
        'description = "Two choices at three layers"',
        "description = 3",
        "the space needs `description` as str",
    ),
    ('activation = "relu6"\n', "", "the space needs `activation` as str, got nothing"),
    (
        'activation = "relu6"',
        'activation = "swish"',
        "activation 'swish': use one of linear, relu, relu6, hswish",
    ),
    ("[[stem]]", '[[stem]]\nactivation = "swish"', r"stem\[0\]: activation 'swish': use one of linear, relu"),
    ("[[stem]]", "[[stem]]\nactivation = 6", r"stem\[0\] needs `activation` as str, got 6"),
    ('name = "tiny"', 'name = "tiny"\nresolutions = 32', "the space needs `resolutions` as list, got 32"),
    ('name = "tiny"', 'name = "tiny"\nresolutions = [32, 0]', "resolutions: each is a whole number from 1"),
    (
        'name = "tiny"',
        'name = "tiny"\nresolutions = [24]',
        "input is 3x32x32: .* resolutions must hold its size",
    ),
    ('name = "tiny"', 'name = "tiny"\nresolutions = [32, 24]', r"resolutions must ascend .* got \[32, 24\]"),
    ("input = [3, 32, 32]\n", "", "the space needs `input` as list, got nothing"),
    ("input = [3, 32, 32]", "input = [3, 32]", r"input is \[channels, height, width\], got \[3, 32\]"),
    (
        "input = [3, 32, 32]",
        "input = [3, 32, 32.0]",
        r"input: each size is a whole number from 1 .* got 32\.0",
    ),
    ("input = [3, 32, 32]", "input = [3, 32, true]", "input: each size is a whole number from 1 .* got True"),
    ("input = [3, 32, 32]", "input = [3, 0, 32]", "input: each size is a whole number from 1 .* got 0"),
    (
        "input = [3, 32, 32]",
        f"input = [3, 32, {HUGE}]",
        "input: each size is a whole number .* got a huge number",
    ),
    ("channels = 16\n", "", r"stem\[0\]: channels is a whole number from 1 .* got nothing"),
    ("channels = 16", "channels = 0", r"stem\[0\]: channels is a whole number from 1 .* got 0"),
    ("channels = 16", "channels = 16.5", r"stem\[0\]: channels is a whole number from 1 .* got 16\.5"),
    ("channels = 10", "channels = 10_000_000", r"head\[0\]: channels is a whole number from 1 to 1000000"),
    ("stride = 2\nblocks", "stride = -2\nblocks", r"stages\[0\]: stride is a whole number from 1 .* got -2"),
    ("layers = 3", "layers = 0", r"stages\[0\]: layers is a whole number from 1 to 1000, got 0"),
    ("layers = 3", "layers = 1001", r"stages\[0\]: layers is a whole number from 1 to 1000, got 1001"),
    ("layers = 3", "layers = 1000", r"stages\[1\]: more than 1000 layers in stages"),
    ('block = "conv_k3"\n', "", r"stem\[0\] needs `block` as str, got nothing"),
    ('block = "conv_k3"', 'block = ["conv_k3"]', r"stem\[0\] needs `block` as str"),
    ('blocks = ["mb_k3_e3", "skip"]\n', "", r"stages\[1\] needs `blocks` as list, got nothing"),
    ('blocks = ["mb_k3_e3", "skip"]', 'blocks = "skip"', r"stages\[1\] needs `blocks` as list, got 'skip'"),
    ('blocks = ["mb_k3_e3", "skip"]', "blocks = []", "layer3 has no candidate blocks"),
    ('blocks = ["mb_k3_e3", "skip"]', 'blocks = ["skip", 3]', r"stages\[1\]: a block is a string, not 3"),
    ("[[stem]]", "[stem]", r"write stem as \[\[stem\]\] tables"),
    ('name = "tiny"', 'name = "tiny"\nhead = [1]', r"not a TOML file"),
    # blocks that are unknown or do not fit
    (
        '"mb_k3_e3", "skip"',
        '"mb_k3_e3", "skip", "resnet"',
        r"stages\[1\]: unknown block 'resnet'; blocks are",
    ),
    ('"mb_k3_e3", "skip"', '"mb_k4_e3"', r"stages\[1\]: kernel 4 is even"),
    ('"mb_k3_e3", "skip"', '"skip", "skip"', "layer3 names a block twice: skip, skip"),
    ('"mb_k5_e6_se"]', '"skip"]', "layer0: skip cannot stand where the shape changes .* leave skip out"),
    ('"mb_k3_e3", "skip"', '"skip", "classifier"', "layer3: all candidates must give one shape"),
    ('block = "conv_k3"', 'block = "classifier"', "stem0: a classifier can only be the last layer"),
    ('"mb_k3_e3", "skip"', '"onnx:mine.onnx"', r"stages\[1\]: onnx:mine.onnx needs the space to be a file"),
    ('"mb_k3_e3", "skip"', '"onnx:../mine.onnx"', r"stages\[1\]: .*write a path below the folder"),
]


@pytest.mark.parametrize(("old", "new", "message"), MALFORMED, ids=[row[2][:50] for row in MALFORMED])
def test_a_malformed_space_is_refused_with_place_and_cure(old: str, new: str, message: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(SpaceError, match=message) as caught:
        space_from_toml(GOOD.replace(old, new))
    assert len(str(caught.value)) < 400


def test_a_space_without_stages_is_refused() -> None:
    text = GOOD[: GOOD.index("[[stages]]")]
    with pytest.raises(SpaceError, match="space tiny has no searchable layers"):
        space_from_toml(text)


# fmt: off
LITERALS = [
    "-1", "0", "1", "7", "1_000_000", "10_000_000_000", "1e400", "nan", "-0.0", "true", "''", "'skip'",
    "'a\\tb'", "[]", "{}", "[[]]", "[1,2,3]", "[1,1,-1]", "1979-05-27", "['skip']", "['classifier']",
    "['mb_k99_e99']", "['onnx:a.onnx']", "{a=1}",
]
# fmt: on
LINES = [number for number, line in enumerate(GOOD.splitlines()) if " = " in line]


@st.composite
def spoiled_values(draw: st.DrawFn) -> str:
    lines = GOOD.splitlines()
    for number in draw(st.lists(st.sampled_from(LINES), min_size=1, max_size=3, unique=True)):
        lines[number] = f"{lines[number].split(' = ')[0]} = {draw(st.sampled_from([*LITERALS, HUGE]))}"
    return "\n".join(lines)


@st.composite
def spoiled_characters(draw: st.DrawFn) -> str:
    start = draw(st.integers(0, len(GOOD)))
    end = draw(st.integers(start, min(len(GOOD), start + 30)))
    return (
        GOOD[:start]
        + draw(st.text(max_size=8) | st.sampled_from(["[", "]]", '"', "=", "\x00", "# "]))
        + GOOD[end:]
    )


@settings(NO_DEADLINE, max_examples=300)
@given(spoiled_values() | spoiled_characters() | st.text())
def test_any_text_is_a_space_or_one_space_error(text: str) -> None:
    try:
        read = space_from_toml(text)
    except SpaceError:
        return
    assert space_from_toml(toml_from_space(read)) == read


# --- files


def test_a_space_is_loaded_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_bytes(GOOD.replace("\n", "\r\n").encode())
    assert load_space(path) == space_from_toml(GOOD)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"write `schema_version = 1` at the top"),
        (b"\xff\xfe\x00garbage", "cannot read the space .*utf-8"),
        (b"\x7fELF\x02\x01", "not a TOML file"),
        (b"#" * 1_000_001, r"larger than a space can be \(1000000 bytes\)"),
        (GOOD.replace("layers = 3", "layers = 0").encode(), r"stages\[0\]: layers is a whole number"),
    ],
)
def test_a_file_that_is_no_space_is_refused_by_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "tiny.toml"
    path.write_bytes(content)
    with pytest.raises(SpaceError, match=message) as caught:
        load_space(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"cannot read the space .*tiny\.toml.*No such file"):
        load_space(tmp_path / "tiny.toml")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"cannot read the space .*[Dd]irectory"):
        load_space(tmp_path)


@settings(NO_DEADLINE, max_examples=50)
@given(content=st.binary())
def test_any_bytes_are_a_space_or_one_space_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with pytest.raises(SpaceError, match=r"any\.toml"):
        load_space(path)
