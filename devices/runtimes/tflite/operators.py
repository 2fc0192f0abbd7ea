"""How each operator of ONNX is written as operators of TFLite; a new one is a function and a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.runtimes.onnx_reader import Graph, Node
from devices.runtimes.tflite.file import Quantisation
from devices.runtimes.tflite.values import Values, stored_axis, stored_order
from devices.runtimes.tflite.windows import write_average_pool, write_convolution, write_max_pool, write_pad

Write = Callable[[Values, Node], None]

_EVERY = 1 << 30
_FROM_0_TO_1 = Quantisation((1 / 256,), (-128,))
_FROM_MINUS_1_TO_1 = Quantisation((1 / 128,), (0,))
_ACTIVATIONS = {(0.0, math.inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of an operator.

    Attributes:
        write: writes a node.
        data: so many leading inputs must be int8 for the operator to be; None: it has no int8 form of its own
            and computes in float32 between a DEQUANTIZE and a QUANTIZE.
        fuses: whether it applies a following activation itself.
    """

    write: Write
    data: int | None = 1
    fuses: bool = False


def activation(graph: Graph, node: Node) -> str:
    """TFLite's name of a Relu, or of a Clip with bounds that have one; empty for anything else."""
    if node.kind == "Relu":
        return "RELU"
    if node.kind != "Clip" or any(name not in graph.constants for name in node.inputs[1:] if name):
        return ""
    return _ACTIVATIONS.get(_bounds(graph.constants, node), "")


def _bounds(constants: Mapping[str, NDArray[Any]], node: Node) -> tuple[float, float]:
    low, high = node.input(1), node.input(2)
    return (
        float(constants[low].item()) if low else -math.inf,
        float(constants[high].item()) if high else math.inf,
    )


# --- one number at a time


def _unary(code: str, options: str = "", range_int8: Quantisation | None = None, **fields: Any) -> Write:
    """An operator on every number; some prescribe what their int8 result stands for."""

    def write(values: Values, node: Node) -> None:
        source = values.read(node, node.inputs[0])
        values.file.operator(code, [source], [values.result(node, range_int8)], options, **fields)

    return write


def _write_leaky_relu(values: Values, node: Node) -> None:
    alpha = float(node.attributes.get("alpha", 0.01))
    _unary("LEAKY_RELU", "LeakyReluOptions", alpha=alpha)(values, node)


def _write_activation(values: Values, node: Node) -> None:
    """A Relu or Clip that nothing before it could apply."""
    name = activation(values.graph, node)
    tensor = values.read(node, node.inputs[0])
    if name:
        values.file.operator(name, [tensor], [values.result(node)])
        return
    bounds = {name: values.numbers(node, name) for name in node.inputs[1:] if name}
    limits = zip(("MAXIMUM", "MINIMUM"), _bounds(bounds, node), strict=True)
    steps = [(code, limit) for code, limit in limits if not math.isinf(limit)]
    for code, limit in steps:
        # int8 numbers are compared as they are, so every tensor has the scale of the input
        result = values.between(tensor, values.file.shape(tensor))
        values.file.operator(code, [tensor, values.like(limit, tensor)], [result], "MaximumMinimumOptions")
        tensor = result
    values.give(node, tensor)


def _write_hard_sigmoid(values: Values, node: Node) -> None:
    """clip(a x + b, 0, 1) as relu6(6 a x + 6 b) / 6, which XNNPACK takes."""
    slope, offset = (6 * node.attributes.get(name, value) for name, value in (("alpha", 0.2), ("beta", 0.5)))
    tensor = values.read(node, node.inputs[0])
    if not math.isclose(slope, 1.0, rel_tol=1e-6):
        tensor = _with_number(values, "MUL", tensor, slope)
    tensor = _with_number(values, "ADD", tensor, offset, "RELU6")
    _emit_binary(values, "MUL", (tensor, values.like(1 / 6, tensor)), values.result(node))


def _with_number(values: Values, code: str, tensor: int, number: float, name: str = "NONE") -> int:
    result = values.between(tensor, values.file.shape(tensor))
    _emit_binary(values, code, (tensor, values.like(number, tensor)), result, name)
    return result


def _write_batch_norm(values: Values, node: Node) -> None:
    if node.attributes.get("training_mode", 0):
        raise node.refused("only the mode of inference is known")
    shape = values.shape(node, node.inputs[0])
    gamma, beta, mean, variance = (values.numbers(node, name).astype(np.float64) for name in node.inputs[1:5])
    scale = gamma / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    tensor = values.read(node, node.inputs[0])
    along = [1] * len(shape)
    along[stored_axis(1, len(shape))] = -1
    product = values.between(tensor, values.file.shape(tensor))
    _emit_binary(values, "MUL", (tensor, values.like(scale.reshape(along), tensor)), product)
    shift = values.like((beta - mean * scale).reshape(along), tensor)
    _emit_binary(values, "ADD", (product, shift), values.result(node), node.activation)


# --- two values, one number at a time


_BINARY = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}


def _emit_binary(
    values: Values, code: str, operands: tuple[int, int], result: int, name: str = "NONE"
) -> None:
    values.file.operator(code, operands, [result], _BINARY[code], fusedActivationFunction=name)


def _binary(code: str) -> Write:
    def write(values: Values, node: Node) -> None:
        rank = len(values.shape(node, node.outputs[0]))
        first, second = (values.read_as(node, name, rank) for name in node.inputs)
        _emit_binary(values, code, (first, second), values.result(node), node.activation)

    return write


# --- means and products


def _write_global_average(values: Values, node: Node) -> None:
    _write_mean(values, node, list(range(2, len(values.shape(node, node.inputs[0])))), keep=True)


def _write_reduce_mean(values: Values, node: Node) -> None:
    rank = len(values.shape(node, node.inputs[0]))
    given = node.attributes.get("axes", [])
    if node.input(1):  # an input since operator set 18
        given = values.numbers(node, node.inputs[1]).tolist()
    if not given and node.attributes.get("noop_with_empty_axes", 0):
        raise node.refused("without axes it does nothing")
    _write_mean(values, node, list(given) or list(range(rank)), keep=bool(node.attributes.get("keepdims", 1)))


def _write_mean(values: Values, node: Node, axes: list[int], *, keep: bool) -> None:
    rank = len(values.shape(node, node.inputs[0]))
    gone = {axis % rank for axis in axes}
    left = [axis for axis in stored_order(rank) if axis not in gone]
    if not keep and left != sorted(left):
        raise node.refused(f"axes {sorted(gone)} without keepdims leave channels and positions mixed")
    tensor = values.read(node, node.inputs[0])
    stored_axes = sorted(stored_axis(axis, rank) for axis in gone)
    values.file.operator(
        "MEAN", [tensor, values.integers(stored_axes)], [values.result(node)], "ReducerOptions", keepDims=keep
    )


def _write_gemm(values: Values, node: Node) -> None:
    attributes = node.attributes
    if attributes.get("transA", 0) or any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta")):
        raise node.refused("only x B + C is known: transA 0, alpha and beta 1")
    transposed = bool(attributes.get("transB", 0))
    bias = values.numbers(node, node.inputs[2]) if node.input(2) else np.zeros(1)
    _write_fully_connected(values, node, bias, transposed=transposed)


def _write_matmul(values: Values, node: Node) -> None:
    _write_fully_connected(values, node, np.zeros(1), transposed=False)


def _write_fully_connected(values: Values, node: Node, bias: Any, *, transposed: bool) -> None:
    """A product with constant weights, stored (out, in)."""
    shape = values.shape(node, node.inputs[0])
    if values.is_constant(node.inputs[0]) or not values.is_constant(node.inputs[1]):
        raise node.refused("only a product of a value with constant weights is known")
    weights = values.shape(node, node.inputs[1])
    if len(weights) != 2 or len(shape) in {1, 4, 5}:
        raise node.refused(
            f"{list(shape)} times {list(weights)}: only a matrix of weights, and no image, is known"
        )
    size = weights[0 if transposed else 1]
    if bias.size not in {1, size}:
        raise node.refused(f"C of shape {list(bias.shape)}: only one number for each column is known")
    tensor = values.read(node, node.inputs[0])
    weight = values.weight(node, node.inputs[1], (0, 1) if transposed else (1, 0))
    numbers = values.bias(node.input(2), np.broadcast_to(bias.ravel(), (size,)), tensor, weight)
    values.file.operator(
        "FULLY_CONNECTED",
        [tensor, weight, numbers],
        [values.result(node)],
        "FullyConnectedOptions",
        fusedActivationFunction=node.activation,
        keepNumDims=len(shape) > 2,
    )


# --- shapes


def _write_reshape(values: Values, node: Node) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: the shape of the result says it all."""
    before, after = values.shape(node, node.inputs[0]), values.shape(node, node.outputs[0])
    values.give(node, values.reshaped(values.read(node, node.inputs[0]), before, after))


def _write_transpose(values: Values, node: Node) -> None:
    rank = len(values.shape(node, node.inputs[0]))
    order = node.attributes.get("perm", list(reversed(range(rank))))
    moved = [stored_axis(order[axis], rank) for axis in stored_order(rank)]
    tensor = values.read(node, node.inputs[0])
    values.give(node, tensor if moved == list(range(rank)) else values.transposed(tensor, moved))


def _write_concat(values: Values, node: Node) -> None:
    rank = len(values.shape(node, node.outputs[0]))
    axis = stored_axis(node.attributes["axis"], rank)
    tensors = [values.read(node, name) for name in node.inputs]
    result = values.result(node)
    asked = values.file.quantisation(result)
    for position, tensor in enumerate(tensors):
        if values.file.quantisation(tensor) != asked:  # numbers are copied as they are
            tensors[position] = values.between(tensor, values.file.shape(tensor), asked)
            values.file.operator("QUANTIZE", [tensor], [tensors[position]], "QuantizeOptions")
    values.file.operator("CONCATENATION", tensors, [result], "ConcatenationOptions", axis=axis)


def _write_softmax(values: Values, node: Node) -> None:
    rank = len(values.shape(node, node.inputs[0]))
    if stored_axis(node.attributes.get("axis", -1), rank) != rank - 1:
        raise node.refused("TFLite knows the last axis only, which is the channels of an image")
    _unary("SOFTMAX", "SoftmaxOptions", _FROM_0_TO_1, beta=1.0)(values, node)


def _write_identity(values: Values, node: Node) -> None:
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refused("its mask is not given")
    values.give(node, values.read(node, node.inputs[0]))


OPERATORS: dict[str, Row] = {
    "Add": Row(_binary("ADD"), data=2, fuses=True),
    "AveragePool": Row(write_average_pool, fuses=True),
    "BatchNormalization": Row(_write_batch_norm, data=None, fuses=True),
    "Clip": Row(_write_activation),
    "Concat": Row(_write_concat, data=_EVERY),
    "Conv": Row(write_convolution, data=2, fuses=True),
    "DequantizeLinear": Row(Values.dequantize, data=None),
    "Div": Row(_binary("DIV"), data=None, fuses=True),
    "Dropout": Row(_write_identity),
    "Flatten": Row(_write_reshape),
    "Gemm": Row(_write_gemm, data=2, fuses=True),
    "GlobalAveragePool": Row(_write_global_average),
    "HardSigmoid": Row(_write_hard_sigmoid, data=None),
    "HardSwish": Row(_unary("HARD_SWISH", "HardSwishOptions")),
    "Identity": Row(_write_identity),
    "LeakyRelu": Row(_write_leaky_relu),
    "MatMul": Row(_write_matmul, data=2, fuses=True),
    "MaxPool": Row(write_max_pool, fuses=True),
    "Mul": Row(_binary("MUL"), data=2, fuses=True),
    "Pad": Row(write_pad),
    "QuantizeLinear": Row(Values.quantize, data=None),
    "ReduceMean": Row(_write_reduce_mean),
    "Relu": Row(_write_activation),
    "Reshape": Row(_write_reshape),
    "Sigmoid": Row(_unary("LOGISTIC", "", _FROM_0_TO_1)),
    "Softmax": Row(_write_softmax),
    "Squeeze": Row(_write_reshape),
    "Sub": Row(_binary("SUB"), data=2, fuses=True),
    "Tanh": Row(_unary("TANH", "", _FROM_MINUS_1_TO_1)),
    "Transpose": Row(_write_transpose),
    "Unsqueeze": Row(_write_reshape),
}
