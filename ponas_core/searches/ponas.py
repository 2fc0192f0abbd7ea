"""PONAS over candidates: one table fitted to random networks, its best ones looked at.

Huang and Chu, "PONAS" (arXiv 2003.05112). The table is fitted, not read cell by cell as in the paper
(`ponas_core.table_estimation` does that): docs/search.md compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ponas_core.accuracies import KnownAccuracies
from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates
from ponas_core.searches.choice import FEWEST_TO_FIT, most_accurate
from ponas_core.searches.interface import Found, accuracies
from ponas_core.searches.random_search import distinct
from ponas_core.table_fit import fitted_table


@dataclass(frozen=True)
class Ponas:
    """Fit a score table to random candidates, evaluate the best networks of the table, choose among those.

    Attributes:
        checked: networks of the table that are evaluated.
        noise: standard deviation of an evaluation in points of accuracy; observations are shrunk towards the
            table by it.
    """

    checked: int = 8
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings without a meaning."""
        if self.checked < 1 or not self.noise >= 0:
            raise ValueError("checked is at least 1 network, noise a number of points from 0 on")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        most = int(ledger.left)
        # with few evaluations, half of them fit
        fitting = max(most - self.checked, (most + 1) // 2)
        seen = accuracies(ledger, candidates, distinct(candidates, fitting, rng))
        if len(seen) < FEWEST_TO_FIT:
            return Found(max(seen, key=lambda ops: seen[ops]))
        table = fitted_table(candidates.space, KnownAccuracies(dict(seen), ledger.description))
        unseen = candidates.best(table.rows, max(1, int(ledger.left)), without=seen)
        checked = accuracies(ledger, candidates, unseen[: int(ledger.left)])
        # the table has seen the noise of what it was fitted to: only without noise these may win too
        among = checked if self.noise and checked else {**seen, **checked}
        return Found(most_accurate(among, table, self.noise), table)
