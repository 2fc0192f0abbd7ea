"""ONNX operators as calls of PyTorch's functions, by name: torch itself is not needed to write them down.

What ONNX leaves to defaults, to automatic padding or to constant inputs is resolved here, so that the target
calls functions with plain numbers. A new operator is one row in `OPERATORS`, and its function, where that is
new, one name in `devices/agent/pytorch_runtime.py`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from devices.runtimes.runtime import Unsupported

Array: TypeAlias = NDArray[Any]
Reference: TypeAlias = str
"""A tensor of the graph on the target."""


class Node(ABC):
    """An ONNX node that is being translated: what an operator's function may ask for, and where it writes."""

    operator: str
    opset: int
    shape_out: tuple[int, ...]

    @abstractmethod
    def value(self, position: int) -> Reference | Array | None:
        """An input: its numbers where they are constant, None where it is absent."""

    @abstractmethod
    def references(self) -> list[Reference]:
        """Every input, as tensors."""

    @abstractmethod
    def shape(self, position: int) -> tuple[int, ...]:
        """Sizes of an input."""

    @abstractmethod
    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute; one that was never asked for is refused at the end."""

    @abstractmethod
    def array(self, array: Array) -> Reference:
        """The tensor of some constant numbers."""

    @abstractmethod
    def call(self, function: str, *inputs: Reference | list[Reference] | None, **settings: Any) -> Reference:
        """Write a call of a function and give its result."""

    @abstractmethod
    def refused(self, reason: str) -> Unsupported:
        """The error that names this node."""

    def reference(self, position: int) -> Reference | None:
        """An input as a tensor; None where it is absent."""
        value = self.value(position)
        return self.array(value) if isinstance(value, np.ndarray) else value

    def constant(self, position: int) -> Array | None:
        """The numbers of an input that must be constant; None where it is absent."""
        value = self.value(position)
        if isinstance(value, str):
            raise self.refused(f"input {position} is computed; it must be a constant")
        return value

    def scalar(self, position: int, default: float | None) -> float | None:
        """The number of an input that must be a constant of one element."""
        constant = self.constant(position)
        return default if constant is None else float(constant.reshape(()))

    @property
    def spatial(self) -> int:
        """Dimensions of the first input beside batch and channels."""
        rank = len(self.shape(0)) - 2
        if rank not in {1, 2, 3}:
            raise self.refused(f"its input has {rank + 2} dimensions; 3, 4 or 5 are possible")
        return rank


Translate: TypeAlias = Callable[[Node], Reference | Array | None]
"""Writes a node's calls and gives its first output: a tensor, or numbers that are known already."""


def _elementwise(function: str) -> Translate:
    return lambda node: node.call(function, *node.references())


def _first(node: Node) -> Reference | Array | None:
    return node.value(0)


def _constant(node: Node) -> Array:
    for name, kind in (("value", None), ("value_float", np.float32), ("value_floats", np.float32)):
        if (value := node.attribute(name)) is not None:
            return np.asarray(value, kind)
    for name in ("value_int", "value_ints"):
        if (value := node.attribute(name)) is not None:
            return np.asarray(value, np.int64)
    raise node.refused("its value is of a kind that is not known")


def _dropout(node: Node) -> Reference | Array | None:
    node.attribute("seed")
    training = node.constant(2)
    if training is not None and training.any():
        raise node.refused("it is in training mode")
    return node.value(0)


# --- windows: convolutions and pools


class _Window:
    """Strides, dilations and padding of a convolution or a pool, automatic padding resolved."""

    def __init__(self, node: Node, kernel: Sequence[int]) -> None:
        rank = len(kernel)
        self.kernel = list(kernel)
        self.strides = list(node.attribute("strides", [1] * rank))
        self.dilations = list(node.attribute("dilations", [1] * rank))
        pads = list(node.attribute("pads", [0] * (2 * rank)))
        automatic = node.attribute("auto_pad", "NOTSET")
        if automatic == "VALID":
            pads = [0] * (2 * rank)
        elif automatic != "NOTSET":
            pads = self._same(node.shape(0)[2:], smaller_first=automatic == "SAME_UPPER")
        self.before, self.after = pads[:rank], pads[rank:]

    def _same(self, sizes: Sequence[int], smaller_first: bool) -> list[int]:
        """Padding with which the result has the input's sizes over the strides, rounded up."""
        reach = [
            (size - 1) * dilation + 1 for size, dilation in zip(self.kernel, self.dilations, strict=True)
        ]
        steps = zip(sizes, self.strides, reach, strict=True)
        total = [max((-(-size // stride) - 1) * stride + wide - size, 0) for size, stride, wide in steps]
        small, large = [size // 2 for size in total], [size - size // 2 for size in total]
        return small + large if smaller_first else large + small

    @property
    def is_symmetric(self) -> bool:
        """Whether both sides are padded alike, which is all that PyTorch's functions take."""
        return self.before == self.after

    @property
    def is_pool(self) -> bool:
        """Whether the padding is one that PyTorch's pools take: alike, and at most half of the kernel."""
        halves = (pad <= size // 2 for pad, size in zip(self.before, self.kernel, strict=True))
        return self.is_symmetric and all(halves)

    def padded(self, node: Node, value: float) -> Reference:
        """The node's input, padded by a call of its own."""
        return node.call("pad", node.reference(0), pad=_last_first(self.before, self.after), value=value)


def _last_first(before: Sequence[int], after: Sequence[int]) -> list[int]:
    """Padding as PyTorch wants it: both sides of the last dimension, then of the one before, ..."""
    pairs = list(zip(before, after, strict=True))
    while len(pairs) > 1 and pairs[0] == (0, 0):
        del pairs[0]
    return [size for pair in reversed(pairs) for size in pair]


def _convolution(node: Node) -> Reference:
    kernel = node.shape(1)[2:]
    node.attribute("kernel_shape")  # the weight's, by the checker of ONNX
    window = _Window(node, kernel)
    padding = window.before if window.is_symmetric else [0] * len(kernel)
    return node.call(
        f"conv{node.spatial}d",
        node.reference(0) if window.is_symmetric else window.padded(node, 0.0),
        node.reference(1),
        node.reference(2),
        stride=window.strides,
        padding=padding,
        dilation=window.dilations,
        groups=node.attribute("group", 1),
    )


def _max_pool(node: Node) -> Reference:
    window = _Window(node, node.attribute("kernel_shape"))
    node.attribute("storage_order")  # decides on the indices only, and these are not given
    ceiling = bool(node.attribute("ceil_mode", 0))
    if ceiling and not window.is_pool:
        raise node.refused("ceil_mode with this padding")
    padding = window.before if window.is_pool else [0] * len(window.kernel)
    return node.call(
        f"max_pool{node.spatial}d",
        node.reference(0) if window.is_pool else window.padded(node, -math.inf),
        kernel_size=window.kernel,
        stride=window.strides,
        padding=padding,
        dilation=window.dilations,
        ceil_mode=ceiling,
    )


def _average_pool(node: Node) -> Reference:
    window = _Window(node, node.attribute("kernel_shape"))
    ceiling, counted = bool(node.attribute("ceil_mode", 0)), bool(node.attribute("count_include_pad", 0))
    if any(dilation != 1 for dilation in window.dilations):
        raise node.refused("dilations other than 1")
    if not window.is_pool and (ceiling or not counted):
        raise node.refused("padding that differs between sides, or is wider than half of the kernel")
    padding = window.before if window.is_pool else [0] * len(window.kernel)
    return node.call(
        f"avg_pool{node.spatial}d",
        node.reference(0) if window.is_pool else window.padded(node, 0.0),
        kernel_size=window.kernel,
        stride=window.strides,
        padding=padding,
        ceil_mode=ceiling,
        count_include_pad=counted,
    )


def _global_average_pool(node: Node) -> Reference:
    return node.call(f"adaptive_avg_pool{node.spatial}d", node.reference(0), output_size=1)


def _mean(node: Node) -> Reference | Array | None:
    given = node.constant(1) if node.opset >= 18 else node.attribute("axes")
    axes = [] if given is None else [int(axis) for axis in given]
    keep = bool(node.attribute("keepdims", 1))
    if not axes and node.attribute("noop_with_empty_axes", 0):
        return node.value(0)
    axes = axes or list(range(len(node.shape(0))))
    return node.call("mean", node.reference(0), dim=axes, keepdim=keep)


# --- activations


def _clip(node: Node) -> Reference | Array | None:
    low, high = node.scalar(1, None), node.scalar(2, None)
    if (low, high) == (None, None):
        return node.value(0)
    if (low, high) == (0.0, 6.0):
        return node.call("relu6", node.reference(0))
    return node.call("clamp", node.reference(0), min=low, max=high)


def _hard_sigmoid(node: Node) -> Reference:
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return node.call("hardsigmoid", node.reference(0))
    scaled = node.call("mul", node.reference(0), node.array(np.array(alpha, np.float32)))
    shifted = node.call("add", scaled, node.array(np.array(beta, np.float32)))
    return node.call("clamp", shifted, min=0.0, max=1.0)


def _softmax(node: Node) -> Reference:
    return node.call("softmax", node.reference(0), dim=node.attribute("axis", -1))


def _batch_norm(node: Node) -> Reference:
    node.attribute("momentum")  # of training
    if node.attribute("training_mode", 0):
        raise node.refused("it is in training mode")
    data, scale, shift, mean, variance = (node.reference(position) for position in range(5))
    return node.call("batch_norm", data, mean, variance, scale, shift, eps=node.attribute("epsilon", 1e-5))


# --- matrices


def _gemm(node: Node) -> Reference:
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    left = node.reference(0)
    if node.attribute("transA", 0):
        left = node.call("permute", left, dims=[1, 0])
    transposed = bool(node.attribute("transB", 0))
    weight, bias = node.value(1), node.value(2)
    if isinstance(weight, np.ndarray) and _is_a_row(bias):
        # what `torch.nn.Linear` calls; the scales go into the constants
        weight = _scaled(weight if transposed else weight.T, alpha)
        if isinstance(bias, np.ndarray):
            bias = node.array(_scaled(np.broadcast_to(bias.reshape(-1), len(weight)), beta))
        return node.call("linear", left, node.array(weight), bias)
    right = node.reference(1)
    if transposed:
        right = node.call("permute", right, dims=[1, 0])
    if bias is not None:
        return node.call("addmm", node.reference(2), left, right, alpha=alpha, beta=beta)
    product = node.call("matmul", left, right)
    return product if alpha == 1.0 else node.call("mul", product, node.array(np.array(alpha, np.float32)))


def _is_a_row(bias: Reference | Array | None) -> bool:
    """Whether a Gemm's third input is absent or adds the same constants to every row."""
    return bias is None or (isinstance(bias, np.ndarray) and (bias.ndim < 2 or len(bias) == 1))


def _scaled(array: Array, factor: float) -> Array:
    return array if factor == 1.0 else (array * factor).astype(array.dtype)


# --- shapes


def _reshape(node: Node) -> Reference:
    for name in ("allowzero", "axis", "axes"):
        node.attribute(name)  # the shape that follows from them is known
    return node.call("reshape", node.reference(0), shape=list(node.shape_out))


def _shape(node: Node) -> Array:
    start, end = node.attribute("start", 0), node.attribute("end")
    return np.array(node.shape(0)[start:end], np.int64)


def _transpose(node: Node) -> Reference:
    reverse = list(range(len(node.shape(0))))[::-1]
    return node.call("permute", node.reference(0), dims=list(node.attribute("perm", reverse)))


def _concat(node: Node) -> Reference:
    return node.call("cat", node.references(), dim=node.attribute("axis"))


def _pad(node: Node) -> Reference:
    mode, rank = node.attribute("mode", "constant"), len(node.shape(0))
    if mode != "constant":
        raise node.refused(f"mode {mode}; constant is possible")
    pads, axes = node.constant(1), node.constant(3)
    if pads is None:
        raise node.refused("it has no pads")
    before, after = [0] * rank, [0] * rank
    padded = range(rank) if axes is None else [int(axis) % rank for axis in axes]
    for axis, first, last in zip(padded, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True):
        before[axis], after[axis] = int(first), int(last)
    value = node.scalar(2, 0.0)
    return node.call("pad", node.reference(0), pad=_last_first(before, after), value=value)


OPERATORS: dict[str, Translate] = {
    "Add": _elementwise("add"),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _convolution,
    "Div": _elementwise("div"),
    "Dropout": _dropout,
    "Flatten": _reshape,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _elementwise("hardswish"),
    "Identity": _first,
    "MatMul": _elementwise("matmul"),
    "MaxPool": _max_pool,
    "Mul": _elementwise("mul"),
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": _elementwise("relu"),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _elementwise("sigmoid"),
    "Softmax": _softmax,
    "Squeeze": _reshape,
    "Sub": _elementwise("sub"),
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}
"""How each operator of ONNX becomes calls; a new operator is one row."""
