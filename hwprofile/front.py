"""The Pareto front of a space under a latency model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwprofile.display import table
from hwprofile.latency import SpaceLatency
from hwprofile.plain_drawing import steps
from hwprofile.tables.device import TableLatency
from ponas_core.closed_loop import Latency
from ponas_core.score_table import Scores
from ponas_core.selection import front
from ponas_core.space import Architecture, SearchSpace

MOST_ROWS = 24
_BAR = 32


@dataclass(frozen=True)
class Front:
    """Networks that no other beats in both predicted latency and score, latency rising."""

    space: SearchSpace
    scores: Scores
    architectures: Sequence[Architecture]
    latencies: Sequence[Latency]
    values: Sequence[float]


def front_of(latency: SpaceLatency | TableLatency, scores: Scores) -> Front:
    """The exact front: by known accuracies where all are known, else by the score table."""
    architectures = front(latency.space, scores, latency.cost)
    values = [scores.value(architecture) for architecture in architectures]
    return Front(latency.space, scores, architectures, latency.predict(architectures), values)


def to_json(found: Front) -> dict[str, Any]:
    """The front as JSON values."""
    return {
        "space": found.space.name,
        "score_kind": found.scores.table.kind,
        "score_meaning": found.scores.table.meaning,
        "networks": [
            {
                "architecture": str(architecture),
                "latency_ms": latency.median_ms,
                "low_ms": latency.low_ms,
                "high_ms": latency.high_ms,
                "score": value,
            }
            for architecture, latency, value in zip(
                found.architectures, found.latencies, found.values, strict=True
            )
        ],
    }


def for_people(found: Front, plot: bool = False) -> str:
    """A table with a bar per network; of a long front, networks evenly spread over its latencies.

    With `plot`, the whole front is drawn above it.
    """
    lowest, highest = min(found.values), max(found.values)
    reach = (highest - lowest) or 1.0
    rows = [
        [
            "█" * (1 + round((_BAR - 1) * (found.values[n] - lowest) / reach)),
            f"{found.latencies[n].median_ms:.3f} ms",
            f"{found.values[n]:.2f}",
            f"  {found.architectures[n]}",
        ]
        for n in _spread(found)
    ]
    shown = len(rows)
    title = f"{len(found.values)} networks on the front of {found.space.name}"
    title += f"; {shown} of them, evenly spread in latency" if shown < len(found.values) else ""
    drawn = [_drawn(found)] if plot else []
    listed = table(["", "latency", found.scores.table.kind, "architecture"], rows)
    return "\n\n".join([title, *drawn, listed])


def _drawn(found: Front) -> str:
    times = [latency.median_ms for latency in found.latencies]
    return steps(times, found.values, "latency, ms", found.scores.table.kind)


def _spread(found: Front) -> list[int]:
    times = np.array([latency.median_ms for latency in found.latencies])
    if times.size <= MOST_ROWS:
        return list(range(times.size))
    wanted = np.linspace(times[0], times[-1], MOST_ROWS)
    return sorted({int(np.abs(times - time).argmin()) for time in wanted})
