"""The result of a specialisation: for machines as JSON, for people as a short table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofile.budget import Budget, in_words
from hwprofile.display import table
from hwprofile.energy import Energy
from hwprofile.learning.scores_and_weights import ExportedNetwork
from hwprofile.profile import Profile
from hwprofile.specialize import Candidate, Specialization
from hwprofile.tables.device import TableOrigin
from ponas_core.closed_loop import Latency
from ponas_core.complexity import COMPLEXITIES, complexity
from ponas_core.score_table import Scores

SCHEMA_VERSION = 1
LEVEL_MOVED = 0.03


@dataclass(frozen=True)
class Result:
    """A specialisation with everything that a reader wants to know about it.

    Attributes:
        found: what was found.
        budgets: as typed.
        scores: what was maximised.
        profile: what the model was fitted on, or the table that it is.
        network: the exported network.
    """

    found: Specialization
    budgets: Sequence[Budget]
    scores: Scores
    profile: Profile | TableOrigin
    network: ExportedNetwork

    @property
    def score_kind(self) -> str:
        """What the winner's score is.

        `accuracy` where it is known, `accuracy-checked` by table and images that did not fill it,
        `accuracy-predicted` by the table alone, or a proxy.
        """
        table, chosen = self.scores.table, self.found.chosen.architecture
        if table.kind != "accuracy" or self.scores.is_known(chosen):
            return table.kind
        return "accuracy-checked" if self.scores.is_checked(chosen) else "accuracy-predicted"

    @property
    def holds_budget(self) -> bool | None:
        """Whether the measured network holds every budget; None when nothing was measured."""
        if self.found.outcome is None:
            return None
        return self.found.outcome.holds and self.found.holds_energy is not False

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values; every quantity's name carries its unit."""
        found, chosen = self.found, self.found.chosen
        space = chosen.architecture.space
        measured = found.outcome.measured if found.outcome else None
        sizes: dict[str, float] = {
            name: complexity(space, name).total(chosen.architecture.ops) for name in COMPLEXITIES
        }
        return {
            "schema_version": SCHEMA_VERSION,
            "file": "hwprofile-result",
            "architecture": str(chosen.architecture),
            "blocks": [str(block) for block in chosen.architecture.blocks],
            "space": space.name,
            "device": self.profile.header.device,
            "budget": self._budget_json(),
            "budget_text": [budget.text for budget in self.budgets],
            "binding": found.binding,
            "predicted_ms": _interval_json(chosen.predicted),
            "measured_ms": None if measured is None else _interval_json(measured),
            **self._energy_json(),
            "holds_budget": self.holds_budget,
            "score": chosen.score,
            "score_kind": self.score_kind,
            "score_meaning": self.scores.table.meaning,
            "optimal": found.optimal,
            "solve_ms": found.solve_ms,
            "smallest_reachable_ms": found.fastest.predicted.median_ms,
            **sizes,
            "runners_up": [_candidate_json(rival) for rival in found.runners_up],
            "fastest": _candidate_json(found.fastest),
            "most_accurate": _candidate_json(found.most_accurate),
            "loop": self._loop_json(),
            "profile": str(self.profile.path),
            "profile_disturbed": self.profile.why_disturbed(),
            "latency_table": self.found.table,
            "identity": dict(self.profile.header.identity),
            **self.network.to_json(),
        }

    def _budget_json(self) -> dict[str, float]:
        limits: dict[str, float] = {
            budget.quantity: min(other.at_most for other in self.budgets if other.quantity == budget.quantity)
            for budget in self.budgets
            if budget.quantity in COMPLEXITIES
        }
        if self.found.budget_mj is not None:
            limits = {"energy_mj": self.found.budget_mj, **limits}
        return limits if self.found.budget_ms is None else {"latency_ms": self.found.budget_ms, **limits}

    def _energy_json(self) -> dict[str, Any]:
        """What is known of the winner's energy; nothing where its profile was made without."""
        found, predicted = self.found, self.found.chosen.predicted_energy
        if predicted is None:
            return {}
        measured = found.measured_energy
        return {
            "predicted_mj": predicted.to_json(),
            "measured_mj": None if measured is None else measured.to_json(),
            "holds_energy_budget": found.holds_energy,
            "energy_source": self.profile.header.energy and self.profile.header.energy.to_json(),
        }

    def _loop_json(self) -> dict[str, Any] | None:
        outcome = self.found.outcome
        if outcome is None:
            return None
        return {
            "measured_over_predicted": outcome.correction,
            "level_change": self.found.level_change,
            "candidates": [
                {
                    "architecture": str(attempt.architecture),
                    "predicted_ms": attempt.predicted_ms,
                    "measured_ms": _interval_json(attempt.measured),
                    "accepted": attempt.accepted,
                }
                for attempt in outcome.attempts
            ],
            "confirmations": [
                {"architecture": str(architecture), "measured_ms": _interval_json(latency)}
                for architecture, latency in outcome.confirmations
            ],
        }

    def save(self, path: Path) -> None:
        """Write the result as JSON."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")

    def for_people(self) -> str:
        """A short table, and one line of verdict last."""
        chosen = self.found.chosen
        lines = [
            f"{chosen.architecture.space.name} on {self.profile.header.device}: {self._budget_words()}",
            "",
            self._layers(),
            "",
            self._candidates(),
            "",
            *self._verdict(),
        ]
        return "\n".join(lines)

    def _budget_words(self) -> str:
        words = [
            f"{budget.text} = {in_words('latency_ms', self.found.budget_ms)}"
            if budget.quantity == "latency_share" and self.found.budget_ms is not None
            else budget.text
            for budget in self.budgets
        ]
        return "best network within " + " and ".join(words)

    def _layers(self) -> str:
        architecture = self.found.chosen.architecture
        rows = [
            [layer.name, str(layer.place.shape_in), str(layer.place.channels_out), str(block)]
            for layer, block in zip(architecture.space.layers, architecture.blocks, strict=True)
        ]
        return table(["layer", "input", "channels", "block"], rows, left=4)

    def _candidates(self) -> str:
        found = self.found
        rows = [self._row("chosen", found.chosen)]
        if found.outcome is not None:
            rows[0][2] = _interval_words(found.outcome.measured)
        rows += [self._row(f"runner-up {n}", rival) for n, rival in enumerate(found.runners_up, start=1)]
        rows += [self._row("fastest", found.fastest), self._row("most accurate", found.most_accurate)]
        return table(["network", "predicted", "measured", self._score_title(), "architecture"], rows)

    def _score_title(self) -> str:
        return {"accuracy": "accuracy", "macs-proxy": "MMACs (proxy)"}.get(self.scores.table.kind, "score")

    def _row(self, name: str, candidate: Candidate) -> list[str]:
        unit = " %" if self.scores.table.kind == "accuracy" else ""
        known = (
            ""
            if self.scores.table.kind != "accuracy" or self.scores.is_known(candidate.architecture)
            else "~"
        )
        return [
            name,
            _interval_words(candidate.predicted),
            "",
            f"{known}{candidate.score:.2f}{unit}",
            str(candidate.architecture),
        ]

    def _verdict(self) -> list[str]:
        found, lines = self.found, []
        if found.outcome is None:
            table = isinstance(self.profile, TableOrigin)
            reason = "a table, which cannot measure" if table else "nothing was measured (--no-measure)"
            lines.append(f"predicted only: {reason}")
        elif found.budget_ms is not None:
            lines.append(self._holds_line())
        elif found.budget_mj is None:
            lines.append("the limits on size hold exactly; latency was measured, not limited")
        else:
            lines.append("latency was measured, not limited")
        lines += self._energy_lines()
        if found.level_change is not None and abs(found.level_change) > LEVEL_MOVED:
            lines.append(f"the device runs {found.level_change:+.1%} against its profile: canaries moved")
        why = self.profile.why_disturbed()
        if why is not None:
            lines.append(f"its profile was DISTURBED: {why}; what disturbs: hwprofile doctor")
        if found.optimal:
            lines.append(
                "proved: no network scores higher within the predicted latency "
                f"({found.solve_ms:.1f} ms to solve)"
            )
        return [*lines, self.network.words()]

    def _energy_lines(self) -> list[str]:
        """What the winner uses, and whether it holds its energy budget."""
        found, predicted = self.found, self.found.chosen.predicted_energy
        if predicted is None:
            return []
        source = self.profile.header.energy
        words = f"energy of an inference, idle included: predicted {_energy_words(predicted)}"
        if found.measured_energy is not None:
            words += f", measured {_energy_words(found.measured_energy)}"
        words += f" ({source.name}: {source.scope})" if source else ""
        if found.budget_mj is None or found.measured_energy is None:
            return [words]
        high, budget = (
            in_words("energy_mj", value) for value in (found.measured_energy.high_mj, found.budget_mj)
        )
        if found.holds_energy:
            return [words, f"holds the energy budget: measured at most {high} (95 %) of {budget}"]
        return [
            words,
            f"does NOT hold the energy budget: measured up to {high} (95 %), the budget is {budget}: "
            "allow more, or bench anew with --energy --fresh if the device was busy",
        ]

    def _holds_line(self) -> str:
        found = self.found
        assert found.outcome is not None
        assert found.budget_ms is not None
        measured, budget = found.outcome.measured, in_words("latency_ms", found.budget_ms)
        high = in_words("latency_ms", measured.high_ms)
        if found.outcome.holds:
            return f"holds the budget: measured at most {high} (95 %) of {budget}, in fresh processes"
        fastest = min(attempt.measured.median_ms for attempt in found.outcome.attempts)
        return (
            f"does NOT hold the budget: measured up to {high} (95 %), the budget is {budget}; "
            f"the fastest network that was tried took {in_words('latency_ms', fastest)}: "
            "allow more, or bench anew with --fresh if the device was busy"
        )


def _interval_json(latency: Latency) -> dict[str, float]:
    return {"median": latency.median_ms, "low": latency.low_ms, "high": latency.high_ms}


def _interval_words(latency: Latency) -> str:
    half = (latency.high_ms - latency.low_ms) / (2 * latency.median_ms)
    # what takes less than a tenth of a millisecond would have two digits only
    words = (
        f"{latency.median_ms:.3f} ms" if latency.median_ms >= 0.1 else f"{1000 * latency.median_ms:.1f} us"
    )
    return f"{words} ±{half:.1%}"


def _energy_words(energy: Energy) -> str:
    half = (energy.high_mj - energy.low_mj) / (2 * energy.median_mj)
    return f"{in_words('energy_mj', energy.median_mj)} ±{half:.1%}"


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    energy = candidate.predicted_energy
    return {
        "architecture": str(candidate.architecture),
        "score": candidate.score,
        "predicted_ms": _interval_json(candidate.predicted),
        **({} if energy is None else {"predicted_mj": energy.to_json()}),
    }
