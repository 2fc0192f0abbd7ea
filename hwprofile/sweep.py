"""Several settings at once: one profile for each combination, shown as columns of one table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hwprofile.bench import BenchReport
from hwprofile.bench_report import to_json
from hwprofile.display import table
from hwprofile.errors import BadInput

AXES: dict[str, Callable[[str], Any]] = {
    "threads": int, "batch": int, "dtype": str, "cache": str, "runtime": str, "provider": str,
}  # fmt: skip
"""Settings that may vary, and how their values are read."""
SHOWN = 12

Combination = Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """What a bench found under each combination of settings."""

    reports: Sequence[tuple[Combination, BenchReport]]

    def to_json(self) -> list[dict[str, Any]]:
        """The facts of every bench, with the settings that vary."""
        return [{"settings": dict(chosen), **to_json(report)} for chosen, report in self.reports]

    def for_people(self) -> str:
        """The slowest graphs, one column for each combination."""
        profiles = [report.profile for _, report in self.reports]
        first = profiles[0]
        known = [name for name in first.names if all(profile.usable_visits(name) for profile in profiles)]
        slowest = sorted(known, key=lambda name: first.summary(name).median_ms, reverse=True)[:SHOWN]
        titles = [" ".join(f"{axis}={value}" for axis, value in chosen.items()) for chosen, _ in self.reports]
        rows = [
            [name, *(f"{profile.summary(name).median_ms:.4f} ms" for profile in profiles)] for name in slowest
        ]
        lines = [table(["graph", *titles], rows), ""]
        for title, profile in zip(titles, profiles, strict=True):
            why = profile.why_disturbed()
            lines.append(f"{title}: {profile.path}{'' if why is None else f'  DISTURBED: {why}'}")
        return "\n".join(lines)


def parse_axes(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Read `AXIS=VALUE,VALUE`.

    Raises:
        BadInput: no such axis, a value that it cannot take, one value only, or an axis given twice.
    """
    axes: dict[str, list[Any]] = {}
    for text in texts:
        axis, _, values = text.partition("=")
        words = [word for word in values.split(",") if word]
        if axis not in AXES or axis in axes or len(words) < 2:
            raise BadInput(
                f"--sweep {text}: give each axis once, with two values or more, such as threads=1,2; "
                f"axes: {', '.join(AXES)}"
            )
        try:
            axes[axis] = [AXES[axis](word) for word in words]
        except ValueError as error:
            raise BadInput(f"--sweep {text}: {error}") from error
    return axes


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[Combination]:
    """Every combination of the values of all axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
