"""Blocks as strings that a person can read aloud: `mb_k5_e6_se`, `skip`, `onnx:my_block.onnx`.

`parse_block(str(block)) == block` for every block. A new kind of block is one class here and one row in
`BLOCK_KINDS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeAlias

from ponas_core.operators import (
    ACTIVATIONS,
    Activation,
    ChannelShuffle,
    Classifier,
    Convolution,
    EmbeddedGraph,
    Gate,
    Operator,
    Recipe,
    SqueezeExcite,
    TensorShape,
)

SQUEEZE_REDUCTION = 4  # PONAS, released models: a quarter of the expanded width,
SQUEEZE_SMALLEST = 8  # at least eight channels
SQUEEZE_MULTIPLE = 8  # Once-for-All, released models: a quarter, rounded to a multiple of eight


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a block stands: the tensor it reads, the channels it must give, stride and activation."""

    shape_in: TensorShape
    channels_out: int
    stride: int
    activation: Activation

    def __post_init__(self) -> None:
        """Raise ValueError for no channels, a stride below 1 or an activation that is not known."""
        if min(self.channels_out, self.stride) < 1:
            raise ValueError(f"channels and stride are at least 1, got {self}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation {self.activation!r}: use one of {', '.join(ACTIVATIONS)}")

    @property
    def shape_out(self) -> TensorShape:
        """Shape that whatever stands here must produce."""
        return self.shape_in.strided(self.channels_out, self.stride)

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output have one shape, so that an identity or a residual fits."""
        return self.stride == 1 and self.shape_in.channels == self.channels_out

    def __str__(self) -> str:
        """Write the placement as `24x56x56-40-s2-relu6`."""
        return f"{self.shape_in}-{self.channels_out}-s{self.stride}-{self.activation}"


@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted residual (MobileNetV2): 1×1 expansion, depthwise k×k, 1×1 projection.

    Expansion 1 has no expansion convolution. The residual is there where the shape is kept. Squeeze-excite
    stands behind the depthwise convolution where it has a gate: `_se` with a sigmoid as PONAS has it, `_hse`
    with a hard sigmoid as MobileNetV3 (Howard et al., ICCV 2019) and Once-for-All have it.
    """

    kernel: int
    expansion: int
    squeeze_excite: Gate | None = None

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"mb_k([1-9][0-9]?)_e([1-9][0-9]?)(_se|_hse|)")

    def __post_init__(self) -> None:
        """Raise ValueError for an even kernel or a number outside 1 to 99."""
        _check_numbers(self)

    @classmethod
    def from_match(cls, match: re.Match[str]) -> MBConv:
        """Build the block from a match of `pattern`."""
        gate = next(gate for gate, ending in _GATE_ENDINGS.items() if ending == match[3])
        return cls(int(match[1]), int(match[2]), gate)

    def __str__(self) -> str:
        """Write the block string."""
        return f"mb_k{self.kernel}_e{self.expansion}{_GATE_ENDINGS[self.squeeze_excite]}"

    def recipe(self, place: Placement) -> Recipe:
        """Operators of the block at this placement."""
        channels, act = place.shape_in.channels, place.activation
        width = channels * self.expansion
        chain: list[Operator] = []
        if self.expansion > 1:
            chain.append(Convolution(channels, width, 1, 1, 1, act))
        chain.append(Convolution(width, width, self.kernel, place.stride, width, act))
        if self.squeeze_excite:
            hidden = _squeezed(width, self.squeeze_excite)
            chain.append(SqueezeExcite(width, hidden, self.squeeze_excite))
        chain.append(Convolution(width, place.channels_out, 1, 1, 1, "linear"))
        return Recipe(tuple(chain), residual=place.keeps_shape)


_GATE_ENDINGS: dict[Gate | None, str] = {None: "", "sigmoid": "_se", "hard_sigmoid": "_hse"}


def _squeezed(width: int, gate: Gate) -> int:
    """Channels between the two convolutions of a squeeze-excite."""
    quarter = width // SQUEEZE_REDUCTION
    if gate == "sigmoid":
        return max(SQUEEZE_SMALLEST, quarter)
    rounded = (quarter + SQUEEZE_MULTIPLE // 2) // SQUEEZE_MULTIPLE * SQUEEZE_MULTIPLE
    if 10 * rounded < 9 * quarter:  # never more than a tenth below what was asked for
        rounded += SQUEEZE_MULTIPLE
    return max(SQUEEZE_MULTIPLE, rounded)


@dataclass(frozen=True, slots=True)
class FBConv:
    """Block of FBNet (Wu et al., CVPR 2019): 1×1, depthwise k×k, 1×1, the 1×1 in groups or not.

    Unlike `MBConv`, expansion 1 has its first 1×1 convolution too. With groups, channels are shuffled behind
    it. The residual is there where the shape is kept.
    """

    kernel: int
    expansion: int
    groups: int = 1

    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"fb_k([1-9][0-9]?)_e([1-9][0-9]?)(?:_g([2-9]|[1-9][0-9]))?"
    )

    def __post_init__(self) -> None:
        """Raise ValueError for an even kernel or a number outside 1 to 99."""
        _check_numbers(self)

    @classmethod
    def from_match(cls, match: re.Match[str]) -> FBConv:
        """Build the block from a match of `pattern`."""
        return cls(int(match[1]), int(match[2]), int(match[3] or 1))

    def __str__(self) -> str:
        """Write the block string."""
        return f"fb_k{self.kernel}_e{self.expansion}{f'_g{self.groups}' if self.groups != 1 else ''}"

    def recipe(self, place: Placement) -> Recipe:
        """Operators of the block at this placement; ValueError where groups do not divide the channels."""
        channels, act, groups = place.shape_in.channels, place.activation, self.groups
        if channels % groups or place.channels_out % groups:
            raise ValueError(f"{self}: {groups} groups do not divide {channels} and {place.channels_out}")
        width = channels * self.expansion
        shuffle = (ChannelShuffle(groups),) if groups > 1 else ()
        chain: tuple[Operator, ...] = (
            Convolution(channels, width, 1, 1, groups, act),
            *shuffle,
            Convolution(width, width, self.kernel, place.stride, width, act),
            Convolution(width, place.channels_out, 1, 1, groups, "linear"),
        )
        return Recipe(chain, residual=place.keeps_shape)


@dataclass(frozen=True, slots=True)
class Conv:
    """Plain convolution with batch normalisation; `_linear` leaves the activation out."""

    kernel: int
    linear: bool = False

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"conv_k([1-9][0-9]?)(_linear)?")

    def __post_init__(self) -> None:
        """Raise ValueError for an even kernel or one outside 1 to 99."""
        _check_numbers(self)

    @classmethod
    def from_match(cls, match: re.Match[str]) -> Conv:
        """Build the block from a match of `pattern`."""
        return cls(int(match[1]), match[2] is not None)

    def __str__(self) -> str:
        """Write the block string."""
        return f"conv_k{self.kernel}{'_linear' if self.linear else ''}"

    def recipe(self, place: Placement) -> Recipe:
        """Operators of the block at this placement."""
        activation: Activation = "linear" if self.linear else place.activation
        channels = place.shape_in.channels
        return Recipe((Convolution(channels, place.channels_out, self.kernel, place.stride, 1, activation),))


@dataclass(frozen=True, slots=True)
class Skip:
    """Identity: the layer is left out. Fits only where the shape is kept."""

    pattern: ClassVar[re.Pattern[str]] = re.compile("skip")

    @classmethod
    def from_match(cls, match: re.Match[str]) -> Skip:
        """Build the block from a match of `pattern`."""
        return cls()

    def __str__(self) -> str:
        """Write the block string."""
        return "skip"

    def recipe(self, place: Placement) -> Recipe:
        """No operators; ValueError where the shape changes."""
        if not place.keeps_shape:
            raise ValueError(
                f"skip cannot stand where the shape changes ({place.shape_in} to {place.shape_out}); "
                "use conv_k1_linear there, or leave skip out of this stage"
            )
        return Recipe(())


@dataclass(frozen=True, slots=True)
class PoolLinear:
    """Global average pool and linear classifier; `channels` of its layer are the classes.

    `_h1280` puts a linear layer of so many channels in between, without bias and with the activation of the
    layer: the end of MobileNetV3 as Once-for-All has it.
    """

    hidden: int = 0

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"classifier(?:_h([1-9][0-9]{0,5}))?")

    def __post_init__(self) -> None:
        """Raise ValueError for hidden channels beyond six digits."""
        if not self.pattern.fullmatch(str(self)):
            raise ValueError(f"{self}: hidden channels are a whole number from 1 to 999999")

    @classmethod
    def from_match(cls, match: re.Match[str]) -> PoolLinear:
        """Build the block from a match of `pattern`."""
        return cls(int(match[1] or 0))

    def __str__(self) -> str:
        """Write the block string."""
        return f"classifier{f'_h{self.hidden}' if self.hidden else ''}"

    def recipe(self, place: Placement) -> Recipe:
        """Operators of the block at this placement."""
        activation: Activation = place.activation if self.hidden else "linear"
        return Recipe((Classifier(place.shape_in.channels, place.channels_out, self.hidden, activation),))


@dataclass(frozen=True, slots=True)
class OnnxBlock:
    """A user's own ONNX file as a block; `path` is relative to the file of the space.

    `graph` is filled when the space is loaded (`ponas_core.onnx_blocks.load`).
    """

    path: str
    graph: EmbeddedGraph | None = field(default=None, repr=False, compare=False)

    pattern: ClassVar[re.Pattern[str]] = re.compile(r"onnx:([^\s\x00,|;\"'\\]+\.onnx)")

    def __post_init__(self) -> None:
        """Raise ValueError for a path that leaves the folder of the space or cannot be written."""
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise ValueError(f"onnx:{self.path}: write a path below the folder of the space's file")
        if not self.pattern.fullmatch(str(self)):
            raise ValueError(
                f"onnx:{self.path}: the path ends in .onnx and has no space, quote, comma, |, ; or backslash"
            )

    @classmethod
    def from_match(cls, match: re.Match[str]) -> OnnxBlock:
        """Build the block from a match of `pattern`."""
        return cls(match[1])

    def __str__(self) -> str:
        """Write the block string."""
        return f"onnx:{self.path}"

    def recipe(self, place: Placement) -> Recipe:
        """The file as one operator; ValueError where it was not loaded or does not fit."""
        if self.graph is None:
            raise ValueError(f"{self}: load the space from its file, so that the graph can be found")
        if self.graph.shape_out != place.shape_out:
            raise ValueError(f"{self} gives {self.graph.shape_out}, but {place.shape_out} is needed")
        return Recipe((self.graph,))


Block: TypeAlias = MBConv | FBConv | Conv | Skip | PoolLinear | OnnxBlock

BLOCK_KINDS: tuple[tuple[type[Block], str], ...] = (
    (MBConv, "mb_k5_e6"),
    (MBConv, "mb_k5_e6_se"),
    (MBConv, "mb_k5_e6_hse"),
    (FBConv, "fb_k3_e6"),
    (FBConv, "fb_k3_e1_g2"),
    (Conv, "conv_k3"),
    (Conv, "conv_k1_linear"),
    (Skip, "skip"),
    (PoolLinear, "classifier"),
    (PoolLinear, "classifier_h1280"),
    (OnnxBlock, "onnx:file.onnx"),
)
"""Every kind of block with an example of its string."""


def parse_block(text: str) -> Block:
    """Read a block string.

    Raises:
        ValueError: the string is none of the known kinds; the message lists them.
    """
    for kind, _ in BLOCK_KINDS:
        match = kind.pattern.fullmatch(text)
        if match:
            return kind.from_match(match)
    known = ", ".join(example for _, example in BLOCK_KINDS)
    raise ValueError(f"unknown block {text!r}; blocks are written like: {known}")


def _check_numbers(block: MBConv | FBConv | Conv) -> None:
    if not block.pattern.fullmatch(str(block)):
        raise ValueError(f"{block}: kernel, expansion and groups are whole numbers from 1 to 99")
    if block.kernel % 2 == 0:
        raise ValueError(f"kernel {block.kernel} is even; only odd kernels keep the size of the tensor")
