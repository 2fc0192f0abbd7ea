"""The profile file: a header, then one line per graph and round with its raw samples.

Append-only and flushed per line, so a killed run loses at most the graph in flight. Statistics are computed
when a profile is read. Rows (field `row`):

    block, kernel, network, model   one graph's visit in a round: name, round, process, samples or error
    inside                          times of the nodes inside a network, by the runtime's own profiler
    energy                          energy of a graph run back to back, and of the process idle
    reference                       a visit of the thermometer
    chosen                          networks picked from the raw table of the first round
    round                           end of a round: conditions before, between and after; the board in a fleet
    end                             the profile is finished

History of `schema_version` (`profile_lines.py`): 1 first; 2 times inside networks, conditions between groups,
disturbances judged when read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from devices.board_spread import BoardSpread
from devices.circumstances import checked
from devices.disturbances import Disturbance, RoundEvidence, disturbances
from devices.measurement import EnergyVisit, NodeTimes, Visit
from devices.registry import is_alias
from devices.rounds import ENERGY, FAILURES
from devices.statistics import EnergySummary, Summary, energy_mj, summarise_energy, visit_ms
from devices.verdicts import Progress, Status, Verdict, verdict, why_disturbed, why_emulated
from hwprofile.profile_lines import (
    LARGEST_COUNT,
    LARGEST_LINE_BYTES,
    Header,
    ProfileError,
    json_object,
    read_header,
    read_lines,
    reason,
    text,
    whole,
)

Found = TypeVar("Found")
Kind: TypeAlias = Literal["block", "kernel", "network", "model"]
KINDS: tuple[Kind, ...] = ("block", "kernel", "network", "model")


@dataclass(frozen=True, slots=True)
class RoundEnd:
    """How a round ended: conditions before, between and after the groups of each process.

    `board` is the one of a fleet that it ran on; empty for the device itself.
    """

    round: int
    conditions: tuple[Mapping[str, Any], ...]
    seconds: float
    board: str = ""


class Profile:
    """A profile in memory: the header and all rows, judged when asked."""

    def __init__(self, path: Path, header: Header) -> None:
        """Start empty; `load` or `apply` fills it."""
        self.path = path
        self.header = header
        self.kinds: dict[str, Kind] = {}
        self.visits: dict[str, dict[int, Visit | None]] = {}
        self.insides: dict[str, dict[int, NodeTimes | None]] = {}
        self.energies: dict[str, dict[int, EnergyVisit | None]] = {}
        self.errors: dict[str, list[str]] = {}
        self.timeouts: Counter[str] = Counter()
        self.references: dict[int, list[Visit]] = {}
        self.reference_name: str | None = None
        self.ends: dict[int, RoundEnd] = {}
        self.current_round = 0  # in flight, or the next one
        self.successes: Counter[str] = Counter()  # visits of each graph in rounds that have ended
        self.failures: Counter[str] = Counter()  # likewise those that failed
        self._in_flight: dict[int, list[str]] = {}
        self.chosen: dict[str, str] | None = None
        self.finished = False
        self.last_process = 0
        self.last_round = -1
        self.timed_s = 0.0
        self.notice: str | None = None
        self._rounds_of: dict[str, dict[int, None]] = {}  # ended rounds of each board, as an ordered set
        self._unjudged: set[str] = set()  # boards with rounds that have ended since
        self._disturbances: dict[int, tuple[Disturbance, ...]] = {}
        self._disturbed: set[int] = set()
        self._energy_disturbances: dict[int, tuple[Disturbance, ...]] = {}
        self._board_spread: BoardSpread | None = None

    @staticmethod
    def was_begun(path: Path) -> bool:
        """Whether a file holds at least a complete header; a bench killed before that left nothing."""
        try:
            with path.open("rb") as file:
                return file.readline(LARGEST_LINE_BYTES).endswith(b"\n")
        except OSError:
            return False

    @classmethod
    def load(cls, path: Path) -> Profile:
        """Read a profile; a torn last line is dropped, and `notice` says so.

        Raises:
            ProfileError: missing, empty, too large, of another version, or garbled at a line.
        """
        lines = read_lines(path)
        first = next(lines, None)
        if first is None:
            raise ProfileError(f"{path} is empty; delete it, or measure anew with --fresh")
        profile = cls(path, read_header(path, first))
        for number, line in enumerate(lines, start=2):
            if not line.endswith(b"\n"):  # only the last line can lack its end; a writer will cut it off
                profile.notice = f"{path}: the last line was torn by an interruption and is dropped"
                break
            try:
                profile.apply(json_object(line))
            except (ValueError, KeyError, TypeError) as error:
                raise ProfileError(
                    f"{path}, line {number}: {reason(error)}; delete that line if it was edited by hand, "
                    "else measure anew with --fresh"
                ) from error
        return profile

    def apply(self, row: Mapping[str, Any]) -> None:
        """Take in one row; ValueError or KeyError when it is malformed."""
        handlers: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "inside": self._apply_inside,
            "energy": self._apply_energy,
            "reference": self._apply_reference,
            "chosen": self._apply_chosen,
            "round": self._apply_round,
            "end": self._apply_end,
        }
        kind = row["row"]
        if kind in KINDS:
            self._apply_visit(row)
        elif kind in handlers:
            handlers[kind](row)
        else:
            raise ValueError(f"unknown row {kind!r:.80}")

    def _place(self, row: Mapping[str, Any]) -> int:
        """The round of a row, and where the numbers of rounds and processes stand by it."""
        number = whole(row, "round")
        self.last_round = max(self.last_round, number)
        self.last_process = max(self.last_process, whole(row, "process"))
        return number

    def _apply_visit(self, row: Mapping[str, Any]) -> None:
        name, number = text(row, "name"), self._place(row)
        of_graph = self.visits.setdefault(name, {})
        if number in of_graph:
            raise ValueError(f"{name} was measured twice in round {number}")
        if row.get("error") is not None:
            of_graph[number] = None
            self._apply_error(name, row)
        else:
            of_graph[number] = Visit.from_json(row)
            self.timed_s += sum(row["wall_ns"]) / 1e9
        self._in_flight.setdefault(number, []).append(name)
        if number in self.ends:
            self._count_visits(number)
        self.kinds[name] = row["row"]

    def _apply_inside(self, row: Mapping[str, Any]) -> None:
        name, number = text(row, "name"), self._place(row)
        of_graph = self.insides.setdefault(name, {})
        if number in of_graph:
            raise ValueError(f"{name} was looked into twice in round {number}")
        failed = row.get("error") is not None
        of_graph[number] = None if failed else NodeTimes.from_json(row)
        if failed:
            self._apply_error(name, row)

    def _apply_energy(self, row: Mapping[str, Any]) -> None:
        name, number = text(row, "name"), self._place(row)
        of_graph = self.energies.setdefault(name, {})
        if number in of_graph:
            raise ValueError(f"the energy of {name} was read twice in round {number}")
        failed = row.get("error") is not None
        of_graph[number] = None if failed else EnergyVisit.from_json(row)
        if failed:
            self._apply_error(name, row)

    def _apply_error(self, name: str, row: Mapping[str, Any]) -> None:
        if row["failure"] not in FAILURES:
            raise ValueError(f"unknown failure {row['failure']!r:.80}")
        self.errors.setdefault(name, []).append(text(row, "error"))
        self.timeouts[name] += row["failure"] == "timeout"

    def _apply_reference(self, row: Mapping[str, Any]) -> None:
        self.reference_name = text(row, "name")
        self.references.setdefault(self._place(row), []).append(Visit.from_json(row))

    def _apply_chosen(self, row: Mapping[str, Any]) -> None:
        chosen = row["networks"]
        if not isinstance(chosen, dict) or not all(isinstance(role, str) for role in chosen.values()):
            raise ValueError("`networks` is an object of architectures and their roles")
        self.chosen = dict(chosen)
        self._unjudged |= self._rounds_of.keys()  # it says which networks are canaries

    def _apply_round(self, row: Mapping[str, Any]) -> None:
        number = whole(row, "round")
        self.last_round = max(self.last_round, number)
        states, seconds = row["conditions"], row["seconds"]
        if not isinstance(states, list):
            raise ValueError("conditions are no list")
        if type(seconds) not in (int, float) or not 0 <= seconds <= LARGEST_COUNT:
            raise ValueError(f"seconds is no length of time: {seconds!r:.80}")
        conditions = tuple(checked(state, "conditions") for state in states)
        board = row.get("board", "")
        if "board" in row and not is_alias(board):
            raise ValueError(f"not the name of a board: {board!r:.80}")
        self.ends[number] = RoundEnd(number, conditions, float(seconds), board)
        self.current_round = max(self.current_round, number + 1)
        self._count_visits(number)
        if number in self._disturbances:  # ended twice: the later row counts
            for other, rounds in self._rounds_of.items():
                if number in rounds:
                    del rounds[number]
                    self._unjudged.add(other)
        self._rounds_of.setdefault(board, {})[number] = None
        self._disturbances[number] = ()
        self._unjudged.add(board)
        self._energy_disturbances = {}
        self._board_spread = None

    def _count_visits(self, number: int) -> None:
        """Count the visits of a round that has ended."""
        for name in self._in_flight.pop(number, ()):
            (self.failures if self.visits[name][number] is None else self.successes)[name] += 1

    def _apply_end(self, row: Mapping[str, Any]) -> None:
        self.finished = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all measured graphs."""
        return tuple(self.visits)

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        """Names of the measured graphs of one kind."""
        return tuple(name for name, found in self.kinds.items() if found == kind)

    @property
    def disturbances(self) -> Mapping[int, tuple[Disturbance, ...]]:
        """What disturbed each round that has ended; an empty tuple where nothing did."""
        # rounds of one board stand beside each other: another board's level is no disturbance
        for board in sorted(self._unjudged):
            found = disturbances({number: self._evidence(number) for number in self._rounds_of[board]})
            self._disturbances |= found
            self._disturbed -= found.keys()
            self._disturbed |= {number for number, causes in found.items() if causes}
        self._unjudged.clear()
        return self._disturbances

    def clean_visits(self, name: str) -> int:
        """How many visits of a graph in undisturbed rounds gave samples: what `progress` has as `clean`."""
        if not self.disturbances:
            return 0
        visits = self.visits.get(name, {})
        return self.successes[name] - sum(visits.get(number) is not None for number in self._disturbed)

    @property
    def boards(self) -> tuple[str, ...]:
        """The boards that rounds ran on; the empty name is the device itself."""
        return tuple(sorted(board for board, rounds in self._rounds_of.items() if rounds))

    @property
    def board_spread(self) -> BoardSpread:
        """How far the boards are apart, in the rounds that count."""
        if len(self.boards) < 2:
            return BoardSpread()
        if self._board_spread is None:
            boards = {number: end.board for number, end in self.ends.items()}
            self._board_spread = BoardSpread.of({name: self.process_ms(name) for name in self.names}, boards)
        return self._board_spread

    @property
    def energy_disturbances(self) -> Mapping[int, tuple[Disturbance, ...]]:
        """The same of the end of each round, in which energies were read: what is used beside counts too."""
        if len(self._energy_disturbances) != len(self.ends):
            for rounds in self._rounds_of.values():
                self._energy_disturbances |= disturbances({one: self._energy_evidence(one) for one in rounds})
        return self._energy_disturbances

    def _energy_evidence(self, number: int) -> RoundEvidence:
        conditions = self.ends[number].conditions
        pairs = [pair for pair in pairwise(conditions) if pair[1].get("phase") == ENERGY]
        return RoundEvidence(conditions=[state for pair in pairs for state in pair])

    def _evidence(self, number: int) -> RoundEvidence:
        canaries = [name for name, role in (self.chosen or {}).items() if role == "canary"]
        visits = {name: self.visits.get(name, {}).get(number) for name in canaries}
        return RoundEvidence(
            self.references.get(number, []),
            {name: visit for name, visit in visits.items() if visit is not None},
            # what graphs back to back do to a clock came after all latencies
            [state for state in self.ends[number].conditions if state.get("phase") != ENERGY],
        )

    def progress(self, name: str) -> Progress:
        """What is known of a graph from rounds that have ended."""
        clean, disturbed, causes, failures = [], [], [], 0
        for number, visit in self.visits.get(name, {}).items():
            if number not in self.ends:
                continue
            found = self.disturbances[number]
            if visit is None:
                failures += 1
            elif found:
                disturbed.append(visit)
                causes.append(frozenset(one.cause for one in found))
            else:
                clean.append(visit)
        return Progress(tuple(clean), tuple(disturbed), failures, self.timeouts[name], tuple(causes))

    def usable_visits(self, name: str) -> tuple[Visit, ...]:
        """The visits that statistics of this graph speak of, the round in flight left out."""
        return self.progress(name).usable

    def process_ms(self, name: str) -> dict[int, float]:
        """One median a process of a graph, milliseconds, by the round, of the visits that count."""
        counting = self._counting(self.visits.get(name, {}))
        return {number: visit_ms(visit) for number, visit in counting.items()}

    def usable_insides(self, name: str) -> tuple[NodeTimes, ...]:
        """Times of the nodes inside a network in undisturbed rounds, or in all where those are too few."""
        return tuple(self._counting(self.insides.get(name, {})).values())

    def process_mj(self, name: str) -> dict[int, float]:
        """Energy of one inference, one a process, millijoules, by the round, of the visits that count."""
        return {number: energy_mj(visit) for number, visit in self._counting_energies(name).items()}

    def energy_summary(self, name: str) -> EnergySummary | None:
        """Energy of a graph; None where none was read."""
        counting = self._counting_energies(name)
        return summarise_energy(list(counting.values())) if counting else None

    def _counting_energies(self, name: str) -> dict[int, EnergyVisit]:
        disturbed = {number for number, found in self.energy_disturbances.items() if found}
        return self._counting(self.energies.get(name, {}), disturbed)

    def _counting(
        self, by_round: Mapping[int, Found | None], disturbed: Collection[int] = ()
    ) -> dict[int, Found]:
        """What succeeded in undisturbed rounds, or in all that have ended where those are fewer than two."""
        ended = {
            number: found for number, found in by_round.items() if found is not None and number in self.ends
        }
        clean = {
            number: found
            for number, found in ended.items()
            if not self.disturbances[number] and number not in disturbed
        }
        return clean if len(clean) >= 2 else ended

    def verdict(self, name: str) -> Verdict:
        """Latency of a graph, and how far to trust it."""
        return verdict(self.progress(name), self.header.goal.precision, self.board_spread.half_width)

    def summary(self, name: str) -> Summary:
        """Latency of a graph; ValueError when no visit of it succeeded."""
        summary = self.verdict(name).summary
        if summary is None:
            raise ValueError(f"{name} has no successful measurement")
        return summary

    def status_counts(self) -> dict[Status, int]:
        """How many graphs ended how."""
        return dict(Counter(self.verdict(name).status for name in self.names))

    def why_disturbed(self) -> str | None:
        """Why this profile as a whole is not to be trusted; None when it was measured in quiet."""
        return (
            why_emulated(self.header.identity)
            or self.board_spread.in_words
            or why_disturbed(self.disturbances, self.header.goal.rounds, self.status_counts())
        )
