"""Figures as text."""

from __future__ import annotations

from ponas_core.closed_loop import Latency

ABSENT = "–"


def ms(value: float | None) -> str:
    """Milliseconds without the unit, four digits."""
    return ABSENT if value is None else f"{value:#.4g}".removesuffix(".")


def interval(found: Latency | None) -> str:
    """Both ends of an interval, milliseconds."""
    return ABSENT if found is None else f"{ms(found.low_ms)} to {ms(found.high_ms)}"


def percent(share: float, digits: int = 1) -> str:
    """A share."""
    return f"{100 * share:.{digits}f} %"


def score(value: float, kind: str) -> str:
    """A score in its units: per cent for accuracies."""
    return f"{value:.2f} %" if kind.startswith("accuracy") else f"{value:.4g}"


def score_title(kind: str) -> str:
    """What a score is, in two words."""
    names = {
        "accuracy": "accuracy, %",
        "accuracy-checked": "accuracy (checked), %",
        "accuracy-predicted": "accuracy (predicted), %",
        "macs-proxy": "MMACs (proxy)",
    }
    return names.get(kind, "score")
