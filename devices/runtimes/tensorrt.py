"""TensorRT takes ONNX; fp16 and int8 are written into the graph, the same for every version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from devices.runtimes.runtime import Runtime, Unsupported


class TensorRt(Runtime):
    """TensorRT on an NVIDIA GPU: an inference as one CUDA graph, or enqueued kernel by kernel."""

    name = "tensorrt"
    description = "TensorRT on an NVIDIA GPU, as a CUDA graph or enqueued in a stream"
    requirement = "tensorrt"
    providers = ("graph", "stream")
    in_caller = ()
    precisions = ("fp32", "fp16", "int8")
    profiles_nodes = True
    builds_for_graph = ("engine",)
    builds_for_target = ("timing_cache",)

    def on_gpu(self, provider: str) -> bool:
        """Always."""
        return True

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """The same bytes, or the graph in other types.

        fp16: every weight and activation float16, inputs and outputs float32 behind casts. int8: quantised
        symmetrically (QDQ), what is not quantised stays fp32.
        """
        if precision == "fp16":
            from devices.runtimes.half_precision import halved

            return halved(onnx)
        if precision == "int8":
            from devices.runtimes.quantization import quantized

            return quantized(onnx, calibration, for_tensorrt=True)
        if precision not in self.precisions:
            raise Unsupported(f"precision {precision}; possible: {', '.join(self.precisions)}")
        return onnx
