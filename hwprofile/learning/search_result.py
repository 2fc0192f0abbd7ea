"""What a search found, as JSON and in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile import display
from hwprofile.budget import Budget, in_words
from hwprofile.errors import UserError
from hwprofile.learning.pool import Pool
from ponas_core.cell_space import OpSpace
from ponas_core.searches.candidates import Ops

SCHEMA_VERSION = 1
FEW = 5
"""Evaluations up to which a course says nothing that the result does not."""


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        method: its name.
        settings: of the method.
        seed: of everything random.
        space: the space.
        pool: what it chose from.
        budgets: as typed.
        ops: the chosen network.
        score: accuracy of the chosen network in per cent.
        history: networks that it looked at, with their accuracies, in order.
        text: how a network is written; None as its space does.
        scores: file of the score table; None where none was written.
        weights: file of the supernet; None where none was trained.
        told: what else the method says of itself, as JSON values.
        notes: the same for people: a word and what it says.
        following: what to type next; None for nothing.
    """

    method: str
    settings: Mapping[str, Any]
    seed: int
    space: OpSpace
    pool: Pool
    budgets: tuple[Budget, ...]
    ops: Ops
    score: float
    history: tuple[tuple[Ops, float], ...]
    text: Callable[[Ops], str] | None = None
    scores: Path | None = None
    weights: Path | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
    following: str | None = None

    def _text(self, ops: Ops) -> str:
        return self.text(ops) if self.text else str(self.space.architecture(ops))

    def to_json(self) -> dict[str, Any]:
        """As JSON values; accuracies in per cent, budgets and latencies to the last digit."""
        return {
            "method": self.method,
            "space": self.space.name,
            "seed": self.seed,
            "settings": dict(self.settings),
            "architecture": self._text(self.ops),
            "score": self.score,
            "latency_ms": self.pool.latency_ms(self.ops),
            "budget": dict(self.pool.limits),
            "budget_text": [budget.text for budget in self.budgets],
            "candidates": self.pool.candidates.count,
            "evaluations": len(self.history),
            "history": [self._evaluated_json(ops, accuracy) for ops, accuracy in self.history],
            "scores": None if self.scores is None else str(self.scores),
            "weights": None if self.weights is None else str(self.weights),
            **self.told,
        }

    def _evaluated_json(self, ops: Ops, accuracy: float) -> dict[str, Any]:
        found = {"architecture": self._text(ops), "score": accuracy}
        latency_ms = self.pool.latency_ms(ops)
        return found if latency_ms is None else {**found, "latency_ms": latency_ms}

    def save(self, path: Path) -> None:
        """Write the result as JSON; UserError where it cannot be written."""
        document = {"schema_version": SCHEMA_VERSION, "file": "hwprofile-search", **self.to_json()}
        try:
            path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error

    def for_people(self) -> str:
        """The network with what is known of it, and how the search came there."""
        latency_ms = self.pool.latency_ms(self.ops)
        rows = [
            ("network", self._text(self.ops)),
            ("score", f"{self.score:.2f} %"),
            *([] if latency_ms is None else [("latency", in_words("latency_ms", latency_ms))]),
            *([("budget", " and ".join(budget.text for budget in self.budgets))] if self.budgets else []),
            ("evaluated", f"{len(self.history)} of {self.pool.candidates.count:,} candidates"),
            *self.notes,
        ]
        lines = [f"{self.method} on {self.space.name}", ""]
        lines += [f"{name:<9}  {text}" for name, text in rows]
        if len(self.history) > FEW:
            lines += ["", display.table(["evaluations", "best so far"], self._course(), left=0)]
        if self.scores is not None:
            following = f"; next: {self.following}" if self.following else ""
            lines += ["", f"{self.scores}: score table{following}"]
        return "\n".join(lines)

    def _course(self) -> list[list[str]]:
        """The highest accuracy that was seen after 1, 2, 5, 10, ... evaluations, and after all."""
        highest = np.maximum.accumulate([accuracy for _, accuracy in self.history])
        marks = [digit * 10**power for power in range(len(str(len(highest)))) for digit in (1, 2, 5)]
        shown = [mark for mark in marks if mark < len(highest)] + [len(highest)]
        return [[f"{mark:,}", f"{highest[mark - 1]:.2f} %"] for mark in shown]
