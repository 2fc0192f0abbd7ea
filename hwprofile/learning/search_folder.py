"""The folder of a search: what lies in it, and whether it fits what is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofile.errors import UserError
from ponas_core.accuracies import Encoded
from ponas_core.cell_space import OpSpace
from ponas_core.evaluation import Evaluated
from ponas_core.network_weights import WeightsError, WeightsFile
from ponas_core.score_table import ScoreTable, ScoreTableError


@dataclass(frozen=True)
class SearchFolder:
    """Files that a search leaves and goes on from.

    Attributes:
        path: the folder.
    """

    path: Path

    def make(self) -> None:
        """Create the folder; UserError where it cannot be."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the folder {self.path}: {error.strerror}") from error

    @property
    def supernet(self) -> Path:
        """Weights of the supernet, the state of its training while that lasts."""
        return self.path / "supernet.npz"

    @property
    def tuned(self) -> Path:
        """Weights of the supernet while its blocks are fine-tuned one by one, and after."""
        return self.path / "supernet-tuned.npz"

    @property
    def scores(self) -> Path:
        """The score table."""
        return self.path / "scores.json"

    @property
    def result(self) -> Path:
        """The chosen network, and how the search came there."""
        return self.path / "result.json"

    @property
    def evaluations(self) -> Path:
        """Every evaluation of a network, one line each."""
        return self.path / "evaluations.jsonl"

    @property
    def verifications(self) -> Path:
        """Accuracies of the table's best networks on images that did not fill it."""
        return self.path / "verifications.jsonl"

    def save(self, table: ScoreTable) -> None:
        """Write the score table; UserError where it cannot be written."""
        try:
            table.save(self.scores)
        except OSError as error:
            raise UserError(
                f"cannot write {self.scores}: {error.strerror}; make room", kept=self.scores
            ) from error

    def trained(self) -> tuple[WeightsFile, ScoreTable]:
        """Weights and scores of a finished search.

        Raises:
            UserError: the search has not ended, or a file is unusable.
        """
        if not self.scores.exists():
            raise UserError(f"{self.path} holds no finished search: `hwprofile search` writes {self.scores}")
        try:
            weights = self.tuned if self.tuned.exists() else self.supernet
            return WeightsFile.load(weights), ScoreTable.load(self.scores)
        except (WeightsError, ScoreTableError) as error:
            raise UserError(str(error)) from error


@dataclass(frozen=True)
class Journal:
    """Evaluations in a file, so that an interrupted search pays for none of them twice.

    Attributes:
        path: the file; a torn last line is left out.
        basis: digest of what was evaluated (weights, images); lines of another are left out.
    """

    path: Path
    basis: str

    def history(self, space: OpSpace) -> list[Evaluated]:
        """What was evaluated before, in order; UserError where the file cannot be read."""
        if not self.path.exists():
            return []
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {self.path}: {error}; move it away to evaluate anew") from error
        return [
            (space.parse(row["architecture"]), float(row["accuracy"]))
            for row in _objects(lines)
            if row.get("basis") == self.basis
        ]

    def append(self, architecture: Encoded, accuracy: float) -> None:
        """Write one evaluation; UserError where there is no room."""
        row = {"architecture": str(architecture), "accuracy": accuracy, "basis": self.basis}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn() + json.dumps(row) + "\n")
        except OSError as error:
            raise UserError(
                f"cannot write {self.path}: {error.strerror}; make room", kept=self.path
            ) from error

    def _torn(self) -> bool:
        """Whether the last line was cut off by a crash."""
        if not self.path.exists() or not self.path.stat().st_size:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) != b"\n"


def _objects(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue  # cut off by a crash
        if isinstance(row, dict) and {"architecture", "accuracy", "basis"} <= set(row):
            yield row
