"""CSV files of networks: `arch`, and `latency_ms` where they were measured."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofile.catalog import family_named, family_names
from hwprofile.errors import UserError
from ponas_core.features import NetworkSpace


@dataclass(frozen=True)
class MeasuredNetworks:
    """Networks of one space with their latencies on one device.

    Attributes:
        space: the space.
        space_name: as a person types it.
        networks: the space's own, in the order of the file.
        latencies_ms: one each.
        origin: the file.
    """

    space: NetworkSpace
    space_name: str
    networks: Sequence[Any]
    latencies_ms: Sequence[float]
    origin: Path


def measured_networks(path: Path, space_name: str | None = None) -> MeasuredNetworks:
    """Read a CSV file with the columns `arch` and `latency_ms`.

    Args:
        path: the file.
        space_name: of the networks; None finds the one shipped space that reads them all.

    Raises:
        UserError: unreadable, a column is missing, or a row is unusable: the message names its line.
    """
    rows = _rows(path, ("arch", "latency_ms"))
    if not rows:
        raise UserError(
            f"{path} holds no networks: write one row `arch,latency_ms` for each that was measured"
        )
    latencies_ms = [_latency(row["latency_ms"], f"{path}, line {line}") for line, row in rows]
    name = space_name or _space_of([row["arch"] for _, row in rows], path)
    space = family_named(name)
    return MeasuredNetworks(space, name, _parsed(space, rows, path), latencies_ms, path)


def networks_in(path: Path, space: NetworkSpace) -> tuple[list[str], list[Any]]:
    """The column `arch` of a CSV file as it is written, and the networks of the space.

    Raises:
        UserError: unreadable, no such column, or a row that names no network: the message names its line.
    """
    rows = _rows(path, ("arch",))
    return [row["arch"] for _, row in rows], _parsed(space, rows, path)


def _rows(path: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Rows with the line that each ends at."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{path} needs a header with the column {' and '.join(missing)}; "
                    f"found {', '.join(reader.fieldnames or ()) or 'nothing'}"
                )
            return [(reader.line_num, {name: row[name] or "" for name in needed}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _latency(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"{where}: latency_ms is a positive number of milliseconds, not {text!r}")
    return value


def _parsed(space: NetworkSpace, rows: Sequence[tuple[int, dict[str, str]]], path: Path) -> list[Any]:
    networks = []
    for line, row in rows:
        try:
            networks.append(space.parse(row["arch"]))
        except ValueError as error:
            raise UserError(f"{path}, line {line}: {error}") from error
    return networks


def _space_of(texts: Sequence[str], path: Path) -> str:
    """The shipped space whose networks these are."""
    fitting = [name for name in family_names() if _reads(family_named(name), texts)]
    # the same cells are of three spaces, which differ in what is around them
    readings = [family_named(name).parse(texts[0]) for name in fitting]
    if fitting and all(reading == readings[0] for reading in readings):
        return fitting[0]
    found = f"could be of {', '.join(fitting)}" if fitting else "are of no shipped space"
    raise UserError(f"the networks in {path} {found}: say which with --space")


def _reads(space: NetworkSpace, texts: Sequence[str]) -> bool:
    try:
        for text in texts:
            space.parse(text)
    except ValueError:
        return False
    return True
