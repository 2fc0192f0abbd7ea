"""An ONNX file as plain values: nodes, shapes and constants, for a converter to walk over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, version_converter

from devices.runtimes.runtime import Unsupported

Shape = tuple[int, ...]

OLDEST_OPSET = 13
"""Older graphs are converted to this operator set: the same names meant other things."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph.

    Attributes:
        kind: the operator's type.
        name: as written in the file; its first output where it has none.
        inputs: names of values; empty where an optional one is left out.
        outputs: names of values.
        attributes: by name.
        activation: what is applied to the result within the same operator: a name of TFLite's.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    activation: str = "NONE"

    def input(self, position: int) -> str:
        """The name of an input, empty where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    def refused(self, why: str) -> Unsupported:
        """The error to raise where this node cannot be taken."""
        return Unsupported(f"{self.kind} {self.name!r}: {why}")


@dataclass(frozen=True, slots=True)
class Quantised:
    """A constant of whole numbers; its values are scale * (number - zero point).

    Attributes:
        numbers: int8 or int32.
        scales: one, or one for each position along the axis.
        zero_points: as many.
        axis: dimension that the scales belong to.
    """

    numbers: NDArray[Any]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int

    def real(self) -> NDArray[np.float32]:
        """The values."""
        along = _along(self.axis, self.numbers.ndim, self.scales.size)
        numbers = self.numbers - self.zero_points.reshape(along)
        return (numbers * self.scales.reshape(along)).astype(np.float32)

    def symmetric(self) -> Quantised:
        """The same as int8 without a zero point; with one scale for all where there was one."""
        if self.numbers.dtype == np.int8 and not self.zero_points.any():
            return self
        real = self.real()
        scale = np.maximum(np.abs(real).max(), 1e-9) / 127
        return Quantised(np.rint(real / scale).astype(np.int8), scale.reshape(1), np.zeros(1, np.int64), 0)


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph of fixed shapes.

    Attributes:
        nodes: in an order in which they can run, without those that only make constants.
        inputs: names of what is fed, float32.
        outputs: names of what is given.
        shapes: of every value, as far as it is known.
        constants: by name.
        quantised: constants that the file stores as whole numbers, by the name of their values.
        users: the nodes that read a value.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, NDArray[Any]]
    quantised: Mapping[str, Quantised]
    users: Mapping[str, tuple[Node, ...]]

    def shape(self, node: Node, name: str) -> Shape:
        """The shape of a value that a node reads or gives."""
        if name not in self.shapes:
            raise node.refused(f"the shape of {name!r} is unknown; fix the sizes of the graph's inputs")
        return self.shapes[name]

    def only_user(self, name: str) -> Node | None:
        """The node that alone reads a value which nobody outside sees."""
        users = self.users.get(name, ())
        return users[0] if len(users) == 1 and name not in self.outputs else None


def read_graph(data: bytes) -> Graph:
    """Read an ONNX file.

    Raises:
        Unsupported: not ONNX, operators beyond the standard ones, or inputs not float32 or of dynamic shape.
    """
    try:
        model = onnx.load_from_string(data)
        model = _modern(model)
        onnx.checker.check_model(model)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # onnx raises protobuf's, its checker's and plain errors alike
        raise Unsupported(f"not a usable ONNX file: {error}") from error
    return _Reading(model).graph()


def _modern(model: onnx.ModelProto) -> onnx.ModelProto:
    versions = [item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}]
    if max(versions, default=OLDEST_OPSET) >= OLDEST_OPSET:
        return model
    return version_converter.convert_version(model, OLDEST_OPSET)


@dataclass(slots=True)
class _Reading:
    """What has been read of a model so far."""

    model: onnx.ModelProto
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    quantised: dict[str, Quantised] = field(default_factory=dict)

    def graph(self) -> Graph:
        graph = self.model.graph
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        inputs = tuple(value.name for value in graph.input if value.name not in self.constants)
        for proto in graph.node:
            self._add(_node(proto))
        shapes = _shapes(graph)
        for value in graph.input:
            if value.name in inputs:
                _check_input(value, shapes)
        users: dict[str, list[Node]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                users[name].append(node)
        for name, array in self.constants.items():
            shapes[name] = array.shape
        for name, constant in self.quantised.items():
            shapes[name] = constant.numbers.shape
        return Graph(
            tuple(self.nodes),
            inputs,
            tuple(value.name for value in graph.output),
            shapes,
            self.constants,
            self.quantised,
            {name: tuple(readers) for name, readers in users.items()},
        )

    def _add(self, node: Node) -> None:
        """Keep a node, or the constant that it stands for."""
        source = node.input(0)
        if node.kind == "Constant":
            self.constants[node.outputs[0]] = _constant(node)
        elif node.kind == "Identity" and source in self.constants:
            self.constants[node.outputs[0]] = self.constants[source]
        elif node.kind == "QuantizeLinear" and source in self.constants:
            self.constants[node.outputs[0]] = self._quantised_constant(node)
        elif node.kind == "DequantizeLinear" and source in self.constants:
            scales, zero_points, axis = quantisation_of(node, self.constants)
            numbers = self.constants[source]
            self.quantised[node.outputs[0]] = Quantised(
                numbers, scales, zero_points, axis % max(numbers.ndim, 1)
            )
        else:
            self.nodes.append(node)

    def _quantised_constant(self, node: Node) -> NDArray[Any]:
        """The numbers of a constant that the file stores as float32."""
        scales, zero_points, axis = quantisation_of(node, self.constants)
        real = self.constants[node.inputs[0]]
        along = _along(axis, real.ndim, scales.size)
        kind = self.constants[node.inputs[2]].dtype if node.input(2) else np.dtype(np.uint8)
        numbers = np.rint(real / scales.reshape(along)) + zero_points.reshape(along)
        return np.clip(numbers, np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)


def quantisation_of(
    node: Node, constants: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Scales, zero points and axis of a QuantizeLinear or DequantizeLinear."""
    if node.input(1) not in constants or node.attributes.get("block_size", 0):
        raise node.refused("only constant scales of a tensor or of an axis are known")
    scales = np.atleast_1d(constants[node.inputs[1]]).astype(np.float32)
    zero_points = np.zeros(scales.shape, np.int64)
    if node.input(2):
        zero_points = np.atleast_1d(constants[node.inputs[2]]).astype(np.int64)
    return scales, zero_points, int(node.attributes.get("axis", 1)) if scales.size > 1 else 0


def _along(axis: int, rank: int, scales: int) -> Shape:
    """The shape in which scales are broadcast over numbers."""
    return tuple(scales if position == axis % rank else 1 for position in range(rank))


def _node(proto: onnx.NodeProto) -> Node:
    attributes = {item.name: helper.get_attribute_value(item) for item in proto.attribute}
    name = proto.name or next(filter(None, proto.output), "")
    node = Node(proto.op_type, name, tuple(proto.input), tuple(proto.output), attributes)
    if proto.domain not in {"", "ai.onnx"}:
        raise node.refused(f"only the standard operators of ONNX are known, this one is of {proto.domain}")
    return node


def _constant(node: Node) -> NDArray[Any]:
    for name, value in node.attributes.items():
        if name == "value":
            return numpy_helper.to_array(value)
        if name in {"value_float", "value_floats"}:
            return np.asarray(value, np.float32)
        if name in {"value_int", "value_ints"}:
            return np.asarray(value, np.int64)
    raise node.refused("neither a tensor nor numbers")


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = tuple(size.dim_value for size in kind.shape.dim)
        if kind.HasField("shape") and all(size > 0 for size in sizes):
            shapes[value.name] = sizes
    return shapes


def _check_input(value: onnx.ValueInfoProto, shapes: Mapping[str, Shape]) -> None:
    if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        raise Unsupported(f"input {value.name!r} must be float32")
    if value.name not in shapes:
        raise Unsupported(f"input {value.name!r} has a dynamic shape; fix its sizes")
