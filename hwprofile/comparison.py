"""The walk of `hwprofile compare`: are two profiles different, block by block and for whole networks?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from devices.comparison import Compared, GraphChange, compared
from devices.device import identity_differences
from hwprofile.display import table
from hwprofile.errors import UserError
from hwprofile.profile import Profile


@dataclass(frozen=True)
class Comparison:
    """Two profiles beside each other.

    Attributes:
        before: the first profile.
        after: the second.
        found: the level of all graphs, and every graph that both hold beside it.
        differences: what their identities differ in.
        missing: graphs that only one of them holds.
    """

    before: Profile
    after: Profile
    found: Compared
    differences: list[str]
    missing: list[str]

    @property
    def regressions(self) -> list[GraphChange]:
        """The graphs that became slower beside the others."""
        return [graph for graph in self.found.graphs if graph.change == "slower"]

    @property
    def regression(self) -> str | None:
        """What became slower, in words; None where nothing did."""
        if self.found.level_change == "slower":
            return f"everything became slower, by {self.found.level:.1%}"
        count = len(self.regressions)
        return f"{count} of {len(self.found.graphs)} graphs became slower" if count else None

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
            "level": self.found.level,
            "level_p": self.found.level_p,
            "level_change": self.found.level_change,
            "regressions": len(self.regressions),
            "improvements": sum(graph.change == "faster" for graph in self.found.graphs),
            "identity_differences": self.differences,
            "disturbed": self.disturbed,
            "missing": self.missing,
            "graphs": [asdict(graph) | {"ratio": graph.ratio} for graph in self.found.graphs],
        }

    def for_people(self) -> str:
        """What changed, and how the whole stands."""
        changed = [graph for graph in self.found.graphs if graph.change != "same"]
        rows = [
            [
                graph.graph,
                f"{graph.before_ms:.4f} ms",
                f"{graph.after_ms:.4f} ms",
                f"{graph.ratio - 1:+.1%}",
                f"{graph.beside_others:+.1%}",
                f"{graph.p:.1g}",
                graph.change,
            ]
            for graph in changed
        ]
        lines = [f"DIFFERENT {difference}" for difference in self.differences]
        lines += [f"DISTURBED {reason}" for reason in self.disturbed]
        if rows:
            lines += [table(["graph", "before", "after", "change", "beside others", "p", ""], rows), ""]
        lines.append(
            f"{len(self.found.graphs)} graphs compared: {len(self.regressions)} slower, "
            f"{len(changed) - len(self.regressions)} faster beside the others; all together "
            f"{self.found.level:+.1%} ({self.found.level_change}, p {self.found.level_p:.1g})"
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
        false_alarms: probability of calling any graph slower where nothing changed.
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
    times = [{name: profile.process_ms(name) for name in profile.names} for profile in (before, after)]
    found = compared(times[0], times[1], smallest_effect, false_alarms)
    if not found.graphs:
        raise UserError(f"{before.path} and {after.path} share no graph that was measured twice in both")
    missing = sorted(set(before.names) ^ set(after.names))
    return Comparison(before, after, found, differences, missing)
