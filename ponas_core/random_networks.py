"""Networks drawn at random from the building blocks of published ones, to calibrate sums of kernels on.

None is a published network: widths, depths, sizes, windows and activations are drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ponas_core.onnx_writer import INPUT, IR_VERSION, OUTPUT

OPSET = 14
CLASSES = 1000


class NetworkWriter:
    """Writes a convolutional network node by node, with random weights.

    Values are named; every method takes the value that it reads and gives the one that it makes.

    Args:
        size: height and width of the input image.
        batch: inputs of one inference.
    """

    def __init__(self, size: int, batch: int = 1) -> None:
        """Begin with the input."""
        self.shapes: dict[str, tuple[int, ...]] = {INPUT: (batch, 3, size, size)}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._rng = np.random.default_rng(0)

    def channels(self, value: str) -> int:
        """Channels of a value."""
        return self.shapes[value][1]

    def size(self, value: str) -> int:
        """Height of a value."""
        return self.shapes[value][2]

    def conv(
        self, at: str, out: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: str = ""
    ) -> str:
        """A convolution with bias, padded by half of its window, and an activation."""
        channels, pad = self.channels(at), kernel // 2
        weight = self._weight(out, channels // groups, kernel, kernel)
        bias = self._weight(out)
        size = (self.size(at) + 2 * pad - kernel) // stride + 1
        shape = (self.shapes[at][0], out, size, size)
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self.activation(self._node("Conv", [at, weight, bias], shape, group=groups, **window), act)

    def depthwise(self, at: str, kernel: int, stride: int = 1, act: str = "") -> str:
        """A depthwise convolution."""
        return self.conv(at, self.channels(at), kernel, stride, groups=self.channels(at), act=act)

    def activation(self, at: str, kind: str) -> str:
        """An activation by name; an empty name is none."""
        if not kind:
            return at
        shape = self.shapes[at]
        if kind == "relu6":
            return self._node("Clip", [at, self._number("low", 0.0), self._number("high", 6.0)], shape)
        if kind == "swish":
            return self._node("Mul", [at, self._node("Sigmoid", [at], shape)], shape)
        if kind == "hsigmoid":
            return self._node("HardSigmoid", [at], shape, alpha=1 / 6)
        operator = {"relu": "Relu", "sigmoid": "Sigmoid", "hswish": "HardSwish"}[kind]
        return self._node(operator, [at], shape)

    def squeeze_excite(self, at: str, hidden: int, gate: str = "sigmoid") -> str:
        """Global pool, two convolutions, a gate, and the product with the input."""
        pooled = self.conv(self.global_pool(at), hidden, act="relu")
        return self._node("Mul", [at, self.conv(pooled, self.channels(at), act=gate)], self.shapes[at])

    def global_pool(self, at: str) -> str:
        """Mean over height and width."""
        return self._node("GlobalAveragePool", [at], (*self.shapes[at][:2], 1, 1))

    def pool(self, at: str, operator: str, kernel: int, stride: int) -> str:
        """A MaxPool or AveragePool, padded by half of its window where that is odd."""
        pad = kernel // 2 if kernel % 2 else 0
        size = (self.size(at) + 2 * pad - kernel) // stride + 1
        shape = (*self.shapes[at][:2], size, size)
        window = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [pad] * 4}
        return self._node(operator, [at], shape, **window)

    def add(self, one: str, other: str, act: str = "") -> str:
        """Sum of two values, and an activation."""
        return self.activation(self._node("Add", [one, other], self.shapes[one]), act)

    def concat(self, *values: str) -> str:
        """Values side by side along their channels."""
        batch, _, *image = self.shapes[values[0]]
        shape = (batch, sum(map(self.channels, values)), *image)
        return self._node("Concat", list(values), shape, axis=1)

    def classifier(self, at: str, classes: int = CLASSES) -> str:
        """Flatten and a linear layer."""
        batch, channels = self.shapes[at][:2]
        flat = self._node("Flatten", [at], (batch, channels * int(np.prod(self.shapes[at][2:]))))
        weight, bias = self._weight(classes, self.shapes[flat][1]), self._weight(classes)
        return self._node("Gemm", [flat, weight, bias], (batch, classes), transB=1)

    def model(self, at: str) -> onnx.ModelProto:
        """The finished, checked network that gives this value."""
        self.nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, self.shapes[INPUT])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, self.shapes[at])],
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="hwprofile"
        )
        onnx.checker.check_model(model, full_check=True)
        return model

    def _node(self, kind: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self.shapes[name] = shape
        return name

    def _weight(self, *shape: int) -> str:
        name = f"weight_{len(self.constants)}"
        values = self._rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:], initial=1))
        self.constants[name] = numpy_helper.from_array(values.astype(np.float32), name)
        return name

    def _number(self, name: str, value: float) -> str:
        self.constants[name] = numpy_helper.from_array(np.array(value, np.float32), name)
        return name


def random_network(number: int, batch: int = 1) -> onnx.ModelProto:
    """The network of this number: input (batch, 3, size, size), output (batch, classes), float32.

    Numbers take turns through the families of blocks, so that a few networks hold them all.
    """
    rng = np.random.default_rng([number, 0])
    family = FAMILIES[number % len(FAMILIES)]
    size = 16 * int(rng.integers(4, 15))
    writer = NetworkWriter(size, batch)
    activation = str(rng.choice(["relu", "relu6"] if family is not _mobile else ["relu", "relu6", "hswish"]))
    width = 8 * int(rng.integers(1, 4 if family is _mobile else 7))
    at = writer.conv(INPUT, width, int(rng.choice([3, 5, 7])), 2, act=activation)
    if family is not _mobile:
        at = writer.pool(at, str(rng.choice(["MaxPool", "AveragePool"])), int(rng.choice([2, 3])), 2)
    growth = rng.uniform(1.4, 2.0)
    for stage in range(4):
        stride = 2 if stage and writer.size(at) > 3 else 1
        width = 8 * max(1, round(width * growth / 8))
        for position in range(int(rng.integers(1, 4))):
            at = family(writer, at, width, 1 if position else stride, activation, rng)
    if rng.random() < 0.5:
        at = writer.conv(at, 2 * width, act=activation)
    return writer.model(writer.classifier(writer.global_pool(at), int(rng.choice([10, 100, CLASSES]))))


def _mobile(
    writer: NetworkWriter, at: str, width: int, stride: int, activation: str, rng: np.random.Generator
) -> str:
    """An inverted residual, now and then with squeeze-and-excitation."""
    hidden = 8 * max(1, round(writer.channels(at) * rng.uniform(2, 6) / 8))
    inside = writer.conv(at, hidden, act=activation)
    inside = writer.depthwise(inside, int(rng.choice([3, 5, 7])), stride, act=activation)
    if rng.random() < 0.4:
        inside = writer.squeeze_excite(
            inside, max(8, hidden // 32 * 8), str(rng.choice(["sigmoid", "hsigmoid"]))
        )
    out = writer.conv(inside, width)
    return writer.add(at, out) if writer.shapes[at] == writer.shapes[out] else out


def _residual(
    writer: NetworkWriter, at: str, width: int, stride: int, activation: str, rng: np.random.Generator
) -> str:
    """A basic or a bottleneck block."""
    if rng.random() < 0.5:
        inside = writer.conv(at, width, 3, stride, act=activation)
    else:
        inside = writer.conv(at, max(8, width // 32 * 8), act=activation)
        inside = writer.conv(inside, writer.channels(inside), 3, stride, act=activation)
    straight = at if writer.channels(at) == width and stride == 1 else writer.conv(at, width, 1, stride)
    return writer.add(writer.conv(inside, width, int(rng.choice([1, 3]))), straight, activation)


def _branches(
    writer: NetworkWriter, at: str, width: int, stride: int, activation: str, rng: np.random.Generator
) -> str:
    """Branches side by side, pooled in between."""
    at = writer.pool(at, "MaxPool", 3, 2) if stride > 1 else at
    narrow = writer.conv(at, max(8, width // 32 * 8), act=activation)
    ends = [writer.conv(narrow, width, kernel, act=activation) for kernel in (1, 3)]
    if rng.random() < 0.3:
        ends.append(writer.conv(writer.pool(at, "AveragePool", 3, 1), width, act=activation))
    return writer.concat(*ends)


def _plain(
    writer: NetworkWriter, at: str, width: int, stride: int, activation: str, rng: np.random.Generator
) -> str:
    """A depthwise and a pointwise convolution, or a dense or grouped one."""
    choice = rng.random()
    if choice < 0.5:
        return writer.conv(writer.depthwise(at, 3, stride, act=activation), width, act=activation)
    if choice < 0.8 or writer.channels(at) % 8:
        return writer.conv(at, width, 3, stride, act=activation)
    return writer.conv(at, width, 3, stride, groups=8, act=activation)


Family = Callable[[NetworkWriter, str, int, int, str, np.random.Generator], str]
FAMILIES: tuple[Family, ...] = (_mobile, _residual, _branches, _plain)
