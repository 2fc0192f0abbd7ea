"""The runtimes that exist, by the names that people type: a new one is one file and one row."""

from __future__ import annotations

from devices.runtimes.litert import LiteRt
from devices.runtimes.onnxruntime import OnnxRuntime
from devices.runtimes.pytorch import PyTorch
from devices.runtimes.runtime import Runtime
from devices.runtimes.tensorrt import TensorRt

RUNTIMES: dict[str, Runtime] = {
    runtime.name: runtime for runtime in (OnnxRuntime(), LiteRt(), PyTorch(), TensorRt())
}
