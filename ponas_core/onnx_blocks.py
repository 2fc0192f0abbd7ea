"""Users' ONNX files as blocks of a space: read once, checked, counted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ponas_core.blocks import OnnxBlock, Placement
from ponas_core.operators import EmbeddedGraph, TensorShape

if TYPE_CHECKING:
    import onnx

OLDEST_OPSET = 13
"""Graphs of older operator sets are converted to this one: the same names meant other things."""

_LARGEST_FILE_BYTES = 500_000_000
_FLOAT32 = 1  # onnx.TensorProto.FLOAT


def load(block: OnnxBlock, folder: Path, place: Placement) -> OnnxBlock:
    """Return the block with its graph, checked against the place where it shall stand.

    The file has one input and one output of rank 4 (N, C, H, W), float32; the batch may be symbolic. It uses
    the standard operators and holds its numbers itself.

    Raises:
        ValueError: unreadable, not ONNX, or another shape than the place needs.
    """
    path = folder / block.path
    data = _content(block, path)
    model = _checked(data, f"{block}: {path}")
    shape_in, shape_out = _single_shapes(model, block)
    if shape_in != place.shape_in:
        raise ValueError(f"{block} reads {shape_in}, but stands where {place.shape_in} comes in")
    params = sum(math.prod(tensor.dims) for tensor in model.graph.initializer)
    graph = EmbeddedGraph(str(path), _digest(data), shape_out, params, graph_macs(model))
    return replace(block, graph=graph)


def model_of(graph: EmbeddedGraph) -> onnx.ModelProto:
    """The file's model, in operator set 13 or newer.

    Raises:
        ValueError: the file has gone or changed since the space was loaded.
    """
    path = Path(graph.location)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path} any more: {error.strerror}; load the space again") from error
    if _digest(data) != graph.digest:
        raise ValueError(f"{path} has changed since the space was loaded: load the space again")
    return _checked(data, str(path))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:8]


def _content(block: OnnxBlock, path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise ValueError(f"{block}: {path} is larger than {_LARGEST_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{block}: cannot read {path}: {error.strerror}") from error


def _checked(data: bytes, what: str) -> onnx.ModelProto:
    import onnx
    from onnx import version_converter

    try:
        model = onnx.load_model_from_string(data)
        onnx.checker.check_model(model)
        foreign = sorted({node.domain for node in model.graph.node} - {"", "ai.onnx"})
        if foreign or model.functions:
            raise ValueError(f"it uses more than the standard operators: {', '.join(foreign)}")
        if max(item.version for item in model.opset_import if item.domain in {"", "ai.onnx"}) < OLDEST_OPSET:
            model = version_converter.convert_version(model, OLDEST_OPSET)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except Exception as error:  # onnx raises protobuf's, its checker's and plain errors alike
        raise ValueError(f"{what} is not a usable ONNX file: {error}") from error


def graph_macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulates of the Conv, Gemm and MatMul nodes, batch 1; other operators count as 0."""
    shapes = _value_shapes(model)
    return sum(_node_macs(node, shapes) for node in model.graph.node)


def _node_macs(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    if node.op_type not in {"Conv", "Gemm", "MatMul"}:
        return 0
    try:
        out, first, second = (shapes[name] for name in (node.output[0], *node.input[:2]))
    except KeyError as error:
        raise ValueError(
            f"{node.op_type} {node.name!r}: the shape of {error} is unknown; fix the input's shape"
        ) from error
    if node.op_type == "Conv":
        return math.prod(out[1:]) * math.prod(second[1:])
    transposed = any(item.name == "transA" and item.i for item in node.attribute)
    return math.prod(out[1:]) * first[0 if transposed else -1]


def _value_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims[1:]):
            shapes.setdefault(value.name, (1, *(dim.dim_value for dim in dims[1:])))
    return shapes


def _single_shapes(model: onnx.ModelProto, block: OnnxBlock) -> tuple[TensorShape, TensorShape]:
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ValueError(f"{block} needs one input and one output, has {len(inputs)} and {len(graph.output)}")
    if any(value.type.tensor_type.elem_type != _FLOAT32 for value in (inputs[0], graph.output[0])):
        raise ValueError(f"{block}: input and output need to be float32; export the graph in fp32")
    if not any(graph.output[0].name in node.output for node in graph.node):
        raise ValueError(f"{block}: no operator gives the output; write skip for the identity")
    shapes = _value_shapes(model)
    found = [shapes.get(value.name, ()) for value in (inputs[0], graph.output[0])]
    if any(len(shape) != 4 for shape in found):
        raise ValueError(f"{block}: input and output need fixed channels, height and width")
    return TensorShape(*found[0][1:]), TensorShape(*found[1][1:])
