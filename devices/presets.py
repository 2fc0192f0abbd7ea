"""Kinds of devices that hwprofile knows: how such a one is reached, and what runs graphs there."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


def nothing() -> str:
    """Nothing is missing."""
    return ""


@dataclass(frozen=True, slots=True)
class Preset:
    """A kind of device. One whose link is `local` is there without being added.

    Attributes:
        description: one line for people.
        link: how it is reached, by name.
        runtime: what runs graphs there.
        provider: how it executes; None for the runtime's first.
        example: what a user types after `hwprofile devices add NAME`.
        install: by runtime, what to do on the device where the runtime is missing.
        lacks: what this computer lacks for it and what to do; empty for nothing. Asked when it is used.
    """

    description: str
    link: str
    runtime: str
    provider: str | None = None
    example: str = ""
    install: Mapping[str, str] = field(default_factory=dict)
    lacks: Callable[[], str] = nothing

    @property
    def is_local(self) -> bool:
        """Whether it is this computer, and needs nothing from its user."""
        return self.link == "local"


def _lacks_nvidia() -> str:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (
            "this computer has no NVIDIA driver (libcuda.so.1 cannot be loaded): install it, or reach a "
            "computer that has one with `hwprofile devices add NAME --host HOST --runtime tensorrt`"
        )
    return ""


_JETPACK = (
    "JetPack brings TensorRT for the system's Python: on the board `sudo apt install nvidia-jetpack`, "
    "and `--python /usr/bin/python3`"
)
_VENV = (
    "on the board: `python3 -m venv ~/hwprofile && ~/hwprofile/bin/pip install {package}`, and "
    "`--python /home/USER/hwprofile/bin/python`"
)

PRESETS: dict[str, Preset] = {
    "cpu": Preset("this computer's processor, ONNX Runtime", "local", "onnxruntime"),
    "gpu": Preset("this computer's NVIDIA GPU, TensorRT", "local", "tensorrt", lacks=_lacks_nvidia),
    "jetson": Preset(
        "NVIDIA Jetson over SSH, TensorRT",
        "ssh",
        "tensorrt",
        example="--host HOST",
        install={"tensorrt": _JETPACK, "onnxruntime": _VENV.format(package="onnxruntime")},
    ),
    "phone": Preset("Android phone with Termux over ADB, ONNX Runtime", "adb", "onnxruntime"),
    "pi": Preset(
        "Raspberry Pi over SSH, ONNX Runtime",
        "ssh",
        "onnxruntime",
        example="--host HOST",
        install={
            "onnxruntime": _VENV.format(package="onnxruntime"),
            "litert": _VENV.format(package="ai-edge-litert"),
        },
    ),
}
"""A new kind is one row."""
