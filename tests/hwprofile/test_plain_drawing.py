"""Drawings of characters, and when commands draw."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.cli.options import drawn
from hwprofile.plain_drawing import bars, steps


def run(*arguments: object) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_bars_are_as_long_as_their_values() -> None:
    assert bars([0.5, 1.0, 0.0, 0.001], 10) == ["█" * 5, "█" * 10, "", "█"]
    assert bars([0.0, 0.0]) == ["", ""]
    assert bars([]) == []


def test_steps_stand_at_the_highest_value_so_far() -> None:
    assert steps([0.0, 2.0, 9.0], [10.0, 30.0, 40.0], "ms", "score", 10, 4) == "\n".join(
        [
            "   score",
            "40 │         ●",
            "   │  ●······",
            "   │",
            "10 │●·",
            "   └──────────",
            "    0   ms   9",
        ]
    )


def test_a_single_point_is_drawn_too() -> None:
    text = steps([1.0], [2.0], "ms", "score")
    assert text.count("●") == 1


def test_commands_draw_when_asked_without_colour_and_aligned(tiny_profile: Path) -> None:
    text = run("pareto", "--profile", tiny_profile, "--plot")
    lines = [line for line in text.splitlines() if "│" in line]
    assert len(lines) == 14
    assert len({line.index("│") for line in lines}) == 1
    assert "\x1b" not in text
    shown = [line for line in run("show", tiny_profile, "--plot").splitlines() if line.endswith("█")]
    assert len({line.index("█") for line in shown}) == 1


def test_what_is_no_terminal_gets_no_drawing(tiny_profile: Path) -> None:
    assert "│" not in run("pareto", "--profile", tiny_profile)
    assert run("show", tiny_profile) == run("show", tiny_profile, "--no-plot")
    assert "█" not in run("show", tiny_profile)


def test_json_is_the_same_with_a_drawing(tiny_profile: Path) -> None:
    for command in (["show", tiny_profile], ["pareto", "--profile", tiny_profile]):
        plain = run(*command, "--json")
        assert run(*command, "--json", "--plot") == plain
        json.loads(plain)


@pytest.mark.parametrize(("columns", "plotted"), [(200, True), (40, False)])
def test_a_terminal_gets_drawings_that_fit(
    monkeypatch: pytest.MonkeyPatch, columns: int, plotted: bool
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((columns, 24)))

    def make(plot: bool) -> str:
        return "a heading of any length" * 20 + ("\n" + "│" * 60) * plot

    assert ("│" in drawn(make, None)) is plotted
    assert "│" in drawn(make, True)
    assert "│" not in drawn(make, False)
