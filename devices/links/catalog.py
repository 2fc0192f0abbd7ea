"""The links that exist, by the names that people type: a new one is one file and one row."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from devices.links.link import Link


@dataclass(frozen=True, slots=True)
class LinkKind:
    """A way to reach a target.

    Attributes:
        description: one line for people.
        link: `module:Class`; a frozen dataclass whose fields are what a user gives, `alias` first, if any.
            It raises ValueError for a bad one.
        device: `module:Class` of the device behind the link, built from alias, link, settings, calibration
            inputs and the time that a graph may take, in this order.
    """

    description: str
    link: str
    device: str = "devices.agent_device:AgentDevice"

    def link_class(self) -> type[Link]:
        """The class of the link.

        Raises:
            LookupError: this version of hwprofile lacks it.
        """
        return _class(self.link)

    def device_class(self) -> type[Any]:
        """The class of the device behind the link; LookupError where this version lacks it."""
        return _class(self.device)


LINKS: dict[str, LinkKind] = {
    "local": LinkKind("this computer", "devices.links.local:LocalLink"),
    "ssh": LinkKind("a computer or board over SSH", "devices.links.ssh:SshLink"),
    "adb": LinkKind("an Android phone with Termux, SSH over ADB", "devices.links.adb:AdbLink"),
    "adb-shell": LinkKind(
        "an Android phone as it is, a program pushed over ADB",
        "devices.links.adb:AdbShell",
        "devices.perf_test.device:PerfTestDevice",
    ),
}


@dataclass(frozen=True, slots=True)
class Field:
    """Something that a link can be given.

    Attributes:
        name: as in the file of devices.
        is_number: whether it is a whole number; else a text.
        is_needed: whether it has no default.
    """

    name: str
    is_number: bool
    is_needed: bool


def link_kind(name: str) -> LinkKind:
    """The link of this name.

    Raises:
        LookupError: there is none; the message lists those that there are.
    """
    if name not in LINKS:
        raise LookupError(f"no link {name!r}; known links: {', '.join(LINKS)}")
    return LINKS[name]


def link_fields(name: str) -> list[Field]:
    """What the link of this name can be given; LookupError where there is none."""
    kind = link_kind(name).link_class()
    if not is_dataclass(kind):
        return []
    return [
        Field(
            one.name,
            "int" in str(one.type),
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(kind)
        if one.init and one.name != "alias"
    ]


def link_of(name: str, alias: str, options: Mapping[str, str | int]) -> Link:
    """A link with what a user gave.

    Args:
        name: of the link.
        alias: of the device.
        options: values by field.

    Raises:
        LookupError: no such link.
        ValueError: a field is missing, unknown or unusable; the message begins with its name.
    """
    known = {one.name: one for one in link_fields(name)}
    for key, value in options.items():
        if key not in known:
            raise ValueError(f"{key} is nothing that link {name} has; it has {', '.join(known) or 'nothing'}")
        if known[key].is_number != (type(value) is int):
            raise ValueError(f"{key} is a {'number' if known[key].is_number else 'text'}, got {value!r}")
    missing = [one.name for one in known.values() if one.is_needed and one.name not in options]
    if missing:
        raise ValueError(f"{missing[0]} is missing: link {name} needs it")
    kind = link_kind(name).link_class()
    takes_alias = is_dataclass(kind) and any(one.name == "alias" for one in fields(kind))
    return kind(**({"alias": alias} if takes_alias else {}), **options)


def _class(place: str) -> type[Any]:
    try:
        found: type[Any] = pkgutil.resolve_name(place)
    except (ModuleNotFoundError, AttributeError) as error:
        raise LookupError(f"{place} is not part of this version of hwprofile ({error})") from error
    return found
