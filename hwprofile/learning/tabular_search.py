"""`hwprofile search METHOD --evaluator tabular`: any search over known accuracies, in place of training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile import display
from hwprofile.budget import Budget, in_words, parse_budget
from hwprofile.catalog import network_space_named
from hwprofile.errors import BadInput, UserError
from hwprofile.learning.known_networks import KnownNetworks
from hwprofile.learning.network_latency import latency_named
from hwprofile.learning.pool import Pool, candidates_for
from hwprofile.learning.search_folder import Journal, SearchFolder
from ponas_core.accuracies import KnownAccuracies
from ponas_core.evaluation import Evaluated, Ledger, OutOfEvaluations, TabularEvaluator
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Ops
from ponas_core.searches.choice import FEWEST_TO_FIT
from ponas_core.searches.interface import Found, Search
from ponas_core.searches.methods import METHODS
from ponas_core.searches.settings import SettingError, search_named, settings_of
from ponas_core.table_fit import fitted_table

SCHEMA_VERSION = 1
FEW = 5
"""Evaluations up to which a course says nothing that the result does not."""


@dataclass(frozen=True)
class Choosing:
    """What a network that is chosen has to hold.

    Attributes:
        latency: a CSV file with arch,latency_ms, a predictor or a profile; None for none.
        budgets: all of them hold.
    """

    latency: Path | None = None
    budgets: tuple[Budget, ...] = ()

    @classmethod
    def typed(cls, latency: Path | None, budgets: Sequence[str]) -> Choosing:
        """From what a person typed; BadInput for what is no budget."""
        return cls(latency, tuple(map(parse_budget, budgets)))

    def pool(self, known: KnownNetworks) -> Pool:
        """The known networks that hold all budgets; errors as `candidates_for`."""
        latency = None if self.latency is None else latency_named(self.latency, known.space)
        return candidates_for(known.space, self.budgets, latency, known.ops)


@dataclass(frozen=True)
class TabularSearch:
    """A search over known accuracies.

    Attributes:
        method: one of `METHODS`.
        space_name: as typed.
        evaluator: `tabular` or `tabular:FILE.csv:COLUMN`.
        choosing: what the networks have to hold.
        evaluations: networks that may be looked at.
        seed: of everything random.
        settings: of the method, as typed: names and values.
        out: folder that files are left in; None for none.
        quiet: no progress.
    """

    method: str
    space_name: str
    evaluator: str
    choosing: Choosing = field(default_factory=Choosing)
    evaluations: int = 100
    seed: int = 0
    settings: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    quiet: bool = False

    def run(self) -> TabularReport:
        """Search; interrupted, the same search with `out` goes on and ends with the same files.

        Raises:
            BadInput: settings or budgets that cannot be, or too few evaluations for the method.
            BudgetInfeasible: no network holds the budgets.
            UserError: something named is unusable.
        """
        search = self._search()
        known = KnownNetworks.named(network_space_named(self.space_name), self.evaluator)
        pool = self.choosing.pool(known)
        folder = None if self.out is None else SearchFolder(self.out)
        found, history = self._found(search, known, pool, folder)
        table = _table(known, found, history)
        if folder is not None and table is not None:
            told = {"search": self.method, "seed": self.seed, "settings": settings_of(search)}
            folder.save(replace(table, provenance={**table.provenance, **told}))
        report = TabularReport(
            method=self.method,
            settings=settings_of(search),
            seed=self.seed,
            known=known,
            pool=pool,
            budgets=self.choosing.budgets,
            ops=found.ops,
            history=tuple((network.ops, accuracy) for network, accuracy in history),
            scores=folder.scores if folder is not None and table is not None else None,
        )
        if folder is not None:
            report.save(folder.result)
        return report

    def _search(self) -> Search:
        if self.method not in METHODS:
            raise UserError(
                f"search {self.method}: not over known accuracies; there are {', '.join(METHODS)}"
            )
        try:
            return search_named(self.method, self.settings)
        except SettingError as error:
            raise BadInput(f"--set: {error}") from error

    def _found(
        self, search: Search, known: KnownNetworks, pool: Pool, folder: SearchFolder | None
    ) -> tuple[Found, Sequence[Evaluated]]:
        """What the search found, and everything that it looked at, in order."""
        inner = Ledger(TabularEvaluator(known.accuracies))
        if folder is not None:
            folder.make()
            journal = Journal(folder.evaluations, known.basis)
            history = journal.history(known.space)
            inner = Ledger(TabularEvaluator(known.accuracies), history=history, on_new=journal.append)
        with display.late_progress(f"search {self.method}", quiet=self.quiet) as bar:
            # the search starts anew and pays for everything; what was paid for before is in the inner ledger
            ledger = Ledger(
                inner,
                most=self.evaluations,
                on_new=lambda _, accuracy: bar.advance(
                    ledger.evaluations, self.evaluations, f"{accuracy:.2f} %"
                ),
            )
            try:
                found = search.run(pool.candidates, ledger, np.random.default_rng(self.seed))
            except OutOfEvaluations as error:
                raise UserError(f"search {self.method}: {error}") from error
            except ValueError as error:
                raise BadInput(f"search {self.method}: {error}") from error
        return found, ledger.history


def _table(known: KnownNetworks, found: Found, history: Sequence[Evaluated]) -> ScoreTable | None:
    """The search's own table, else one fitted to what it looked at; None where that was too little."""
    if found.table is not None or len(history) < FEWEST_TO_FIT:
        return found.table
    values = {network.ops: accuracy for network, accuracy in history}
    return fitted_table(known.space, KnownAccuracies(values, known.accuracies.source))


@dataclass(frozen=True)
class TabularReport:
    """What a search over known accuracies found.

    Attributes:
        method: its name.
        settings: of the method.
        seed: of everything random.
        known: the accuracies.
        pool: what it chose from.
        budgets: as typed.
        ops: the chosen network.
        history: networks that it looked at, with their accuracies, in order.
        scores: file of the score table; None where none was written.
    """

    method: str
    settings: Mapping[str, Any]
    seed: int
    known: KnownNetworks
    pool: Pool
    budgets: tuple[Budget, ...]
    ops: Ops
    history: tuple[tuple[Ops, float], ...]
    scores: Path | None = None

    @property
    def score(self) -> float:
        """Known accuracy of the chosen network in per cent, whether the search looked at it or not."""
        return self.known.accuracies.values[self.ops]

    def to_json(self) -> dict[str, Any]:
        """As JSON values; accuracies in per cent, budgets and latencies to the last digit."""
        return {
            "method": self.method,
            "space": self.known.space.name,
            "seed": self.seed,
            "settings": dict(self.settings),
            "architecture": self.known.text(self.ops),
            "score": self.score,
            "latency_ms": self.pool.latency_ms(self.ops),
            "budget": dict(self.pool.limits),
            "budget_text": [budget.text for budget in self.budgets],
            "candidates": self.pool.candidates.count,
            "evaluations": len(self.history),
            "history": [self._evaluated_json(ops, accuracy) for ops, accuracy in self.history],
            "scores": None if self.scores is None else str(self.scores),
        }

    def _evaluated_json(self, ops: Ops, accuracy: float) -> dict[str, Any]:
        found = {"architecture": self.known.text(ops), "score": accuracy}
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
            ("network", self.known.text(self.ops)),
            ("score", f"{self.score:.2f} %"),
            *([] if latency_ms is None else [("latency", in_words("latency_ms", latency_ms))]),
            *([("budget", " and ".join(budget.text for budget in self.budgets))] if self.budgets else []),
            ("evaluated", f"{len(self.history)} of {self.pool.candidates.count:,} candidates"),
        ]
        lines = [f"{self.method} on {self.known.space.name}", ""]
        lines += [f"{name:<9}  {text}" for name, text in rows]
        if len(self.history) > FEW:
            lines += ["", display.table(["evaluations", "best so far"], self._course(), left=0)]
        if self.scores is not None:
            lines += ["", f"{self.scores}: score table"]
        return "\n".join(lines)

    def _course(self) -> list[list[str]]:
        """The highest accuracy that was seen after 1, 2, 5, 10, ... evaluations, and after all."""
        highest = np.maximum.accumulate([accuracy for _, accuracy in self.history])
        marks = [digit * 10**power for power in range(len(str(len(highest)))) for digit in (1, 2, 5)]
        shown = [mark for mark in marks if mark < len(highest)] + [len(highest)]
        return [[f"{mark:,}", f"{highest[mark - 1]:.2f} %"] for mark in shown]


def chosen_by_table(
    known: KnownNetworks,
    pool: Pool,
    budgets: tuple[Budget, ...],
    table: ScoreTable,
    history: Sequence[Evaluated],
) -> dict[str, Any]:
    """The best candidate by a score table, as the JSON values of a `TabularReport` that concern it."""
    evaluated = tuple((network.ops, accuracy) for network, accuracy in history)
    (best,) = pool.candidates.best(table.rows)
    told = TabularReport("ponas", {}, 0, known, pool, budgets, best, evaluated).to_json()
    wanted = ("architecture", "score", "latency_ms", "budget", "budget_text", "evaluations", "history")
    return {name: told[name] for name in wanted}
