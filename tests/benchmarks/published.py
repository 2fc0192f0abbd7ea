"""Measurements that others published, as networks of the shipped spaces with their rows.

The tables lie in the folder `HWPROFILE_TEST_DATA`, `shared/data` beside the repository unless told. What
needs one that is absent is skipped.
"""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ponas_core.elastic import ElasticArchitecture
from ponas_core.space import Architecture
from ponas_core.space_file import elastic_space, shipped_space

ROOT = Path(__file__).parents[2]
KERNELS, EXPANSIONS, SKIP = ("3", "5", "7"), ("3", "4", "6"), 9
Row = Mapping[str, str]


def rows(name: str) -> list[Row]:
    """Rows of a table by its columns, all of them text."""
    folder = Path(os.environ.get("HWPROFILE_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.is_file():
        pytest.skip(f"the published measurements {path} are absent; HWPROFILE_TEST_DATA tells their folder")
    packed = path.read_bytes()
    text = (gzip.decompress(packed) if name.endswith(".gz") else packed).decode()
    return list(csv.DictReader(text.splitlines()))


def fbnet() -> list[tuple[Architecture, Row]]:
    """HELP's 4,000 networks of FBNet: columns l00 to l21 are op indexes."""
    space = shipped_space("fbnet")
    names = [f"l{layer:02}" for layer in range(22)]
    return [
        (space.architecture([int(row[name]) for name in names]), row) for row in rows("fbnet_arch.csv.gz")
    ]


def once_for_all() -> list[tuple[ElasticArchitecture, Row]]:
    """HELP's 4,000 networks of Once-for-All.

    Columns ks00 to ks19 and e00 to e19 are kernel and expansion, d0 to d4 the depth of a stage, r the
    resolution. Kernel and expansion of a layer beyond the depth of its stage mean nothing.
    """
    space = elastic_space("ofa-mbv3")
    return [
        (space.architecture(int(row["r"]), [_op(row, layer) for layer in range(20)]), row)
        for row in rows("ofa_arch_latency.csv.gz")
    ]


def _op(row: Row, layer: int) -> int:
    if layer % 4 >= int(row[f"d{layer // 4}"]):
        return SKIP
    return 3 * EXPANSIONS.index(row[f"e{layer:02}"]) + KERNELS.index(row[f"ks{layer:02}"])
