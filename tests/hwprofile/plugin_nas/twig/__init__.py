"""A package of somebody else: a space, a predictor and a search for hwprofile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates
from ponas_core.searches.interface import Found, accuracy, best_seen
from predictors.estimators.regressor import Floats, LatencyRegressor, State

SPACE = Path(__file__).with_name("twig.toml")
STUMP = Path(__file__).with_name("stump.toml")  # which was forgotten


class Nearest(LatencyRegressor):
    """As slow as the most similar network that was measured."""

    def _learn(self, X: Floats, y: Floats, like: Self | None) -> None:
        self._rows, self._measured_ms = X, y

    def _predicted_ms(self, X: Floats) -> Floats:
        nearest = [np.square(self._rows - row).sum(axis=1).argmin() for row in X]
        return self._measured_ms[nearest]

    def _state(self) -> State:
        return {"rows": self._rows, "measured_ms": self._measured_ms}

    def _restore(self, state: State) -> None:
        self._rows, self._measured_ms = state["rows"], state["measured_ms"]


@dataclass(frozen=True)
class Leap:
    """Looks at a share of what it may look at, drawn at random."""

    share: float = 1.0

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `ponas_core.searches.interface.Search`."""
        for _ in range(max(1, int(self.share * ledger.left))):
            accuracy(ledger, candidates, candidates.sample(rng))
        return Found(best_seen(ledger))
