"""The devices of a user: found by name, added to their file and removed from it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from devices.agent_device import AgentDevice
from devices.catalog import NotConfigured, built, settings_for, spec_named
from devices.device import Device
from devices.engine_store import EngineStore
from devices.links.catalog import Value, link_fields, link_of
from devices.presets import PRESETS, Preset
from devices.registry import Registry, RegistryError, Spec, alone, check_alias
from devices.runtimes.runtime import Unsupported
from devices.settings import Settings
from hwprofile import places, plugins
from hwprofile.errors import BadInput, DeviceUnreachable, UserError


def user_registry() -> Registry:
    """The user's file of devices; UserError where it cannot be used."""
    try:
        return Registry.load(places.devices_path())
    except RegistryError as error:
        raise UserError(str(error)) from error


def known_spec(name: str) -> Spec:
    """The device of this name, its link loaded.

    Raises:
        UserError: no such device, or its entry cannot be used.
        DeviceUnreachable: its preset still needs something.
    """
    # those that are always there are found without the file, be it as broken as it may
    is_local = name in PRESETS and PRESETS[name].is_local
    registry = Registry() if is_local else user_registry()
    if name not in registry.tables:
        plugins.need("hwprofile.presets", name)
    try:
        spec = spec_named(name, registry)
    except KeyError as error:
        more = plugins.names("hwprofile.presets")
        raise UserError(", ".join([str(error.args[0]), *more])) from error
    except RegistryError as error:
        raise UserError(str(error)) from error
    except NotConfigured as error:
        raise DeviceUnreachable(str(error)) from error
    plugins.need("hwprofile.links", spec.link)
    return spec


def with_settings(
    spec: Spec, settings: Settings, calibration: Mapping[str, NDArray[Any]], graph_timeout_s: float
) -> Device:
    """A described device with these settings; what its runtime builds is kept for the next time.

    Args:
        spec: how to reach it.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8.
        graph_timeout_s: how long loading or timing one graph may take.

    Raises:
        UserError: its entry cannot be used, or it cannot run graphs so.
    """
    try:
        found = built(spec, settings, calibration, graph_timeout_s)
    except Unsupported as error:
        raise UserError(f"device {spec.alias}: {error}") from error
    except (LookupError, ValueError) as error:
        raise UserError(str(user_registry().wrong(spec.alias, error))) from error
    if isinstance(found, AgentDevice):
        return replace(found, store=EngineStore(places.engines_folder()))
    return found


@dataclass(frozen=True, slots=True)
class Addition:
    """What a user types to add a device; None for what was not typed.

    Attributes:
        alias: its name.
        preset: what to make it from; a preset's own name stands for itself.
        link: how to reach it.
        runtime: what runs graphs there unless told otherwise.
        provider: how it executes unless told otherwise.
        options: what the link is given; texts that stand for numbers are read.
    """

    alias: str
    preset: str | None = None
    link: str | None = None
    runtime: str | None = None
    provider: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict)

    def spec(self) -> Spec:
        """The device, checked as far as that can be done from here.

        Raises:
            BadInput: something is missing or unknown; the message says what to type.
        """
        try:
            check_alias(self.alias)
            preset = self._preset()
            link = (
                self.link or (preset.link if preset else None) or ("ssh" if "host" in self.options else None)
            )
            if link is None:
                raise ValueError("how is it reached? Give --preset, --link, or --host HOST for ssh")
            plugins.need("hwprofile.links", link)
            options = _read(link, self.options, self.alias)
            link_of(link, self.alias, options)
            self._check_runtime()
            runtime, provider = self.runtime, self.provider
            if preset and runtime in (None, preset.runtime):
                runtime, provider = preset.runtime, provider or preset.provider
            return Spec(self.alias, link, self._preset_name(), runtime, provider, options)
        except (LookupError, ValueError) as error:
            raise BadInput(str(error.args[0])) from error

    def _preset_name(self) -> str | None:
        return self.preset or (self.alias if self.alias in PRESETS else None)

    def _preset(self) -> Preset | None:
        if self.preset is None:
            plugins.need("hwprofile.presets", self.alias)
        else:
            plugins.need("hwprofile.presets", self.preset)
        if self.alias in PRESETS and PRESETS[self.alias].is_local:
            raise ValueError(
                f"{self.alias} is always there, as it is; give another name: "
                f"`hwprofile devices add NAME --preset {self.alias}`"
            )
        name = self._preset_name()
        if name is not None and name not in PRESETS:
            raise LookupError(f"no preset {name!r}; known presets: {', '.join(PRESETS)}")
        return PRESETS[name] if name else None

    def _check_runtime(self) -> None:
        """Raise LookupError or ValueError for a runtime or provider that was typed and is unknown."""
        if self.runtime is not None:
            plugins.need("hwprofile.runtimes", self.runtime)
            settings_for(self.runtime, self.provider)


def _read(link: str, options: Mapping[str, Value], alias: str) -> dict[str, Value]:
    """Options with their numbers and lists read, and the needed ones there; ValueError otherwise."""
    known = {one.name: one for one in link_fields(link)}
    for one in known.values():
        if one.is_needed and one.name not in options:
            raise ValueError(
                f"--{one.name} is missing: link {link} needs it; "
                f"type `hwprofile devices add {alias} ... --{one.name} {one.name.upper()}`"
            )
    host = options.get("host")
    if isinstance(host, str) and "@" in host and "user" not in options:
        user, _, bare = host.rpartition("@")
        raise ValueError(f"user and host are given apart: --host {bare} --user {user}")
    read: dict[str, Value] = {}
    for key, value in options.items():
        read[key] = known[key].read(value) if isinstance(value, str) and key in known else value
    return read


def add(spec: Spec, *, replace: bool) -> Path:
    """Write a device into the user's file, and give the file.

    Raises:
        UserError: there is one of this name and it shall not be replaced, or the file cannot be used.
    """

    def added(registry: Registry) -> Registry:
        if spec.alias in registry.tables and not replace:
            raise UserError(
                f"there is a device {spec.alias}: overwrite it with --replace, or choose another name"
            )
        return registry.adding(spec)

    return _changed(added)


def remove(alias: str) -> list[Path]:
    """Take a device out of the user's file, and give its profiles, which stay.

    Raises:
        UserError: there is none of this name, or the file cannot be used.
    """

    def removed(registry: Registry) -> Registry:
        if alias not in registry.tables:
            why = (
                "it is always there" if alias in PRESETS and PRESETS[alias].is_local else "it was never added"
            )
            known = f"; added are: {', '.join(registry.names)}" if registry.names else ""
            raise UserError(f"there is no device {alias!r:.80} to remove: {why}{known}")
        return registry.without(alias)

    _changed(removed)
    return profiles_of(alias)


def _changed(change: Callable[[Registry], Registry]) -> Path:
    """Change the user's file and give it."""
    path = places.devices_path()
    try:
        with alone(path):
            change(user_registry()).save(path)
    except RegistryError as error:
        raise UserError(str(error)) from error
    return path


def profiles_of(alias: str) -> list[Path]:
    """The profiles that were measured on a device under this name."""
    from hwprofile.profile_lines import ProfileError, read_header, read_lines

    found = []
    for path in places.profiles_of(alias):
        with contextlib.suppress(ProfileError, StopIteration):  # what is no profile is nobody's
            if read_header(path, next(read_lines(path))).device == alias:
                found.append(path)
    return found
