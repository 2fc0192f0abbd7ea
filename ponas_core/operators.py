"""The primitive operators that blocks are made of, with their exact sizes.

A block is a short chain of these operators (`Recipe`). The ONNX writer, the counters of parameters and
multiply-accumulates, and whatever else builds a block all read the same recipe, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Activation: TypeAlias = Literal["linear", "relu", "relu6", "hswish"]
ACTIVATIONS: tuple[Activation, ...] = ("linear", "relu", "relu6", "hswish")
"""`hswish` is x · relu6(x + 3) / 6 (MobileNetV3)."""

Gate: TypeAlias = Literal["sigmoid", "hard_sigmoid"]
"""`hard_sigmoid` is relu6(x + 3) / 6 (MobileNetV3)."""

BATCH_NORM_EPSILON = 1e-3  # ProxylessNAS' released models; trained weights bring their own statistics


@dataclass(frozen=True, slots=True)
class TensorShape:
    """Shape of one activation without its batch: channels, height, width."""

    channels: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Raise ValueError on an empty tensor."""
        if min(self.channels, self.height, self.width) < 1:
            raise ValueError(f"a tensor needs at least one element, got {self}")

    def __str__(self) -> str:
        """Write the shape as `24x56x56`."""
        return f"{self.channels}x{self.height}x{self.width}"

    def strided(self, channels: int, stride: int) -> TensorShape:
        """Shape after an operator with padding `kernel // 2` and this stride."""
        return TensorShape(channels, (self.height - 1) // stride + 1, (self.width - 1) // stride + 1)

    @property
    def pixels(self) -> int:
        """Positions of the feature map."""
        return self.height * self.width


@dataclass(frozen=True, slots=True)
class Convolution:
    """Convolution without bias, batch normalisation, activation; odd kernel, padding `kernel // 2`."""

    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    groups: int
    activation: Activation

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result for an input of this shape."""
        return shape.strided(self.channels_out, self.stride)

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Output channels, input channels per group, kernel height, kernel width."""
        return (self.channels_out, self.channels_in // self.groups, self.kernel, self.kernel)

    @property
    def weights(self) -> int:
        """Elements of the kernel."""
        return self.channels_out * (self.channels_in // self.groups) * self.kernel**2

    @property
    def params(self) -> int:
        """Trainable parameters: the kernel, and scale and shift of the batch normalisation."""
        return self.weights + 2 * self.channels_out

    @property
    def stored_params(self) -> int:
        """Numbers stored in a file: the kernel and one bias, the batch normalisation being folded."""
        return self.weights + self.channels_out

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of one inference for an input of this shape."""
        return self.weights * self.output(shape).pixels


@dataclass(frozen=True, slots=True)
class SqueezeExcite:
    """Global pool, 1×1 convolution, ReLU, 1×1 convolution, gate, product with the input."""

    channels: int
    hidden: int
    gate: Gate = "sigmoid"

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result: that of the input."""
        return shape

    @property
    def params(self) -> int:
        """Trainable parameters, biases included."""
        return 2 * self.channels * self.hidden + self.hidden + self.channels

    @property
    def stored_params(self) -> int:
        """Numbers stored in a file."""
        return self.params

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of the two 1×1 convolutions and of the product with the input."""
        return 2 * self.channels * self.hidden + self.channels * shape.pixels


@dataclass(frozen=True, slots=True)
class ChannelShuffle:
    """Channels dealt out anew: of the groups side by side, the first of each, then the second of each.

    What lets grouped 1×1 convolutions exchange channels (ShuffleNet, Zhang et al., CVPR 2018).
    """

    groups: int

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result: that of the input."""
        return shape

    @property
    def params(self) -> int:
        """Trainable parameters: none."""
        return 0

    @property
    def stored_params(self) -> int:
        """Numbers stored in a file: none."""
        return 0

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates: none, numbers only move."""
        return 0


@dataclass(frozen=True, slots=True)
class Classifier:
    """Global average pool, a linear layer without bias where `hidden` is not 0, a linear layer with bias.

    The activation belongs to the hidden layer.
    """

    channels: int
    classes: int
    hidden: int = 0
    activation: Activation = "linear"

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result: one number a class."""
        return TensorShape(self.classes, 1, 1)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self.macs(TensorShape(self.channels, 1, 1)) + self.classes

    @property
    def stored_params(self) -> int:
        """Numbers stored in a file."""
        return self.params

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of the linear layers."""
        return self.channels * self.hidden + (self.hidden or self.channels) * self.classes


@dataclass(frozen=True, slots=True)
class EmbeddedGraph:
    """A user's ONNX file used as one operator; sizes are read from the file when the space is loaded."""

    location: str
    digest: str
    shape_out: TensorShape
    params: int
    mac_count: int

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result, as the file states it."""
        return self.shape_out

    @property
    def stored_params(self) -> int:
        """Numbers stored in the file."""
        return self.params

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of the convolutions and matrix products in the file."""
        return self.mac_count


Operator: TypeAlias = Convolution | SqueezeExcite | ChannelShuffle | Classifier | EmbeddedGraph


@dataclass(frozen=True, slots=True)
class Recipe:
    """A block as a chain of operators; `residual` adds the input to the result.

    An empty chain is the identity: it leaves no operator in a graph, so it costs nothing by construction.
    """

    operators: tuple[Operator, ...]
    residual: bool = False

    @property
    def params(self) -> int:
        """Trainable parameters, counted as the field does (batch normalisation: scale and shift)."""
        return sum(operator.params for operator in self.operators)

    @property
    def stored_bytes(self) -> int:
        """Size of the fp32 parameters in an exported file, batch normalisation folded."""
        return 4 * sum(operator.stored_params for operator in self.operators)

    def output(self, shape: TensorShape) -> TensorShape:
        """Shape of the result for an input of this shape."""
        for operator in self.operators:
            shape = operator.output(shape)
        return shape

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of one inference for an input of this shape."""
        total = 0
        for operator in self.operators:
            total += operator.macs(shape)
            shape = operator.output(shape)
        return total
