"""Which fused kernels a runtime executes for an ONNX graph.

The idea of nn-Meter (Zhang et al., MobiSys 2021): a runtime fuses operators, so the latency of a network is
the sum over fused kernels, not over operators. Unlike there, an operator that no kernel stands for is named,
never dropped. The rules are those of ONNX Runtime's CPU provider; other runtimes fuse much the same.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import onnx

from predictors.kernels import CONVOLUTIONS, Decomposition, FusedKernel, Shape
from predictors.onnx_values import Values


def decompose(model: onnx.ModelProto) -> Decomposition:
    """Read the fused kernels of a graph.

    A symbolic batch counts as 1.

    Raises:
        UnreadableGraph: an input has another symbolic size, or the shapes of the graph contradict each other.
    """
    return _Reader(Values.of(model)).read()


_VIEWS = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze"}
_ACTIVATIONS = {
    "Relu": "relu", "Clip": "relu6", "Sigmoid": "sigmoid", "HardSigmoid": "hsigmoid", "HardSwish": "hswish",
    "LeakyRelu": "leakyrelu",
}  # fmt: skip
_FUSED_INTO = {
    **dict.fromkeys(CONVOLUTIONS, ("relu", "relu6", "sigmoid", "hsigmoid", "hswish", "leakyrelu")),
    **dict.fromkeys(("fc", "add"), ("relu", "relu6")),
}
_GATED = {"hsigmoid": "hswish", "sigmoid": "swish"}
"""x times its gate, by the gate."""


class _Reader:
    """Goes through the nodes once; a kernel grows while what follows it can be fused into it."""

    def __init__(self, values: Values) -> None:
        self.values = values
        self.kernels: list[FusedKernel | None] = []
        self.made_by: dict[str, int] = {}
        """Index of the kernel whose result a value is, for values that can still be fused into it."""
        self.free: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.skipped: set[int] = set()

    def read(self) -> Decomposition:
        for node in self.values.nodes:
            if id(node) in self.skipped:
                continue
            if self.values.is_constant(node.output[0]):
                self.free[node.op_type] += 1
            elif node.op_type in _VIEWS:
                self._view(node)
            elif not _READERS.get(node.op_type, _unknown)(self, node):
                self.unknown[_title(node)] += 1
        kernels = tuple(kernel for kernel in self.kernels if kernel is not None)
        return Decomposition(kernels, dict(self.free), dict(self.unknown))

    def _view(self, node: onnx.NodeProto) -> None:
        self.free[node.op_type] += 1
        same = self.values.shape(node.input[0]) == self.values.shape(node.output[0])
        if same and node.input[0] in self.made_by:
            self.made_by[node.output[0]] = self.made_by[node.input[0]]

    def add(self, node: onnx.NodeProto, kind: str, **fields: Any) -> bool:
        """Append a kernel that reads the first input of a node; False where a shape has too many axes."""
        shape_in, batch = self.values.image(node.input[0])
        shape_out, _ = self.values.image(node.output[0])
        made: dict[str, Any] = {"shape_in": shape_in, "shape_out": shape_out, "batch": batch} | fields
        if made["shape_in"] is None or made["shape_out"] is None:
            return False
        self.made_by[node.output[0]] = len(self.kernels)
        self.kernels.append(FusedKernel(kind, **made))
        return True

    def fold(self, node: onnx.NodeProto, source: str, **changes: Any) -> bool:
        """Let the kernel that makes `source` do the node's work too."""
        index = self.made_by[source]
        kernel = self.kernels[index]
        assert kernel is not None
        self.kernels[index] = replace(kernel, **changes)
        self.made_by[node.output[0]] = index
        self.free[node.op_type] += 1
        return True

    def open_kernel(self, value: str) -> FusedKernel | None:
        """The kernel that makes a value which nobody else reads."""
        if value not in self.made_by or self.values.uses(value) != 1:
            return None
        return self.kernels[self.made_by[value]]


def _title(node: onnx.NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


def _unknown(reader: _Reader, node: onnx.NodeProto) -> bool:
    return False


def _convolution(reader: _Reader, node: onnx.NodeProto) -> bool:
    values = reader.values
    weight = values.shape(node.input[1])
    if weight is None or len(weight) != 4:
        return False
    source = values.source_of_pad(node.input[0])
    shape_in, batch = values.image(source)
    groups = values.attribute(node, "group", 1)
    if shape_in is None or shape_in[0] != groups * weight[1]:
        return False
    depthwise = groups > 1 and groups == shape_in[0] == weight[0]
    kind = "dwconv" if depthwise else "gconv" if groups > 1 else "conv"
    return reader.add(
        node,
        kind,
        shape_in=shape_in,
        batch=batch,
        kernel=(weight[2], weight[3]),
        stride=tuple(values.attribute(node, "strides", [1, 1])),
        dilation=tuple(values.attribute(node, "dilations", [1, 1])),
        groups=1 if depthwise else groups,
    )


def _pad(reader: _Reader, node: onnx.NodeProto) -> bool:
    """A pad that only convolutions and pools read is part of them."""
    if {other.op_type for other in reader.values.readers(node.output[0])} <= {"Conv", "MaxPool"}:
        reader.free["Pad"] += 1
        return True
    return False


def _batch_norm(reader: _Reader, node: onnx.NodeProto) -> bool:
    kernel = reader.open_kernel(node.input[0])
    if (
        kernel
        and kernel.kind in (*CONVOLUTIONS, "fc")
        and kernel.activation == "linear"
        and not kernel.residual
    ):
        return reader.fold(node, node.input[0])
    return reader.add(node, "dwconv")  # what is not folded runs as a 1×1 convolution of every channel


def _activation(reader: _Reader, node: onnx.NodeProto) -> bool:
    kind, source = _ACTIVATIONS[node.op_type], node.input[0]
    if kind in _GATED and _gate_of(reader, node, source):
        return reader.add(node, "act", activation=_GATED[kind])
    kernel = reader.open_kernel(source)
    if kernel and kernel.activation == "linear" and kind in _fusible(kernel):
        return reader.fold(node, source, activation=kind)
    return reader.add(node, "act", activation=kind)


def _fusible(kernel: FusedKernel) -> tuple[str, ...]:
    """Activations that a kernel can do as well."""
    return ("relu",) if kernel.residual else _FUSED_INTO.get(kernel.kind, ())


def _gate_of(reader: _Reader, node: onnx.NodeProto, source: str) -> bool:
    """Whether a gate is multiplied with its own input; the product is then read along."""
    for other in reader.values.readers(source):
        if other.op_type == "Mul" and set(other.input) == {source, node.output[0]}:
            _skip(reader, other, node.output[0])
            return True
    return False


def _skip(reader: _Reader, node: onnx.NodeProto, alias: str) -> None:
    """Read a node along with an earlier one: its result is made by the kernel of `alias`."""
    reader.skipped.add(id(node))
    reader.free[node.op_type] += 1
    reader.values.rename(node.output[0], alias)


def _arithmetic(reader: _Reader, node: onnx.NodeProto) -> bool:
    values = reader.values
    if _long_hard_swish(reader, node):
        return True
    constants = [name for name in node.input if values.is_constant(name)]
    tensors = [name for name in node.input if not values.is_constant(name)]
    if constants:
        return _with_constant(reader, node, tensors[0], constants[0])
    shapes = [values.image(name)[0] for name in tensors]
    if shapes[0] is not None and shapes[0] == shapes[1]:
        return _sum(reader, node, tensors)
    for tensor, shape, other in zip(tensors, shapes, reversed(shapes), strict=True):
        if shape is not None and other == (shape[0], 1, 1):
            return reader.add(_with_input(node, tensor), "scale", inputs=2)
    return False


def _with_constant(reader: _Reader, node: onnx.NodeProto, tensor: str, constant: str) -> bool:
    """Arithmetic with a constant: part of the weights before it where it can be, else a pass of its own."""
    kernel = reader.open_kernel(tensor)
    linear = kernel and kernel.kind in (*CONVOLUTIONS, "fc") and kernel.activation == "linear"
    if linear and reader.values.is_per_channel(constant, tensor):
        return reader.fold(node, tensor)
    return reader.add(_with_input(node, tensor), "act", activation="affine")


def _with_input(node: onnx.NodeProto, source: str) -> onnx.NodeProto:
    """A copy of a node whose first input is another."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.input[0] = source
    return copy


def _sum(reader: _Reader, node: onnx.NodeProto, tensors: list[str]) -> bool:
    if node.op_type == "Add":
        for source in tensors:
            kernel = reader.open_kernel(source)
            if (
                kernel
                and kernel.kind in CONVOLUTIONS
                and kernel.activation == "linear"
                and not kernel.residual
            ):
                return reader.fold(node, source, residual=True)
    return reader.add(node, "add", inputs=2)


def _long_hard_swish(reader: _Reader, node: onnx.NodeProto) -> bool:
    """Hard swish as x * relu6(x + 3) / 6; runtimes execute it node by node."""
    values = reader.values
    if node.op_type != "Add" or not any(values.number(name) == 3.0 for name in node.input):
        return False
    source = next((name for name in node.input if not values.is_constant(name)), None)
    clip = values.only_reader(node.output[0], "Clip")
    if source is None or clip is None:
        return False
    chain, at = [clip], clip.output[0]
    found = {"product": False, "sixth": False}
    for _ in range(2):
        following = values.only_reader(at, "Mul") or values.only_reader(at, "Div")
        if following is None:
            return False
        if source in following.input:
            found["product"] = True
        elif any(_is_sixth(values.number(name), following.op_type) for name in following.input):
            found["sixth"] = True
        chain.append(following)
        at = following.output[0]
    if not all(found.values()):
        return False
    reader.add(_with_input(node, source), "act", activation="longhswish")
    for other in chain:
        _skip(reader, other, node.output[0])
    return True


def _is_sixth(number: float | None, operator: str) -> bool:
    wanted = 6.0 if operator == "Div" else 1 / 6
    return number is not None and math.isclose(number, wanted, rel_tol=1e-3)


def _fully_connected(reader: _Reader, node: onnx.NodeProto) -> bool:
    values = reader.values
    weight = values.shape(node.input[1])
    shape = values.shape(node.output[0])
    if not values.is_constant(node.input[1]) or weight is None or len(weight) != 2 or shape is None:
        return False
    rows = math.prod(shape[:-1])
    turned = node.op_type == "Gemm" and values.attribute(node, "transB", 0)
    wide = weight[1] if turned else weight[0]
    return reader.add(node, "fc", shape_in=(wide, 1, 1), shape_out=(shape[-1], 1, 1), batch=rows)


def _pool(kind: str) -> Callable[[_Reader, onnx.NodeProto], bool]:
    def read(reader: _Reader, node: onnx.NodeProto) -> bool:
        values = reader.values
        window = values.attribute(node, "kernel_shape", [])
        if len(window) != 2:
            return False
        stride = tuple(values.attribute(node, "strides", [1, 1]))
        shape_in, _ = values.image(values.source_of_pad(node.input[0]))
        return reader.add(node, kind, shape_in=shape_in, kernel=tuple(window), stride=stride)

    return read


def _global_pool(reader: _Reader, node: onnx.NodeProto) -> bool:
    shape, _ = reader.values.image(node.input[0])
    if shape is None:
        return False
    return reader.add(node, "gap", shape_out=(shape[0], 1, 1))


def _mean(reader: _Reader, node: onnx.NodeProto) -> bool:
    axes = reader.values.axes(node)
    rank = len(reader.values.shape(node.input[0]) or ())
    if rank != 4 or axes is None or sorted(axis % rank for axis in axes) != [2, 3]:
        return False
    return _global_pool(reader, node)


def _concatenation(reader: _Reader, node: onnx.NodeProto) -> bool:
    shape, _ = reader.values.image(node.output[0])
    if reader.values.attribute(node, "axis", 1) not in (1, -3) or shape is None:
        return False
    return reader.add(node, "concat", shape_in=shape, inputs=len(node.input))


def _transposition(reader: _Reader, node: onnx.NodeProto) -> bool:
    """The middle of a channel shuffle, or one that only moves axes of size 1."""
    values = reader.values
    shape, order = values.shape(node.input[0]), values.attribute(node, "perm", [])
    if shape is None:
        return False
    if len(shape) == 5 and list(order) == [0, 2, 1, 3, 4]:
        image: Shape = (shape[1] * shape[2], shape[3], shape[4])
        return reader.add(node, "shuffle", shape_in=image, shape_out=image, batch=shape[0], groups=shape[1])
    kept = [axis for axis in order if shape[axis] != 1]
    if order and kept == sorted(kept):
        reader.free["Transpose"] += 1
        return True
    return False


def _softmax(reader: _Reader, node: onnx.NodeProto) -> bool:
    shape = reader.values.shape(node.input[0])
    axis = reader.values.attribute(node, "axis", -1)
    if shape is None or axis not in (-1, len(shape) - 1):
        return False
    image: Shape = (shape[-1], 1, 1)
    return reader.add(node, "softmax", shape_in=image, shape_out=image, batch=math.prod(shape[:-1]))


_READERS: dict[str, Callable[[_Reader, Any], bool]] = {
    "Conv": _convolution,
    "Pad": _pad,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(_ACTIVATIONS, _activation),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    **dict.fromkeys(("Gemm", "MatMul"), _fully_connected),
    "MaxPool": _pool("maxpool"),
    "AveragePool": _pool("avgpool"),
    "GlobalAveragePool": _global_pool,
    "ReduceMean": _mean,
    "Concat": _concatenation,
    "Transpose": _transposition,
    "Softmax": _softmax,
}
"""How each operator is read; False where it is one that no kernel stands for."""
