"""Random search: the baseline that every other search has to beat."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.interface import Found, accuracies, best_seen

_VAIN_DRAWS = 20
"""Draws in a row of networks that are known already, after which one that is not is looked for."""


@dataclass(frozen=True)
class RandomSearch:
    """Evaluate distinct random candidates; choose the most accurate."""

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        accuracies(ledger, candidates, distinct(candidates, int(ledger.left), rng))
        return Found(best_seen(ledger))


def distinct(candidates: Candidates, count: int, rng: np.random.Generator) -> list[Ops]:
    """Distinct random candidates; fewer where there are no more."""
    found: dict[Ops, None] = {}
    while len(found) < count:
        ops = unseen(candidates, found, rng)
        if ops is None:
            break
        found[ops] = None
    return list(found)


def unseen(candidates: Candidates, known: Collection[Ops], rng: np.random.Generator) -> Ops | None:
    """A random candidate that is not known; None where all are.

    All are about equally likely while most are not known; the last ones are found by random scores.
    """
    for _ in range(_VAIN_DRAWS):
        ops = candidates.sample(rng)
        if ops not in known:
            return ops
    scores = [rng.standard_normal(count) for count in candidates.space.op_counts]
    return next(iter(candidates.best(scores, without=known)), None)
