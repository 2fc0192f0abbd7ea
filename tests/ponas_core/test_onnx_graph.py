"""Blocks and networks as ONNX graphs: versions, shapes, numbers, and users' own files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import ponas_core
from ponas_core.blocks import FBConv, MBConv, Placement, PoolLinear, parse_block
from ponas_core.onnx_blocks import graph_macs
from ponas_core.onnx_graph import block_model, network_model
from ponas_core.operators import ACTIVATIONS, Activation, Gate, SqueezeExcite, TensorShape
from ponas_core.space import Architecture, Layer, SearchSpace
from ponas_core.space_file import SpaceError, load_space, shipped_space, shipped_spaces, toml_from_space
from ponas_core.weights import GivenWeights, RandomWeights, Weights, WeightsOrigin

Floats = NDArray[np.float32]

SPACES = {name: shipped_space(name) for name in shipped_spaces()}
MACRO = SPACES["nasbench-macro"]
BLOCKS = [(name, key) for name, space in SPACES.items() for key in space.keyed_blocks]
NETWORKS = {
    "cifar-tiny": SPACES["cifar-tiny"].parse("0 0 3 1 2 3"),
    "digits": SPACES["digits"].parse("0 2 0 3 1 0"),
    "fbnet": SPACES["fbnet"].parse("5 8 1 0 2 5 8 8 3 1 4 7 6 8 0 5 1 2 8 8 7 1"),
    "ofa-mbv3": SPACES["ofa-mbv3"].parse("0 4 9 9 8 1 2 9 3 5 7 6 0 1 9 9 2 8 3 9"),
    "nasbench-macro": MACRO.parse("2,0,1,0,2,0,1,0"),
    "ponas": SPACES["ponas"].parse("PONAS-B"),
    "proxyless": SPACES["proxyless"].parse("1 0 6 6 2 0 6 1 5 6 1 6 4 1 6 1 5 5 2 6 5"),
}


class DrawnWeights:
    """Every weight drawn at random, batch normalisation's statistics too, and kept by name."""

    origin: WeightsOrigin = "trained"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(11)
        self.arrays: dict[str, Floats] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> Floats:
        drawn = self.rng.uniform(-1, 1, shape).astype(np.float32)
        self.arrays[name] = np.abs(drawn) + np.float32(0.1) if name.endswith("variance") else drawn
        return self.arrays[name]


def run(model: onnx.ModelProto, x: Floats) -> Floats:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: list[Floats] = session.run(None, {"input": x})
    return found[0]


def drawn_input(shape: TensorShape, batch: int = 1) -> Floats:
    size = (batch, shape.channels, shape.height, shape.width)
    return np.random.default_rng(5).standard_normal(size, dtype=np.float32)


def dims(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)


def shape_out(layer: Layer, op: int) -> tuple[int, ...]:
    """What the layer's placement promises; a classifier gives one number a class."""
    if isinstance(layer.blocks[op], PoolLinear):
        return (layer.place.channels_out,)
    out = layer.place.shape_out
    return (out.channels, out.height, out.width)


def parameter_bytes(model: onnx.ModelProto) -> int:
    """Bytes of all constants but the scalar bounds of ReLU6 and the whole numbers of shapes."""
    floats = (tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT)
    return sum(len(tensor.raw_data) for tensor in floats if tensor.dims)


def gate_products(layer: Layer, op: int) -> int:
    """Products of a squeeze-excite with its gate, which a recipe counts and `graph_macs` leaves out."""
    total, shape = 0, layer.place.shape_in
    for part in layer.recipe(op).operators:
        total += part.channels * shape.pixels if isinstance(part, SqueezeExcite) else 0
        shape = part.output(shape)
    return total


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def one_layer(block: str, place: Placement) -> Layer:
    return Layer("layer0", place, (parse_block(block),))


# --- every block of every shipped space


@pytest.mark.parametrize(("name", "key"), BLOCKS)
def test_a_block_is_a_valid_graph_that_older_runtimes_read(name: str, key: str) -> None:
    layer, op = SPACES[name].keyed_blocks[key]
    model = block_model(layer, op)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 13)]
    assert {node.domain for node in model.graph.node} == {""}
    assert all(not tensor.dims for tensor in model.graph.initializer if tensor.name.startswith("relu6_"))


@pytest.mark.parametrize(("name", "key"), BLOCKS)
def test_a_block_runs_and_gives_the_shape_of_its_place(name: str, key: str) -> None:
    layer, op = SPACES[name].keyed_blocks[key]
    model = block_model(layer, op)
    here = layer.place.shape_in
    assert dims(model.graph.input[0]) == (1, here.channels, here.height, here.width)
    assert dims(model.graph.output[0]) == (1, *shape_out(layer, op))
    result = run(model, drawn_input(here))
    assert result.shape == (1, *shape_out(layer, op))
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert result.std() > 0


@pytest.mark.parametrize(("name", "key"), BLOCKS)
def test_a_blocks_constants_and_operators_are_those_that_its_recipe_counts(name: str, key: str) -> None:
    layer, op = SPACES[name].keyed_blocks[key]
    model, recipe = block_model(layer, op), layer.recipe(op)
    assert parameter_bytes(model) == recipe.stored_bytes
    inferred = onnx.shape_inference.infer_shapes(model)
    assert graph_macs(inferred) + gate_products(layer, op) == recipe.macs(layer.place.shape_in)


# --- numbers, against an unfolded computation written from the blocks' descriptions


def convolved(x: NDArray[Any], kernel: Floats, stride: int) -> NDArray[np.float64]:
    """Grouped convolution with padding k // 2; the kernel's shape tells the groups."""
    pad = kernel.shape[2] // 2
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    groups = x.shape[1] // kernel.shape[1]
    parts = zip(np.split(windows, groups, axis=1), np.split(kernel, groups), strict=True)
    return np.concatenate([np.einsum("nchwij,ocij->nohw", part, own) for part, own in parts], axis=1)


def activated(x: NDArray[np.float64], activation: Activation) -> NDArray[np.float64]:
    return {
        "linear": x,
        "relu": np.maximum(x, 0),
        "relu6": np.clip(x, 0, 6),
        "hswish": x * np.clip(x + 3, 0, 6) / 6,
    }[activation]


def channelwise(values: Floats) -> NDArray[np.float64]:
    return values.astype(np.float64)[:, None, None]


class Reference:
    """A block computed in float64 from its weights, batch normalisation not folded."""

    def __init__(self, weights: dict[str, Floats], x: Floats, activation: Activation) -> None:
        self.weights, self.x, self.activation, self.position = weights, x.astype(np.float64), activation, 0

    def part(self, name: str) -> Floats:
        return self.weights[f"layer0.{self.position}.{name}"]

    def convolve(self, stride: int = 1, activation: Activation | None = None) -> None:
        gamma, beta, mean, variance = (
            channelwise(self.part(name)) for name in ("gamma", "beta", "mean", "variance")
        )
        plain = convolved(self.x, self.part("weight"), stride)
        normal = (plain - mean) / np.sqrt(variance + 1e-3) * gamma + beta
        self.x = activated(normal, activation or self.activation)
        self.position += 1

    def shuffle(self, groups: int) -> None:
        """The channels as a table with a row for each group, read column by column."""
        self.x = np.stack(np.split(self.x, groups, axis=1), axis=2).reshape(self.x.shape)
        self.position += 1

    def squeeze_excite(self, gate: Gate) -> None:
        pooled = self.x.mean((2, 3))
        hidden = pooled @ self.part("reduce.weight")[:, :, 0, 0].T + self.part("reduce.bias")
        raw = np.maximum(hidden, 0) @ self.part("expand.weight")[:, :, 0, 0].T + self.part("expand.bias")
        share = 1 / (1 + np.exp(-raw)) if gate == "sigmoid" else np.clip(raw + 3, 0, 6) / 6
        self.x = self.x * share[:, :, None, None]
        self.position += 1

    def inverted_residual(self, block: MBConv, stride: int) -> None:
        start = self.x
        if block.expansion > 1:
            self.convolve()
        self.convolve(stride)
        if block.squeeze_excite:
            self.squeeze_excite(block.squeeze_excite)
        self.convolve(activation="linear")
        if self.x.shape == start.shape:
            self.x = self.x + start

    def fbnet(self, block: FBConv, stride: int) -> None:
        start = self.x
        self.convolve()
        if block.groups > 1:
            self.shuffle(block.groups)
        self.convolve(stride)
        self.convolve(activation="linear")
        if self.x.shape == start.shape:
            self.x = self.x + start

    def classify(self, hidden: int) -> None:
        self.x = self.x.mean((2, 3))
        if hidden:
            self.x = activated(self.x @ self.part("hidden.weight")[:, :, 0, 0].T, self.activation)
        self.x = self.x @ self.part("weight").T + self.part("bias")


def referenced(block: str, place: Placement, weights: dict[str, Floats], x: Floats) -> NDArray[np.float64]:
    reference, parsed = Reference(weights, x, place.activation), parse_block(block)
    if isinstance(parsed, MBConv):
        reference.inverted_residual(parsed, place.stride)
    elif isinstance(parsed, FBConv):
        reference.fbnet(parsed, place.stride)
    elif isinstance(parsed, PoolLinear):
        reference.classify(parsed.hidden)
    else:
        reference.convolve(place.stride, "linear" if block.endswith("linear") else None)
    return reference.x


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("block", "channels", "stride"),
    [
        ("conv_k1", 10, 1),
        ("conv_k3", 10, 2),
        ("conv_k5_linear", 6, 1),
        ("mb_k3_e1", 6, 1),
        ("mb_k5_e3", 6, 1),
        ("mb_k3_e6", 10, 2),
        ("mb_k7_e2", 6, 3),
        ("mb_k3_e6_se", 6, 1),
        ("mb_k5_e1_se", 10, 2),
        ("mb_k3_e6_hse", 6, 1),
        ("mb_k5_e3_hse", 10, 2),
        ("fb_k3_e1", 6, 1),
        ("fb_k5_e3", 10, 2),
        ("fb_k3_e1_g2", 6, 1),
        ("fb_k5_e2_g3", 9, 2),
        ("classifier", 5, 1),
        ("classifier_h7", 5, 1),
    ],
)
def test_a_block_computes_what_its_description_says(
    block: str, channels: int, stride: int, activation: Activation
) -> None:
    place = Placement(TensorShape(6, 9, 8), channels, stride, activation)
    weights, x = DrawnWeights(), 3 * drawn_input(place.shape_in, batch=2)
    found = run(block_model(one_layer(block, place), 0, weights, batch=2), x)
    wanted = referenced(block, place, weights.arrays, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * float(np.abs(wanted).max()))


def test_relu6_clips_at_zero_and_six() -> None:
    place = Placement(TensorShape(6, 9, 8), 10, 1, "relu6")
    found = run(block_model(one_layer("conv_k3", place), 0), 30 * drawn_input(place.shape_in))
    assert found.min() == 0
    assert found.max() == 6
    assert ((found > 0) & (found < 6)).any()


@pytest.mark.parametrize(("block", "groups"), [("conv_k3", 1), ("mb_k3_e1", 6)])
def test_the_first_convolution_equals_convolution_then_onnxs_batch_normalisation(
    block: str, groups: int
) -> None:
    place = Placement(TensorShape(6, 9, 8), 6, 1, "relu")
    weights, x = DrawnWeights(), drawn_input(place.shape_in)
    model = block_model(one_layer(block, place), 0, weights)
    activation = next(node for node in model.graph.node if node.op_type == "Relu").output[0]
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(activation, TensorProto.FLOAT, (1, 6, 9, 8)))
    parts = ("gamma", "beta", "mean", "variance")
    plain = helper.make_graph(
        [
            helper.make_node("Conv", ["input", "weight"], ["plain"], pads=[1] * 4, group=groups),
            helper.make_node("BatchNormalization", ["plain", *parts], ["normal"], epsilon=1e-3),
            helper.make_node("Relu", ["normal"], ["output"]),
        ],
        "plain",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, (1, 6, 9, 8))],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, (1, 6, 9, 8))],
        [numpy_helper.from_array(weights.arrays[f"layer0.0.{part}"], part) for part in ("weight", *parts)],
    )
    unfolded = helper.make_model(plain, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    np.testing.assert_allclose(run(model, x), run(unfolded, x), rtol=1e-4, atol=1e-5)


# --- whole networks


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_equals_its_blocks_run_one_after_the_other(name: str) -> None:
    architecture = NETWORKS[name]
    weights = RandomWeights(3)
    x = at = drawn_input(architecture.space.shape_in)
    for layer, op in architecture.chain:
        if layer.key(op) is not None:
            at = run(block_model(layer, op, weights), at)
    whole = run(network_model(architecture, weights), x)
    assert whole.shape == (1, architecture.space.head[-1].place.channels_out)
    np.testing.assert_allclose(whole, at, rtol=1e-4, atol=1e-4 * float(np.abs(at).max()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("name", sorted(SPACES))
def test_random_networks_equal_their_blocks_run_one_after_the_other(name: str, seed: int) -> None:
    architecture = SPACES[name].sample(np.random.default_rng(seed))
    weights = RandomWeights(seed)
    x = at = drawn_input(architecture.space.shape_in)
    for layer, op in architecture.chain:
        if layer.key(op) is not None:
            at = run(block_model(layer, op, weights), at)
    whole = run(network_model(architecture, weights), x)
    np.testing.assert_allclose(whole, at, rtol=1e-4, atol=1e-4 * float(np.abs(at).max()))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_network_is_a_valid_graph_that_older_runtimes_read(name: str) -> None:
    model = network_model(NETWORKS[name])
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 8
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 13)]


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_networks_constants_are_those_that_its_recipes_count(name: str) -> None:
    wanted = sum(layer.recipe(op).stored_bytes for layer, op in NETWORKS[name].chain)
    assert parameter_bytes(network_model(NETWORKS[name])) == wanted


def test_equal_seeds_give_equal_bytes_and_other_seeds_others() -> None:
    def written(seed: int) -> bytes:
        return bytes(network_model(NETWORKS["nasbench-macro"], RandomWeights(seed)).SerializeToString())

    assert written(1) == written(1)
    assert written(1) != written(2)
    default = network_model(NETWORKS["nasbench-macro"]).SerializeToString()
    assert default == written(0)


def test_a_networks_metadata_say_what_it_is() -> None:
    architecture = NETWORKS["nasbench-macro"]
    assert metadata(network_model(architecture)) == {
        "space": "nasbench-macro",
        "architecture": "2,0,1,0,2,0,1,0",
        "blocks": "mb_k5_e6,skip,mb_k3_e3,skip,mb_k5_e6,conv_k1_linear,mb_k3_e3,skip",
        "weights": "random",
    }
    drawn = DrawnWeights()
    network_model(architecture, drawn)
    trained = network_model(architecture, GivenWeights(drawn.arrays))
    assert metadata(trained)["weights"] == "trained"
    assert MACRO.parse(metadata(trained)["architecture"]) == architecture
    assert MACRO.parse(metadata(trained)["blocks"]) == architecture


def test_a_blocks_metadata_hold_its_key() -> None:
    layer = MACRO.layers[0]
    assert metadata(block_model(layer, 1)) == {"block": str(layer.key(1)), "weights": "random"}


def test_a_batch_of_two_gives_what_two_single_ones_give() -> None:
    architecture = NETWORKS["nasbench-macro"]
    x = drawn_input(MACRO.shape_in, batch=2)
    single = network_model(architecture)
    model = network_model(architecture, batch=2)
    assert (dims(model.graph.input[0]), dims(model.graph.output[0])) == ((2, 3, 32, 32), (2, 10))
    apart = np.concatenate([run(single, x[:1]), run(single, x[1:])])
    np.testing.assert_allclose(run(model, x), apart, rtol=1e-4, atol=1e-4 * float(np.abs(apart).max()))


def test_the_identity_has_no_graph() -> None:
    with pytest.raises(ValueError, match="skip in layer1 is the identity: it has no graph"):
        block_model(MACRO.layers[1], 0)


def test_a_network_of_identities_has_no_graph() -> None:
    place = Placement(TensorShape(4, 8, 8), 4, 1, "relu")
    space = SearchSpace("still", "", place.shape_in, (), (one_layer("skip", place),), ())
    with pytest.raises(ValueError, match="every layer is the identity"):
        network_model(space.architecture([0]))


def test_writing_graphs_imports_no_training_library_and_no_estimators() -> None:
    code = (
        "import sys, ponas_core.onnx_graph, ponas_core.space_file\n"
        "ponas_core.space_file.shipped_space('proxyless')\n"
        "print(sorted({'torch', 'sklearn', 'scipy.optimize', 'onnxruntime', 'pandas'} & set(sys.modules)))"
    )
    folder = Path(ponas_core.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


# --- users' own files

SHAPE = (4, 8, 8)
KERNEL = np.random.default_rng(2).standard_normal((4, 4, 3, 3), dtype=np.float32)
NODE = helper.make_node


def user_graph(*nodes: onnx.NodeProto, **changes: Any) -> onnx.ModelProto:
    """A graph from x to y, 4x8x8 at any batch, operator set 13, unless said otherwise."""
    kind = changes.get("kind", TensorProto.FLOAT)

    def ends(key: str, default: str) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(name, kind, ("N", *changes.get(f"shape_{name}", SHAPE)))
            for name in changes.get(key, default)
        ]

    constants = [numpy_helper.from_array(array, name) for name, array in changes.get("constants", {}).items()]
    graph = helper.make_graph(list(nodes), "mine", ends("inputs", "x"), ends("outputs", "y"), constants)
    opsets = [helper.make_opsetid(domain, version) for domain, version in changes.get("opsets", [("", 13)])]
    return helper.make_model(graph, ir_version=8, opset_imports=opsets)


def convolution(**changes: Any) -> onnx.ModelProto:
    node = NODE("Conv", ["x", "kernel"], ["y"], pads=[1, 1, 1, 1])
    return user_graph(node, constants={"kernel": KERNEL}, **changes)


def space_with(folder: Path, model: onnx.ModelProto | bytes, layers: int = 1) -> SearchSpace:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (folder / "blocks").mkdir(exist_ok=True)
    (folder / "blocks" / "mine.onnx").write_bytes(data)
    path = folder / "space.toml"
    path.write_text(
        'schema_version = 1\nname = "mine"\ninput = [4, 8, 8]\nactivation = "relu"\n'
        f'[[stages]]\nlayers = {layers}\nchannels = 4\nblocks = ["onnx:blocks/mine.onnx", "conv_k3"]\n'
    )
    return load_space(path)


def only_mine(folder: Path, model: onnx.ModelProto) -> Architecture:
    return space_with(folder, model).architecture([0])


def test_a_users_block_runs_inside_a_network(tmp_path: Path) -> None:
    space = space_with(tmp_path, convolution(), layers=3)
    weights = DrawnWeights()
    model = network_model(space.parse("0,1,0"), weights, batch=2)
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert metadata(model)["blocks"] == "onnx:blocks/mine.onnx,conv_k3,onnx:blocks/mine.onnx"
    x = drawn_input(space.shape_in, batch=2)
    first = convolved(x, KERNEL, 1).astype(np.float32)
    renamed = {name.replace("layer1", "layer0"): array for name, array in weights.arrays.items()}
    middle = referenced("conv_k3", space.layers[1].place, renamed, first).astype(np.float32)
    wanted = convolved(middle, KERNEL, 1)
    np.testing.assert_allclose(run(model, x), wanted, rtol=1e-4, atol=1e-4 * float(np.abs(wanted).max()))


def test_a_users_block_alone_computes_what_its_file_says(tmp_path: Path) -> None:
    space = space_with(tmp_path, convolution())
    x = drawn_input(space.shape_in)
    found = run(block_model(space.layers[0], 0), x)
    np.testing.assert_allclose(found, convolved(x, KERNEL, 1), rtol=1e-4, atol=1e-4)


def test_a_users_block_is_counted_and_its_key_follows_its_content(tmp_path: Path) -> None:
    layer = space_with(tmp_path, convolution()).layers[0]
    assert layer.recipe(0).params == 144
    assert layer.recipe(0).stored_bytes == 4 * 144
    assert layer.recipe(0).macs(layer.place.shape_in) == 144 * 64
    assert parameter_bytes(block_model(layer, 0)) == 4 * 144
    other = space_with(tmp_path, user_graph(NODE("Relu", ["x"], ["y"]))).layers[0]
    assert str(layer.key(0)).startswith("onnx:blocks/mine.onnx@4x8x8-4-s1-relu-")
    assert layer.key(0) != other.key(0)
    assert layer.key(0) == space_with(tmp_path, convolution()).layers[0].key(0)


def test_a_users_space_is_written_and_read_with_its_block(tmp_path: Path) -> None:
    space = space_with(tmp_path, convolution())
    (tmp_path / "again.toml").write_text(toml_from_space(space))
    again = load_space(tmp_path / "again.toml")
    assert again == space
    assert again.layers[0].recipe(0) == space.layers[0].recipe(0)


def test_matrix_products_of_a_users_block_are_counted(tmp_path: Path) -> None:
    model = user_graph(
        NODE("GlobalAveragePool", ["x"], ["pooled"]),
        NODE("Flatten", ["pooled"], ["flat"]),
        NODE("Constant", [], ["inner"], value=numpy_helper.from_array(np.ones((10, 4), np.float32))),
        NODE("Gemm", ["flat", "inner"], ["hidden"], transB=1),
        NODE("MatMul", ["hidden", "outer"], ["gate"]),
        NODE("Unsqueeze", ["gate", "axes"], ["wide"]),
        NODE("Mul", ["x", "wide"], ["y"]),
        constants={"outer": np.ones((10, 4), np.float32), "axes": np.array([2, 3])},
    )
    layer = space_with(tmp_path, model).layers[0]
    assert layer.recipe(0).macs(layer.place.shape_in) == 4 * 10 + 10 * 4


def test_an_output_that_is_not_the_last_node_is_still_the_output(tmp_path: Path) -> None:
    model = user_graph(NODE("Relu", ["x"], ["y"]), NODE("Sigmoid", ["y"], ["unused"]))
    x = drawn_input(TensorShape(*SHAPE))
    np.testing.assert_array_equal(run(network_model(only_mine(tmp_path, model)), x), np.maximum(x, 0))


def test_an_older_graph_keeps_its_meaning(tmp_path: Path) -> None:
    # Softmax without an axis: before operator set 13 over all but the batch, from there on over the last axis
    model = user_graph(NODE("Softmax", ["x"], ["y"]), opsets=[("", 11)])
    x = drawn_input(TensorShape(*SHAPE))
    network = network_model(only_mine(tmp_path, model))
    assert network.opset_import[0].version == 13
    assert run(network, x).sum() == pytest.approx(1, abs=1e-5)


def test_a_newer_graph_raises_the_operator_set(tmp_path: Path) -> None:
    model = user_graph(
        NODE("LayerNormalization", ["x", "scale"], ["y"]),
        constants={"scale": np.ones(8, np.float32)},
        opsets=[("", 17)],
    )
    network = network_model(only_mine(tmp_path, model))
    assert (network.ir_version, network.opset_import[0].version) == (8, 17)
    found = run(network, drawn_input(TensorShape(*SHAPE)))
    np.testing.assert_allclose(found.mean(-1), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"no graph at all", r"mine\.onnx is not a usable ONNX file"),
        (b"", r"mine\.onnx is not a usable ONNX file"),
        (convolution(shape_x=(4, 6, 6), shape_y=(4, 6, 6)), "reads 4x6x6, but stands where 4x8x8 comes in"),
        (
            user_graph(NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2]), shape_y=(4, 7, 7)),
            "gives 4x7x7, but 4x8x8 is needed",
        ),
        (convolution(shape_x=(4, "H", "W"), shape_y=(4, "H", "W")), "need fixed channels, height and width"),
        (
            user_graph(NODE("Relu", ["x"], ["y"]), shape_x=(32, 8), shape_y=(32, 8)),
            "need fixed channels, height and width",
        ),
        (user_graph(NODE("Add", ["x", "z"], ["y"]), inputs="xz"), "one input and one output, has 2 and 1"),
        (
            user_graph(NODE("Relu", ["x"], ["y"]), NODE("Relu", ["x"], ["z"]), outputs="yz"),
            "one input and one output, has 1 and 2",
        ),
        (user_graph(NODE("Relu", ["x"], ["y"]), kind=TensorProto.FLOAT16), "need to be float32"),
        (user_graph(outputs="x"), "no operator gives the output; write skip"),
        (
            user_graph(
                NODE("Gelu", ["x"], ["y"], domain="com.microsoft"), opsets=[("", 13), ("com.microsoft", 1)]
            ),
            "more than the standard operators: com.microsoft",
        ),
        (user_graph(NODE("Reluu", ["x"], ["y"])), "not a usable ONNX file: .*Reluu"),
        (user_graph(NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])), "not a usable ONNX file: .*differ"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_users_block_that_cannot_stand_there_is_refused(
    tmp_path: Path, model: onnx.ModelProto | bytes, message: str
) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        space_with(tmp_path, model)
    assert str(caught.value).startswith(f"{tmp_path / 'space.toml'}: ")
    assert "onnx:blocks/mine.onnx" in str(caught.value)


def test_a_block_without_its_file_is_refused(tmp_path: Path) -> None:
    space_with(tmp_path, convolution())
    (tmp_path / "blocks" / "mine.onnx").unlink()
    with pytest.raises(SpaceError, match=r"stages\[0\]: onnx:blocks/mine\.onnx: cannot read .*No such file"):
        load_space(tmp_path / "space.toml")


def test_a_graph_with_its_numbers_in_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "outside.onnx"
    onnx.save_model(convolution(), path, save_as_external_data=True, location="outside.bin", size_threshold=0)
    with pytest.raises(SpaceError, match=r"not a usable ONNX file: .*outside\.bin"):
        space_with(tmp_path, path.read_bytes())


def test_a_file_that_changed_after_loading_is_refused(tmp_path: Path) -> None:
    layer = space_with(tmp_path, convolution()).layers[0]
    path = tmp_path / "blocks" / "mine.onnx"
    path.write_bytes(user_graph(NODE("Relu", ["x"], ["y"])).SerializeToString())
    with pytest.raises(ValueError, match=r"mine\.onnx has changed since the space was loaded"):
        block_model(layer, 0)
    path.unlink()
    with pytest.raises(ValueError, match=r"cannot read .*mine\.onnx any more: No such file"):
        block_model(layer, 0)


def test_a_users_block_that_holds_one_batch_is_refused_at_another(tmp_path: Path) -> None:
    model = user_graph(NODE("Reshape", ["x", "shape"], ["y"]), constants={"shape": np.array([1, 4, 8, 8])})
    architecture = only_mine(tmp_path, model)
    assert run(network_model(architecture), drawn_input(TensorShape(*SHAPE))).shape == (1, *SHAPE)
    with pytest.raises(ValueError, match="the graph does not fit together"):
        network_model(architecture, batch=2)


def test_weights_of_another_shape_are_refused_by_name() -> None:
    weights: Weights = GivenWeights({"layer0.0.weight": np.zeros((64, 32, 3, 3), np.float32)})
    with pytest.raises(ValueError, match=r"layer0\.0\.weight has shape \(64, 32, 3, 3\)"):
        block_model(MACRO.layers[0], 0, weights)
