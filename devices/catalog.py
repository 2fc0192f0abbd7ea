"""Devices by the names that people type: those that are always there, and those in a user's file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from devices.agent_device import GRAPH_TIMEOUT_S
from devices.connection import DeviceError
from devices.device import Device
from devices.links.catalog import link_kind, link_of
from devices.presets import PRESETS
from devices.registry import Registry, Spec
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings

Inputs: TypeAlias = Mapping[str, NDArray[Any]]


class NotConfigured(DeviceError):
    """A preset that still needs something from the user."""


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


def spec_named(name: str, registry: Registry = Registry()) -> Spec:
    """The device of this name: one that is always there, or a user's.

    Args:
        name: as typed.
        registry: the user's devices.

    Raises:
        KeyError: no such device; the message lists the known ones.
        NotConfigured: the preset needs something first; the message says what.
        RegistryError: the user's entry of it is wrong.
    """
    preset = PRESETS.get(name)
    if preset is not None and preset.is_local:
        return _ready(Spec(name, preset.link, name, preset.runtime, preset.provider))
    if name in registry.tables:
        return _ready(registry.spec(name))
    if preset is not None:
        raise NotConfigured(f"device {name} is not configured: {how_to_add(name)}")
    known = [*PRESETS, *(other for other in registry.names if other not in PRESETS)]
    raise KeyError(f"no device {name!r}; known devices: {', '.join(known)}")


def _ready(spec: Spec) -> Spec:
    """The same; NotConfigured where this computer lacks something for its preset."""
    preset = PRESETS.get(spec.preset or "")
    lacking = preset.lacks() if preset else ""
    if lacking:
        raise NotConfigured(f"device {spec.alias} is not ready: {lacking}")
    return spec


def how_to_add(preset: str) -> str:
    """What to type to have the device of a preset under its own name."""
    return f"type `{' '.join(['hwprofile devices add', preset, PRESETS[preset].example]).strip()}`"


def built(
    spec: Spec,
    settings: Settings,
    calibration: Inputs | None = None,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
) -> Device:
    """A described device with these settings.

    Args:
        spec: how to reach it.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8; random where absent.
        graph_timeout_s: how long loading or timing one graph may take.

    Raises:
        LookupError: its link is not known.
        ValueError: what its link is given cannot be used; the message begins with the key.
    """
    link = link_of(spec.link, spec.alias, spec.options)
    kind = link_kind(spec.link).device_class()
    device: Device = kind(spec.alias, link, settings, calibration or {}, graph_timeout_s)
    return device


def device(
    name: str,
    settings: Settings,
    calibration: Inputs | None = None,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
    registry: Registry = Registry(),
) -> Device:
    """The device of this name with these settings.

    Raises:
        KeyError: no such device; the message lists the known ones.
        NotConfigured: the preset needs something first; the message says what.
        RegistryError: the user's entry of it is wrong.
    """
    spec = spec_named(name, registry)
    try:
        return built(spec, settings, calibration, graph_timeout_s)
    except (LookupError, ValueError) as error:
        raise registry.wrong(name, error) from error
