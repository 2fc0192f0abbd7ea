"""From an ONNX file to a list of PyTorch calls and the arrays that they need."""

from __future__ import annotations

import io
import itertools
import json
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from devices.runtimes.runtime import Unsupported
from devices.runtimes.torch_calls.operators import OPERATORS, Array, Node, Reference

OLDEST_OPSET = 13
"""Graphs of older operator sets are converted to this one: the same names meant other things."""


def torch_calls_from_onnx(data: bytes) -> bytes:
    """The graph as calls of PyTorch's functions: an .npz of arrays `c0`, `c1`, ... and `graph` (JSON).

    `graph` has `inputs` and `outputs` (value, name, shape) and `steps` (function, inputs, settings, output)
    in the order of their execution.

    Raises:
        Unsupported: no ONNX, or an operator or a use of one that is not in the table.
    """
    return _Graph(_read(data)).artefact()


def _read(data: bytes) -> onnx.ModelProto:
    """The model with the shapes of its values.

    Raises:
        Unsupported: no ONNX, or it has operators that are not in the table.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf raises its own
        raise Unsupported(f"not a usable ONNX file: {error}") from error
    _check_operators(model.graph)
    for value in _inputs(model.graph):
        _float_shape(value)
    try:
        if _opset(model) < OLDEST_OPSET:
            model = onnx.version_converter.convert_version(model, OLDEST_OPSET)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        onnx.checker.check_model(model)
    except Exception as error:  # onnx raises its converter's, its checker's and plain errors alike
        raise Unsupported(f"not a usable ONNX file: {error}") from error
    _check_operators(model.graph)  # a conversion may have brought in others
    return model


def _check_operators(graph: onnx.GraphProto) -> None:
    for node in graph.node:
        if node.domain not in {"", "ai.onnx"} or node.op_type not in OPERATORS:
            operator = f"{node.domain}.{node.op_type}".removeprefix("ai.onnx").lstrip(".")
            known = ", ".join(sorted(OPERATORS))
            raise Unsupported(f"{_named(node)}: operator {operator} is not known; known: {known}")


def _opset(model: onnx.ModelProto) -> int:
    return max(int(item.version) for item in model.opset_import if item.domain in {"", "ai.onnx"})


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _float_shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """Sizes of an input."""
    tensor = value.type.tensor_type
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(tensor.elem_type)
        raise Unsupported(f"input {value.name!r} has type {kind}; float32 is possible")
    shape = _shape(value)
    if shape is None or 0 in shape:
        sizes = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
        raise Unsupported(f"input {value.name!r} has the dynamic shape {sizes}; fix its sizes")
    return shape


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Sizes of a value, where all of them are known."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _named(node: onnx.NodeProto) -> str:
    """How messages call a node; few exporters leave the name out, and the output always has one."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


class _Graph:
    """Collects the calls and arrays of one model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.opset = _opset(model)
        self.values: dict[str, Reference | Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        self.shapes = {name: array.shape for name, array in self.values.items() if not isinstance(array, str)}
        for value in (*graph.input, *graph.value_info, *graph.output):
            if (shape := _shape(value)) is not None:
                self.shapes.setdefault(value.name, shape)
        self.used = {name for node in graph.node for name in node.input} | {
            value.name for value in graph.output
        }
        self.steps: list[dict[str, Any]] = []
        self.arrays: dict[Reference, Array] = {}
        self._numbers = itertools.count()
        self.inputs = [self._input(value) for value in _inputs(graph)]
        for node in graph.node:
            self._add(node)
        self.outputs = [self._output(value.name) for value in graph.output]

    def fresh(self) -> Reference:
        """A value that no call has given yet."""
        return f"v{next(self._numbers)}"

    def array(self, array: Array, owner: str) -> Reference:
        """The tensor of some numbers; the same array is kept once."""
        if array.dtype != np.float32:
            raise Unsupported(f"{owner}: a constant has type {array.dtype}; float32 is possible")
        for reference, known in self.arrays.items():
            if known is array:
                return reference
        reference = f"c{len(self.arrays)}"
        self.arrays[reference] = array
        return reference

    def artefact(self) -> bytes:
        """The file for the target."""
        graph = {"inputs": self.inputs, "steps": self.steps, "outputs": self.outputs}
        arrays = {name: np.asarray(array, order="C") for name, array in self.arrays.items()}
        buffer = io.BytesIO()
        text = np.frombuffer(json.dumps(graph).encode(), np.uint8)
        np.savez(buffer, allow_pickle=False, graph=text, **arrays)
        return buffer.getvalue()

    def _input(self, value: onnx.ValueInfoProto) -> dict[str, Any]:
        self.values[value.name] = reference = self.fresh()
        return {"value": reference, "name": value.name, "shape": _float_shape(value)}

    def _output(self, name: str) -> dict[str, Any]:
        value = self.values[name]
        reference = value if isinstance(value, str) else self.array(value, f"output {name!r}")
        return {"value": reference, "name": name, "shape": self.shapes.get(name)}

    def _add(self, node: onnx.NodeProto) -> None:
        reader = _OnnxNode(self, node)
        if used := [name for name in node.output[1:] if name in self.used]:
            raise reader.refused(f"its output {used[0]!r} is used; only the first one is possible")
        try:
            result = OPERATORS[node.op_type](reader)
        except Unsupported:
            raise
        except (LookupError, TypeError, ValueError) as error:  # the checker of ONNX lets some nodes pass
            raise reader.refused(f"cannot be read: {error}") from error
        if reader.left:
            raise reader.refused(f"attribute {', '.join(sorted(reader.left))} is not known")
        if result is None:
            raise reader.refused("it has no input")
        self.values[node.output[0]] = result
        if isinstance(result, np.ndarray):
            self.shapes[node.output[0]] = result.shape


class _OnnxNode(Node):
    """One node of the model, for the function that translates it."""

    def __init__(self, graph: _Graph, node: onnx.NodeProto) -> None:
        self.operator = node.op_type
        self.opset = graph.opset
        self._graph = graph
        self._node = node
        self.left = {item.name: item for item in node.attribute}

    @property
    def shape_out(self) -> tuple[int, ...]:  # type: ignore[override]  # computed when it is asked for
        """Sizes of the first output."""
        return self._shape(self._node.output[0])

    def value(self, position: int) -> Reference | Array | None:
        """An input: its numbers where they are constant, None where it is absent."""
        names = self._node.input
        return self._graph.values[names[position]] if position < len(names) and names[position] else None

    def references(self) -> list[Reference]:
        """Every input, as tensors."""
        found = (self.reference(position) for position in range(len(self._node.input)))
        return [reference for reference in found if reference is not None]

    def shape(self, position: int) -> tuple[int, ...]:
        """Sizes of an input."""
        return self._shape(self._node.input[position])

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute, strings as str and tensors as arrays."""
        item = self.left.pop(name, None)
        if item is None:
            return default
        value = helper.get_attribute_value(item)
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return value.decode() if isinstance(value, bytes) else value

    def array(self, array: Array) -> Reference:
        """The tensor of some constant numbers."""
        return self._graph.array(array, _named(self._node))

    def call(self, function: str, *inputs: Reference | list[Reference] | None, **settings: Any) -> Reference:
        """Write a call of a function and give its result."""
        output = self._graph.fresh()
        step = {"function": function, "inputs": inputs, "settings": settings, "output": output}
        self._graph.steps.append(step)
        return output

    def refused(self, reason: str) -> Unsupported:
        """The error that names this node."""
        return Unsupported(f"{_named(self._node)}: {reason}")

    def _shape(self, name: str) -> tuple[int, ...]:
        if name not in self._graph.shapes:
            raise self.refused(f"the shape of {name!r} does not follow from the graph")
        return self._graph.shapes[name]
