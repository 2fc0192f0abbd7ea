"""PyTorch loads a list of calls and the arrays that they need; torch itself is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from devices.runtimes.runtime import Runtime, Unsupported


class PyTorch(Runtime):
    """PyTorch on the processor: the calls one by one or compiled, in either memory format."""

    name = "pytorch"
    description = "PyTorch, eager or torch.compile, contiguous or channels_last"
    requirement = "torch"
    providers = ("eager", "compile", "channels_last", "compile+channels_last")
    in_caller = providers
    precisions = ("fp32",)
    profiles_nodes = False

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, NDArray[Any]]) -> bytes:
        """The graph as calls of PyTorch's functions (`torch_calls/writer.py`)."""
        from devices.runtimes.hard_swish import with_hard_swish
        from devices.runtimes.torch_calls.writer import torch_calls_from_onnx

        if precision not in self.precisions:
            raise Unsupported(f"precision {precision}; possible: {', '.join(self.precisions)}")
        return torch_calls_from_onnx(with_hard_swish(onnx))
