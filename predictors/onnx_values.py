"""The values of an ONNX graph: shapes, constants, and who reads what."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

from predictors.kernels import Shape, UnreadableGraph

_SMALL = 4096
"""Constants of more elements are never looked into."""


class Values:
    """What is known of the values of a graph before it runs.

    Attributes:
        nodes: of the graph, each after what it reads.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read a model whose shapes are inferred; `of` infers them."""
        graph = model.graph
        self.nodes = list(graph.node)
        typed = [*graph.input, *graph.value_info, *graph.output]
        self._shapes = {value.name: _static(value) for value in typed}
        self._shapes |= {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self._numbers = {
            tensor.name: numpy_helper.to_array(tensor)
            for tensor in graph.initializer
            if math.prod(tensor.dims) <= _SMALL and tensor.data_location != onnx.TensorProto.EXTERNAL
        }
        self._constants = {tensor.name for tensor in graph.initializer}
        self._pads: dict[str, str] = {}
        self._read_by: dict[str, list[onnx.NodeProto]] = {}
        self._outputs = Counter(value.name for value in graph.output)
        for node in self.nodes:
            self._note_constant(node)
            if node.op_type == "Pad":
                self._pads[node.output[0]] = node.input[0]
            for name in node.input:
                self._read_by.setdefault(name, []).append(node)

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Values:
        """Fix a symbolic batch to 1 and infer all shapes.

        Raises:
            UnreadableGraph: another symbolic size, or shapes that contradict each other.
        """
        fixed = onnx.ModelProto()
        fixed.CopyFrom(model)
        constants = {tensor.name for tensor in fixed.graph.initializer}
        for value in fixed.graph.input:
            if value.name not in constants:
                _fix_batch(value)
        for value in fixed.graph.output:
            value.type.tensor_type.ClearField("shape")  # a symbolic batch would contradict the fixed one
        del fixed.graph.value_info[:]
        try:
            return cls(shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True))
        except shape_inference.InferenceError as error:
            raise UnreadableGraph(f"its shapes do not fit together: {error}") from error

    def _note_constant(self, node: onnx.NodeProto) -> None:
        """Remember what a node gives if that is known before the network runs."""
        name = node.output[0]
        if node.op_type == "Constant":
            found = helper.get_node_attr_value(node, node.attribute[0].name)
            array = numpy_helper.to_array(found) if isinstance(found, onnx.TensorProto) else np.array(found)
            self._numbers[name] = array
            self._shapes[name] = array.shape
        elif node.op_type == "Identity" and node.input[0] in self._numbers:
            self._numbers[name] = self._numbers[node.input[0]]
        of_shape = node.op_type in ("Shape", "Size") and self.shape(node.input[0]) is not None
        if of_shape or all(given in self._constants for given in node.input if given):
            self._constants.update(node.output)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Sizes of a value; None where they are not known before the network runs."""
        return self._shapes.get(name)

    def image(self, name: str) -> tuple[Shape | None, int]:
        """A value as channels, height, width, and the batch; None where it is none.

        (N, C) counts as 1×1 pixels; (N, L, C), as transformers have it, as L pixels.
        """
        shape = self.shape(name)
        if shape is None or not 1 <= len(shape) <= 4 or 0 in shape:
            return None, 1
        if len(shape) == 4:
            return (shape[1], shape[2], shape[3]), shape[0]
        if len(shape) == 3:
            return (shape[2], shape[1], 1), shape[0]
        return (shape[-1], 1, 1), math.prod(shape[:-1])

    def is_constant(self, name: str) -> bool:
        """Whether a value is known before the network runs."""
        return name in self._constants

    def numbers(self, name: str) -> NDArray[Any] | None:
        """The numbers of a small constant."""
        return self._numbers.get(name)

    def number(self, name: str) -> float | None:
        """The number that a constant of one element is."""
        found = self._numbers.get(name)
        return None if found is None or found.size != 1 else float(found.reshape(-1)[0])

    def is_per_channel(self, constant: str, tensor: str) -> bool:
        """Whether a constant is one number, or one number for each channel of a tensor."""
        shape, image = self.shape(constant), self.image(tensor)[0]
        if shape is None or image is None:
            return False
        rank = len(self.shape(tensor) or ())
        axis = 1 if rank == 4 else rank - 1
        full = (1,) * (rank - len(shape)) + shape
        return math.prod(shape) == 1 or (len(full) == rank and full[axis] == image[0] == math.prod(shape))

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a value."""
        return self._read_by.get(name, [])

    def uses(self, name: str) -> int:
        """How often a value is read; being an output of the graph counts as once."""
        return len(self.readers(name)) + self._outputs[name]

    def only_reader(self, name: str, operator: str) -> onnx.NodeProto | None:
        """The node that alone reads a value, if it is of this operator."""
        found = self.readers(name)
        return found[0] if self.uses(name) == 1 and found and found[0].op_type == operator else None

    def source_of_pad(self, name: str) -> str:
        """What a pad pads, if this value is a pad's result; else the value itself."""
        return self._pads.get(name, name)

    def rename(self, name: str, to: str) -> None:
        """Let everybody who reads one value read another, and nobody else read that."""
        self._read_by[to], self._outputs[to] = self.readers(name), self._outputs[name]
        for node in self._read_by[to]:
            node.input[:] = [to if given == name else given for given in node.input]

    def attribute(self, node: onnx.NodeProto, name: str, default: Any) -> Any:
        """An attribute of a node."""
        return next(
            (helper.get_attribute_value(item) for item in node.attribute if item.name == name), default
        )

    def axes(self, node: onnx.NodeProto) -> list[int] | None:
        """Axes that a reduction goes over: an attribute of old, an input since opset 18."""
        if len(node.input) > 1:
            found = self.numbers(node.input[1])
            return None if found is None else [int(axis) for axis in found.reshape(-1)]
        given: list[int] | None = self.attribute(node, "axes", None)
        return given


def _static(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape") or not all(size.HasField("dim_value") for size in kind.shape.dim):
        return None
    return tuple(size.dim_value for size in kind.shape.dim)


def _fix_batch(value: onnx.ValueInfoProto) -> None:
    sizes = value.type.tensor_type.shape.dim
    for axis, size in enumerate(sizes):
        if size.HasField("dim_value") and size.dim_value > 0:
            continue
        if axis > 0:
            raise UnreadableGraph(
                f"input {value.name!r} has the symbolic size {size.dim_param or '?'} (axis {axis}): fix it, "
                "with python -m onnxruntime.tools.make_dynamic_shape_fixed"
            )
        size.dim_value = 1
