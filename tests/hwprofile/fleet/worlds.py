"""Evaluators that travel to the workers of a fleet, and what goes wrong there."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from hwprofile.errors import UserError
from ponas_core.accuracies import Encoded

ROOT = Path(__file__).parents[3]
HERE = {"PYTHONPATH": str(ROOT)}
"""What workers need in their environment to know this file."""


@dataclass(frozen=True)
class Slow:
    """Accuracies by a formula, each after so many seconds; notes who asked in a file of each process."""

    seconds: float = 0.0
    notes: Path | None = None
    means: str = ""

    def accuracy(self, architecture: Encoded) -> float:
        time.sleep(self.seconds)
        if self.notes is not None:
            with (self.notes / str(os.getpid())).open("a") as file:
                file.write(f"{architecture}\n")
        return 50 + sum((place + 1) * op * 0.37 for place, op in enumerate(architecture.ops))


@dataclass(frozen=True)
class Failing:
    """Fails for networks that begin with 1."""

    def accuracy(self, architecture: Encoded) -> float:
        if architecture.ops[0] == 1:
            raise KeyError(f"nothing is known of {architecture}")
        return 50.0


@dataclass(frozen=True)
class Answering:
    """Answers with something that is no accuracy."""

    answer: float

    def accuracy(self, architecture: Encoded) -> float:
        return self.answer


@dataclass(frozen=True)
class Deadly:
    """Ends its process for networks that begin with 1."""

    def accuracy(self, architecture: Encoded) -> float:
        if architecture.ops[0] == 1:
            os._exit(1)
        return 50.0


@dataclass(frozen=True)
class Unmakeable:
    """A recipe that lacks something."""

    def evaluator(self) -> Slow:
        raise UserError("there is no data set of that name")


@dataclass(frozen=True)
class Counting:
    """A recipe whose evaluator notes each time that it is made; its bytes weigh something."""

    notes: Path
    weights: bytes
    seconds: float = 0.0

    def evaluator(self) -> Slow:
        with (self.notes / f"made-{os.getpid()}").open("a") as file:
            file.write("made\n")
        return Slow(self.seconds, self.notes, "this computer's arithmetic")
