"""What people see: progress and notices on stderr, tables on stdout.

In a terminal progress is a bar; elsewhere, as in the log of a CI, a plain line now and then. Rich holds to
`NO_COLOR`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class SilentProgress:
    """For machines and quiet users: no bar.

    Args:
        notices: whether notices are shown.
    """

    def __init__(self, *, notices: bool = False) -> None:
        """Store whether notices are shown."""
        self._notices = notices

    def advance(self, done: int, total: int, text: str) -> None:
        """Say nothing."""

    def notice(self, text: str) -> None:
        """Show a line, where notices are wanted."""
        if self._notices:
            notice(text)


class Pace:
    """How fast work goes, from the first step that was seen: what an earlier run did counts for nothing."""

    def __init__(self) -> None:
        """Begin the clock."""
        self.began = time.monotonic()
        self._first: tuple[float, int] | None = None

    @property
    def so_far_s(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.began

    def per_s(self, done: int) -> float | None:
        """Steps a second; None as long as that is not known."""
        now = time.monotonic()
        if self._first is None or done < self._first[1]:
            self._first = (now, done)
        since, before = self._first
        return (done - before) / (now - since) if done > before and now > since else None


def rate_words(per_s: float | None) -> str:
    """A rate for people: steps a second, or seconds a step where they are slow."""
    if per_s is None:
        return ""
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s" if per_s >= 1 else f"{1 / per_s:.1f} s each"


def duration_words(seconds: float) -> str:
    """A duration for people, such as `40 s`, `3 min 20 s` or `2 h 05 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class LineProgress(SilentProgress):
    """For logs: a plain line now and then, and one at the end of work that took long.

    Args:
        title: what is done.
        every_s: seconds between two lines.
        long_s: work that took less leaves no last line.
    """

    def __init__(self, title: str, every_s: float = 10.0, long_s: float = 2.0) -> None:
        """Store what is said when."""
        super().__init__(notices=True)
        self._title, self._every_s, self._long_s = title, every_s, long_s
        self._state: tuple[int, int, str] | None = None
        self._pace = Pace()

    def advance(self, done: int, total: int, text: str) -> None:
        """Remember where the work stands."""
        self._state = (done, total, text)
        self._pace.per_s(done)

    @contextmanager
    def beating(self) -> Iterator[LineProgress]:
        """Say a line now and then while the block runs, however long a step takes."""
        ended = Event()
        beat = Thread(target=self._beat, args=(ended,), daemon=True)
        beat.start()
        try:
            yield self
        finally:
            ended.set()
            beat.join()
        if self._pace.so_far_s >= self._long_s:
            notice(f"{self._title}: done in {duration_words(self._pace.so_far_s)}")

    def _beat(self, ended: Event) -> None:
        while not ended.wait(self._every_s):
            notice(self._line())

    def _line(self) -> str:
        so_far = f"{duration_words(self._pace.so_far_s)} so far"
        if self._state is None:
            return f"{self._title}: {so_far}"
        done, total, text = self._state
        per_s = self._pace.per_s(done)
        left = "" if per_s is None else f"about {duration_words((total - done) / per_s)} left"
        parts = [f"{done} of {total}", so_far, rate_words(per_s), left, text]
        return f"{self._title}: {', '.join(part for part in parts if part)}"


class BarProgress:
    """A bar with rate and remaining time on stderr."""

    def __init__(self, bar: RichProgress, task: TaskID) -> None:
        """Store the bar."""
        self._bar, self._task, self._pace = bar, task, Pace()

    def advance(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        rate = rate_words(self._pace.per_s(done))
        self._bar.update(self._task, completed=done, total=total, description=text, rate=rate)

    def notice(self, text: str) -> None:
        """Show a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[SilentProgress | BarProgress]:
    """Progress on stderr while the block runs: a bar in a terminal, else a plain line now and then."""
    if quiet:
        yield SilentProgress()
        return
    if not sys.stderr.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        with LineProgress(title).beating() as lines:
            yield lines
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar, bar.add_task("", total=None, rate=""))


@contextmanager
def late_progress(title: str, *, quiet: bool, after_s: float = 2.0) -> Iterator[LateProgress]:
    """A progress bar that shows once the block has run for so many seconds; short work shows none."""
    with ExitStack() as stack:
        yield LateProgress(stack, title, quiet, time.monotonic() + after_s)


class LateProgress:
    """A bar that begins late."""

    def __init__(self, stack: ExitStack, title: str, quiet: bool, begins: float) -> None:
        """Store what the bar needs; `begins` is on the monotonic clock."""
        self._stack, self._title, self._quiet, self._begins = stack, title, quiet, begins
        self._bar: SilentProgress | BarProgress | None = None

    def advance(self, done: int, total: int, text: str) -> None:
        """Move the bar, if it is there already."""
        if self._bar is None:
            if time.monotonic() < self._begins:
                return
            self._bar = self._stack.enter_context(progress(self._title, quiet=self._quiet))
        self._bar.advance(done, total, text)


def notices(*, quiet: bool) -> Callable[[str | None], None]:
    """What tells people something where there is something to tell, and they want to hear it."""

    def tell(text: str | None) -> None:
        if text and not quiet:
            notice(text)

    return tell


def notice(text: str) -> None:
    """One line for people on stderr."""
    click.echo(text, err=True)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Aligned columns: the first `left`, and words without a header, to the left; the others to the right."""
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        parts = [
            cell.ljust(width) if column < left or not header[column] else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(parts).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *map(line, rows)])
