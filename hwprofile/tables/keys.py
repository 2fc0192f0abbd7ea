"""Keys of ProxylessNAS' and Once-for-All's tables, and which of them a block of a space has.

    Conv-input:224x224x3-output:112x112x32
    expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0
    expanded_conv-input:56x56x24-output:28x28x40-expand:72-kernel:5-stride:2-idskip:0-se:1-hs:0

Shapes are height x width x channels; `idskip` is 1 where input and output are added. ProxylessNAS writes the
expansion ratio behind `expand`; Once-for-All writes the channels between the convolutions, and whether there
is a squeeze-excite (`se`) and a hard swish (`hs`). Which of the two a space has follows from its classifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hwprofile.errors import UserError
from hwprofile.tables.values import LONGEST_NAME
from ponas_core.blocks import Conv, MBConv, PoolLinear, Skip
from ponas_core.operators import TensorShape
from ponas_core.space import Layer, SearchSpace

Style: TypeAlias = Literal["ProxylessNAS", "Once-for-All"]
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(-[a-z]+:[0-9]+(x[0-9]+)*)+")
_FIELD = re.compile(r"-([a-z]+):([0-9x]+)")


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the kind of a layer, and its numbers by name in the order in which they are written."""

    kind: str
    fields: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read a key; ValueError for what is none."""
        if len(text) > LONGEST_NAME or not _KEY.fullmatch(text):
            raise ValueError(f"{text[:80]!r} is no key of a latency table, such as Conv_1-input:7x7x320-...")
        return cls(text.partition("-")[0], tuple(_FIELD.findall(text)))

    def __str__(self) -> str:
        """Write the key."""
        return "-".join([self.kind, *(f"{name}:{value}" for name, value in self.fields)])


class NoKey(UserError):
    """A block that these keys cannot say; the message names it."""


def style_of(space: SearchSpace) -> Style:
    """Whose keys a space has: Once-for-All's classifier has a hidden layer, ProxylessNAS' has none."""
    last = space.all_layers[-1].blocks[0]
    return "Once-for-All" if isinstance(last, PoolLinear) and last.hidden else "ProxylessNAS"


def keys_of(space: SearchSpace, layer: Layer, op: int) -> tuple[str, ...]:
    """The keys whose latencies add up to a block; none for a layer that is left out.

    Raises:
        NoKey: the keys cannot say this block.
    """
    block, place = layer.blocks[op], layer.place
    shapes = (("input", _shape(place.shape_in)), ("output", _shape(place.shape_out)))
    if isinstance(block, Skip):
        return ()
    if isinstance(block, MBConv):
        return (str(Key("expanded_conv", (*shapes, *_numbers(space, layer, block)))),)
    if isinstance(block, PoolLinear):
        return _classifier(layer, block)
    if layer == space.all_layers[0] and isinstance(block, Conv) and block.kernel == 3:
        return (str(Key("Conv", shapes)),)
    if layer in space.head and isinstance(block, Conv) and block.kernel == 1 and place.stride == 1:
        return (str(Key("Conv_1", shapes)),)
    raise _no_key(space, layer, str(block))


def _numbers(space: SearchSpace, layer: Layer, block: MBConv) -> tuple[tuple[str, str], ...]:
    place = layer.place
    tail = [("kernel", block.kernel), ("stride", place.stride), ("idskip", int(place.keeps_shape))]
    if style_of(space) == "ProxylessNAS":
        if block.squeeze_excite:
            raise _no_key(space, layer, str(block))
        numbers = [("expand", block.expansion), *tail]
    else:
        gates = [("se", int(block.squeeze_excite is not None)), ("hs", int(place.activation == "hswish"))]
        numbers = [("expand", place.shape_in.channels * block.expansion), *tail, *gates]
    return tuple((name, str(number)) for name, number in numbers)


def _classifier(layer: Layer, block: PoolLinear) -> tuple[str, ...]:
    shape, classes = layer.place.shape_in, str(layer.place.channels_out)
    pooled, hidden = TensorShape(shape.channels, 1, 1), TensorShape(block.hidden or 1, 1, 1)
    if not block.hidden:
        return (str(Key("Logits", (("input", _shape(shape)), ("output", classes)))),)
    return (
        str(Key("AvgPool2D", (("input", _shape(shape)), ("output", _shape(pooled))))),
        str(Key("Conv_2", (("input", _shape(pooled)), ("output", _shape(hidden))))),
        str(Key("Logits", (("input", _shape(hidden)), ("output", classes)))),
    )


def _shape(shape: TensorShape) -> str:
    return f"{shape.height}x{shape.width}x{shape.channels}"


def _no_key(space: SearchSpace, layer: Layer, block: str) -> NoKey:
    return NoKey(
        f"{layer.name}: the keys of {style_of(space)}'s tables cannot say {block} at {layer.place}; "
        "tables by layer and op can: --format csv, npz, parquet or nni"
    )
