"""What a bench still has to measure: graphs by name, as far as the profile does not hold them yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from devices.measurement import Graph
from devices.schedule import finished_by_counts, pending
from hwprofile.profile import Kind, Profile
from hwprofile.profile_writer import ProfileWriter

INSIDE = "inside"
"""Role of the networks that are run under the runtime's own profiler too."""


class Progress(Protocol):
    """Where a walk tells how far it is."""

    def advance(self, done: int, total: int, text: str) -> None:
        """`done` of about `total` steps; `text` says what is going on."""
        ...

    def notice(self, text: str) -> None:
        """Something that people should know at once."""
        ...


class Subject(Protocol):
    """What is benched: named graphs, some of which may depend on the first round's result."""

    @property
    def name(self) -> str:
        """Short name for the file of the profile."""
        ...

    @property
    def space(self) -> str | None:
        """Name or file of the search space; None where there is none."""
        ...

    def first(self) -> Mapping[str, Kind]:
        """Names of the graphs of the first round."""
        ...

    @property
    def inline(self) -> bool:
        """Whether times inside networks are wanted."""
        ...

    def choose(self, profile: Profile) -> Mapping[str, str]:
        """Networks to measure from the second round on, with their roles, given the first round.

        Those in the role `INSIDE`, and canaries, are looked into as well where `inline` is wanted.
        """
        ...

    def graph(self, name: str, kind: Kind) -> Graph:
        """The graph of this name."""
        ...

    def reference(self) -> Graph:
        """The thermometer."""
        ...


@dataclass
class BenchPlan:
    """A subject, and the profile that it is measured into.

    Attributes:
        subject: what is benched.
        writer: of the profile.
    """

    subject: Subject
    writer: ProfileWriter
    _graphs: dict[str, Graph] = field(default_factory=dict)

    @property
    def profile(self) -> Profile:
        """What is known so far."""
        return self.writer.profile

    def kinds(self) -> dict[str, Kind]:
        """Every graph that is wanted, and its kind."""
        kinds = dict(self.subject.first())
        for name in self.profile.chosen or {}:
            kinds.setdefault(name, "network")
        return kinds

    def waiting(self) -> tuple[str, ...]:
        """Graphs not known well enough, with the networks chosen once each of the first was measured."""
        if self.profile.chosen is None and self._first_is_measured:
            self.writer.append({"row": "chosen", "networks": dict(self.subject.choose(self.profile))})
        profile, goal = self.profile, self.profile.header.goal
        finished = {
            name: finished_by_counts(profile.successes[name], profile.failures[name], goal)
            for name in self.kinds()
        }
        # what disturbed the rounds is judged anew after each: it is asked where counts do not decide
        seen = {name: profile.progress(name) for name, known in finished.items() if known is None}
        # a graph that has too few visits waits like one that nobody has visited
        return pending([name for name, known in finished.items() if not known], seen, goal)

    @property
    def _first_is_measured(self) -> bool:
        ends, visits = self.profile.ends, self.profile.visits
        return bool(ends) and all(visits.get(name, {}).keys() & ends.keys() for name in self.subject.first())

    def wanted(self, flying: Mapping[str, int]) -> list[str]:
        """Those of the waiting graphs that another round shall measure while others are under way.

        Rounds beyond the fewest that are wanted come one by one: each tells whether the next is needed.

        Args:
            flying: by graph, how many rounds that hold it are under way.

        Returns:
            Names, those first that were measured least.
        """
        fewest, profile = self.profile.header.goal.rounds, self.profile
        found = [
            name
            for name in self.waiting()
            if not (count := flying.get(name, 0))
            or profile.successes[name] + count < fewest
            or profile.clean_visits(name) + count < fewest
        ]
        return sorted(found, key=lambda name: profile.successes[name] + flying.get(name, 0))

    def to_look_into(self, waiting: Sequence[str]) -> list[str]:
        """Those of the waiting graphs that are run under the runtime's own profiler too."""
        roles = (self.profile.chosen or {}) if self.profile.header.inline else {}
        return [name for name in waiting if roles.get(name) in (INSIDE, "canary")]

    def graph(self, name: str, kind: Kind) -> Graph:
        """The graph of this name and kind, made once."""
        if name not in self._graphs:
            self._graphs[name] = self.subject.graph(name, kind)
        return self._graphs[name]

    def end_round(
        self, number: int, conditions: Sequence[Mapping[str, Any]], seconds: float, board: str | None = None
    ) -> None:
        """Close a round: what it measured counts from here on."""
        row = {"row": "round", "round": number, "conditions": list(conditions), "seconds": seconds}
        self.writer.append(row if board is None else {**row, "board": board})

    def end(self) -> None:
        """Say that nothing waits any more."""
        self.writer.append({"row": "end", "rounds": self.profile.current_round})
