"""The published table of NAS-Bench-201; tests that need it are skipped where it is absent."""

from __future__ import annotations

import csv
import functools
import gzip
import os
from pathlib import Path
from typing import NamedTuple

import pytest

from ponas_core.cells import Cell, parse_cell

DATA = Path(os.environ.get("HWPROFILE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


class PublishedCell(NamedTuple):
    text: str
    cell: Cell
    iso_class: int
    macs: int
    params: int


@functools.cache
def published_cells() -> tuple[PublishedCell, ...]:
    """All 15,625 cells."""
    path = DATA / "nb201_acc.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is absent; HWPROFILE_TEST_DATA names another folder")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return tuple(
            PublishedCell(
                row["arch"],
                parse_cell(row["arch"]),
                int(row["iso_class"]),
                int(row["macs"]),
                int(row["params"]),
            )
            for row in csv.DictReader(file)
        )
