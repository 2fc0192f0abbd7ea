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
    "conv", "dwconv", "gconv", "fc", "maxpool", "avgpool", "gap", "add", "scale", "concat", "shuffle",
    "softmax", "act",
]  # fmt: skip
ACTIVATIONS = (
    "linear", "relu", "relu6", "leakyrelu", "sigmoid", "hsigmoid", "swish", "hswish", "longhswish", "affine",
)  # fmt: skip
"""`longhswish` is x * relu6(x + 3) / 6 written out, `affine` one constant factor a channel."""
FUSED = ("linear", "relu", "relu6", "hswish")
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
        channels: of the input (of each of the two inputs of `add`, of both inputs of `concat` together).
        size: height and width of the input; 1 for `fc`.
        channels_out: of the output of `conv`, `gconv` and `fc`.
        kernel: height and width of the window.
        stride: of the window.
        groups: of `gconv` and `shuffle`.
        residual: whether a second tensor is added to the result of `conv` before the activation.
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
    residual: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for a kernel that cannot be."""
        if min(self.channels, self.size, self.kernel, self.stride, self.groups) < 1:
            raise ValueError(f"sizes of a kernel are at least 1: {self}")
        if self.kind not in _WRITERS or self.activation not in ACTIVATIONS:
            raise ValueError(f"unknown kernel {self.kind} with {self.activation}")
        if (self.channels_out > 0) != (self.kind in _WITH_CHANNELS_OUT):
            raise ValueError(f"{self.kind} {'needs' if self.channels_out < 1 else 'has no'} channels_out")
        if self.kind == "concat" and self.channels % 2:
            raise ValueError(f"concat joins two equal halves: {self}")
        if self.residual and self.kind != "conv":
            raise ValueError(f"{self.kind} adds no second tensor")
        if self.channels % self.groups or self.channels_out % self.groups:
            raise ValueError(f"{self.groups} groups do not divide the channels")

    def __str__(self) -> str:
        """The key: parts that keep their default are left out."""
        parts: list[str] = [self.kind]
        parts += [f"k{self.kernel}"] if self.kind in _WITH_WINDOW else []
        parts += [f"s{self.stride}"] if self.stride > 1 else []
        parts += [f"g{self.groups}"] if self.groups > 1 else []
        parts += ["add"] if self.residual else []
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
        residual = found["residual"] is not None
        return cls(kind, activation=found["activation"] or "linear", residual=residual, **numbers)

    @property
    def size_out(self) -> int:
        """Height and width of the output; windows are padded by half of their size."""
        if self.kind == "gap":
            return 1
        return -(-self.size // self.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates, a factor for every element included; 0 where nothing is multiplied."""
        if self.kind == "scale":
            return self.channels * self.size**2
        if self.kind not in _WITH_WEIGHTS:
            return 0
        out = self.channels_out or self.channels
        groups = self.channels if self.kind == "dwconv" else self.groups
        return out * self.size_out**2 * self.kernel**2 * self.channels // groups

    @property
    def elements(self) -> int:
        """Numbers in the larger of input and output."""
        out = self.channels_out or self.channels
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
    r"(_(?P<residual>add))?(_(?P<activation>[a-z]+6?))?@(?P<channels>\d{1,6})x(?P<size>\d{1,5})x(?P=size)(-(?P<channels_out>\d{1,6}))?"
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
    "conv": 18, "dwconv": 7, "gconv": 2, "fc": 3, "maxpool": 2, "avgpool": 2, "gap": 2, "add": 3, "scale": 2,
    "concat": 2, "shuffle": 1, "softmax": 1, "act": 4,
}  # fmt: skip
SAMPLING = 2
"""Grows when the same count would give other kernels: profiles of unlike samples are told apart."""
_IMAGE = 3
"""Channels of an image."""


def _sample(kind: Kind, rng: np.random.Generator) -> Kernel:
    if kind in ("fc", "softmax"):
        out = _multiple_of_8(rng, 8, 2048) if kind == "fc" else 0
        return Kernel(kind, _multiple_of_8(rng, 8, 2048), 1, out, **_details(kind, rng))
    if kind == "conv":
        special = rng.random()
        if special < 0.06:
            return _stem(rng)
        if special < 0.16:
            return _of_squeeze_excite(rng)
    size = round(_log_uniform(rng, 4, 224))
    channels = _channels(size, rng)
    if kind in ("gconv", "shuffle"):
        groups = int(rng.choice(GROUPS))
        # at least two channels a group: one each would be a depthwise convolution
        wide, wide_out = (max(2, -(-value // groups)) * groups for value in (channels, _channels(size, rng)))
        out = wide_out if kind == "gconv" else 0
        return Kernel(kind, wide, size, out, groups=groups, **_details(kind, rng))
    details = _details(kind, rng)
    out = _channels(-(-size // details["stride"]), rng) if kind in _WITH_CHANNELS_OUT else 0
    residual = kind == "conv" and details["stride"] == 1 and rng.random() < 0.2
    if residual:  # no runtime fuses a bounded activation behind the sum
        details["activation"] = str(rng.choice(["linear", "relu"]))
    return Kernel(kind, channels, size, out, residual=residual, **details)


def _stem(rng: np.random.Generator) -> Kernel:
    """The first convolution of a network."""
    size, activation = 2 * round(_log_uniform(rng, 48, 160)), str(rng.choice(FUSED))
    kernel, channels_out = int(rng.choice([3, 3, 5, 7])), _multiple_of_8(rng, 8, 64)
    return Kernel("conv", _IMAGE, size, channels_out, kernel, 2, activation=activation)


def _of_squeeze_excite(rng: np.random.Generator) -> Kernel:
    """One of the two convolutions on a single pixel."""
    wide = _multiple_of_8(rng, 16, 1280)
    activation = str(rng.choice(["relu", "relu", "sigmoid", "hsigmoid", "hswish", "linear"]))
    narrow = max(8, wide // int(rng.choice([4, 4, 16])) // 8 * 8)
    return Kernel(
        "conv", *((wide, 1, narrow) if rng.random() < 0.5 else (narrow, 1, wide)), activation=activation
    )


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
    "conv": ((1, 1, 1, 3, 3, 5, 7), (1, 1, 1, 2), FUSED),
    "dwconv": ((1, 3, 3, 3, 5, 5, 7), (1, 1, 2), FUSED),
    "gconv": ((3,), (1, 1, 2), FUSED),
    "fc": ((1,), (1,), ("linear", "relu")),
    "maxpool": ((2, 3), (1, 2, 2), _NONE),
    "avgpool": ((2, 3), (1, 2, 2), _NONE),
    "gap": ((1,), (1,), _NONE),
    "add": ((1,), (1,), ("linear", "relu")),
    "scale": ((1,), (1,), _NONE),
    "concat": ((1,), (1,), _NONE),
    "shuffle": ((1,), (1,), _NONE),
    "softmax": ((1,), (1,), _NONE),
    "act": ((1,), (1,), (*ACTIVATIONS[1:], "hswish", "swish")),
}


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _multiple_of_8(rng: np.random.Generator, low: float, high: float) -> int:
    return 8 * max(1, round(_log_uniform(rng, low, high) / 8))


def _channels(size: int, rng: np.random.Generator) -> int:
    """Multiples of 8; small images have many channels and large ones few, as in networks."""
    if rng.random() < 0.1:
        return _multiple_of_8(rng, 8, 1536)
    return _multiple_of_8(rng, max(8, 250 / size), min(2048, max(64, 14000 / size)))


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

    def number(self, value: float) -> str:
        name = f"number_{value:g}"
        if all(tensor.name != name for tensor in self.constants):
            self.constants.append(numpy_helper.from_array(np.array(value, np.float32), name))
        return name

    def second_input(self, *shape: int) -> str:
        self.inputs["other"] = list(shape)
        return "other"

    def activation(self, kind: str) -> None:
        source = self.at
        if kind in _OPERATORS:
            self.node(_OPERATORS[kind], [source])
        elif kind == "relu6":
            self.node("Clip", [source, self.number(0.0), self.number(6.0)])
        elif kind == "hsigmoid":
            self.node("HardSigmoid", [source], alpha=1 / 6)
        elif kind == "swish":
            self.node("Sigmoid", [source])
            self.node("Mul", [source, self.at])
        elif kind == "longhswish":
            self.node("Add", [source, self.number(3.0)])
            self.node("Clip", [self.at, self.number(0.0), self.number(6.0)])
            self.node("Mul", [source, self.at])
            self.node("Div", [self.at, self.number(6.0)])
        elif kind == "affine":
            self.node("Mul", [source, self.weight(self.shape[1], 1, 1)])

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
    if kernel.residual:
        shape = [writer.shape[0], out, kernel.size_out, kernel.size_out]
        writer.node("Add", [writer.at, writer.second_input(*shape)])
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


def _addition(writer: _Writer, kernel: Kernel) -> None:
    writer.node("Add", [writer.at, writer.second_input(*writer.shape)])
    writer.activation(kernel.activation)


def _concatenation(writer: _Writer, kernel: Kernel) -> None:
    writer.shape[1] //= 2
    writer.node("Concat", [writer.at, writer.second_input(*writer.shape)], axis=1)


def _scale(writer: _Writer, kernel: Kernel) -> None:
    writer.node("Mul", [writer.at, writer.second_input(*writer.shape[:2], 1, 1)])


def _shuffle(writer: _Writer, kernel: Kernel) -> None:
    batch, channels, *image = writer.shape
    for name, sizes in (
        ("split", [batch, kernel.groups, channels // kernel.groups, *image]),
        ("joined", writer.shape),
    ):
        writer.constants.append(numpy_helper.from_array(np.array(sizes, np.int64), name))
    writer.node("Reshape", [writer.at, "split"])
    writer.node("Transpose", [writer.at], perm=[0, 2, 1, 3, 4])
    writer.node("Reshape", [writer.at, "joined"])


def _softmax(writer: _Writer, kernel: Kernel) -> None:
    writer.node("Flatten", [writer.at])
    writer.node("Softmax", [writer.at], axis=1)


_OPERATORS = {"relu": "Relu", "leakyrelu": "LeakyRelu", "sigmoid": "Sigmoid", "hswish": "HardSwish"}
_WRITERS: dict[str, Callable[[_Writer, Kernel], None]] = {
    "conv": _convolution,
    "dwconv": _convolution,
    "gconv": _convolution,
    "fc": _fully_connected,
    "maxpool": _pool("MaxPool"),
    "avgpool": _pool("AveragePool"),
    "gap": lambda writer, kernel: writer.node("GlobalAveragePool", [writer.at]),
    "add": _addition,
    "scale": _scale,
    "concat": _concatenation,
    "shuffle": _shuffle,
    "softmax": _softmax,
    "act": lambda writer, kernel: writer.activation(kernel.activation),
}
"""How each kind becomes ONNX nodes; a new kind is one row here and one in `_SHARES`."""
