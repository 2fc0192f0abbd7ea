"""CSV files that people name, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hwprofile.errors import UserError

_UNKNOWN = ("", "nan")
"""Cells that say that a number is not known."""


def is_csv(path: Path) -> bool:
    """Whether a file's name is that of a CSV file, gzipped or not."""
    return path.name.lower().endswith((".csv", ".csv.gz"))


def csv_text(path: Path) -> str:
    """The text of a CSV file; one whose name ends with `.gz` is unpacked.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix.lower() == ".gz" else data).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


@dataclass(frozen=True)
class CsvTable:
    """Columns of a CSV file, and the line that each row ends at."""

    path: Path
    text: str
    columns: dict[str, list[str]]
    lines: list[int]

    @classmethod
    def read(cls, path: Path, needed: Sequence[str]) -> CsvTable:
        """Read the columns with these names; empty lines are left out, cells that a row lacks are empty.

        Raises:
            UserError: the file cannot be read, or lacks a column.
        """
        text = csv_text(path)
        reader = csv.reader(io.StringIO(text, newline=""))
        try:
            header = next(reader, [])
            missing = [name for name in needed if name not in header]
            if missing:
                raise UserError(
                    f"{path} needs a header with the column {' and '.join(missing)}; "
                    f"found {', '.join(header) or 'nothing'}"
                )
            rows = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise UserError(f"cannot read {path}: {error}") from error
        at = {name: header.index(name) for name in needed}
        columns = {
            name: [row[place] if place < len(row) else "" for _, row in rows] for name, place in at.items()
        }
        return cls(path, text, columns, [line for line, _ in rows])

    @cached_property
    def digest(self) -> str:
        """Of the content, the same for a gzipped file."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]

    def place(self, row: int) -> str:
        """Where a row is, for people."""
        return f"{self.path}, line {self.lines[row]}"

    def numbers(self, column: str, lowest: float, highest: float, meaning: str) -> list[float]:
        """The numbers of a column, NaN where a cell is empty.

        Args:
            column: its name.
            lowest: the smallest number that may stand there.
            highest: the largest.
            meaning: what the numbers are, for the message.

        Raises:
            UserError: a cell holds anything else; the message names its line.
        """
        found = []
        for row, text in enumerate(self.columns[column]):
            try:
                value = math.nan if text.strip().lower() in _UNKNOWN else float(text)
            except ValueError:
                value = math.inf
            if not (math.isnan(value) or lowest <= value <= highest) or value == math.inf:
                raise UserError(f"{self.place(row)}: {column} is {meaning}, not {text!r}")
            found.append(value)
        return found
