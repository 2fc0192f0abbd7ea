"""The loss of every step, in a file beside the training: JSON lines, `{"step": 1, "loss": 2.31}`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def loss_path(training: Path) -> Path:
    """Where the losses of a training stand: `supernet.losses.jsonl` beside `supernet.npz`."""
    return training.with_suffix(".losses.jsonl")


def append_losses(path: Path, losses: Sequence[tuple[int, float]]) -> None:
    """Write steps, counted from 1, and their losses behind what is there; OSError where there is no room."""
    if losses:
        lines = (json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in losses)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def cut_losses(path: Path, step: int) -> None:
    """Remove what lies behind a step, from which a training goes on, and what a crash has torn off.

    OSError where the file cannot be written.
    """
    if not path.exists():
        return
    end = 0
    with path.open("r+b") as file:
        for line in file:
            if _step(line) > step:
                break
            end += len(line)
        if end < path.stat().st_size:
            file.truncate(end)


def read_losses(path: Path) -> list[tuple[int, float]]:
    """Steps and losses of a file, in order.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is no step with its loss.
    """
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    try:
        return [(int(row["step"]), float(row["loss"])) for row in rows]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds a line that is no step with its loss") from error


def _step(line: bytes) -> float:
    """The step that a line tells; endless for what is none."""
    try:
        row = json.loads(line)
        return int(row["step"]) if line.endswith(b"\n") else float("inf")
    except (ValueError, KeyError, TypeError):
        return float("inf")
