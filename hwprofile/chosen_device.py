"""The device that a person chose: a name, and what runs graphs there, and how."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.agent_device import GRAPH_TIMEOUT_S
from devices.catalog import settings_for
from devices.device import Device
from devices.presets import PRESETS, Preset
from devices.registry import Spec, check_alias
from devices.settings import Settings
from hwprofile import display, plugins
from hwprofile.device_check import Check
from hwprofile.doctor import Diagnosis, diagnose
from hwprofile.errors import UserError
from hwprofile.fleet.board import Wanted
from hwprofile.fleet.boards import Boards
from hwprofile.fleet.device import FleetDevice
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.known_devices import known_spec, user_registry, with_settings
from hwprofile.recording import PREFIX, replay_device
from hwprofile.subjects import standard_reference
from hwprofile.tables import device as tables
from hwprofile.tables.device import TableDevice


def chosen_device(
    name: str,
    *,
    runtime: str | None = None,
    provider: str | None = None,
    calibration_inputs: Path | None = None,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
    **settings: Any,
) -> Device:
    """The device of this name.

    Args:
        name: a known device; `replay:FILE`, whose settings are those of the recording; or `table:FILE`.
        runtime: what runs the graphs; None for the device's own.
        provider: how the runtime executes; None for the device's own, or else the runtime's first.
        calibration_inputs: an .npz of inputs by name that set the ranges of int8.
        graph_timeout_s: how long loading or timing one graph may take.
        settings: further `Settings`: threads, batch, precision, cache.

    Raises:
        UserError: no such device, runtime or precision, or an unusable file.
        DeviceUnreachable: the device's preset still needs something.
    """
    if name.startswith(PREFIX):
        return replay_device(Path(name.removeprefix(PREFIX)))
    if name.startswith(tables.PREFIX):
        return TableDevice.from_file(Path(name.removeprefix(tables.PREFIX)))
    inputs, spec = _calibration(calibration_inputs), known_spec(name)
    chosen = _settings(
        spec, runtime=runtime, provider=provider, calibration_inputs=calibration_inputs, **settings
    )
    return with_settings(spec, chosen, inputs, graph_timeout_s)


@contextmanager
def fleet_device(
    address: str,
    name: str,
    *,
    only: Sequence[str] = (),
    energy: bool = False,
    quiet: bool = False,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
    **how: Any,
) -> Iterator[FleetDevice]:
    """The boards of a fleet that offer a device, as long as the `with` lasts.

    Args:
        address: of the fleet's scheduler, such as `tcp://host:8786`.
        name: what boards offer as the resource `hwprofile-NAME`; it need not be known on this computer.
        only: names of the boards that may be used; empty for all.
        energy: whether their energy is read too.
        quiet: no notices.
        graph_timeout_s: how long loading or timing one graph may take.
        how: `runtime`, `provider`, `calibration_inputs` and settings as for `chosen_device`.

    Raises:
        UserError: no such runtime or precision, or an unusable file.
        DeviceUnreachable: no scheduler answers there.
    """
    try:
        check_alias(name)
    except ValueError as error:
        raise UserError(f"--fleet goes with boards that offer a device by its name: {error}") from error
    registry = user_registry()
    usual = registry.spec(name) if name in registry.tables else PRESETS.get(name)
    inputs = _calibration(how.get("calibration_inputs"))
    wanted = Wanted(name, _settings(usual, **how), inputs, graph_timeout_s)
    tell = display.notices(quiet=quiet)
    with Scheduler(address, tell) as scheduler:
        yield FleetDevice(Boards(scheduler, wanted, tell, energy, only))


def _settings(
    usual: Spec | Preset | None,
    *,
    runtime: str | None = None,
    provider: str | None = None,
    calibration_inputs: Path | None = None,
    **others: Any,
) -> Settings:
    """What was typed, else what is usual for the device; UserError where there is no such thing."""
    if usual is not None and runtime in (None, usual.runtime):
        runtime, provider = usual.runtime, provider or usual.provider
    if runtime is not None:
        plugins.need("hwprofile.runtimes", runtime)
    try:
        return settings_for(runtime, provider, calibration=_digest(calibration_inputs), **others)
    except (KeyError, ValueError) as error:
        raise UserError(str(error.args[0])) from error


def _calibration(path: Path | None) -> dict[str, NDArray[Any]]:
    if path is None:
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no usable .npz of inputs by name: {error}") from error


def _digest(path: Path | None) -> str:
    return "random" if path is None else hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def examine(device: Device, *, quiet: bool) -> Diagnosis:
    """What on a device will disturb a measurement.

    Raises:
        DeviceUnreachable: the device's agent cannot be started.
    """
    with display.progress("doctor", quiet=quiet) as progress:
        return diagnose(device, standard_reference(), progress)


def device_check(name: str, runtime: str | None, provider: str | None) -> Check:
    """The walk that tries a device step by step.

    Raises:
        UserError: no such device, runtime or provider.
        DeviceUnreachable: the device's preset still needs something.
    """
    device = chosen_device(name, runtime=runtime, provider=provider)
    preset = None if name.startswith(PREFIX) else known_spec(name).preset
    return Check(device, preset, standard_reference())
