"""Clocks that may be set (by hand, by NTP, at a board's start) decide nothing, here or on a target."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from devices import archive as archive_module
from devices.connection import Connection
from devices.links.local import LocalLink

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "devices").rglob("*.py"), *(ROOT / "hwprofile").glob("*.py")])
SETTABLE = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "clock_gettime", "strftime"}
LABELS = {
    "hwprofile/profile_lines.py": {"strftime", "gmtime"},
    "hwprofile/places.py": {"time", "strftime", "gmtime"},
}
"""Where a date is written for people, or the age of a file is told."""


def settable_clocks(source: str) -> set[str]:
    """Names of the clocks that a file reads and that somebody may set."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("time", "datetime", "date")
        and node.attr in SETTABLE
    }


def test_the_check_sees_what_it_looks_for() -> None:
    source = "import time\nstart = time.time()\nelse_ = time.monotonic(), x.time(), time.perf_counter_ns()"
    assert settable_clocks(source) == {"time"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_clocks_that_nobody_can_set_are_read(path: Path) -> None:
    source = path.read_text()
    assert settable_clocks(source) <= LABELS.get(path.relative_to(ROOT).as_posix(), set())
    assert "from time import" not in source


def test_a_targets_clock_may_jump_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    come = "from devices.agent.main import main"
    jumping = "import itertools, time\ntime.time = map((-1e9).__mul__, itertools.count()).__next__"
    bootstrap = archive_module.BOOTSTRAP.replace(come, f"{jumping}\n{come}")
    monkeypatch.setattr(archive_module, "BOOTSTRAP", bootstrap)
    archive_module.archive.cache_clear()
    monkeypatch.setattr("time.time", lambda: 0.0)
    with Connection(LocalLink()) as connection:
        before = connection.request("conditions")["conditions"]["clock_s"]
        connection.request("busy_processes", seconds=0.1)
        after = connection.request("conditions")["conditions"]["clock_s"]
    assert 0.1 <= after - before < 60
