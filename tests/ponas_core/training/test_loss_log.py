"""The file of losses: appended to, cut back to where a training goes on, torn by crashes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.training.loss_log import append_losses, cut_losses, loss_path
from tests.ponas_core.training.toys import read_losses

LOSSES = [(1, 2.5), (2, 0.1 + 0.2), (3, 1e-300), (4, 7.0)]


def test_it_stands_beside_the_training() -> None:
    assert loss_path(Path("a/supernet.npz")) == Path("a/supernet.losses.jsonl")


def test_what_is_written_in_turns_is_read_in_full_precision(tmp_path: Path) -> None:
    path = tmp_path / "losses.jsonl"
    append_losses(path, [])
    assert not path.exists()
    append_losses(path, LOSSES[:1])
    append_losses(path, LOSSES[1:])
    assert read_losses(path) == LOSSES
    assert path.read_text().splitlines()[0] == '{"step": 1, "loss": 2.5}'


@pytest.mark.parametrize("step", range(6))
def test_steps_behind_the_state_are_cut_off(tmp_path: Path, step: int) -> None:
    path = tmp_path / "losses.jsonl"
    append_losses(path, LOSSES)
    cut_losses(path, step)
    assert read_losses(path) == LOSSES[:step]


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    cut_losses(tmp_path / "losses.jsonl", 3)
    assert not list(tmp_path.iterdir())


@given(st.integers(0, 120), st.binary(max_size=20))
def test_a_torn_line_and_what_lies_behind_it_are_cut_off(kept: int, behind: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "losses.jsonl"
        append_losses(path, LOSSES)
        whole = path.read_bytes()
        path.write_bytes(whole[:kept] + behind)
        cut_losses(path, 9)
        left = path.read_bytes()
        assert (whole[:kept] + behind).startswith(left)
        assert left == b"" or left.endswith(b"\n")
        if not whole.startswith(left):
            return  # what came behind was read as a line too
        assert read_losses(path) == LOSSES[: left.count(b"\n")]
        assert left.count(b"\n") >= whole[:kept].count(b"\n")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        append_losses(tmp_path / "absent" / "losses.jsonl", LOSSES)
