"""`hwprofile search METHOD --evaluator tabular`: any search over known accuracies, in place of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile import display
from hwprofile.budget import Budget
from hwprofile.catalog import network_space_named
from hwprofile.errors import BadInput, UserError
from hwprofile.learning.evaluators import told_by
from hwprofile.learning.known_networks import KnownNetworks
from hwprofile.learning.pool import Choosing, Pool
from hwprofile.learning.search_folder import Journal, SearchFolder
from hwprofile.learning.search_result import SearchResult
from ponas_core.accuracies import KnownAccuracies
from ponas_core.evaluation import Evaluated, Ledger, OutOfEvaluations, TabularEvaluator
from ponas_core.score_table import ScoreTable
from ponas_core.searches.choice import FEWEST_TO_FIT
from ponas_core.searches.interface import Found, Search
from ponas_core.searches.methods import METHODS
from ponas_core.searches.settings import SettingError, settings_of, with_settings
from ponas_core.table_fit import fitted_table


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
        fleet: address of a Dask scheduler whose workers look networks up; None for this process.
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
    fleet: str | None = None

    def run(self) -> SearchResult:
        """Search; interrupted, the same search with `out` goes on and ends with the same files.

        Raises:
            BadInput: settings or budgets that cannot be, or too few evaluations for the method.
            BudgetInfeasible: no network holds the budgets.
            UserError: something named is unusable.
        """
        search = self._search()
        known = KnownNetworks.named(network_space_named(self.space_name), self.evaluator)
        pool = self.choosing.pool(known.space, known.ops)
        folder = None if self.out is None else SearchFolder(self.out)
        found, history = self._found(search, known, pool, folder)
        table = _table(known, found, history)
        if folder is not None and table is not None:
            told = {"search": self.method, "seed": self.seed, "settings": settings_of(search)}
            folder.save(replace(table, provenance={**table.provenance, **told}))
        report = SearchResult(
            method=self.method,
            settings=settings_of(search),
            seed=self.seed,
            space=known.space,
            pool=pool,
            budgets=self.choosing.budgets,
            ops=found.ops,
            # a look at the table for the report; the search did not see it, and it is no evaluation
            score=known.accuracies.values[found.ops],
            history=tuple((network.ops, accuracy) for network, accuracy in history),
            text=known.text,
            scores=folder.scores if folder is not None and table is not None else None,
        )
        if folder is not None:
            report.save(folder.result)
        return report

    def _search(self) -> Search:
        try:
            return with_settings(self.method, METHODS[self.method], self.settings)
        except SettingError as error:
            raise BadInput(f"--set: {error}") from error

    def _found(
        self, search: Search, known: KnownNetworks, pool: Pool, folder: SearchFolder | None
    ) -> tuple[Found, Sequence[Evaluated]]:
        """What the search found, and everything that it looked at, in order."""
        journal = None if folder is None else Journal(folder.evaluations, known.basis)
        if folder is not None:
            folder.make()
        with (
            told_by(
                TabularEvaluator(known.accuracies),
                self.fleet,
                quiet=self.quiet,
                kept=None if journal is None else journal.path,
            ) as evaluator,
            display.late_progress(f"search {self.method}", quiet=self.quiet) as bar,
        ):
            inner = Ledger(evaluator)
            if journal is not None:
                inner = Ledger(evaluator, history=journal.history(known.space), on_new=journal.append)
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


def chosen_by_table(
    known: KnownNetworks,
    pool: Pool,
    budgets: tuple[Budget, ...],
    table: ScoreTable,
    history: Sequence[Evaluated],
) -> dict[str, Any]:
    """The best candidate by a score table, as the JSON values of a `SearchResult` that concern it."""
    evaluated = tuple((network.ops, accuracy) for network, accuracy in history)
    (best,) = pool.candidates.best(table.rows)
    score = known.accuracies.values[best]
    told = SearchResult(
        "ponas", {}, 0, known.space, pool, budgets, best, score, evaluated, known.text
    ).to_json()
    wanted = ("architecture", "score", "latency_ms", "budget", "budget_text", "evaluations", "history")
    return {name: told[name] for name in wanted}
