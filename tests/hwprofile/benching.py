"""What tests of long benches have in common: who listens, what goes wrong, what must hold at the end."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devices.schedule import Goal
from hwprofile.profile import Profile


@dataclass
class Listening:
    """A progress that remembers its notices."""

    notices: list[str] = field(default_factory=list)

    def advance(self, done: int, total: int, text: str) -> None:
        """Nothing."""

    def notice(self, text: str) -> None:
        self.notices.append(text)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_complete(profile: Profile, goal: Goal) -> None:
    """Nothing lost, nothing twice, nobody blamed."""
    assert profile.finished
    assert profile.errors == {}
    measured = [row for row in rows(profile.path) if row.get("row") in ("block", "network")]
    visits = Counter((row["name"], row["round"]) for row in measured)
    assert set(visits.values()) == {1}
    assert set(profile.names) == {name for name, _ in visits}
    for name in profile.names:
        progress = profile.progress(name)
        assert len(progress.clean) + len(progress.disturbed) >= min(goal.rounds, 3), name


@contextlib.contextmanager
def trouble(happen: Callable[[], bool], times: int, path: Path, pause_s: float) -> Iterator[list[float]]:
    """Something happens so many times, at random moments after a profile was begun."""
    happened: list[float] = []
    over = threading.Event()

    def work() -> None:
        while len(happened) < times and not over.wait(random.uniform(pause_s / 3, pause_s)):
            if Profile.was_begun(path) and happen():
                happened.append(time.monotonic())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield happened
    finally:
        over.set()
        thread.join()
