"""The published table of NAS-Bench-201; tests that need it are skipped where it is absent."""

from __future__ import annotations

import functools
from typing import NamedTuple

import pytest

from benchmarks.published import rows
from ponas_core.cells import Cell, parse_cell


class PublishedCell(NamedTuple):
    text: str
    cell: Cell
    iso_class: int
    macs: int
    params: int


@functools.cache
def published_cells() -> tuple[PublishedCell, ...]:
    """All 15,625 cells."""
    try:
        table = rows("nb201_acc.csv.gz")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return tuple(
        PublishedCell(
            row["arch"], parse_cell(row["arch"]), int(row["iso_class"]), int(row["macs"]), int(row["params"])
        )
        for row in table
    )
