"""What people see in a terminal: progress bars and notices on stderr, tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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


class BarProgress:
    """A bar with rate and remaining time on stderr."""

    def __init__(self, bar: RichProgress, task: TaskID) -> None:
        """Store the bar."""
        self._bar, self._task = bar, task

    def advance(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total, description=text)

    def notice(self, text: str) -> None:
        """Show a line above the bar."""
        self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str, *, quiet: bool) -> Iterator[SilentProgress | BarProgress]:
    """A progress bar on stderr while the block runs; only notices where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield SilentProgress(notices=not quiet)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield BarProgress(bar, bar.add_task("", total=None))


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
