"""What an interrupted command says."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from hwprofile.cli import main
from hwprofile.cli.resuming import command_that_goes_on, interrupted_words
from hwprofile.errors import DeviceUnreachable, Interrupted

KEPT = Path("my profiles/a.jsonl")


@pytest.mark.parametrize(
    ("typed", "kept", "said"),
    [
        (["bench", "--space", "my space.toml"], KEPT, "hwprofile bench --space 'my space.toml'"),
        (["bench", "--fresh", "-q"], KEPT, "hwprofile bench --out 'my profiles/a.jsonl' -q"),
        (["bench", "--fresh", "--out", "b"], KEPT, "hwprofile bench --out b"),
        (["bench", "--out=b", "--fresh"], KEPT, "hwprofile bench --out=b"),
        (["bench", "--fresh", "--sweep", "batch=1,2"], KEPT, "hwprofile bench --fresh --sweep batch=1,2"),
        (["train", "--arch", "1,1"], None, "hwprofile train --arch 1,1"),
    ],
)
def test_the_command_that_goes_on_can_be_typed(typed: list[str], kept: Path | None, said: str) -> None:
    assert command_that_goes_on(typed, kept) == said


def test_the_command_names_the_program_that_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/hwprofile/__main__.py"])
    assert command_that_goes_on(["doctor"]) == "python -m hwprofile doctor"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert command_that_goes_on(["search", "ponas"]) == "torchrun ... -m hwprofile search ponas"


@pytest.mark.parametrize(
    ("typed", "promise"),
    [
        (["search", "ponas"], "what was written is kept"),
        (["doctor"], "once more"),
        (["bench", "--fresh"], "anew"),
    ],
)
def test_nothing_is_promised_where_nothing_is_kept(typed: list[str], promise: str) -> None:
    assert promise in interrupted_words(typed)


@pytest.mark.parametrize("error", [Interrupted(KEPT), DeviceUnreachable("link lost", kept=KEPT)])
def test_the_command_line_says_how_to_go_on(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr("click.Group.main", Mock(side_effect=error))
    with pytest.raises(SystemExit):
        main(["bench", "--fresh"])
    assert "go on with: hwprofile bench --out 'my profiles/a.jsonl'\n" in capsys.readouterr().err
