"""Published tables that tests read, and the published networks of the Note 10."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = Path(os.environ.get("HWPROFILE_TEST_DATA", ROOT.parent / "shared" / "data"))
LUTS = FOLDER / "luts"
PIXEL1, NOTE10 = LUTS / "proxyless_pixel1.csv", LUTS / "ofa_note10.csv"
WIDE = ROOT / "examples" / "ofa-mbv3-w1.2.toml"
needs_tables = pytest.mark.skipif(
    not LUTS.exists(),
    reason=f"the published tables {LUTS} are absent; HWPROFILE_TEST_DATA tells their folder",
)
_BLOCK = re.compile(r"k(\d)e(\d)i(\d+)o(\d+)s\d\w+?se(\d)")


def keys_in(path: Path, resolution: str | None = None) -> set[str]:
    """The keys of a published table."""
    with path.open(encoding="utf-8") as file:
        return {row["key"] for row in csv.DictReader(file) if row.get("res") in (None, resolution)}


def published_network(name: str) -> str:
    """One of Once-for-All's specialised networks in our block strings; its first block is fixed."""
    with (FOLDER / "ofa_specialized.csv").open(encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["name"] == name]
    stages: list[list[str]] = []
    for block in row["blocks"].split("|")[1:]:
        found = _BLOCK.search(block)
        assert found is not None
        kernel, expansion, channels_in, channels_out, squeeze = found.groups()
        if channels_in != channels_out:
            stages.append([])
        stages[-1].append(f"mb_k{kernel}_e{expansion}{'_hse' if squeeze == '1' else ''}")
    return " ".join(word for stage in stages for word in stage + ["skip"] * (4 - len(stage)))
