"""Editing the text of a user's devices so that what a person wrote around the entries stays where it was."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

_SECTION = re.compile(r"(?m)^(?=[ \t]*\[)")


class CannotEdit(ValueError):
    """The text is of a form that is not understood well enough to be changed."""


def edited(old: str, tables: Mapping[str, Any]) -> str:
    """The text with these entries in place of those that it had.

    Args:
        old: TOML with entries as `[devices.NAME]`.
        tables: entries by name.

    Raises:
        CannotEdit: no text that says this could be made.
    """
    for edit in (_in_sections, _as_document):
        try:
            text = edit(old, tables)
            if tomllib.loads(text).get("devices", {}) == tables:
                return text
        except (TOMLKitError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue  # the next way, or none
    raise CannotEdit("its form is not understood")


def _in_sections(old: str, tables: Mapping[str, Any]) -> str:
    """Each entry by itself: comments behind it belong to what follows, or to nobody."""
    head, *sections = _SECTION.split(old)
    parts, missing = [head], dict(tables)
    for section in sections:
        tail_at = _tail_at(section)
        body, tail = section[:tail_at], section[tail_at:]
        alias, table = _entry(body)
        if alias is None:
            parts.append(body)
        elif alias in tables:
            parts.append(_changed(body, alias, table, missing.pop(alias)))
        parts.append(tail)
    text = "".join(parts)
    for alias, table in missing.items():
        text = f"{text.rstrip()}\n\n{_written(alias, table)}".lstrip()
    return text


def _tail_at(section: str) -> int:
    """Where the blank and comment lines begin that end a section."""
    at = len(section)
    for line in reversed(section.splitlines(keepends=True)):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        at -= len(line)
    return at


def _entry(body: str) -> tuple[str | None, Any]:
    """Name and content of an entry; no name for a section that is something else."""
    found = tomllib.loads(body)
    devices = found.get("devices")
    if len(found) == 1 and isinstance(devices, dict) and len(devices) == 1:
        return next(iter(devices.items()))
    return None, None


def _changed(body: str, alias: str, old: Any, new: Any) -> str:
    if old == new:
        return body
    document = tomlkit.parse(body)
    _change(document["devices"][alias], new)
    text = tomlkit.dumps(document)
    return text if text.endswith("\n") else text + "\n"


def _change(entry: Any, new: Mapping[str, Any]) -> None:
    """Set what differs, so that comments beside the rest stay."""
    for key in set(entry) - set(new):
        del entry[key]
    for key, value in new.items():
        if entry.get(key) != value:
            entry[key] = value


def _written(alias: str, table: Any) -> str:
    devices = tomlkit.table(is_super_table=True)
    devices[alias] = table
    return tomlkit.dumps({"devices": devices})


def _as_document(old: str, tables: Mapping[str, Any]) -> str:
    """All entries at once, whatever form they are written in."""
    document = tomlkit.parse(old)
    entries: Any = document.setdefault("devices", tomlkit.table(is_super_table=True))
    for alias in set(entries) - set(tables):
        del entries[alias]
    for alias, table in tables.items():
        if alias in entries and isinstance(table, dict) and isinstance(entries[alias], dict):
            _change(entries[alias], table)
        elif entries.get(alias) != table:
            entries[alias] = table
    return tomlkit.dumps(document)
