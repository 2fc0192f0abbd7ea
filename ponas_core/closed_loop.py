"""Specialising under a measured budget: solve, measure, correct, solve again, confirm.

A latency model is never exact, and a solver picks just the networks that the model flatters (the winner's
curse). So the loop measures what it picks, learns how far the model is off near the budget, and accepts a
network only with a margin; a loop that stops on the edge is broken half of the time. The measurement that
confirms the winner is never one that was used to choose it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ponas_core.score_table import Scores
from ponas_core.space import Architecture

CHOOSING_PROCESSES = 5
CONFIRMING_PROCESSES = 9
MOST_ITERATIONS = 4
MOST_CONFIRMATIONS = 3
FIRST_SHARES = (0.92, 0.96, 1.0)
"""Shares of the budget that the first iteration aims at, so that it brackets the edge."""
LATER_SHARES = (0.99, 1.0)
ONE_SIDED_95 = 1.645
MEDIAN_EFFICIENCY = 1.25
"""How much wider a median scatters than a mean."""
CONFIRMING_HALF_WIDTH = 0.93
"""Expected upper half of the interval over `CONFIRMING_PROCESSES` normal values, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Latency:
    """A measured or predicted latency with its 95 % interval, milliseconds."""

    median_ms: float
    low_ms: float
    high_ms: float


class LatencyModel(Protocol):
    """What the loop asks of a model."""

    @property
    def process_sd(self) -> float:
        """Relative spread of a network's latency between processes."""
        ...

    def median_ms(self, architecture: Architecture) -> float:
        """Predicted latency of a network."""
        ...


Solve = Callable[[float], Architecture]
"""The best architecture whose predicted latency is at most so many milliseconds; raises Infeasible."""

Measure = Callable[[Sequence[Architecture], int], Sequence[Latency]]
"""Measure networks in so many fresh processes each; in the given order."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One measured candidate.

    Attributes:
        architecture: the candidate.
        predicted_ms: the model's median for it.
        measured: what was measured to choose.
        accepted: whether it held the budget with the margin.
    """

    architecture: Architecture
    predicted_ms: float
    measured: Latency
    accepted: bool


@dataclass(frozen=True)
class Outcome:
    """Where the loop ended.

    Attributes:
        architecture: the winner.
        measured: its confirming measurement, in fresh processes.
        holds: whether the upper end of that measurement's interval is within the budget.
        correction: measured over predicted latency near the budget, as learned.
        attempts: every candidate that was measured to choose.
        confirmations: every confirming measurement, the winner's last.
    """

    architecture: Architecture
    measured: Latency
    holds: bool
    correction: float
    attempts: tuple[Attempt, ...]
    confirmations: tuple[tuple[Architecture, Latency], ...]


@dataclass
class ClosedLoop:
    """The loop's state; `run` is called once.

    Args:
        budget_ms: the limit that the measured network must hold.
        model: predicts latencies.
        scores: what is maximised.
        solve: the exact solver behind a budget in predicted milliseconds.
        measure: measures networks on the device.
    """

    budget_ms: float
    model: LatencyModel
    scores: Scores
    solve: Solve
    measure: Measure
    attempts: dict[tuple[int, ...], Attempt] = field(default_factory=dict)
    correction: float = 1.0

    @property
    def margin(self) -> float:
        """What must be free below the budget for a confirmation to be likely.

        The choosing measurement errs by one part, and the confirming interval needs room for its upper half.
        """
        sd = self.model.process_sd
        choosing = ONE_SIDED_95 * MEDIAN_EFFICIENCY * sd / math.sqrt(CHOOSING_PROCESSES)
        return choosing + CONFIRMING_HALF_WIDTH * sd

    def run(self) -> Outcome:
        """Search until the best network that holds the budget is found and confirmed, or nothing is left.

        Raises:
            Infeasible: from `solve`, when no network is predicted to hold the budget.
        """
        shares: Sequence[float] = FIRST_SHARES
        for _ in range(MOST_ITERATIONS):
            fresh = self._candidates(shares)
            if not fresh:
                break
            self._measure(fresh)
            shares = LATER_SHARES
        return self._confirm()

    def _candidates(self, shares: Sequence[float]) -> list[Architecture]:
        """Winners of the model at shares of the reachable budget that were not measured yet."""
        reachable = self.budget_ms / (1 + self.margin) / self.correction
        found: dict[tuple[int, ...], Architecture] = {}
        for share in shares:
            architecture = self._solve(share * reachable)
            if architecture.ops not in self.attempts:
                found[architecture.ops] = architecture
        return list(found.values())

    def _solve(self, predicted_ms: float) -> Architecture:
        """The model's winner; where only the correction makes that infeasible, the smallest attempt's."""
        try:
            return self.solve(predicted_ms)
        except ValueError:
            if not self.attempts:
                return self.solve(self.budget_ms)
            return min(self.attempts.values(), key=lambda attempt: attempt.measured.median_ms).architecture

    def _measure(self, candidates: Sequence[Architecture]) -> None:
        measured = self.measure(candidates, CHOOSING_PROCESSES)
        for architecture, latency in zip(candidates, measured, strict=True):
            accepted = latency.median_ms * (1 + self.margin) <= self.budget_ms
            predicted = self.model.median_ms(architecture)
            self.attempts[architecture.ops] = Attempt(architecture, predicted, latency, accepted)
        ratios = [
            math.log(attempt.measured.median_ms / attempt.predicted_ms) for attempt in self.attempts.values()
        ]
        self.correction = math.exp(sum(ratios) / len(ratios))

    def _confirm(self) -> Outcome:
        """Measure the best accepted candidate anew; where it breaks the budget, the next faster one."""
        confirmed: list[tuple[Architecture, Latency]] = []
        for attempt in self._ranked()[:MOST_CONFIRMATIONS]:
            slowest = min((latency.median_ms for _, latency in confirmed), default=math.inf)
            if attempt.measured.median_ms >= slowest:
                continue
            latency = self.measure([attempt.architecture], CONFIRMING_PROCESSES)[0]
            confirmed.append((attempt.architecture, latency))
            if latency.high_ms <= self.budget_ms:
                break
        architecture, latency = confirmed[-1]
        return Outcome(
            architecture,
            latency,
            latency.high_ms <= self.budget_ms,
            self.correction,
            tuple(self.attempts.values()),
            tuple(confirmed),
        )

    def _ranked(self) -> list[Attempt]:
        """Accepted candidates by score; behind them the others, the fastest first."""
        accepted = [attempt for attempt in self.attempts.values() if attempt.accepted]
        others = [attempt for attempt in self.attempts.values() if not attempt.accepted]
        accepted.sort(key=lambda attempt: self.scores.value(attempt.architecture), reverse=True)
        return accepted + sorted(others, key=lambda attempt: attempt.measured.median_ms)
