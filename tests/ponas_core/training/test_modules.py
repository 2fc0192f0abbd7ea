"""Every block as a torch module equals its ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ponas_core.blocks import Block, Conv, FBConv, MBConv, Placement, PoolLinear
from ponas_core.onnx_graph import block_model, network_model
from ponas_core.operators import ACTIVATIONS, Convolution, TensorShape
from ponas_core.space import Architecture, Layer
from ponas_core.space_file import load_space, shipped_space, shipped_spaces, space_from_toml, toml_from_space
from ponas_core.training.batch_norm import freeze
from ponas_core.training.modules import (
    BlockModule,
    ConvolutionModule,
    arrays,
    place,
    set_weights,
)
from ponas_core.training.networks import Network, Supernet
from ponas_core.weights import GivenWeights
from tests.ponas_core.training.toys import (
    CPU,
    TOY,
    DrawnWeights,
    drawn_images,
    relative_error,
    run,
    through,
)

SMALL_PIXELS = 9
TOLERANCE = 1e-5


def small(place: Placement) -> Placement:
    """The placement at its own channels and few pixels; an odd height, an even width."""
    here = place.shape_in
    height, width = min(here.height, SMALL_PIXELS), min(here.width, SMALL_PIXELS - 1)
    return replace(place, shape_in=TensorShape(here.channels, height, width))


def shipped_blocks() -> Iterator[tuple[Block, Placement]]:
    """Every block of every shipped space, at every width, stride and activation that it has there, once."""
    seen = set()
    for name in shipped_spaces():
        space = shipped_space(name)
        for layer in space.all_layers:
            for block in layer.blocks:
                place = layer.place
                channels = (place.shape_in.channels, place.channels_out)
                if (
                    block.recipe(place).operators
                    and (key := (str(block), channels, place.stride, place.activation)) not in seen
                ):
                    seen.add(key)
                    yield block, small(place)


SHIPPED = list(shipped_blocks())


def error_of(block: Block, place: Placement, seed: int = 0) -> float:
    """How far module and graph are apart, the weights of one carried over to the other."""
    layer = Layer("layer0", place, (block,))
    module = torch.nn.ModuleDict({"layer0": BlockModule(layer.recipe(0))})
    set_weights(module, DrawnWeights(seed))
    x = drawn_images(place.shape_in, seed=seed)
    graph = block_model(layer, 0, GivenWeights(arrays(module)), batch=len(x))
    return relative_error(through(module["layer0"], x), run(graph, x))


@pytest.mark.parametrize(("block", "place"), SHIPPED, ids=str)
def test_a_block_of_a_shipped_space_equals_its_graph(block: Block, place: Placement) -> None:
    assert error_of(block, place) < TOLERANCE


KERNELS = st.sampled_from([1, 3, 5, 7])
EXPANSIONS = st.integers(1, 4)
BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(MBConv, KERNELS, EXPANSIONS, st.sampled_from([None, "sigmoid", "hard_sigmoid"])),
    st.builds(FBConv, KERNELS, EXPANSIONS, st.integers(1, 3)),
    st.builds(Conv, KERNELS, st.booleans()),
    st.builds(PoolLinear, st.integers(0, 9)),
)
PLACES = st.builds(
    Placement,
    # 6 and 12 are divided by every number of groups
    st.builds(TensorShape, st.sampled_from([6, 12]), st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([6, 12, 18]),
    st.integers(1, 3),
    st.sampled_from(ACTIVATIONS),
)


@settings(max_examples=60)
@given(BLOCKS, PLACES, st.integers(0, 99))
def test_any_block_anywhere_equals_its_graph(block: Block, place: Placement, seed: int) -> None:
    assert error_of(block, place, seed) < TOLERANCE


def test_the_names_of_a_networks_state_are_those_that_the_graph_asks_for() -> None:
    asked: dict[str, tuple[int, ...]] = {}

    class Asking(DrawnWeights):
        def get(self, name: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
            asked[name] = shape
            return super().get(name, shape)

    for ops in [(0, 1, 0), (2, 3, 1)]:
        asked.clear()
        architecture = TOY.architecture(ops)
        network_model(architecture, Asking())
        assert {name: array.shape for name, array in arrays(Network(architecture)).items()} == asked


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_random_network_of_a_shipped_space_equals_its_graph(name: str) -> None:
    architecture = at_few_pixels(shipped_space(name).sample(np.random.default_rng(2)))
    network = Network(architecture, DrawnWeights(spread=0.3))
    x = drawn_images(architecture.space.shape_in)
    graph = network_model(architecture, GivenWeights(arrays(network)), batch=len(x))
    assert relative_error(through(network, x), run(graph, x)) < TOLERANCE


def at_few_pixels(architecture: Architecture) -> Architecture:
    """The network for images of 64 pixels at most; its layers and channels stay."""
    shape = architecture.space.shape_in
    text = toml_from_space(architecture.space)
    old, new = (f"[{shape.channels}, {size}, {size}]" for size in (shape.height, min(64, shape.height)))
    assert old in text
    return space_from_toml(text.replace(old, new)).architecture(architecture.ops)


def test_a_network_with_its_channels_last_in_memory_computes_the_same() -> None:
    x = torch.from_numpy(drawn_images(TOY.shape_in))
    network = Network(TOY.architecture((2, 1, 1)), DrawnWeights()).eval()
    before, weights = network(x), arrays(network)
    place(network, CPU)
    last = network(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, before, rtol=1e-5, atol=1e-6)
    after = arrays(network)
    assert all(np.array_equal(weights[name], after[name]) for name in weights)
    assert all(array.flags.c_contiguous for array in after.values())


def test_training_normalises_by_the_batch_and_a_frozen_block_by_its_statistics() -> None:
    part = ConvolutionModule(Convolution(2, 4, 3, 1, 1, "linear"))
    set_weights(part, DrawnWeights())
    x = torch.from_numpy(drawn_images(TensorShape(2, 6, 6)))
    trained, variance = part.train()(x), part.variance.clone()
    # by the batch: each channel has the shift as its mean
    torch.testing.assert_close(trained.mean((0, 2, 3)), part.beta, rtol=1e-4, atol=1e-5)
    evaluated = part.eval()(x)
    assert not torch.allclose(trained, evaluated)
    freeze(part)
    torch.testing.assert_close(part.train()(x), evaluated)
    assert torch.equal(part.variance, variance)


def test_set_weights_names_what_does_not_fit() -> None:
    module = ConvolutionModule(Convolution(2, 4, 3, 1, 1, "relu"))
    with pytest.raises(KeyError, match="no 'weight'"):
        set_weights(module, GivenWeights({}))
    with pytest.raises(ValueError, match=r"weight has shape \(4, 2, 5, 5\)"):
        set_weights(module, GivenWeights({"weight": np.zeros((4, 2, 5, 5), np.float32)}))


def test_a_users_onnx_file_cannot_be_trained_and_the_message_says_what_to_do(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ("N", 4, 8, 8)) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "mine", ends[:1], ends[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save_model(model, tmp_path / "mine.onnx")
    (tmp_path / "space.toml").write_text(
        'schema_version = 1\nname = "mine"\ninput = [4, 8, 8]\nactivation = "relu"\n'
        '[[stages]]\nchannels = 4\nblocks = ["onnx:mine.onnx", "conv_k3"]\n'
    )
    space = load_space(tmp_path / "space.toml")
    for build in (lambda: Network(space.architecture([0])), lambda: Supernet(space)):
        with pytest.raises(ValueError, match=r"mine\.onnx: an ONNX file as a block .*--scores"):
            build()
    Network(space.architecture([1]))
