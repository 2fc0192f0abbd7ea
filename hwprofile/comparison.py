"""The walk of `hwprofile compare`: are two profiles different, block by block and for whole networks?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from devices.comparison import GraphChange, compared
from devices.statistics import level_change, visit_ms
from hwprofile.display import table
from hwprofile.errors import UserError
from hwprofile.profile import Profile, identity_differences


@dataclass(frozen=True)
class Comparison:
    """Two profiles beside each other.

    Attributes:
        before: the first profile.
        after: the second.
        graphs: every graph that both hold, the greatest slowdown first.
        level: how much slower the second is over all graphs, 0.05 for 5 %.
        differences: what their identities differ in.
        missing: graphs that only one of them holds.
    """

    before: Profile
    after: Profile
    graphs: list[GraphChange]
    level: float
    differences: list[str]
    missing: list[str]

    @property
    def regressions(self) -> list[GraphChange]:
        """The graphs that became slower."""
        return [graph for graph in self.graphs if graph.change == "slower"]

    @property
    def disturbed(self) -> list[str]:
        """What to say of profiles that were not measured in quiet."""
        reasons = [(profile.path, profile.why_disturbed()) for profile in (self.before, self.after)]
        return [f"{path} was disturbed: {reason}" for path, reason in reasons if reason]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON values."""
        return {
            "before": str(self.before.path),
            "after": str(self.after.path),
            "level_change": self.level,
            "regressions": len(self.regressions),
            "improvements": sum(graph.change == "faster" for graph in self.graphs),
            "identity_differences": self.differences,
            "disturbed": self.disturbed,
            "missing": self.missing,
            "graphs": [asdict(graph) | {"ratio": graph.ratio} for graph in self.graphs],
        }

    def for_people(self) -> str:
        """What changed, and how the whole stands."""
        changed = [graph for graph in self.graphs if graph.change != "same"]
        rows = [
            [
                graph.graph,
                f"{graph.before_ms:.4f} ms",
                f"{graph.after_ms:.4f} ms",
                f"{graph.ratio - 1:+.1%}",
                f"{graph.p:.1g}",
                graph.change,
            ]
            for graph in changed
        ]
        lines = [f"DIFFERENT {difference}" for difference in self.differences]
        lines += [f"DISTURBED {reason}" for reason in self.disturbed]
        if rows:
            lines += [table(["graph", "before", "after", "change", "p", ""], rows), ""]
        lines.append(
            f"{len(self.graphs)} graphs compared: {len(self.regressions)} slower, "
            f"{len(changed) - len(self.regressions)} faster; over all {self.level:+.1%}"
        )
        if self.missing:
            lines.append(f"{len(self.missing)} graphs are in one profile only, such as {self.missing[0]}")
        return "\n".join(lines)


def compare(
    before: Profile, after: Profile, smallest_effect: float, false_alarms: float, *, across: bool
) -> Comparison:
    """Compare two profiles.

    Args:
        before: the profile that the other is held against.
        after: the other.
        smallest_effect: relative differences below this are no change.
        false_alarms: probability of naming any graph where nothing changed.
        across: compare although their identities differ, and say in what.

    Raises:
        UserError: the identities differ, or the profiles share no graph that was measured twice in both.
    """
    differences = identity_differences(before.header.identity, after.header.identity)
    if differences and not across:
        raise UserError(
            f"{before.path} and {after.path} were measured on different devices or settings "
            f"({'; '.join(differences)}): compare them all the same with --across"
        )
    times = [_process_ms(profile) for profile in (before, after)]
    graphs = compared(times[0], times[1], smallest_effect, false_alarms)
    if not graphs:
        raise UserError(f"{before.path} and {after.path} share no graph that was measured twice in both")
    names = [graph.graph for graph in graphs]
    level = level_change([times[0][name] for name in names], [times[1][name] for name in names])
    missing = sorted(set(times[0]) ^ set(times[1]))
    return Comparison(before, after, graphs, level, differences, missing)


def _process_ms(profile: Profile) -> dict[str, list[float]]:
    """One median a process of every measured graph."""
    found = {name: [visit_ms(visit) for visit in profile.usable_visits(name)] for name in profile.names}
    return {name: times for name, times in found.items() if times}
