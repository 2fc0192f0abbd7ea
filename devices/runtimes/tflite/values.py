"""The values of an ONNX graph as tensors of a .tflite file: their layout, and their arithmetic.

A value of rank 4 is (N, C, H, W) in ONNX and stored as (N, H, W, C). One of rank 5 is taken for an image with
its channels in groups, (N, G, C, H, W), and stored as (N, H, W, G, C): splitting channels, as a shuffle
does, then needs no more than a RESHAPE. Every other rank is stored as it is. A value may exist as float32, as
int8, or both; an operator reads and gives all of its values in one arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.runtimes.onnx_reader import Graph, Node, Shape, quantisation_of
from devices.runtimes.tflite.file import Quantisation, TfliteFile

CHANNELS_LAST = (0, 2, 3, 1)
CHANNELS_FIRST = (0, 3, 1, 2)
_STORED_ORDERS = {4: CHANNELS_LAST, 5: (0, 3, 4, 1, 2)}


def stored_order(rank: int) -> tuple[int, ...]:
    """The dimensions of a value as they follow one another in the file."""
    return _STORED_ORDERS.get(rank, tuple(range(rank)))


def stored_shape(shape: Sequence[int]) -> Shape:
    """The shape of a value in the file."""
    return tuple(shape[axis] for axis in stored_order(len(shape)))


def stored_axis(axis: int, rank: int) -> int:
    """Where a dimension of a value stands in the file."""
    return stored_order(rank).index(axis % rank)


def stored(array: NDArray[Any]) -> NDArray[Any]:
    """A constant as it is stored."""
    return array.transpose(stored_order(array.ndim))


def _keeps_order(shape: Sequence[int]) -> bool:
    """Whether the elements follow one another in ONNX as in the file."""
    moving = [axis for axis in stored_order(len(shape)) if shape[axis] != 1]
    return moving == sorted(moving)


def _splits_channels(before: Sequence[int], after: Sequence[int]) -> bool:
    """Whether only the channels of images are put into groups, taken out of them or grouped otherwise."""
    are_images = {len(before), len(after)} <= set(_STORED_ORDERS)
    return are_images and (before[0], *before[-2:]) == (after[0], *after[-2:])


@dataclass(slots=True)
class _Value:
    """The tensors that hold one value."""

    real: int | None = None
    int8: int | None = None


class Values:
    """Writes tensors and operators while a walk over the graph names its values.

    Attributes:
        graph: what is converted.
        file: what has been written.
        int8: whether the operator that is written now computes in int8.
    """

    def __init__(self, graph: Graph) -> None:
        """Start with the inputs of the graph."""
        self.graph = graph
        self.file = TfliteFile()
        self.int8 = False
        self._values = {
            name: _Value(self.file.tensor(name, stored_shape(graph.shapes[name]))) for name in graph.inputs
        }
        self._inputs = [self._values[name].real or 0 for name in graph.inputs]

    # --- what an operator reads

    def shape(self, node: Node, name: str) -> Shape:
        """The shape of a value as ONNX has it."""
        return self.graph.shape(node, name)

    def read(self, node: Node, name: str) -> int:
        """The tensor of a value, constant or not, in the arithmetic of this operator."""
        if self.is_constant(name):
            return self._constant(node, name, self.graph.shape(node, name))
        value = self._values[name]
        if not self.int8:
            return self._real(name, value)
        if value.int8 is None:
            raise node.refused(f"{name!r} is not quantised")
        return value.int8

    def read_as(self, node: Node, name: str, rank: int) -> int:
        """The tensor of a value, with leading dimensions of size 1 up to an image's rank, to be broadcast."""
        shape = self.graph.shape(node, name)
        wanted = (*(1,) * (rank - len(shape)), *shape)
        if self.is_constant(name):
            return self._constant(node, name, wanted)
        tensor = self.read(node, name)
        # other ranks are stored as they are, and broadcast by the operator itself
        return self.reshaped(tensor, shape, wanted) if rank in _STORED_ORDERS else tensor

    def is_constant(self, name: str) -> bool:
        """Whether a value is known beforehand."""
        return name in self.graph.constants or name in self.graph.quantised

    def numbers(self, node: Node, name: str) -> NDArray[Any]:
        """A constant that the operator must know beforehand."""
        if name in self.graph.quantised:
            return self.graph.quantised[name].real()
        if name not in self.graph.constants:
            raise node.refused(f"{name!r} must be a constant")
        return self.graph.constants[name]

    def weight(self, node: Node, name: str, order: Sequence[int]) -> int:
        """A constant of weights with its dimensions in another order; int8 ones have no zero point."""
        if not self.int8:
            array = self.numbers(node, name).astype(np.float32).transpose(order)
            return self.file.constant(name, array)
        found = self.graph.quantised[name].symmetric()
        array = found.numbers.transpose(order)
        scales, zeros = tuple(found.scales.tolist()), (0,) * found.scales.size
        quantisation = Quantisation(scales, zeros, order.index(found.axis) if len(scales) > 1 else 0)
        return self.file.constant(name, array, quantisation)

    def bias(self, name: str, array: NDArray[Any], tensor: int, weight: int) -> int:
        """A constant that is added to products of a tensor and weights; int32 where these are int8."""
        if not self.int8:
            return self.file.constant(name, np.asarray(array, np.float32))
        first, second = self.file.quantisation(tensor), self.file.quantisation(weight)
        assert first is not None
        assert second is not None
        scales = first.scales[0] * np.asarray(second.scales, np.float64)
        limits = np.iinfo(np.int32)
        numbers = np.clip(np.rint(array / scales), limits.min, limits.max).astype(np.int32)
        return self.file.constant(name, numbers, Quantisation(tuple(scales.tolist()), second.zero_points))

    # --- what an operator gives

    def result(self, node: Node, quantisation: Quantisation | None = None) -> int:
        """A new tensor for the result of a node.

        Args:
            node: who gives it.
            quantisation: where an int8 operator prescribes it; else that of the QuantizeLinear behind it.
        """
        name = node.outputs[0]
        if self.int8:
            quantisation = quantisation or self._asked(node)
            tensor = self.file.tensor(name, self.result_shape(node), "int8", quantisation)
        else:
            tensor = self.file.tensor(name, self.result_shape(node))
        self.give(node, tensor)
        return tensor

    def result_shape(self, node: Node) -> Shape:
        """The shape of the result of a node, as it is stored."""
        return stored_shape(self.graph.shape(node, node.outputs[0]))

    def result_like(self, node: Node, tensor: int) -> int:
        """A new tensor for the result of a node that passes numbers on as they are."""
        return self.result(node, self.file.quantisation(tensor))

    def give(self, node: Node, tensor: int) -> None:
        """Let an existing tensor be the result of a node."""
        if self.int8:
            quantizer = self.quantizer(node)
            assert quantizer is not None
            self._values[quantizer.outputs[0]] = _Value(int8=tensor)
        else:
            self._values[node.outputs[0]] = _Value(tensor)

    def between(self, tensor: int, shape: Sequence[int], quantisation: Quantisation | None = None) -> int:
        """A new tensor within an operator that is written as several, of the kind of another one."""
        quantisation = quantisation or self.file.quantisation(tensor)
        return self.file.tensor("", shape, "int8" if quantisation else "float32", quantisation)

    def integers(self, array: Any) -> int:
        """A constant of whole numbers that tell an operator what to do: axes, sizes, pads."""
        return self.file.constant("", np.asarray(array, np.int32))

    def like(self, array: Any, tensor: int) -> int:
        """A constant with the arithmetic of a tensor, as an int8 operator wants that compares the two."""
        quantisation = self.file.quantisation(tensor)
        real = np.asarray(array, np.float32)
        if quantisation is None:
            return self.file.constant("", real)
        # what lies beyond the range of the tensor becomes its end
        numbers = np.clip(real / quantisation.scales[0] + quantisation.zero_points[0], -128, 127)
        return self.file.constant("", np.rint(numbers).astype(np.int8), quantisation)

    def reshaped(self, tensor: int, before: Shape, after: Shape) -> int:
        """A tensor with another shape and its elements in ONNX's order; itself where nothing changes.

        Only where channels and positions mix does this cost more than a RESHAPE: a TRANSPOSE before, behind
        or both.
        """
        if before == after:
            return tensor
        splits = _splits_channels(before, after)
        if not splits and not _keeps_order(before):
            tensor = self.transposed(tensor, np.argsort(stored_order(len(before))).tolist())
        direct = splits or _keeps_order(after)
        wanted = stored_shape(after) if direct else after
        if self.file.shape(tensor) != wanted:
            result = self.between(tensor, wanted)
            self.file.operator(
                "RESHAPE",
                [tensor, self.integers(wanted)],
                [result],
                "ReshapeOptions",
                newShape=np.asarray(wanted, np.int32),
            )
            tensor = result
        return tensor if direct else self.transposed(tensor, stored_order(len(after)))

    def transposed(self, tensor: int, order: Sequence[int]) -> int:
        """A tensor with its stored dimensions in another order."""
        shape = self.file.shape(tensor)
        result = self.between(tensor, [shape[axis] for axis in order])
        self.file.operator("TRANSPOSE", [tensor, self.integers(order)], [result], "TransposeOptions")
        return result

    # --- from float32 to int8 and back

    def quantizer(self, node: Node) -> Node | None:
        """The QuantizeLinear that alone reads the result of a node."""
        user = self.graph.only_user(node.outputs[0])
        return user if user is not None and user.kind == "QuantizeLinear" else None

    def is_int8(self, name: str) -> bool:
        """Whether a value can be read as int8."""
        return name in self.graph.quantised or (name in self._values and self._values[name].int8 is not None)

    def quantize(self, node: Node) -> None:
        """Write a QuantizeLinear, unless the operator before it gave int8 already."""
        if node.outputs[0] in self._values:
            return
        value = self._values[node.inputs[0]]
        source = value.int8 if value.real is None else value.real
        assert source is not None
        quantisation = self._quantisation(node)
        tensor = self.file.tensor(node.outputs[0], self.file.shape(source), "int8", quantisation)
        self.file.operator("QUANTIZE", [source], [tensor], "QuantizeOptions")
        self._values[node.outputs[0]] = _Value(int8=tensor)

    def dequantize(self, node: Node) -> None:
        """Note a DequantizeLinear; it is written where somebody wants float32."""
        self._values[node.outputs[0]] = self._values[node.inputs[0]]

    def packed(self) -> bytes:
        """The finished file."""
        outputs = [self._real(name, self._values[name]) for name in self.graph.outputs]
        return self.file.packed(self._inputs, outputs)

    def _real(self, name: str, value: _Value) -> int:
        if value.real is None:
            assert value.int8 is not None
            value.real = self.file.tensor(name, self.file.shape(value.int8))
            self.file.operator("DEQUANTIZE", [value.int8], [value.real], "DequantizeOptions")
        return value.real

    def _constant(self, node: Node, name: str, shape: Shape) -> int:
        if not self.int8:
            return self.file.constant(
                name, stored(self.numbers(node, name).astype(np.float32).reshape(shape))
            )
        found = self.graph.quantised.get(name)
        if found is None or found.numbers.dtype != np.int8 or found.scales.size != 1:
            raise node.refused(f"{name!r} must be int8 with one scale")
        quantisation = Quantisation(tuple(found.scales.tolist()), tuple(found.zero_points.tolist()))
        return self.file.constant(name, stored(found.numbers.reshape(shape)), quantisation)

    def _asked(self, node: Node) -> Quantisation:
        quantizer = self.quantizer(node)
        assert quantizer is not None
        return self._quantisation(quantizer)

    def _quantisation(self, node: Node) -> Quantisation:
        scales, zero_points, _ = quantisation_of(node, self.graph.constants)
        kind = self.graph.constants[node.inputs[2]].dtype if node.input(2) else np.dtype(np.uint8)
        if scales.size != 1 or kind != np.int8:
            raise node.refused(f"activations must be int8 with one scale, not {kind.name} with {scales.size}")
        return Quantisation(tuple(scales.tolist()), tuple(zero_points.tolist()))
