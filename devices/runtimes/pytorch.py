"""PyTorch loads a list of calls and the arrays that they need; torch itself is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from devices.agent.pytorch_providers import WAYS, Way
from devices.runtimes.runtime import Runtime, Unsupported


class PyTorch(Runtime):
    """PyTorch on the processor or a GPU: calls one by one, compiled or captured, in either memory format."""

    name = "pytorch"
    description = (
        "PyTorch, eager or torch.compile, contiguous or channels_last; on NVIDIA GPUs also as a CUDA graph"
    )
    requirement = "torch"
    providers = tuple(WAYS)
    in_caller = tuple(name for name, way in WAYS.items() if not way.cuda)
    precisions = ("fp32",)
    profiles_nodes = False

    @property
    def providers_in_words(self) -> str:
        """The parts, and how they are joined."""
        return "eager, or [cuda+][compile+][graph+]channels_last with any part left away"

    def on_gpu(self, provider: str) -> bool:
        """Whether a provider computes on a GPU."""
        return WAYS.get(provider, Way()).cuda

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """The graph as calls of PyTorch's functions (`torch_calls/writer.py`)."""
        from devices.runtimes.hard_swish import with_hard_swish
        from devices.runtimes.torch_calls.writer import torch_calls_from_onnx

        if precision not in self.precisions:
            raise Unsupported(f"precision {precision}; possible: {', '.join(self.precisions)}")
        return torch_calls_from_onnx(with_hard_swish(onnx))
