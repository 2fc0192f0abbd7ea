"""Profiles that were changed at random are read, or refused by a sentence, and hurt nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devices.catalog import device
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.session import Session
from tests.fuzzing import assert_unhurt, report

COUNTS = [pytest.param(1000, id="1000"), pytest.param(20_000, id="20000", marks=pytest.mark.slow)]
FAILED = {
    "row": "block",
    "name": "failed",
    "round": 0,
    "process": 1,
    "error": "refused",
    "failure": "refused",
}


def seeds(profile: Path) -> list[bytes]:
    """The lines of a real profile, and rows of the kinds that it has none of."""
    header, *rows = map(json.loads, profile.read_text().splitlines())
    block = next(row for row in rows if row["row"] == "block")
    others = [{**block, "row": kind, "name": f"a {kind}"} for kind in ("kernel", "model")]
    failures = [{**FAILED, "failure": failure, "name": failure} for failure in ("refused", "timeout", "died")]
    inside = {**FAILED, "row": "inside", "name": "failed inside"}
    return [json.dumps(line).encode() for line in (header, *rows, *others, *failures, inside)]


@pytest.mark.parametrize("count", COUNTS)
def test_changed_profiles_hurt_nobody(home: Path, tiny_toml: Path, tmp_path: Path, count: int) -> None:
    goal = Goal(precision=0.5, rounds=2, most_rounds=2)
    session = Session(device("cpu", Settings()), goal, calibrate=2, quiet=True, inline=True)
    found = seeds(session.bench(str(tiny_toml)).profile.path)
    assert {json.loads(line).get("row") for line in found} == {
        None, "block", "kernel", "network", "model", "inside", "reference", "chosen", "round", "end",
    }  # fmt: skip
    assert_unhurt(report("tests.hwprofile.fuzz_profile:profiles", found, count, tmp_path), count)
