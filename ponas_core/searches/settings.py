"""The settings of searches as people type them: fields of a dataclass, typed by its annotations."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Method = TypeVar("Method")

_BOOLS = {"true": True, "false": False}


class SettingError(ValueError):
    """A search has no such setting, or it cannot have that value; the message lists the settings."""


def with_settings(name: str, method: type[Method], settings: Mapping[str, str]) -> Method:
    """A method with settings given as texts, the others at their defaults.

    Args:
        name: of the method, for messages.
        method: a dataclass whose fields all have defaults.
        settings: its fields: numbers, words, `true`, `false`, `none`.

    Raises:
        SettingError: an unknown setting, or a value that it cannot have.
    """
    known = dict(_settable(method))
    values = {}
    for setting, text in settings.items():
        if setting not in known:
            raise SettingError(f"{name} has no setting {setting!r}; {_listed(method)}")
        try:
            values[setting] = _read(known[setting], text.strip())
        except ValueError as error:
            raise SettingError(f"{name}: {setting} is {error}, not {text!r}; {_listed(method)}") from error
    try:
        return method(**values)
    except ValueError as error:
        raise SettingError(f"{name}: {error}; {_listed(method)}") from error


def settings_of(search: Any) -> dict[str, Any]:
    """All settings of a search with their values."""
    return {name: getattr(search, name) for name, _ in _settable(type(search))}


def _settable(method: Any) -> Iterator[tuple[str, Any]]:
    """Name and type of every field that a text can tell; code, such as a function to call, is none."""
    hints = get_type_hints(method)
    for field in dataclasses.fields(method):
        if field.init and not field.name.startswith("_") and _words(hints[field.name]):
            yield field.name, hints[field.name]


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """What a value may be: the members of a union, else the type itself; the strictest first."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return tuple(sorted(members, key=lambda member: (member is str, member is float)))


def _words(hint: Any) -> str:
    """What a value may be, for people; empty where a text cannot say it."""
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    found = []
    for member in _alternatives(hint):
        if get_origin(member) is Literal:
            found.append(" or ".join(map(str, get_args(member))))
        elif member is type(None):
            found.append("none")
        elif member in names:
            found.append(names[member])
        else:
            return ""
    return " or ".join(found)


def _read(hint: Any, text: str) -> Any:
    for member in _alternatives(hint):
        try:
            return _read_as(member, text)
        except ValueError:
            continue
    raise ValueError(_words(hint))


def _read_as(member: Any, text: str) -> Any:
    """A text as a value of one type; ValueError where it is none."""
    if member in (int, float, str):
        value = member(text)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(text)
        return value
    if get_origin(member) is Literal:
        words = {str(value): value for value in get_args(member)}
    else:
        text, words = text.lower(), _BOOLS if member is bool else {"none": None}
    if text not in words:
        raise ValueError(text)
    return words[text]


def _listed(method: type[Any]) -> str:
    """The settings of a method with their defaults, for people."""
    found = [
        f"{setting}={str(default).lower() if default is None or isinstance(default, bool) else default}"
        for setting, default in settings_of(method()).items()
    ]
    return f"its settings are {', '.join(found)}" if found else "it has no settings"
