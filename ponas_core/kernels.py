"""Fused kernels, the units that runtimes execute, over many shapes: for networks that belong to no space.

A kernel's key can be read aloud and parsed back: `conv_k3_s2_relu6@24x56x56-40` is a 3×3 convolution of
stride 2 with a fused relu6, from 24 channels of 56×56 to 40 channels. One graph holds one kernel.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ponas_core.onnx_writer import INPUT, IR_VERSION, OUTPUT

Kind: TypeAlias = Literal[
    "conv", "dwconv", "gconv", "fc", "maxpool", "avgpool", "gap", "add", "scale", "concat", "act"
]
ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "hswish")
FUSED = ("linear", "relu", "relu6")
"""Activations that runtimes fuse into the operator before them."""
OPSET = 14
"""The oldest with HardSwish."""

LARGEST_MACS = 400e6
LARGEST_ELEMENTS = 2e6
"""Of a kernel's input and output, each."""
GROUPS = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Kernel:
    """One fused kernel and its shapes; fields that a kind does not use keep their defaults.

    Attributes:
        kind: what it computes; `scale` multiplies every channel by one number, `act` is an activation alone.
        channels: of the input (of each of the two inputs of `add` and `concat`).
        size: height and width of the input; 1 for `fc`.
        channels_out: of the output of `conv`, `gconv` and `fc`.
        kernel: height and width of the window.
        stride: of the window.
        groups: of `gconv`.
        activation: fused; of `act` the activation itself.
    """

    kind: Kind
    channels: int
    size: int
    channels_out: int = 0
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    activation: str = "linear"

    def __post_init__(self) -> None:
        """Raise ValueError for a kernel that cannot be."""
        if min(self.channels, self.size, self.kernel, self.stride, self.groups) < 1:
            raise ValueError(f"sizes of a kernel are at least 1: {self}")
        if self.kind not in _WRITERS or self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown kernel {self.kind} with {self.activation}")
        if (self.channels_out > 0) != (self.kind in _WITH_CHANNELS_OUT):
            raise ValueError(f"{self.kind} {'needs' if self.channels_out < 1 else 'has no'} channels_out")
        if self.channels % self.groups or self.channels_out % self.groups:
            raise ValueError(f"{self.groups} groups do not divide the channels")

    def __str__(self) -> str:
        """The key: parts that keep their default are left out."""
        parts: list[str] = [self.kind]
        parts += [f"k{self.kernel}"] if self.kind in _WITH_WINDOW else []
        parts += [f"s{self.stride}"] if self.stride > 1 else []
        parts += [f"g{self.groups}"] if self.groups > 1 else []
        parts += [self.activation] if self.activation != "linear" else []
        out = f"-{self.channels_out}" if self.channels_out else ""
        return f"{'_'.join(parts)}@{self.channels}x{self.size}x{self.size}{out}"

    @classmethod
    def parse(cls, text: str) -> Kernel:
        """Read what `str` gives; ValueError for anything else."""
        found = _KEY.fullmatch(text)
        if not found:
            raise ValueError(f"{text!r} is no kernel, such as conv_k3_s2_relu6@24x56x56-40")
        numbers = {name: int(found[name]) for name in _NUMBERS if found[name]}
        kind: Any = found["kind"]
        return cls(kind, activation=found["activation"] or "linear", **numbers)

    @property
    def size_out(self) -> int:
        """Height and width of the output; windows are padded by half of their size."""
        if self.kind == "gap":
            return 1
        return -(-self.size // self.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates; 0 where nothing is multiplied and added up."""
        if self.kind not in _WITH_WEIGHTS:
            return 0
        out = self.channels_out or self.channels
        groups = self.channels if self.kind == "dwconv" else self.groups
        return out * self.size_out**2 * self.kernel**2 * self.channels // groups

    @property
    def elements(self) -> int:
        """Numbers in the larger of input and output."""
        out = self.channels_out or self.channels * (2 if self.kind == "concat" else 1)
        return max(self.channels * self.size**2, out * self.size_out**2)

    def model(self, batch: int = 1) -> onnx.ModelProto:
        """The kernel as an ONNX graph with random weights: input (batch, channels, size, size), float32."""
        writer = _Writer(self, batch)
        _WRITERS[self.kind](writer, self)
        return writer.model()


_WITH_WINDOW = {"conv", "dwconv", "gconv", "maxpool", "avgpool"}
_WITH_CHANNELS_OUT = {"conv", "gconv", "fc"}
_WITH_WEIGHTS = {"conv", "dwconv", "gconv", "fc"}
_NUMBERS = ("kernel", "stride", "groups", "channels", "size", "channels_out")
_KEY = re.compile(
    r"(?P<kind>[a-z]+)(_k(?P<kernel>\d{1,3}))?(_s(?P<stride>\d{1,3}))?(_g(?P<groups>\d{1,4}))?"
    r"(_(?P<activation>[a-z]+6?))?@(?P<channels>\d{1,6})x(?P<size>\d{1,5})x(?P=size)(-(?P<channels_out>\d{1,6}))?"
)


def sample_kernels(count: int, rng: np.random.Generator) -> list[Kernel]:
    """Different kernels over the shapes of mobile and server networks, small and large ones alike.

    Kinds take turns in proportion to `_SHARES`; channels and sizes are drawn evenly on a logarithmic scale,
    and drawn again where arithmetic or memory would be beyond what a network holds.

    Raises:
        ValueError: fewer than one kernel of each kind.
    """
    kinds = [kind for kind, share in _SHARES.items() for _ in range(share)]
    if count < len(_SHARES):
        raise ValueError(f"at least {len(_SHARES)} kernels, one of each kind, got {count}")
    found: dict[str, Kernel] = {}
    turns = list(_SHARES) + [kinds[index] for index in rng.integers(0, len(kinds), 50 * count)]
    for kind in turns:
        kernel = _sample(kind, rng)
        while kernel.macs > LARGEST_MACS or kernel.elements > LARGEST_ELEMENTS:
            kernel = _sample(kind, rng)
        found.setdefault(str(kernel), kernel)
        if len(found) == count:
            break
    return list(found.values())


_SHARES: dict[Kind, int] = {
    "conv": 12, "dwconv": 8, "gconv": 2, "fc": 3, "maxpool": 2, "avgpool": 2, "gap": 2, "add": 3, "scale": 2,
    "concat": 2, "act": 3,
}  # fmt: skip


def _sample(kind: Kind, rng: np.random.Generator) -> Kernel:
    channels, channels_out = (_channels(rng) for _ in range(2))
    size = round(float(np.exp(rng.uniform(np.log(4), np.log(224)))))
    if kind == "gconv":
        groups = int(rng.choice(GROUPS))
        wide, wide_out = (-(-value // groups) * groups for value in (channels, channels_out))
        return Kernel(kind, wide, size, wide_out, groups=groups, **_details(kind, rng))
    out = channels_out if kind in _WITH_CHANNELS_OUT else 0
    return Kernel(kind, channels, 1 if kind == "fc" else size, out, **_details(kind, rng))


def _details(kind: Kind, rng: np.random.Generator) -> dict[str, Any]:
    """Window and activation of a kind, drawn from what networks use."""
    kernels, strides, activations = _DETAILS[kind]
    return {
        "kernel": int(rng.choice(kernels)),
        "stride": int(rng.choice(strides)),
        "activation": str(rng.choice(activations)),
    }


_NONE = ("linear",)
_DETAILS: dict[Kind, tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]] = {
    "conv": ((1, 1, 1, 3, 3, 5, 7), (1, 1, 2), FUSED),
    "dwconv": ((3, 5, 7), (1, 1, 2), FUSED),
    "gconv": ((3,), (1, 1, 2), FUSED),
    "fc": ((1,), (1,), ("linear", "relu")),
    "maxpool": ((2, 3), (1, 2), _NONE),
    "avgpool": ((2, 3), (1, 2), _NONE),
    "gap": ((1,), (1,), _NONE),
    "add": ((1,), (1,), ("linear", "relu")),
    "scale": ((1,), (1,), _NONE),
    "concat": ((1,), (1,), _NONE),
    "act": ((1,), (1,), ACTIVATIONS[1:]),
}


def _channels(rng: np.random.Generator) -> int:
    """Multiples of 8 from 8 to 1536, and now and then the 3 of an image."""
    if rng.random() < 0.04:
        return 3
    return 8 * round(float(np.exp(rng.uniform(0, np.log(192)))))


class _Writer:
    """Collects the nodes of one kernel's graph."""

    def __init__(self, kernel: Kernel, batch: int) -> None:
        self.shape = [batch, kernel.channels, kernel.size, kernel.size]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs = {INPUT: self.shape}
        self.at = INPUT
        self.rng = np.random.default_rng(0)

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> None:
        self.at = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [self.at], name=self.at, **attributes))

    def weight(self, *shape: int) -> str:
        name = f"weight_{len(self.constants)}"
        values = self.rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:], initial=1))
        self.constants.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def second_input(self, *shape: int) -> str:
        self.inputs["other"] = list(shape)
        return "other"

    def activation(self, kind: str) -> None:
        operator = {"relu": "Relu", "sigmoid": "Sigmoid", "hswish": "HardSwish"}.get(kind)
        if operator:
            self.node(operator, [self.at])
        elif kind == "relu6":
            for name, limit in (("low", 0.0), ("high", 6.0)):
                self.constants.append(numpy_helper.from_array(np.array(limit, np.float32), name))
            self.node("Clip", [self.at, "low", "high"])

    def model(self) -> onnx.ModelProto:
        self.nodes[-1].output[0] = OUTPUT
        graph = helper.make_graph(
            self.nodes,
            "kernel",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in self.inputs.items()
            ],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, None)],
            self.constants,
        )
        model = helper.make_model(
            graph,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="hwprofile",
        )
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        onnx.checker.check_model(model)
        return model


def _convolution(writer: _Writer, kernel: Kernel) -> None:
    groups = kernel.channels if kernel.kind == "dwconv" else kernel.groups
    out = kernel.channels_out or kernel.channels
    weight = writer.weight(out, kernel.channels // groups, kernel.kernel, kernel.kernel)
    bias = writer.weight(out)
    writer.node("Conv", [writer.at, weight, bias], group=groups, **_window(kernel))
    writer.activation(kernel.activation)


def _window(kernel: Kernel) -> dict[str, Any]:
    """Attributes of a window whose output is the input's size divided by the stride, rounded up."""
    needed = max(0, (kernel.size_out - 1) * kernel.stride + kernel.kernel - kernel.size)
    before = kernel.kernel // 2 if kernel.kernel % 2 else needed // 2
    after = max(0, needed - before)
    return {
        "kernel_shape": [kernel.kernel] * 2,
        "strides": [kernel.stride] * 2,
        "pads": [before, before, after, after],
    }


def _fully_connected(writer: _Writer, kernel: Kernel) -> None:
    writer.node("Flatten", [writer.at])
    weight, bias = writer.weight(kernel.channels_out, kernel.channels), writer.weight(kernel.channels_out)
    writer.node("Gemm", [writer.at, weight, bias], transB=1)
    writer.activation(kernel.activation)


def _pool(operator: str) -> Callable[[_Writer, Kernel], None]:
    return lambda writer, kernel: writer.node(operator, [writer.at], **_window(kernel))


def _of_two(operator: str, **attributes: Any) -> Callable[[_Writer, Kernel], None]:
    def write(writer: _Writer, kernel: Kernel) -> None:
        writer.node(operator, [writer.at, writer.second_input(*writer.shape)], **attributes)
        writer.activation(kernel.activation)

    return write


def _scale(writer: _Writer, kernel: Kernel) -> None:
    writer.node("Mul", [writer.at, writer.second_input(*writer.shape[:2], 1, 1)])


_WRITERS: dict[str, Callable[[_Writer, Kernel], None]] = {
    "conv": _convolution,
    "dwconv": _convolution,
    "gconv": _convolution,
    "fc": _fully_connected,
    "maxpool": _pool("MaxPool"),
    "avgpool": _pool("AveragePool"),
    "gap": lambda writer, kernel: writer.node("GlobalAveragePool", [writer.at]),
    "add": _of_two("Add"),
    "scale": _scale,
    "concat": _of_two("Concat", axis=1),
    "act": lambda writer, kernel: writer.activation(kernel.activation),
}
"""How each kind becomes ONNX nodes; a new kind is one row here and one in `_SHARES`."""
