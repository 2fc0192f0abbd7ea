"""The file of a user's devices: which there are, how each is reached, and what runs graphs there.

    schema_version = 1

    [devices.kitchen]
    preset = "pi"
    link = "ssh"
    host = "192.168.1.20"
    runtime = "onnxruntime"

An entry that is wrong is an error when that device is used; the others can still be.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.links.catalog import Value

SCHEMA_VERSION = 1
LARGEST_FILE_BYTES = 256 * 1024
LONGEST_ALIAS = 64
LONGEST_TEXT = 1000
LONGEST_LIST = 100
LARGEST_NUMBER = 2**31 - 1

ALIAS = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")
_KEY = re.compile(r"[a-z][a-z0-9_]*")
_WORD = re.compile(r"[A-Za-z0-9_.+:-]+")
_OWN_KEYS = ("preset", "link", "runtime", "provider")


class RegistryError(Exception):
    """The file of devices, or an entry of it, cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A device as a user describes it.

    Attributes:
        alias: its name; stands in names of profiles.
        link: how to reach it, by name.
        preset: what it was made from; None for nothing.
        runtime: what runs graphs there unless told otherwise; None for hwprofile's first.
        provider: how it executes unless told otherwise; None for the runtime's first.
        options: what the link is given: host, user, port, ...
    """

    alias: str
    link: str
    preset: str | None = None
    runtime: str | None = None
    provider: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for what no device can have; the message begins with the key."""
        check_alias(self.alias)
        for key in _OWN_KEYS:
            value = getattr(self, key)
            if value is not None and not (isinstance(value, str) and _WORD.fullmatch(value)):
                raise ValueError(f"{key} is one word, got {value!r}")
        for key, value in self.options.items():
            if not _KEY.fullmatch(key):
                raise ValueError(f"{key!r} is no key: small letters, digits and `_`")
            _check_value(key, value)

    def to_table(self) -> dict[str, str | int | list[str]]:
        """The entry in the file."""
        own = {key: getattr(self, key) for key in _OWN_KEYS if getattr(self, key) is not None}
        return own | {
            key: list(value) if isinstance(value, tuple) else value for key, value in self.options.items()
        }

    @classmethod
    def from_table(cls, alias: str, table: object) -> Spec:
        """Read what `to_table` writes; ValueError, beginning with the key, when it is something else."""
        if not isinstance(table, dict):
            raise ValueError(f"the entry is a table, got {table!r:.40}")
        if "link" not in table:
            raise ValueError('link is missing: write link = "ssh", or another one')
        own = {key: table[key] for key in _OWN_KEYS if key in table}
        others = {key: value for key, value in table.items() if key not in _OWN_KEYS}
        options = {key: tuple(value) if isinstance(value, list) else value for key, value in others.items()}
        return cls(alias, **own, options=options)


def is_alias(alias: object) -> bool:
    """Whether something can be the name of a device, or of a board."""
    return isinstance(alias, str) and len(alias) <= LONGEST_ALIAS and bool(ALIAS.fullmatch(alias))


def check_alias(alias: str) -> None:
    """Raise ValueError for what cannot be the name of a device."""
    if not is_alias(alias):
        raise ValueError(
            f"{alias[:80]!r} is no name of a device: at most {LONGEST_ALIAS} letters, digits, `.`, `_` "
            "and `-`, not beginning with `-`"
        )


def _check_value(key: str, value: object) -> None:
    if isinstance(value, tuple):
        if len(value) > LONGEST_LIST or not all(isinstance(one, str) for one in value):
            raise ValueError(f"{key} is a list of at most {LONGEST_LIST} texts")
        for one in value:
            _check_value(key, one)
        return
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT or not value.isprintable():
            raise ValueError(f"{key} is a line of at most {LONGEST_TEXT} printable characters")
    elif type(value) is not int or abs(value) > LARGEST_NUMBER:
        raise ValueError(f"{key} is a text, a number below 2^31 or a list of texts, got {value!r:.40}")


@dataclass(frozen=True)
class Registry:
    """A user's devices.

    Attributes:
        tables: the entries as they stand in the file, by alias.
        path: where they were read.
    """

    tables: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None

    @property
    def names(self) -> list[str]:
        """Aliases, sorted."""
        return sorted(self.tables)

    def spec(self, alias: str) -> Spec:
        """The device of this name.

        Raises:
            KeyError: there is none.
            RegistryError: its entry is wrong; the message names the key.
        """
        try:
            return Spec.from_table(alias, self.tables[alias])
        except ValueError as error:
            raise self.wrong(alias, error) from error

    def wrong(self, alias: str, why: object) -> RegistryError:
        """The error of an entry that cannot be used."""
        place = f"{self.path}: " if self.path else ""
        return RegistryError(
            f"{place}device {alias!r:.80}: {why}; edit the file, or type "
            "`hwprofile devices remove NAME` and add it anew"
        )

    def adding(self, spec: Spec) -> Registry:
        """The same with one device more, or with a device replaced."""
        return Registry({**self.tables, spec.alias: spec.to_table()}, self.path)

    def without(self, alias: str) -> Registry:
        """The same without one device."""
        return Registry({name: table for name, table in self.tables.items() if name != alias}, self.path)

    @classmethod
    def load(cls, path: Path) -> Registry:
        """Read the file; empty where there is none.

        Raises:
            RegistryError: the file as a whole cannot be used.
        """
        text = _text(path)
        return cls({} if text is None else _tables(path, text), path)

    def save(self, path: Path) -> None:
        """Write the file, for its user alone; what a person wrote between the entries stays.

        Raises:
            RegistryError: it cannot be written.
        """
        from devices.registry_text import CannotEdit, edited

        old = _text(path) or f"schema_version = {SCHEMA_VERSION}\n"
        try:
            text = edited(old, self.tables)
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path.resolve(), text)  # a link stays one
        except CannotEdit as error:
            raise RegistryError(f"{path} cannot be edited: {error}; edit it by hand") from error
        except OSError as error:
            raise RegistryError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let nobody else change the file while the block reads, changes and saves it.

    Raises:
        RegistryError: its folder cannot be made or opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise RegistryError(f"cannot write {path}: {error.strerror}") from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks: two at once are rare
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _text(path: Path) -> str | None:
    """What the file holds; None where there is none."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise RegistryError(
                    f"{path} can be written by everybody: chmod 600 it, and look what it says"
                )
            data = file.read(LARGEST_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RegistryError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LARGEST_FILE_BYTES:
        raise RegistryError(f"{path} is larger than {LARGEST_FILE_BYTES} bytes: it is no file of devices")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RegistryError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _tables(path: Path, text: str) -> dict[str, Any]:
    """The entries of a file of our version."""
    import tomllib

    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{path} is not a usable TOML file: {error}; correct it there") from error
    version = document.get("schema_version")
    if type(version) is not int:
        raise RegistryError(f"{path}: schema_version is missing: its first line is `schema_version = 1`")
    if version != SCHEMA_VERSION:
        newer = (
            "a newer hwprofile wrote it: upgrade" if version > SCHEMA_VERSION else "no hwprofile wrote that"
        )
        raise RegistryError(f"{path}: schema_version is {version}, not {SCHEMA_VERSION}; {newer}")
    tables = document.get("devices", {})
    others = set(document) - {"schema_version", "devices"}
    if others or not isinstance(tables, dict):
        named = sorted(others)[0] if others else "devices"
        raise RegistryError(f"{path}: what is {named[:80]!r}? Every device is a table `[devices.NAME]`")
    return tables


def _write(path: Path, text: str) -> None:
    """Put a whole file in place of another, readable by its user alone."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
