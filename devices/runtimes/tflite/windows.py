"""Convolutions and pools: operators whose window slides over positions, and what lies outside of the image.

TFLite knows two paddings. SAME pads as little as gives ceil(size / stride) positions, one more behind than
before where the number is odd; VALID pads nothing. Pads of k // 2 are SAME at stride 1, but at stride 2 only
on odd sizes: everything else becomes a PAD operator and VALID, so that the numbers agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from devices.runtimes.onnx_reader import Node
from devices.runtimes.tflite.values import Values, stored_order

_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class Window:
    """How a window slides; each pair is of height and width.

    Attributes:
        kernel: size of the window.
        strides: steps between two positions.
        dilations: steps between two elements of the window.
        pads: rows and columns outside of the image: top, left, bottom, right.
        same: whether these are what SAME pads.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    same: bool

    @property
    def padding(self) -> str:
        """The padding of TFLite that this is, empty where it is none."""
        if not any(self.pads):
            return "VALID"
        return "SAME" if self.same else ""

    @property
    def stride_fields(self) -> dict[str, int]:
        """The strides as fields of an operator's options."""
        return {"strideH": self.strides[0], "strideW": self.strides[1]}

    @property
    def dilation_fields(self) -> dict[str, int]:
        """The dilations as fields of an operator's options."""
        return {"dilationHFactor": self.dilations[0], "dilationWFactor": self.dilations[1]}


def write_convolution(values: Values, node: Node) -> None:
    """Dense, grouped (a CONV_2D whose filters see a group's channels only) or depthwise."""
    shape, weights = values.shape(node, node.inputs[0]), values.shape(node, node.inputs[1])
    _check_image(node, shape)
    groups = int(node.attributes.get("group", 1))
    window = _window(node, shape, weights[2:])
    tensor, padding = _padded(values, node, window)
    depthwise = groups > 1 and groups == shape[1]
    if depthwise:  # (out, 1, h, w) to (1, h, w, out)
        weight = values.weight(node, node.inputs[1], (1, 2, 3, 0))
    else:  # (out, in, h, w) to (out, h, w, in)
        weight = values.weight(node, node.inputs[1], (0, 2, 3, 1))
    # XNNPACK takes no convolution without a bias
    numbers = values.numbers(node, node.inputs[2]) if node.input(2) else np.zeros(weights[0])
    bias = values.bias(node.input(2), numbers, tensor, weight)
    fields: dict[str, Any] = {
        "padding": padding,
        "fusedActivationFunction": node.activation,
        **window.stride_fields,
        **window.dilation_fields,
    }
    if depthwise:
        fields["depthMultiplier"] = weights[0] // groups
    values.file.operator(
        "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
        [tensor, weight, bias],
        [values.result(node)],
        "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions",
        **fields,
    )


def write_max_pool(values: Values, node: Node) -> None:
    """Largest number of a window; what lies outside is smaller than any."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refused("its indices are not given")
    _write_pool(values, node, "MAX_POOL_2D", outside=_LOWEST)


def write_average_pool(values: Values, node: Node) -> None:
    """Mean of a window; what lies outside counts as 0, or not at all where TFLite's SAME says so too."""
    _write_pool(values, node, "AVERAGE_POOL_2D", outside=0.0)


def _write_pool(values: Values, node: Node, code: str, outside: float) -> None:
    shape = values.shape(node, node.inputs[0])
    _check_image(node, shape)
    window = _window(node, shape, node.attributes["kernel_shape"])
    if window.dilations != (1, 1):
        raise node.refused("a window with dilations is unknown")
    _check_sizes(values, node, window)
    counted = bool(node.attributes.get("count_include_pad", 0))
    if code == "AVERAGE_POOL_2D" and not window.padding and not counted:
        raise node.refused(f"pads {list(window.pads)} that do not count as numbers are not TFLite's SAME")
    tensor, padding = _padded(values, node, window, outside, explicit=counted)
    values.file.operator(
        code,
        [tensor],
        [values.result_like(node, tensor)],
        "Pool2DOptions",
        padding=padding,
        filterHeight=window.kernel[0],
        filterWidth=window.kernel[1],
        fusedActivationFunction=node.activation,
        **window.stride_fields,
    )


def write_pad(values: Values, node: Node) -> None:
    """Rows of one number around any dimensions."""
    shape = values.shape(node, node.inputs[0])
    mode = node.attributes.get("mode", b"constant").decode()
    pads = values.numbers(node, node.inputs[1]).reshape(2, -1).T
    if mode != "constant" or pads.min() < 0:
        raise node.refused(f"mode {mode} with pads {pads.T.ravel().tolist()}: only constants are added")
    every = np.zeros((len(shape), 2), np.int64)
    axes = values.numbers(node, node.inputs[3]) if node.input(3) else np.arange(len(shape))
    every[axes] = pads
    outside = float(values.numbers(node, node.inputs[2]).item()) if node.input(2) else 0.0
    tensor = values.read(node, node.inputs[0])
    _emit_pad(
        values, tensor, values.result_like(node, tensor), every[list(stored_order(len(shape)))], outside
    )


def pad(values: Values, tensor: int, pads: Sequence[int], outside: float = 0.0) -> int:
    """A tensor of rank 4 with rows and columns around it: top, left, bottom, right."""
    top, left, bottom, right = pads
    rows = np.array([(0, 0), (top, bottom), (left, right), (0, 0)])
    shape = [size + int(extra) for size, extra in zip(values.file.shape(tensor), rows.sum(1), strict=True)]
    result = values.between(tensor, shape)
    _emit_pad(values, tensor, result, rows, outside)
    return result


def _emit_pad(values: Values, tensor: int, result: int, rows: Any, outside: float) -> None:
    if outside == 0:  # as int8 this is the zero point
        values.file.operator("PAD", [tensor, values.integers(rows)], [result], "PadOptions")
    else:
        constants = [values.integers(rows), values.like(outside, tensor)]
        values.file.operator("PADV2", [tensor, *constants], [result], "PadV2Options")


def _padded(
    values: Values, node: Node, window: Window, outside: float = 0.0, *, explicit: bool = False
) -> tuple[int, str]:
    """What the window slides over, and TFLite's padding there; `explicit` wants every pad to be a number."""
    tensor = values.read(node, node.inputs[0])
    if window.padding == "VALID" or (window.padding and not explicit):
        return tensor, window.padding
    return pad(values, tensor, window.pads, outside), "VALID"


def _window(node: Node, shape: Sequence[int], kernel: Sequence[int]) -> Window:
    sizes = shape[2:]
    strides = node.attributes.get("strides") or [1] * len(sizes)
    dilations = node.attributes.get("dilations") or [1] * len(sizes)
    least = [_same(*numbers) for numbers in zip(sizes, kernel, strides, dilations, strict=True)]
    before, behind = [total // 2 for total in least], [total - total // 2 for total in least]
    mode = node.attributes.get("auto_pad", b"NOTSET").decode()
    pads = {
        "SAME_UPPER": [*before, *behind],
        "SAME_LOWER": [*behind, *before],
        "VALID": [0] * 4,
    }.get(mode, list(node.attributes.get("pads") or [0] * 4))
    return Window(
        (int(kernel[0]), int(kernel[1])),
        (int(strides[0]), int(strides[1])),
        (int(dilations[0]), int(dilations[1])),
        (int(pads[0]), int(pads[1]), int(pads[2]), int(pads[3])),
        same=pads == [*before, *behind],
    )


def _same(size: int, kernel: int, stride: int, dilation: int) -> int:
    """Rows that SAME adds."""
    positions = -(-size // stride)
    return max((positions - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)


def _check_image(node: Node, shape: Sequence[int]) -> None:
    if len(shape) != 4:
        raise node.refused(f"only images (N, C, H, W) are known, not a value of shape {list(shape)}")


def _check_sizes(values: Values, node: Node, window: Window) -> None:
    """A last window that is only partly inside (ceil_mode) exists in no padding of TFLite."""
    shape, result = values.shape(node, node.inputs[0]), values.shape(node, node.outputs[0])
    for axis in (0, 1):
        inside = shape[2 + axis] + window.pads[axis] + window.pads[2 + axis] - window.kernel[axis]
        if result[2 + axis] != inside // window.strides[axis] + 1:
            raise node.refused("ceil_mode gives a window that is partly outside")
