"""The devices that exist from the start, by the names that people type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from devices.agent_device import AgentDevice
from devices.connection import DeviceError
from devices.device import Device
from devices.link import LocalLink
from devices.settings import Settings


class NotConfigured(DeviceError):
    """A preset that still needs something from the user."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named device.

    Attributes:
        description: one line for people.
        build: makes the device; None while the preset cannot be reached.
        needs: what is missing and what to do instead; empty when nothing is.
    """

    description: str
    build: Callable[[Settings], Device] | None
    needs: str = ""


def _cpu(settings: Settings) -> Device:
    return AgentDevice("cpu", LocalLink(), settings)


_ON_BOARD = (
    "remote links are not part of this version: install hwprofile on the {board} itself and run there "
    "`hwprofile bench --device cpu`; the profile it writes can be used on any computer with --profile FILE"
)

PRESETS: dict[str, Preset] = {
    "cpu": Preset("this computer's processor, ONNX Runtime", _cpu),
    "gpu": Preset(
        "this computer's NVIDIA GPU, TensorRT",
        None,
        "TensorRT is not part of this version; `hwprofile bench --device cpu` measures the processor",
    ),
    "jetson": Preset("NVIDIA Jetson over SSH", None, _ON_BOARD.format(board="Jetson")),
    "phone": Preset("Android phone over ADB", None, _ON_BOARD.format(board="phone (Termux)")),
    "pi": Preset("Raspberry Pi over SSH", None, _ON_BOARD.format(board="Pi")),
}


def device(name: str, settings: Settings) -> Device:
    """The device of this name with these settings.

    Raises:
        KeyError: no such device; the message lists the known ones.
        NotConfigured: the preset needs something first; the message says what.
    """
    if name not in PRESETS:
        raise KeyError(f"no device {name!r}; known devices: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if preset.build is None:
        raise NotConfigured(f"device {name} is not configured: {preset.needs}")
    return preset.build(settings)
