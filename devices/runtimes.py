"""Host halves of the runtimes: turn ONNX bytes into what the target loads.

The other half of each runtime runs in the agent (`devices/agent/main.py: RUNTIMES`).
"""

from __future__ import annotations

from typing import Protocol


class Runtime(Protocol):
    """Prepares graphs on the host for the runtime of the same name on the target."""

    name: str

    def prepare(self, onnx: bytes) -> bytes:
        """The artefact that the target's half loads."""
        ...


class OnnxRuntime:
    """ONNX Runtime loads ONNX as it is."""

    name = "onnxruntime"

    def prepare(self, onnx: bytes) -> bytes:
        """The same bytes."""
        return onnx
