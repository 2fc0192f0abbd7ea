"""The walk of `hwprofile specialize`: profile, scores and budgets in, a network that holds them out."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hwprofile.budget import Budget, exactly, in_words
from hwprofile.energy import Energy, SpaceEnergy
from hwprofile.latency import SpaceLatency
from hwprofile.tables.device import TableLatency
from hwprofile.verification import Verifier
from ponas_core.closed_loop import ClosedLoop, Latency, Outcome
from ponas_core.complexity import COMPLEXITIES, complexity
from ponas_core.cost import Limit
from ponas_core.score_table import Scores
from ponas_core.selection import Selection, select
from ponas_core.solve import Infeasible
from ponas_core.space import Architecture

RUNNERS_UP = 3
MOST_ENERGY_TRIES = 3
"""Winners whose energy is measured before the last one is given, holding its budget or not."""


@dataclass(frozen=True)
class Candidate:
    """A network with what is known of it before it is measured."""

    architecture: Architecture
    score: float
    predicted: Latency
    predicted_energy: Energy | None = None


@dataclass(frozen=True)
class Specialization:
    """A network chosen for a device and budgets.

    Attributes:
        chosen: the network.
        runners_up: the next best ones within the same predicted latency.
        most_accurate: what no budget would give.
        fastest: what the smallest budget would give.
        budget_ms: the latency budget in force; None where only sizes are limited.
        binding: whether the most accurate network breaks a budget, or may, its interval considered.
        optimal: whether the choice is proved to be the best within its predicted latency.
        solve_ms: duration of the last exact solve.
        table: which latencies of the blocks the model uses, joined with `+`; `published` for a table.
        outcome: the loop of measuring and correcting; None where nothing was measured.
        level_change: how much slower the device is now than in its profile; None where nothing was measured.
        budget_mj: the energy budget in force; None where energy is not limited.
        measured_energy: of the confirming measurement; None where energy was not measured.
    """

    chosen: Candidate
    runners_up: tuple[Candidate, ...]
    most_accurate: Candidate
    fastest: Candidate
    budget_ms: float | None
    binding: bool
    optimal: bool
    solve_ms: float
    table: str
    outcome: Outcome | None = None
    level_change: float | None = None
    budget_mj: float | None = None
    measured_energy: Energy | None = None

    @property
    def holds_energy(self) -> bool | None:
        """Whether the upper end of the measured energy is within its budget; None without one of them."""
        if self.budget_mj is None or self.measured_energy is None:
            return None
        return self.measured_energy.high_mj <= self.budget_mj


class Specializer:
    """Solves under budgets over a profile's latency model.

    Args:
        latency: the model.
        scores: what is maximised.
        budgets: all of them must hold.
        energy: the energy model; needed where energy is limited.
    """

    def __init__(
        self,
        latency: SpaceLatency | TableLatency,
        scores: Scores,
        budgets: Sequence[Budget],
        energy: SpaceEnergy | None = None,
    ) -> None:
        """Resolve shares of the most accurate network's latency, and the limits on sizes and energy.

        Raises:
            ValueError: energy is limited, and there is no model of it.
        """
        self.energy = energy
        self.latency, self.scores, self.space = latency, scores, latency.space
        self.budgets = budgets
        self.most_accurate = self.candidate(select(self.space, scores, [], 1).architectures[0])
        self.fastest = self.candidate(self.space.architecture(latency.cost.smallest()))
        limits = {
            quantity: [budget.at_most for budget in budgets if budget.quantity == quantity]
            for quantity in COMPLEXITIES
        }
        self.size_limits = [
            Limit(complexity(self.space, quantity), min(values))
            for quantity, values in limits.items()
            if values
        ]
        top_ms = self.most_accurate.predicted.median_ms
        units = {"latency_ms": 1.0, "latency_share": top_ms}
        in_ms = [budget.at_most * units[budget.quantity] for budget in budgets if budget.quantity in units]
        self.budget_ms = min(in_ms, default=None)
        self.budget_mj = min(
            (budget.at_most for budget in budgets if budget.quantity == "energy_mj"), default=None
        )
        if self.budget_mj is not None and energy is None:
            raise ValueError("energy is limited, and there is no model of it")
        self.energy_correction = 1.0
        self.selection: Selection | None = None
        self.solve_ms = math.nan

    def candidate(self, architecture: Architecture) -> Candidate:
        """A network with its score and predicted latency."""
        predicted = self.latency.predict([architecture])[0]
        energy = None if self.energy is None else self.energy.predict(architecture)
        return Candidate(architecture, self.scores.value(architecture), predicted, energy)

    @property
    def other_limits(self) -> list[Limit]:
        """What holds beside a latency: sizes, and energy as far as measured energies have corrected it."""
        if self.energy is None or self.budget_mj is None:
            return self.size_limits
        return [*self.size_limits, Limit(self.energy.cost, self.budget_mj / self.energy_correction)]

    @property
    def binding(self) -> bool:
        """Whether the most accurate network breaks a budget, or may, its interval considered."""
        top = self.most_accurate
        too_slow = self.budget_ms is not None and top.predicted.high_ms > self.budget_ms
        too_large = (limit.cost.total(top.architecture.ops) > limit.at_most for limit in self.other_limits)
        return too_slow or any(too_large)

    def not_binding_words(self) -> str:
        """What to say first where the budget changes nothing."""
        top = self.most_accurate
        takes = in_words("latency_ms", top.predicted.median_ms)
        if self.budget_mj is not None and top.predicted_energy is not None:
            takes += f" and {in_words('energy_mj', top.predicted_energy.median_mj)}"
        texts = " and ".join(budget.text for budget in self.budgets)
        return (
            f"{texts} does not bind here: the most accurate network takes {takes}; try 60% or a larger space"
        )

    def infeasible_words(self, error: Infeasible) -> str:
        """Why no network holds the budgets, with the smallest reachable value in the budget's own terms."""
        smallest = exactly(error.name, error.smallest)
        if error.name == "energy_mj":
            budget = exactly("energy_mj", self.budget_mj or math.nan)
            beside = " together with the other budgets" if error.others else ""
            return (
                f"no network of {self.space.name} is predicted within {budget}{beside}: "
                f"the smallest reachable is {smallest}"
            )
        if error.name != "latency_ms":
            limit = exactly(error.name, error.at_most)
            return f"no network of {self.space.name} is within {limit}: the smallest reachable is {smallest}"
        budget = exactly("latency_ms", self.budget_ms or math.nan)
        beside = " together with the other budgets" if self.other_limits else ""
        return (
            f"no network of {self.space.name} is predicted within {budget}{beside}: "
            f"the smallest reachable is {smallest}"
        )

    def solve(self, predicted_ms: float | None) -> Architecture:
        """The best architecture within a predicted latency and all limits on sizes and energy.

        Raises:
            Infeasible: there is none.
        """
        limits = list(self.other_limits)
        if predicted_ms is not None:
            limits.append(Limit(self.latency.cost, predicted_ms))
        started = time.perf_counter()
        self.selection = select(self.space, self.scores, limits, 1 + RUNNERS_UP)
        self.solve_ms = (time.perf_counter() - started) * 1e3
        return self.selection.architectures[0]

    def from_model(self) -> Specialization:
        """Choose by the model alone, nothing measured."""
        return self._specialization(self.solve(self.budget_ms))

    def from_measurements(self, verifier: Verifier) -> Specialization:
        """Choose by the models, measure, correct, choose again, confirm.

        Where the measured energy breaks its budget, the energy model is corrected by what it was off, and all
        of this is done once more.
        """
        found = self._measured(verifier)
        for _ in range(MOST_ENERGY_TRIES - 1):
            if found.holds_energy is not False:
                break
            assert found.measured_energy is not None
            assert found.chosen.predicted_energy is not None
            self.energy_correction = max(
                found.measured_energy.high_mj / found.chosen.predicted_energy.median_mj,
                1.01 * self.energy_correction,  # the same network would come out again
            )
            try:
                found = self._measured(verifier)
            except Infeasible:
                break
        return found

    def _measured(self, verifier: Verifier) -> Specialization:
        budget_ms = math.inf if self.budget_ms is None else self.budget_ms
        loop = ClosedLoop(budget_ms, self.latency, self.scores, self._solve_finite, verifier.measure)
        outcome = loop.run()
        energy = verifier.energies.get(str(outcome.architecture))
        return self._specialization(outcome.architecture, outcome, verifier.levels[-1], energy)

    def _solve_finite(self, predicted_ms: float) -> Architecture:
        return self.solve(predicted_ms if math.isfinite(predicted_ms) else None)

    def _specialization(
        self,
        chosen: Architecture,
        outcome: Outcome | None = None,
        level_change: float | None = None,
        energy: Energy | None = None,
    ) -> Specialization:
        candidate = self.candidate(chosen)
        # the exact answer at the chosen network's own latency: proves it, and gives its rivals
        self.solve(candidate.predicted.median_ms * (1 + 1e-9))
        assert self.selection is not None
        rivals = [found for found in self.selection.architectures if found != chosen]
        return Specialization(
            chosen=candidate,
            runners_up=tuple(self.candidate(rival) for rival in rivals[:RUNNERS_UP]),
            most_accurate=self.most_accurate,
            fastest=self.fastest,
            budget_ms=self.budget_ms,
            binding=self.binding,
            optimal=self.selection.optimal and self._ties_with_best(chosen),
            solve_ms=self.solve_ms,
            table="+".join(self.latency.measures),
            outcome=outcome,
            level_change=level_change,
            budget_mj=self.budget_mj,
            measured_energy=energy,
        )

    def _ties_with_best(self, chosen: Architecture) -> bool:
        assert self.selection is not None
        best = self.scores.value(self.selection.architectures[0])
        return math.isclose(self.scores.value(chosen), best, rel_tol=1e-9)
