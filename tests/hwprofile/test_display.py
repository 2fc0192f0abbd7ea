from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def test_a_log_shows_life_while_one_step_takes_long(capsys: pytest.CaptureFixture[str]) -> None:
    with display.LineProgress("fit", every_s=0.02, long_s=0).beating() as lines:
        lines.advance(1, 4, "a long step")
        time.sleep(0.3)
        lines.advance(3, 4, "the last step")
        time.sleep(0.3)
    captured = capsys.readouterr()
    first, *_, last_beat, end = captured.err.splitlines()
    assert captured.out == ""
    assert first.startswith("fit: 1 of 4, 0 s so far, a long step")
    assert re.fullmatch(
        r"fit: 3 of 4, \d s so far, [\d.]+(/s| s each), about \d s left, the last step", last_beat
    )
    assert re.fullmatch(r"fit: done in \d s", end)


def test_short_work_leaves_no_line_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with display.progress("fit", quiet=False) as lines:
        lines.advance(1, 4, "quick")
    assert capsys.readouterr().err == ""


def test_work_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), display.LineProgress("fit", long_s=0).beating():
        raise ValueError("no")
    assert capsys.readouterr().err == ""


def test_what_an_earlier_run_did_makes_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = display.Pace()
    assert pace.per_s(500) is None
    now = 110.0
    assert pace.per_s(520) == 2.0
    assert pace.per_s(0) is None  # a second stage begins


@pytest.mark.parametrize(
    ("per_s", "words"), [(None, ""), (1234.5, "1,234/s"), (2.5, "2.5/s"), (0.1, "10.0 s each")]
)
def test_rates_are_put_into_words(per_s: float | None, words: str) -> None:
    assert display.rate_words(per_s) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.4, "4 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_put_into_words(seconds: float, words: str) -> None:
    assert display.duration_words(seconds) == words


def in_terminal(command: list[str], **variables: str) -> tuple[bytes, bytes]:
    """What a command writes to stdout, and to a stderr that is a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    environment = {name: value for name, value in environment.items() if value}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment
    )
    os.close(theirs)
    shown = bytearray()
    with contextlib.suppress(OSError):  # the end of a terminal is an error of input
        while part := os.read(ours, 65536):
            shown += part
    os.close(ours)
    return process.communicate()[0], bytes(shown)


COLOUR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;\dm]")


def bench(space: Path, *more: str) -> list[str]:
    line = [sys.executable, "-m", "hwprofile", "bench", "--space", str(space), "--json", "--fresh"]
    return [*line, "--precision", "50", "--rounds", "3", "--calibrate", "3", *more]


def test_a_terminal_shows_a_bar_in_colour_or_without(home: Path, tiny_toml: Path) -> None:
    out, shown = in_terminal(bench(tiny_toml), NO_COLOR="")
    json.loads(out)
    assert "━".encode() in shown
    assert COLOUR.search(shown)
    out, shown = in_terminal(bench(tiny_toml), NO_COLOR="1")
    json.loads(out)
    assert "━".encode() in shown
    assert not COLOUR.search(shown)


def test_a_terminal_that_can_nothing_gets_no_codes_and_q_is_silent(home: Path, tiny_toml: Path) -> None:
    out, shown = in_terminal(bench(tiny_toml), TERM="dumb")
    json.loads(out)
    assert b"\x1b" not in shown
    out, shown = in_terminal(bench(tiny_toml, "-q"))
    json.loads(out)
    assert shown == b""


def test_a_pipe_gets_plain_lines_on_stderr_and_the_result_alone_on_stdout(
    home: Path, tiny_toml: Path
) -> None:
    # a line after two hundredths of a second, instead of the ten seconds that people wait
    hasty = (
        "from hwprofile import display\nfrom hwprofile.cli import main\n"
        "display.LineProgress.__init__.__defaults__ = (0.02, 0)\nmain()"
    )
    command = [sys.executable, "-c", hasty, *bench(tiny_toml)[3:]]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    json.loads(result.stdout)
    lines = [line for line in result.stderr.splitlines() if line.startswith("bench tiny: ")]
    assert len(lines) >= 2
    assert re.fullmatch(r"bench tiny: done in \d+ s", lines[-1])
    assert "\x1b" not in result.stderr
    assert "\r" not in result.stderr
