"""Any `torch.nn.Module`, `timm`'s among them: exported to ONNX and predicted, in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwprofile.torch_export import onnx_of

if TYPE_CHECKING:
    import torch

    from predictors.kernel_networks import KernelNetworks, NetworkLatency


@dataclass(frozen=True)
class ModuleLatency:
    """Latencies of torch modules from a profile of kernels.

    Attributes:
        model: the calibrated sum over fused kernels, as of `hwprofile predict --onnx`.
    """

    model: KernelNetworks

    @classmethod
    def from_profile(cls, path: Path) -> ModuleLatency:
        """Learn from a profile of kernels; UserError where it holds none."""
        from hwprofile.onnx_prediction import model_of
        from hwprofile.profile import Profile

        return cls(model_of(Profile.load(path)))

    def predict(self, module: torch.nn.Module, example_inputs: Sequence[Any]) -> NetworkLatency:
        """Predicted latency, milliseconds, with its 95 % interval and what it rests on.

        Raises:
            UserError: the module cannot be exported, or its graph cannot be read.
        """
        import onnx

        from hwprofile.onnx_prediction import decomposed

        graph = onnx.load_from_string(onnx_of(module, example_inputs))
        return self.model.predict([decomposed(graph, type(module).__name__)])[0]
