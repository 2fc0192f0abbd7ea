"""The links that exist, by the names that people type: a new one is one file and one row."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeAlias

Value: TypeAlias = str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinkKind:
    """A way to reach a target.

    Attributes:
        description: one line for people.
        link: `module:Class` of a `Link`, or of what the device takes in place of one: a frozen dataclass
            whose fields are what a user gives, after `alias`, if it has that. ValueError for bad ones.
        device: `module:Class` of the device behind the link, built from alias, link, settings, calibration
            inputs and the time that a graph may take, in this order.
    """

    description: str
    link: str
    device: str = "devices.agent_device:AgentDevice"

    def link_class(self) -> type[Any]:
        """The class of the link.

        Raises:
            LookupError: this version of hwprofile lacks it.
        """
        return _class(self.link, "the link")

    def device_class(self) -> type[Any]:
        """The class of the device behind the link; LookupError where this version lacks it."""
        return _class(self.device, "the device")


LINKS: dict[str, LinkKind] = {
    "local": LinkKind("this computer", "devices.links.local:LocalLink"),
    "ssh": LinkKind("a computer or board over SSH", "devices.links.ssh:SshLink"),
    "adb": LinkKind("an Android phone with Termux, SSH over ADB", "devices.links.adb:AdbLink"),
    "adb-shell": LinkKind(
        "an Android phone as it is, a program pushed over ADB",
        "devices.perf_test.adb_shell:AdbShell",
        "devices.perf_test.device:PerfTestDevice",
    ),
}


@dataclass(frozen=True, slots=True)
class Field:
    """Something that a link can be given.

    Attributes:
        name: as in the file of devices.
        kind: `number` (a whole one), `list` (of texts), `path` or `text`.
        is_needed: whether it has no default.
    """

    name: str
    kind: str
    is_needed: bool

    def given(self, value: Value) -> object:
        """What the link takes for a value in the file; ValueError for one of another kind."""
        kinds = {"number": int, "list": tuple}
        if type(value) is not kinds.get(self.kind, str):
            raise ValueError(f"{self.name} is a {self.kind}, got {value!r:.80}")
        return Path(str(value)).expanduser() if self.kind == "path" else value

    def read(self, text: str) -> Value:
        """What a user's text stands for: a number, a list with commas, a path from here, or itself."""
        if self.kind == "path":
            return str(Path(text).expanduser().absolute())
        if self.kind == "number" and text.isascii() and text.removeprefix("-").isdigit():
            return int(text)
        return tuple(text.split(",")) if self.kind == "list" else text


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
        Field(one.name, _kind(str(one.type)), one.default is MISSING and one.default_factory is MISSING)
        for one in fields(kind)
        if one.init and one.name != "alias"
    ]


def _kind(annotation: str) -> str:
    words = {"tuple": "list", "int": "number", "Path": "path"}
    return next((kind for word, kind in words.items() if word in annotation), "text")


def link_of(name: str, alias: str, options: Mapping[str, Value]) -> Any:
    """A link, or what a device takes in place of one, with what a user gave.

    Args:
        name: of the link.
        alias: of the device.
        options: values by field.

    Raises:
        LookupError: no such link.
        ValueError: a field is missing, unknown or unusable; the message begins with its name.
    """
    known = {one.name: one for one in link_fields(name)}
    for key in options:
        if key not in known:
            raise ValueError(f"{key} is nothing that link {name} has; it has {', '.join(known) or 'nothing'}")
    missing = [one.name for one in known.values() if one.is_needed and one.name not in options]
    if missing:
        raise ValueError(f"{missing[0]} is missing: link {name} needs it")
    kind = link_kind(name).link_class()
    takes_alias = is_dataclass(kind) and any(one.name == "alias" for one in fields(kind))
    given = {key: known[key].given(value) for key, value in options.items()}
    try:
        return kind(**({"alias": alias} if takes_alias else {}), **given)
    except TypeError as error:  # another package's, or one of another version
        raise ValueError(f"its link {name} cannot be made: {error}") from error


def _class(place: str, what: str) -> type[Any]:
    try:
        found: type[Any] = pkgutil.resolve_name(place)
    except (ModuleNotFoundError, AttributeError) as error:
        raise LookupError(f"{what} {place} is not part of this installation ({error})") from error
    return found
