from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hwprofile import display


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, str]]:
    """What a bar was told."""
    told: list[tuple[int, int, str]] = []

    class Bar:
        def advance(self, done: int, total: int, text: str) -> None:
            told.append((done, total, text))

    @contextmanager
    def progress(title: str, *, quiet: bool) -> Iterator[Bar]:
        yield Bar()
        told.append((-1, -1, title))

    monkeypatch.setattr(display, "progress", progress)
    return told


def test_short_work_shows_no_bar(shown: list[tuple[int, int, str]]) -> None:
    with display.late_progress("search", quiet=False, after_s=60) as bar:
        bar.advance(1, 2, "one")
    assert shown == []


def test_long_work_shows_one_bar_from_then_on(shown: list[tuple[int, int, str]]) -> None:
    with display.late_progress("search", quiet=False, after_s=0) as bar:
        bar.advance(1, 2, "one")
        bar.advance(2, 2, "two")
    assert shown == [(1, 2, "one"), (2, 2, "two"), (-1, -1, "search")]
