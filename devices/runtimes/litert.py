"""LiteRT (TensorFlow Lite) runs .tflite files: ONNX is rewritten, layout and arithmetic included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from devices.runtimes.runtime import Runtime


class LiteRt(Runtime):
    """LiteRT on the processor: its XNNPACK delegate, or the kernels that it brings itself (`builtin`)."""

    name = "litert"
    description = "LiteRT (TensorFlow Lite), with XNNPACK or its own kernels"
    requirement = "ai-edge-litert"
    providers = ("XNNPACK", "builtin")
    in_caller = providers
    precisions = ("fp32", "int8")
    profiles_nodes = False

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """A .tflite file; tensors of rank 4 are (N, H, W, C) in it, inputs and outputs too, always float32.

        Those of rank 5, images with their channels in groups, are (N, H, W, G, C).

        An int8 file computes in int8 between a QUANTIZE at the input and a DEQUANTIZE at the output, as ONNX
        Runtime's quantised graph does: the two stay comparable, and neither border needs its scale told.
        """
        from devices.runtimes.hard_swish import with_hard_swish
        from devices.runtimes.quantization import quantized
        from devices.runtimes.tflite.writer import tflite_from_onnx

        onnx = with_hard_swish(onnx)
        return tflite_from_onnx(quantized(onnx, calibration) if precision == "int8" else onnx)
