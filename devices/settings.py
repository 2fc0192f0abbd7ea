"""What a user may choose about a measurement, and what therefore decides whether two of them compare."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

PRECISIONS = ("fp32", "fp16", "int8")
CACHES = ("warm", "cold")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a runtime; all of them are part of a profile's identity.

    Attributes:
        threads: threads of one inference.
        batch: inputs of one inference.
        precision: arithmetic; the graphs are fp32, fp16 is rounded and int8 quantised from them.
        runtime: what runs the graphs.
        provider: the runtime's way to execute: an execution provider of ONNX Runtime, a mode of PyTorch, ...
        cache: state of the caches; `warm`: the same graph ran just before; `cold`: other data was.
        calibration: what the ranges of int8 were set on: `random`, or a digest of the given inputs.
    """

    threads: int = 1
    batch: int = 1
    precision: str = "fp32"
    runtime: str = "onnxruntime"
    provider: str = "CPUExecutionProvider"
    cache: str = "warm"
    calibration: str = "random"

    def __post_init__(self) -> None:
        """Raise ValueError for anything that cannot be measured."""
        if self.threads < 1 or self.batch < 1:
            raise ValueError(f"threads and batch are at least 1, got {self.threads} and {self.batch}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        if self.cache not in CACHES:
            raise ValueError(f"cache {self.cache!r}; known: {', '.join(CACHES)}")

    @property
    def digest(self) -> str:
        """Eight letters that stand for these settings in a file's name."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]
