"""ONNX Runtime loads ONNX as it is; int8 is written into the graph beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from devices.agent.onnxruntime_providers import ON_GPU, parsed
from devices.runtimes.runtime import Runtime


class OnnxRuntime(Runtime):
    """ONNX Runtime, with the execution providers that its build has."""

    name = "onnxruntime"
    description = "ONNX Runtime, any execution provider of the installed build"
    requirement = "onnxruntime"
    providers = ("CPUExecutionProvider",)
    may_have_more_providers = True
    in_caller = providers
    precisions = ("fp32", "int8")
    profiles_nodes = True

    def on_gpu(self, provider: str) -> bool:
        """Whether a provider computes on a GPU."""
        return provider.partition("+")[0] in ON_GPU

    def check_provider(self, provider: str) -> None:
        """Raise ValueError for a suffix that means nothing; a target says itself which providers it has."""
        parsed(provider)

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """The same bytes, or the quantised graph."""
        if precision == "fp32":
            return onnx
        from devices.runtimes.quantization import quantized

        return quantized(onnx, calibration)
