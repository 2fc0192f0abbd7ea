"""Writes one ONNX graph, node by node, from operators: no torch, no exporter.

`ir_version` and opset are written explicitly: onnx's own defaults are newer than what runtimes on
boards read.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ponas_core.onnx_blocks import OLDEST_OPSET, model_of
from ponas_core.operators import (
    BATCH_NORM_EPSILON,
    Activation,
    ChannelShuffle,
    Classifier,
    Convolution,
    EmbeddedGraph,
    Operator,
    Recipe,
    SqueezeExcite,
    TensorShape,
)
from ponas_core.weights import Weights, fold_batch_norm

IR_VERSION = 8
OPSET = OLDEST_OPSET
INPUT, OUTPUT = "input", "output"
LAYER_END = "/"
"""Ends the layer's name in the names of its nodes and values."""


class GraphWriter:
    """Collects nodes and constants of one graph while the value `at` walks from input to output.

    Attributes:
        at: name of the current value; set it to branch.
        shape: shape of the current value, as the operators give it.
        layer: name of the layer that nodes belong to.
    """

    def __init__(
        self, shape: TensorShape, weights: Weights, batch_norm_epsilon: float = BATCH_NORM_EPSILON
    ) -> None:
        self.shape_in = self.shape = shape
        self.flat = False  # a classifier's result is (batch, classes)
        self.weights = weights
        self.batch_norm_epsilon = batch_norm_epsilon
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.at = INPUT
        self.layer = ""
        self.opset = OPSET
        self._numbers = itertools.count()

    def add(self, recipe: Recipe, layer_name: str) -> None:
        """Append a block's operators, and the residual sum where there is one."""
        start, self.layer = self.at, layer_name
        for position, operator in enumerate(recipe.operators):
            self.operator(operator, f"{layer_name}.{position}")
        if recipe.residual:
            self.node("Add", [start, self.at])

    def operator(self, operator: Operator, name: str) -> None:
        """Append an operator whose weights go by this name."""
        _WRITERS[type(operator)](self, operator, name)
        self.shape = operator.output(self.shape)
        self.flat = isinstance(operator, Classifier)

    def node(self, kind: str, inputs: Iterable[str], **attributes: Any) -> str:
        """Append a node; its output becomes the current value."""
        self.at = f"{self.layer}{LAYER_END}{kind.lower()}_{next(self._numbers)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.at], name=self.at, **attributes))
        return self.at

    def constant(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant once and give its name."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def parameter(self, name: str, shape: tuple[int, ...]) -> str:
        """Add a weight of this name as a constant."""
        return self.constant(name, self.weights.get(name, shape))

    def activation(self, kind: Activation) -> None:
        """Append an activation; `linear` is none."""
        if kind == "relu":
            self.node("Relu", [self.at])
        elif kind == "relu6":
            low = self.constant("relu6_low", np.array(0.0, np.float32))
            high = self.constant("relu6_high", np.array(6.0, np.float32))
            self.node("Clip", [self.at, low, high])
        elif kind == "hswish":
            # HardSwish itself is of operator set 14, and ONNX Runtime's processor provider takes it apart
            # into these two, then fuses them with the convolution before: the same kernels either way
            source = self.at
            self.hard_sigmoid()
            self.node("Mul", [source, self.at])

    def hard_sigmoid(self) -> None:
        """Append relu6(x + 3) / 6."""
        self.node("HardSigmoid", [self.at], alpha=1 / 6, beta=0.5)

    def model(self, batch: int, notes: Mapping[str, str]) -> onnx.ModelProto:
        """The finished, checked model."""
        if not self.nodes:
            raise ValueError("every layer is the identity: there is no operator to write")
        for node in self.nodes:
            node.input[:] = [OUTPUT if value == self.at else value for value in node.input]
            node.output[:] = [OUTPUT if value == self.at else value for value in node.output]
        dims_in = [batch, *astuple(self.shape_in)]
        dims_out = [batch, self.shape.channels] if self.flat else [batch, *astuple(self.shape)]
        graph = helper.make_graph(
            self.nodes,
            "hwprofile",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, dims_in)],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, dims_out)],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(
            graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="hwprofile"
        )
        helper.set_model_props(model, {**notes, "weights": self.weights.origin})
        _check(model)
        return model


def _check(model: onnx.ModelProto) -> None:
    """Raise ValueError where the shapes that follow from the nodes differ from the recipe's."""
    try:
        onnx.checker.check_model(model, full_check=True)  # nodes, types, and shapes inferred strictly
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise ValueError(f"the graph does not fit together: {error}") from error


def _write_convolution(writer: GraphWriter, operator: Convolution, name: str) -> None:
    channels = (operator.channels_out,)
    weight, bias = fold_batch_norm(
        writer.weights.get(f"{name}.weight", operator.weight_shape),
        gamma=writer.weights.get(f"{name}.gamma", channels),
        beta=writer.weights.get(f"{name}.beta", channels),
        mean=writer.weights.get(f"{name}.mean", channels),
        variance=writer.weights.get(f"{name}.variance", channels),
        epsilon=writer.batch_norm_epsilon,
    )
    kernel, pad = operator.kernel, operator.kernel // 2
    writer.node(
        "Conv",
        [writer.at, writer.constant(f"{name}.weight", weight), writer.constant(f"{name}.bias", bias)],
        kernel_shape=[kernel, kernel],
        pads=[pad, pad, pad, pad],
        strides=[operator.stride, operator.stride],
        group=operator.groups,
    )
    writer.activation(operator.activation)


def _write_squeeze_excite(writer: GraphWriter, operator: SqueezeExcite, name: str) -> None:
    source, channels, hidden = writer.at, operator.channels, operator.hidden
    writer.node("GlobalAveragePool", [source])
    _write_pointwise(writer, f"{name}.reduce", hidden, channels)
    writer.node("Relu", [writer.at])
    _write_pointwise(writer, f"{name}.expand", channels, hidden)
    if operator.gate == "sigmoid":
        writer.node("Sigmoid", [writer.at])
    else:
        writer.hard_sigmoid()
    writer.node("Mul", [source, writer.at])


def _write_shuffle(writer: GraphWriter, operator: ChannelShuffle, name: str) -> None:
    shape, groups = writer.shape, operator.groups
    size = (shape.height, shape.width)
    # 0 keeps the batch as it is
    split = np.array([0, groups, shape.channels // groups, *size], np.int64)
    whole = np.array([0, shape.channels, *size], np.int64)
    writer.node("Reshape", [writer.at, writer.constant(f"{name}.split", split)])
    writer.node("Transpose", [writer.at], perm=[0, 2, 1, 3, 4])
    writer.node("Reshape", [writer.at, writer.constant(f"{name}.whole", whole)])


def _write_pointwise(writer: GraphWriter, name: str, channels_out: int, channels_in: int) -> None:
    weight = writer.parameter(f"{name}.weight", (channels_out, channels_in, 1, 1))
    bias = writer.parameter(f"{name}.bias", (channels_out,))
    writer.node("Conv", [writer.at, weight, bias], kernel_shape=[1, 1])


def _write_classifier(writer: GraphWriter, operator: Classifier, name: str) -> None:
    channels = operator.hidden or operator.channels
    writer.node("GlobalAveragePool", [writer.at])
    if operator.hidden:
        # a 1×1 convolution, as Once-for-All has it: runtimes fuse it with the activation
        kernel = writer.parameter(f"{name}.hidden.weight", (channels, operator.channels, 1, 1))
        writer.node("Conv", [writer.at, kernel], kernel_shape=[1, 1])
        writer.activation(operator.activation)
    writer.node("Flatten", [writer.at])
    weight = writer.parameter(f"{name}.weight", (operator.classes, channels))
    bias = writer.parameter(f"{name}.bias", (operator.classes,))
    writer.node("Gemm", [writer.at, weight, bias], transB=1)


def _write_embedded(writer: GraphWriter, operator: EmbeddedGraph, name: str) -> None:
    model = model_of(operator)
    graph = onnx.compose.add_prefix(model, f"{writer.layer}{LAYER_END}{name}.").graph
    writer.opset = max(writer.opset, *(item.version for item in model.opset_import if not item.domain))
    constants = {tensor.name for tensor in graph.initializer}
    source = next(value.name for value in graph.input if value.name not in constants)
    for tensor in graph.initializer:
        writer.constants[tensor.name] = tensor
    for node in graph.node:
        node.input[:] = [writer.at if value == source else value for value in node.input]
        writer.nodes.append(node)
    writer.at = graph.output[0].name


_WRITERS: dict[type[Operator], Callable[[GraphWriter, Any, str], None]] = {
    Convolution: _write_convolution,
    SqueezeExcite: _write_squeeze_excite,
    ChannelShuffle: _write_shuffle,
    Classifier: _write_classifier,
    EmbeddedGraph: _write_embedded,
}
"""How each operator becomes ONNX nodes; a new operator is one row."""
