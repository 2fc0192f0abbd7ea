"""Table-guided search: draw a score table from what is believed of it, evaluate its best network, repeat.

Ours. A table (one number per block and layer, on the log of the error) is fitted to what was evaluated; what
the fit leaves open is a normal distribution over tables. Each next network is the best one, by the exact
solver and under the budget, of a table drawn from it (Thompson 1933). So a block that few networks tell of
gets its chance, and one that is surely bad gets none.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import KnownAccuracies
from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.choice import FEWEST_TO_FIT, most_accurate
from ponas_core.searches.interface import Found, accuracies
from ponas_core.searches.random_search import distinct
from ponas_core.searches.trait_table import RIDGE, TraitTable
from ponas_core.table_fit import fitted_table

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TableGuided:
    """Fit a table, draw tables around it, evaluate the best network of each, fit again.

    Attributes:
        first: share of the evaluations that goes to random networks, before the first table.
        batch: networks that are evaluated between two fits.
        ridge: penalty on the entries, that is noise over their spread; both on the log of the error.
        top: a network weighs 1 / (1 + rank / (top * evaluations)): tables are wanted where winners are.
        noise: standard deviation of an evaluation in points of accuracy. 0 chooses the highest accuracy
            that was seen; else observations are shrunk towards the table first.
    """

    first: float = 0.3
    batch: int = 8
    ridge: float = RIDGE
    top: float = 0.25
    noise: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings without a meaning."""
        if not (0 < self.first <= 1 and self.batch >= 1 and self.ridge > 0 and self.top > 0):
            raise ValueError("first is a share above 0 up to 1, batch at least 1, ridge and top above 0")
        if not self.noise >= 0:
            raise ValueError(f"noise is a number of points from 0 on, not {self.noise}")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        most = int(ledger.left)
        seen = accuracies(ledger, candidates, distinct(candidates, max(1, round(self.first * most)), rng))
        while ledger.left >= 1 and len(seen) < candidates.count:
            table = TraitTable.fitted(candidates, seen, ridge=self.ridge, top=self.top * most)
            # what a table that is drawn finds new does not depend on how accurate the others of a batch are
            wanted = min(self.batch, int(ledger.left))
            batch = _best_of_draws(candidates, table, wanted, seen, rng)
            seen |= accuracies(ledger, candidates, batch)
            if len(batch) < wanted:
                break
        return self._found(candidates, ledger, seen)

    def _found(self, candidates: Candidates, ledger: Ledger, seen: dict[Ops, float]) -> Found:
        if len(seen) < FEWEST_TO_FIT:
            return Found(most_accurate(seen, None, self.noise))
        table = fitted_table(candidates.space, KnownAccuracies(dict(seen), ledger.description))
        return Found(most_accurate(seen, table, self.noise), table)


def _best_of_draws(
    candidates: Candidates, table: TraitTable, count: int, seen: Collection[Ops], rng: np.random.Generator
) -> list[Ops]:
    """The best network of each of several tables drawn, all of them new; fewer where there are no more."""
    taken = set(seen)
    found: list[Ops] = []
    for _ in range(count):
        unseen = candidates.best_by_traits(table.draw(rng), without=taken)
        if not unseen:
            break
        found.append(unseen[0])
        taken.add(unseen[0])
    return found
