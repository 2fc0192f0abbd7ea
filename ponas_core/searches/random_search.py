"""Random search: the baseline that every other search has to beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.interface import Found, accuracy, best_seen

_VAIN_DRAWS = 1000
"""Draws in a row of networks that are known already, after which all are taken to be known."""


@dataclass(frozen=True)
class RandomSearch:
    """Evaluate distinct random candidates; choose the most accurate."""

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        for ops in distinct(candidates, int(ledger.left), rng):
            accuracy(ledger, candidates, ops)
        return Found(best_seen(ledger))


def distinct(candidates: Candidates, count: int, rng: np.random.Generator) -> list[Ops]:
    """Distinct random candidates; fewer where there are no more."""
    found: dict[Ops, None] = {}
    vain = 0
    while len(found) < min(count, candidates.count) and vain < _VAIN_DRAWS:
        before = len(found)
        found[candidates.sample(rng)] = None
        vain = 0 if len(found) > before else vain + 1
    return list(found)
