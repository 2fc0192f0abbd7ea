"""JSON files that other commands write, as far as a report shows them; checked when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofile.profile_lines import LARGEST_COUNT, text
from ponas_core.closed_loop import Latency


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with its predicted latency.

    Attributes:
        role: `chosen`, `runner-up 1`, `fastest`, ...
        architecture: as written by its space.
        predicted: the predicted latency.
        score: what it scores, in the units of the score.
    """

    role: str
    architecture: str
    predicted: Latency
    score: float


@dataclass(frozen=True, slots=True)
class ResultFile:
    """`result.json` of `hwprofile specialize`.

    Attributes:
        path: the file.
        space: name of the space.
        device: name of the device.
        blocks: the chosen network's blocks, one a searchable layer.
        candidates: the chosen network first, then those beside it.
        measured: latency of the chosen network; None where it was not measured.
        budget_ms: the limit on latency; None where there was none.
        budget_text: all budgets as typed.
        holds: whether the measured network holds them; None where nothing was measured.
        score_kind: what a score is.
        score_meaning: the same in a sentence.
        profile_name: name of the file of its profile, without folders.
        disturbed: why its profile was disturbed; None where it was quiet.
        weights: `random` or `trained`.
        counted_percent: accuracy that was counted on images; None where that is not known.
    """

    path: Path
    space: str
    device: str
    blocks: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    measured: Latency | None
    budget_ms: float | None
    budget_text: tuple[str, ...]
    holds: bool | None
    score_kind: str
    score_meaning: str
    profile_name: str
    disturbed: str | None
    weights: str
    counted_percent: float | None

    @property
    def chosen(self) -> Candidate:
        """The chosen network."""
        return self.candidates[0]

    @classmethod
    def from_json(cls, path: Path, row: Mapping[str, Any]) -> ResultFile:
        """Read what `Result.to_json` writes; ValueError, KeyError or TypeError where it is malformed."""
        rivals = [(f"runner-up {n}", found) for n, found in enumerate(row["runners_up"], start=1)]
        rivals += [("fastest", row["fastest"]), ("most accurate", row["most_accurate"])]
        measured, budget, counted = row["measured_ms"], row["budget"], row.get("counted")
        return cls(
            path,
            text(row, "space"),
            text(row, "device"),
            texts(row, "blocks"),
            (_candidate("chosen", row), *(_candidate(role, found) for role, found in rivals)),
            None if measured is None else _interval(measured),
            number(budget, "latency_ms") if "latency_ms" in budget else None,
            texts(row, "budget_text"),
            flag(row, "holds_budget"),
            text(row, "score_kind"),
            text(row, "score_meaning"),
            Path(text(row, "profile")).name,
            optional_text(row, "profile_disturbed"),
            text(row, "weights"),
            None if counted is None else number(counted, "accuracy"),
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """A network that was measured twice, and what a model said of it; milliseconds."""

    architecture: str
    measured_ms: float
    again_ms: float
    predicted: Latency


@dataclass(frozen=True, slots=True)
class ValidationFile:
    """What `hwprofile validate --json` prints.

    Attributes:
        path: the file.
        space: name of the space.
        figures: bias, mape, spearman, within_2, within_5, within_10 and interval_coverage.
        noise_floor: mean relative difference between two measurements of the same network.
        baselines: the same figures of simpler models, by name.
        disturbed: why the profile was disturbed; None where it was quiet.
        measurements: the networks.
    """

    path: Path
    space: str
    figures: Mapping[str, float]
    noise_floor: float
    baselines: Mapping[str, Mapping[str, float]]
    disturbed: str | None
    measurements: tuple[Measurement, ...]

    @classmethod
    def from_json(cls, path: Path, row: Mapping[str, Any]) -> ValidationFile:
        """Read what `Validation.to_json` writes; ValueError, KeyError or TypeError where it is malformed."""
        measurements = tuple(_measurement(found) for found in row["measurements"])
        if not measurements:
            raise ValueError("it measured no network")
        return cls(
            path,
            text(row, "space"),
            _figures(row) | {"interval_coverage": number(row, "interval_coverage")},
            number(row, "noise_floor_mape"),
            {str(name): _figures(found) for name, found in row["baselines"].items()},
            optional_text(row, "why_disturbed"),
            measurements,
        )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A network that a search looked at: its score, and its latency where that is known."""

    architecture: str
    score: float
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class SearchFile:
    """`result.json` of `hwprofile search`, or the journal of one that has not ended.

    Attributes:
        path: the file.
        method: its name; None where only the journal is there.
        space: name of the space; None likewise.
        chosen: what it found; None likewise.
        facts: what else it says of itself, a word and its value.
        history: what it looked at, in order; at least one.
    """

    path: Path
    method: str | None
    space: str | None
    chosen: Evaluated | None
    facts: tuple[tuple[str, str], ...]
    history: tuple[Evaluated, ...]

    @classmethod
    def from_json(cls, path: Path, row: Mapping[str, Any]) -> SearchFile:
        """Read what `SearchResult.save` writes; ValueError, KeyError or TypeError where it is malformed."""
        history = tuple(_evaluated(found) for found in row["history"])
        if not history:
            raise ValueError("it looked at no network")
        facts = [("seed", str(row["seed"])), ("candidates", f"{row['candidates']:,}")]
        facts += [("budget", budget) for budget in texts(row, "budget_text")]
        facts += [(str(name), str(value)) for name, value in row["settings"].items()]
        return cls(path, text(row, "method"), text(row, "space"), _evaluated(row), tuple(facts), history)

    @classmethod
    def from_journal(cls, path: Path, rows: Sequence[Mapping[str, Any]]) -> SearchFile:
        """From the lines of `evaluations.jsonl`; those of the last line's weights and images count."""
        basis = rows[-1]["basis"]
        counting = [row for row in rows if row["basis"] == basis]
        history = tuple(Evaluated(text(row, "architecture"), number(row, "accuracy")) for row in counting)
        return cls(path, None, None, None, (), history)


def number(row: Mapping[str, Any], name: str) -> float:
    """A number in a row; ValueError where it is none, or beyond what anything here can be."""
    value = row[name]
    if type(value) not in (int, float) or not -LARGEST_COUNT <= value <= LARGEST_COUNT:
        raise ValueError(f"{name} is no number: {value!r:.80}")
    return float(value)


def texts(row: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A list of texts in a row; ValueError where it is none."""
    value = row[name]
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} is no list of texts: {value!r:.80}")
    return tuple(value)


def flag(row: Mapping[str, Any], name: str) -> bool | None:
    """True, false or null in a row; ValueError for anything else."""
    value = row[name]
    if value not in (True, False, None) or type(value) not in (bool, type(None)):
        raise ValueError(f"{name} is neither true nor false: {value!r:.80}")
    return bool(value) if value is not None else None


def optional_text(row: Mapping[str, Any], name: str) -> str | None:
    """A text or null in a row; ValueError for anything else."""
    return None if row[name] is None else text(row, name)


def _positive(row: Mapping[str, Any], name: str) -> float:
    value = number(row, name)
    if value <= 0:
        raise ValueError(f"{name} is no latency: {value!r}")
    return value


def _interval(row: Mapping[str, Any]) -> Latency:
    return Latency(_positive(row, "median"), number(row, "low"), number(row, "high"))


def _candidate(role: str, row: Mapping[str, Any]) -> Candidate:
    return Candidate(role, text(row, "architecture"), _interval(row["predicted_ms"]), number(row, "score"))


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    names = ("bias", "mape", "spearman", "within_2", "within_5", "within_10")
    return {name: number(row, name) for name in names}


def _measurement(row: Mapping[str, Any]) -> Measurement:
    predicted = Latency(*(number(row, name) for name in ("median_ms", "low_ms", "high_ms")))
    name = text(row, "architecture")
    return Measurement(name, _positive(row, "measured_ms"), _positive(row, "again_ms"), predicted)


def _evaluated(row: Mapping[str, Any]) -> Evaluated:
    known = row.get("latency_ms") is not None
    return Evaluated(
        text(row, "architecture"), number(row, "score"), number(row, "latency_ms") if known else None
    )
