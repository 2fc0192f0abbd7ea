"""Block strings, where blocks fit, and their exact sizes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import PurePosixPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ponas_core.blocks import (
    BLOCK_KINDS,
    Block,
    Conv,
    FBConv,
    MBConv,
    OnnxBlock,
    Placement,
    PoolLinear,
    Skip,
    parse_block,
)
from ponas_core.operators import (
    ACTIVATIONS,
    Activation,
    ChannelShuffle,
    Classifier,
    Convolution,
    Recipe,
    SqueezeExcite,
    TensorShape,
)

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure
KERNELS = st.integers(0, 49).map(lambda half: 2 * half + 1)
PATH_CHARACTERS = st.characters(
    exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), exclude_characters="/,|;\"'\\"
)
PATHS = (
    st.lists(st.text(PATH_CHARACTERS, min_size=1), min_size=1, max_size=3)
    .map(lambda parts: "/".join(parts) + ".onnx")
    .filter(lambda path: ".." not in PurePosixPath(path).parts)
)
STRATEGIES: dict[type[Block], st.SearchStrategy[Block]] = {
    MBConv: st.builds(
        MBConv, KERNELS, st.integers(1, 99), st.sampled_from([None, "sigmoid", "hard_sigmoid"])
    ),
    FBConv: st.builds(FBConv, KERNELS, st.integers(1, 99), st.integers(1, 99)),
    Conv: st.builds(Conv, KERNELS, st.booleans()),
    Skip: st.just(Skip()),
    PoolLinear: st.builds(PoolLinear, st.integers(0, 999_999)),
    OnnxBlock: st.builds(OnnxBlock, PATHS),
}


def place(
    shape: tuple[int, int, int], channels: int, stride: int = 1, activation: Activation = "relu6"
) -> Placement:
    return Placement(TensorShape(*shape), channels, stride, activation)


def test_every_kind_of_block_is_in_the_properties_below() -> None:
    assert set(STRATEGIES) == {kind for kind, _ in BLOCK_KINDS}


@NO_DEADLINE
@given(st.one_of(list(STRATEGIES.values())))
def test_parsing_a_printed_block_gives_the_block(block: Block) -> None:
    parsed = parse_block(str(block))
    assert parsed == block
    assert type(parsed) is type(block)


@NO_DEADLINE
@given(
    st.text()
    | st.sampled_from([example for _, example in BLOCK_KINDS]).flatmap(
        lambda text: st.permutations(text).map("".join)
    )
    | st.from_regex(r"(mb|fb|conv)_k\d{1,3}(_e\d{1,3})?(_h?se|_linear|_g\d{1,2})?", fullmatch=True)
    | st.from_regex(r"classifier(_h\d{1,7})?", fullmatch=True)
)
def test_a_string_is_refused_or_printed_back_as_it_was(text: str) -> None:
    try:
        block = parse_block(text)
    except ValueError:
        return
    assert str(block) == text


@pytest.mark.parametrize(("kind", "example"), BLOCK_KINDS)
def test_the_examples_in_the_table_are_blocks_of_their_kind(kind: type[Block], example: str) -> None:
    block = parse_block(example)
    assert type(block) is kind
    assert str(block) == example


UNKNOWN = r"unknown block .*; blocks are written like: .*mb_k5_e6_se.*onnx:file\.onnx"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", UNKNOWN),
        ("resnet", UNKNOWN),
        ("mb_k3", UNKNOWN),
        ("mb_k3_e0", UNKNOWN),
        ("mb_k0_e3", UNKNOWN),
        ("mb_k03_e3", UNKNOWN),
        ("mb_k101_e3", UNKNOWN),
        ("mb_k3_e100", UNKNOWN),
        ("mb_k-3_e3", UNKNOWN),
        ("mb_k3_e6_SE", UNKNOWN),
        ("MB_k3_e6", UNKNOWN),
        ("mb_k3_e6_se_se", UNKNOWN),
        ("mb_k\uff13_e6", UNKNOWN),
        ("mb_k1\u0663_e6", UNKNOWN),
        ("mb_k3_e6\n", UNKNOWN),
        (" skip", UNKNOWN),
        ("skip\n", UNKNOWN),
        ("conv_k3_relu", UNKNOWN),
        ("mb_k3_e6_g2", UNKNOWN),
        ("fb_k3_e6_g1", UNKNOWN),
        ("fb_k3_e6_g02", UNKNOWN),
        ("fb_k3_e6_se", UNKNOWN),
        ("classifier_h0", UNKNOWN),
        ("classifier_h01280", UNKNOWN),
        ("onnx:", UNKNOWN),
        ("onnx:.onnx ", UNKNOWN),
        ("onnx:mine.pb", UNKNOWN),
        ("onnx:my block.onnx", UNKNOWN),
        ("onnx:a,b.onnx", UNKNOWN),
        ("onnx:a\x00.onnx", UNKNOWN),
        ("mb_k4_e6", "kernel 4 is even; only odd kernels"),
        ("conv_k2_linear", "kernel 2 is even; only odd kernels"),
        ("fb_k6_e3", "kernel 6 is even; only odd kernels"),
        ("onnx:/etc/block.onnx", "onnx:/etc/block.onnx: write a path below the folder"),
        ("onnx:../block.onnx", r"onnx:\.\./block.onnx: write a path below the folder"),
        ("onnx:a/../../block.onnx", "write a path below the folder"),
    ],
)
def test_a_bad_string_is_refused_with_what_to_write(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_block(text)


@pytest.mark.parametrize(("kernel", "expansion"), [(4, 6), (0, 6), (-3, 6), (101, 6), (3, 0), (3, 100)])
def test_a_block_whose_string_could_not_be_read_cannot_be_built(kernel: int, expansion: int) -> None:
    with pytest.raises(ValueError, match=r"kernel .* is even|whole numbers from 1 to 99"):
        MBConv(kernel, expansion)


@pytest.mark.parametrize("groups", [0, -1, 100])
def test_groups_that_cannot_be_read_cannot_be_built(groups: int) -> None:
    with pytest.raises(ValueError, match="groups are whole numbers from 1 to 99"):
        FBConv(3, 6, groups)


@pytest.mark.parametrize("hidden", [-1, 1_000_000])
def test_hidden_channels_that_cannot_be_read_cannot_be_built(hidden: int) -> None:
    with pytest.raises(ValueError, match="hidden channels are a whole number from 1 to 999999"):
        PoolLinear(hidden)


@pytest.mark.parametrize("kernel", [0, 2, 101])
def test_a_convolution_with_a_kernel_that_cannot_be_read_cannot_be_built(kernel: int) -> None:
    with pytest.raises(ValueError, match=r"kernel .* is even|whole numbers from 1 to 99"):
        Conv(kernel)


@pytest.mark.parametrize(
    "path", ["my block.onnx", "block.pb", 'a".onnx', "a,b.onnx", "a\\b.onnx", "a|b.onnx"]
)
def test_an_onnx_block_whose_path_could_not_be_read_cannot_be_built(path: str) -> None:
    with pytest.raises(ValueError, match=r"the path ends in \.onnx"):
        OnnxBlock(path)


def test_an_onnx_block_says_that_its_graph_comes_with_the_file_of_the_space() -> None:
    with pytest.raises(ValueError, match=r"onnx:mine\.onnx: load the space from its file"):
        OnnxBlock("mine.onnx").recipe(place((8, 4, 4), 8))


@pytest.mark.parametrize(
    ("channels", "stride", "change"), [(24, 1, "16x8x8 to 24x8x8"), (16, 2, "16x8x8 to 16x4x4")]
)
def test_skip_is_refused_where_the_shape_changes(channels: int, stride: int, change: str) -> None:
    with pytest.raises(ValueError, match=rf"skip cannot stand where the shape changes \({change}\)"):
        Skip().recipe(place((16, 8, 8), channels, stride))


def test_skip_leaves_nothing_where_the_shape_is_kept() -> None:
    recipe = Skip().recipe(place((16, 8, 8), 16))
    assert recipe == Recipe(())
    assert (recipe.params, recipe.stored_bytes, recipe.macs(TensorShape(16, 8, 8))) == (0, 0, 0)


@pytest.mark.parametrize(
    ("channels", "stride", "activation", "message"),
    [
        (0, 1, "relu", "at least 1"),
        (8, 0, "relu", "at least 1"),
        (8, 1, "swish", "activation 'swish': use one of linear, relu, relu6, hswish"),
    ],
)
def test_a_placement_is_checked_at_birth(
    channels: int, stride: int, activation: Activation, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        place((8, 4, 4), channels, stride, activation)


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 0, 4), (3, 4, -1)])
def test_an_empty_tensor_is_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least one element"):
        TensorShape(*shape)


def test_a_placement_is_printed_with_its_shape_channels_stride_and_activation() -> None:
    assert str(place((24, 56, 48), 40, 2)) == "24x56x48-40-s2-relu6"


@pytest.mark.parametrize(
    ("block", "placement", "params", "stored", "macs"),
    [
        # 16·96 + 96·9 + 96·24 weights; batch norm over 96 + 96 + 24 channels; 64 pixels, then 16
        ("mb_k3_e6", place((16, 8, 8), 24, 2), 4704 + 432, 4704 + 216, 1536 * 64 + (864 + 2304) * 16),
        # no expansion convolution: 16·25 + 16·16 weights
        ("mb_k5_e1", place((16, 8, 8), 16), 656 + 64, 656 + 32, 656 * 64),
        # 16·48 + 48·9 + 48·16 weights; squeeze and excite 48 → 12 → 48 with biases, and the product
        (
            "mb_k3_e3_se",
            place((16, 8, 8), 16),
            1968 + 224 + 1212,
            1968 + 112 + 1212,
            1968 * 64 + 1152 + 48 * 64,
        ),
        # 24·16·9 weights; 7 and 5 pixels become 4 and 3 at stride 2
        ("conv_k3", place((16, 7, 5), 24, 2), 3456 + 48, 3456 + 24, 3456 * 12),
        ("conv_k1_linear", place((16, 7, 5), 24, 1), 384 + 48, 384 + 24, 384 * 35),
        # both sides of the depthwise convolution in two groups: half of 16·16 and of 16·24 weights
        ("fb_k5_e1_g2", place((16, 8, 8), 24, 2), 720 + 112, 720 + 56, 128 * 64 + (400 + 192) * 16),
        # the first convolution is there at expansion 1 too
        ("fb_k3_e1", place((16, 8, 8), 16), 256 + 144 + 256 + 96, 656 + 48, 656 * 64),
        # hidden 48 / 4 = 12 rounded to 16
        (
            "mb_k3_e3_hse",
            place((16, 8, 8), 16),
            1968 + 224 + 1600,
            1968 + 112 + 1600,
            1968 * 64 + 1536 + 48 * 64,
        ),
        ("classifier", place((16, 7, 7), 10), 170, 170, 160),
        # 16·20 + 20·10 weights, 10 biases
        ("classifier_h20", place((16, 7, 7), 10, activation="hswish"), 530, 530, 520),
    ],
)
def test_sizes_are_those_computed_by_hand(
    block: str, placement: Placement, params: int, stored: int, macs: int
) -> None:
    recipe = parse_block(block).recipe(placement)
    assert recipe.params == params
    assert recipe.stored_bytes == 4 * stored
    assert recipe.macs(placement.shape_in) == macs


@pytest.mark.parametrize(
    ("channels", "expansion", "hidden"),
    [(16, 1, 8), (10, 3, 8), (8, 4, 8), (12, 3, 9), (14, 3, 10), (16, 6, 24), (40, 3, 30)],
)
def test_squeeze_and_excite_has_a_quarter_of_the_width_but_at_least_eight(
    channels: int, expansion: int, hidden: int
) -> None:
    recipe = MBConv(3, expansion, squeeze_excite="sigmoid").recipe(place((channels, 4, 4), channels))
    assert [part for part in recipe.operators if isinstance(part, SqueezeExcite)] == [
        SqueezeExcite(channels * expansion, hidden)
    ]


@pytest.mark.parametrize(
    ("channels", "expansion", "hidden"),
    [(16, 1, 8), (24, 3, 24), (24, 4, 24), (24, 6, 40), (40, 3, 32), (40, 6, 64), (160, 6, 240)],
)
def test_the_hard_squeeze_has_a_quarter_rounded_to_eights_and_at_most_a_tenth_less(
    channels: int, expansion: int, hidden: int
) -> None:
    recipe = MBConv(3, expansion, "hard_sigmoid").recipe(place((channels, 4, 4), channels))
    assert [part for part in recipe.operators if isinstance(part, SqueezeExcite)] == [
        SqueezeExcite(channels * expansion, hidden, "hard_sigmoid")
    ]


@pytest.mark.parametrize(("channels", "channels_out"), [(15, 16), (16, 15)])
def test_groups_must_divide_the_channels(channels: int, channels_out: int) -> None:
    with pytest.raises(ValueError, match=f"2 groups do not divide {channels} and {channels_out}"):
        FBConv(3, 2, 2).recipe(place((channels, 8, 8), channels_out))


def test_channels_are_shuffled_behind_the_first_convolution_where_there_are_groups() -> None:
    parts = [
        [type(part) for part in FBConv(3, 3, groups).recipe(place((16, 8, 8), 24)).operators]
        for groups in (1, 2)
    ]
    assert parts == [[Convolution] * 3, [Convolution, ChannelShuffle, Convolution, Convolution]]


@pytest.mark.parametrize(("channels", "stride", "residual"), [(16, 1, True), (24, 1, False), (16, 2, False)])
def test_an_inverted_residual_adds_its_input_only_where_the_shape_is_kept(
    channels: int, stride: int, residual: bool
) -> None:
    for block in (MBConv(3, 6), FBConv(3, 6)):
        assert block.recipe(place((16, 8, 8), channels, stride)).residual is residual


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_projection_and_a_linear_convolution_have_no_activation(activation: Activation) -> None:
    here = place((16, 8, 8), 24, 2, activation)
    found = {
        block: [
            part.activation
            for part in parse_block(block).recipe(here).operators
            if isinstance(part, Convolution)
        ]
        for block in ("mb_k3_e6", "fb_k3_e6", "conv_k3", "conv_k1_linear")
    }
    assert found == {
        "mb_k3_e6": [activation, activation, "linear"],
        "fb_k3_e6": [activation, activation, "linear"],
        "conv_k3": [activation],
        "conv_k1_linear": ["linear"],
    }


@NO_DEADLINE
@given(
    block=STRATEGIES[MBConv] | STRATEGIES[FBConv] | STRATEGIES[Conv] | STRATEGIES[Skip],
    shape=st.builds(TensorShape, st.integers(1, 40), st.integers(1, 40), st.integers(1, 40)),
    channels=st.integers(1, 40),
    stride=st.integers(1, 4),
)
def test_operators_fit_each_other_and_end_in_the_shape_of_the_placement(
    block: Block, shape: TensorShape, channels: int, stride: int
) -> None:
    here = Placement(shape, channels, stride, "relu")
    assume(not isinstance(block, Skip) or here.keeps_shape)
    if isinstance(block, FBConv):
        assume(shape.channels % block.groups == channels % block.groups == 0)
    recipe = block.recipe(here)
    assert recipe.output(shape) == here.shape_out
    widths = [
        (part.channels, part.channels)
        if isinstance(part, SqueezeExcite)
        else (part.channels_in, part.channels_out)
        for part in recipe.operators
        if isinstance(part, SqueezeExcite | Convolution)
    ]
    assert all(before[1] == after[0] for before, after in pairwise([(0, shape.channels), *widths]))
    assert recipe.params - recipe.stored_bytes // 4 == sum(
        part.channels_out for part in recipe.operators if isinstance(part, Convolution)
    )


def test_a_classifier_gives_one_number_a_class() -> None:
    for hidden, operator in ((0, Classifier(16, 10)), (20, Classifier(16, 10, 20, "relu6"))):
        recipe = PoolLinear(hidden).recipe(place((16, 7, 7), 10))
        assert recipe.operators == (operator,)
        assert recipe.output(TensorShape(16, 7, 7)) == TensorShape(10, 1, 1)
