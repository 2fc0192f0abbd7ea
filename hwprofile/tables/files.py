"""Bounded reading and plain writing of the files of tables."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hwprofile.errors import UserError

LARGEST_FILE_BYTES = 32_000_000


class TableError(UserError):
    """A table cannot be used; the message says where and what to do."""


def table_bytes(path: Path) -> bytes:
    """Content of a file; TableError where it cannot be read, or is too large for a table."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > LARGEST_FILE_BYTES:
        raise TableError(f"{path} is larger than a table can be ({LARGEST_FILE_BYTES} bytes)")
    return data


def check_unpacked(path: Path) -> None:
    """Raise TableError for a gzipped file that unpacks to more than a table can be, or is damaged."""
    try:
        with gzip.open(path) as file:
            too_large = len(file.read(LARGEST_FILE_BYTES + 1)) > LARGEST_FILE_BYTES
    except (OSError, EOFError, zlib.error) as error:
        raise TableError(f"cannot read {path}: {error}") from error
    if too_large:
        raise TableError(f"{path} unpacks to more than a table can be ({LARGEST_FILE_BYTES} bytes)")


def table_text(path: Path) -> str:
    """The same as text."""
    try:
        return table_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(f"{path} is no text: {error}") from error


def write_table(path: Path, data: bytes) -> None:
    """Write a file that a user named."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise TableError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what a value refuses into an error that names the file."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise TableError(f"{path} is no usable table: {error}") from error


def missing_extra(library: str, what: str) -> TableError:
    """What to install."""
    return TableError(f"{what} needs {library}: pip install 'hwprofile[tables]'")
