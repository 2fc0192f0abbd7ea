"""The devices that exist from the start, by the names that people type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from devices.agent_device import GRAPH_TIMEOUT_S, AgentDevice
from devices.connection import DeviceError
from devices.device import Device
from devices.links.local import LocalLink
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings

Inputs: TypeAlias = Mapping[str, NDArray[Any]]


class NotConfigured(DeviceError):
    """A preset that still needs something from the user."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named device.

    Attributes:
        description: one line for people.
        build: makes the device from settings, calibration inputs and the time a graph may take; None while
            the preset cannot be reached.
        needs: what is missing and what to do instead; empty when nothing is.
    """

    description: str
    build: Callable[[Settings, Inputs, float], Device] | None
    needs: str = ""


def _cpu(settings: Settings, calibration: Inputs, graph_timeout_s: float) -> Device:
    return AgentDevice("cpu", LocalLink(), settings, calibration, graph_timeout_s)


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


def settings_for(
    runtime: str | None = None, provider: str | None = None, precision: str = "fp32", **others: Any
) -> Settings:
    """Settings of a runtime.

    Args:
        runtime: None for ONNX Runtime.
        provider: None for the runtime's first.
        precision: arithmetic.
        others: further fields of `Settings`.

    Raises:
        KeyError: no such runtime; the message lists the known ones.
        ValueError: the runtime has no such precision or provider, or another setting cannot be measured.
    """
    name = runtime or Settings().runtime
    if name not in RUNTIMES:
        raise KeyError(f"no runtime {name!r}; known runtimes: {', '.join(RUNTIMES)}")
    known = RUNTIMES[name]
    if precision not in known.precisions:
        raise ValueError(f"{name} computes in {', '.join(known.precisions)}, not in {precision}")
    if provider is not None:
        known.check_provider(provider)
    return Settings(runtime=name, provider=provider or known.providers[0], precision=precision, **others)


def device(
    name: str,
    settings: Settings,
    calibration: Inputs | None = None,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
) -> Device:
    """The device of this name with these settings.

    Args:
        name: as typed.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8; random where absent.
        graph_timeout_s: how long loading or timing one graph may take.

    Raises:
        KeyError: no such device; the message lists the known ones.
        NotConfigured: the preset needs something first; the message says what.
    """
    if name not in PRESETS:
        raise KeyError(f"no device {name!r}; known devices: {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if preset.build is None:
        raise NotConfigured(f"device {name} is not configured: {preset.needs}")
    return preset.build(settings, calibration or {}, graph_timeout_s)
