"""What every search is: a value with its settings, and one method."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Ledger
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        ops: op indexes of the chosen network, one of the candidates.
        table: the search's own score table; None where it keeps none, and one is fitted to what it evaluated.
    """

    ops: Ops
    table: ScoreTable | None = None


class Search(Protocol):
    """A way to find the most accurate of the candidates."""

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search until the ledger's evaluations are spent, or nothing is left to look at.

        What is evaluated is a candidate, always. The result follows from the answers and the generator alone;
        so an interrupted search is run again from its start, and what it asked before is answered by another
        ledger, with that history, behind its own. Whoever knows several networks that it will ask for says so
        first (`expect`, or `accuracies`): other computers can then evaluate them at the same time.

        Args:
            candidates: the networks to choose from.
            ledger: tells accuracies; fresh, with a finite number of evaluations.
            rng: everything random.

        Raises:
            ValueError: too few evaluations for this search; the message says how many it takes.
        """
        ...


def accuracy(ledger: Ledger, candidates: Candidates, ops: Ops) -> float:
    """Accuracy of a candidate in per cent."""
    return ledger.accuracy(network(candidates, ops))


def accuracies(ledger: Ledger, candidates: Candidates, networks: Iterable[Ops]) -> dict[Ops, float]:
    """Accuracies of candidates in per cent, asked for in this order; all are announced first (`expect`)."""
    several = list(networks)
    expect(ledger, candidates, several)
    return {ops: accuracy(ledger, candidates, ops) for ops in several}


def expect(ledger: Ledger, candidates: Candidates, networks: Iterable[Ops]) -> None:
    """Say which candidates will be asked for soon; nothing is paid for (`Ledger.expect`)."""
    ledger.expect([network(candidates, ops) for ops in networks])


def network(candidates: Candidates, ops: Ops) -> Encoded:
    """The candidate with these op indexes."""
    return candidates.space.architecture(ops)


def best_seen(ledger: Ledger) -> Ops:
    """The network with the highest accuracy that was paid for, the first of equals.

    Raises:
        ValueError: none was.
    """
    if not ledger.history:
        raise ValueError("no network was evaluated: allow at least one evaluation")
    return max(ledger.history, key=lambda evaluated: evaluated[1])[0].ops
