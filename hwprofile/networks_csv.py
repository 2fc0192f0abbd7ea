"""CSV files of networks: `arch`, and `latency_ms` where they were measured or are predicted.

Files that are read may be gzipped (`.csv.gz`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwprofile.catalog import family_named, family_names
from hwprofile.csv_files import CsvTable
from hwprofile.errors import UserError
from ponas_core.cell_space import OpSpace
from ponas_core.features import NetworkSpace
from ponas_core.op_texts import ArchitectureError, parse_many


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
    table = CsvTable.read(path, ("arch", "latency_ms"))
    texts = table.columns["arch"]
    if not texts:
        raise UserError(f"{path} holds no networks: write one row `arch,latency_ms` for each measured one")
    latencies_ms = [_latency(text, table.place(row)) for row, text in enumerate(table.columns["latency_ms"])]
    name = space_name or _space_of(texts, path)
    space = family_named(name)
    return MeasuredNetworks(space, name, _parsed(space, table), latencies_ms, path)


def networks_in(path: Path, space: NetworkSpace) -> tuple[list[str], list[Any]]:
    """The column `arch` of a CSV file as it is written, and the networks of any space.

    Raises:
        UserError: unreadable, no such column, or a row that names no network: the message names its line.
    """
    table = CsvTable.read(path, ("arch",))
    return table.columns["arch"], _parsed(space, table)


def ops_in(path: Path, space: OpSpace) -> tuple[list[str], NDArray[np.integer]]:
    """The column `arch` of a CSV file as it is written, and op indexes (networks, places).

    Raises:
        UserError: as `networks_in`.
    """
    table = CsvTable.read(path, ("arch",))
    return table.columns["arch"], ops_of(table, space)


def ops_of(table: CsvTable, space: OpSpace) -> NDArray[np.integer]:
    """Op indexes of the column `arch`, (networks, places); UserError names the line of what is no network."""
    try:
        return parse_many(space, table.columns["arch"])
    except ArchitectureError as error:
        raise UserError(f"{table.place(error.index)}: {error}") from error


def architectures_csv(names: Sequence[str]) -> str:
    """CSV with the column `arch` alone."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([["arch"], *([name] for name in names)])
    return text.getvalue()


def latencies_csv(
    names: Sequence[str],
    latencies_ms: NDArray[np.float64],
    intervals_ms: NDArray[np.float64],
    notes: Mapping[str, Sequence[str | float]] = MappingProxyType({}),
) -> str:
    """CSV of networks with predicted latencies (networks,) and intervals (networks, 2), to the last digit.

    `notes` are further columns by their names.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch", "latency_ms", "low_ms", "high_ms", *notes])
    columns = (column.tolist() for column in (latencies_ms, *intervals_ms.T))
    writer.writerows(zip(names, *columns, *notes.values(), strict=True))
    return text.getvalue()


def _latency(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UserError(f"{where}: latency_ms is a positive number of milliseconds, not {text!r}")
    return value


def _parsed(space: NetworkSpace, table: CsvTable) -> list[Any]:
    networks = []
    for row, text in enumerate(table.columns["arch"]):
        try:
            networks.append(space.parse(text))
        except ValueError as error:
            raise UserError(f"{table.place(row)}: {error}") from error
    return networks


def _space_of(texts: Sequence[str], path: Path) -> str:
    """The shipped space whose networks these are."""
    spaces = {name: family_named(name) for name in family_names()}
    fitting = [name for name, space in spaces.items() if _reads(space, texts)]
    # the same cells are of three spaces, which differ in what is around them
    readings = [spaces[name].parse(texts[0]) for name in fitting]
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
