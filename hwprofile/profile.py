"""The profile file: a header, then one line per graph and round with its raw samples.

Append-only and flushed per line, so a killed run loses at most the graph in flight. Statistics are computed
when a profile is read. Rows (field `row`):

    block, kernel, network, model   one graph's visit in a round: name, round, process, samples or error
    inside                          times of the nodes inside a network, by the runtime's own profiler
    energy                          energy of a graph run back to back, and of the process idle
    reference                       a visit of the thermometer
    chosen                          networks picked from the raw table of the first round
    round                           end of a round: conditions before, between and after
    end                             the profile is finished

History of `schema_version` (`profile_lines.py`): 1 first; 2 times inside networks, conditions between groups,
disturbances judged when read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, TypeAlias, TypeVar

from devices.circumstances import checked
from devices.disturbances import Disturbance, RoundEvidence, disturbances
from devices.measurement import EnergyVisit, NodeTimes, Visit
from devices.rounds import ENERGY, FAILURES, Reading
from devices.statistics import EnergySummary, Summary, energy_mj, summarise_energy, visit_ms
from devices.verdicts import Progress, Status, Verdict, verdict, why_disturbed, why_emulated
from hwprofile.profile_lines import (
    LARGEST_COUNT,
    LARGEST_LINE_BYTES,
    Header,
    ProfileError,
    cut_torn_line,
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
    """How a round ended: conditions before, between and after the groups of each process."""

    round: int
    conditions: tuple[Mapping[str, Any], ...]
    seconds: float


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
        self.timed_s = 0.0
        self.notice: str | None = None
        self._disturbances: dict[int, tuple[Disturbance, ...]] = {}
        self._energy_disturbances: dict[int, tuple[Disturbance, ...]] = {}

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

    def _apply_visit(self, row: Mapping[str, Any]) -> None:
        name, number = text(row, "name"), whole(row, "round")
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
        self.last_process = max(self.last_process, whole(row, "process"))

    def _apply_inside(self, row: Mapping[str, Any]) -> None:
        name, number = text(row, "name"), whole(row, "round")
        of_graph = self.insides.setdefault(name, {})
        if number in of_graph:
            raise ValueError(f"{name} was looked into twice in round {number}")
        failed = row.get("error") is not None
        of_graph[number] = None if failed else NodeTimes.from_json(row)
        if failed:
            self._apply_error(name, row)
        self.last_process = max(self.last_process, whole(row, "process"))

    def _apply_energy(self, row: Mapping[str, Any]) -> None:
        name, number = str(row["name"]), int(row["round"])
        of_graph = self.energies.setdefault(name, {})
        if number in of_graph:
            raise ValueError(f"the energy of {name} was read twice in round {number}")
        failed = row.get("error") is not None
        of_graph[number] = None if failed else EnergyVisit.from_json(row)
        if failed:
            self._apply_error(name, row)
        self.last_process = max(self.last_process, int(row["process"]))

    def _apply_error(self, name: str, row: Mapping[str, Any]) -> None:
        if row["failure"] not in FAILURES:
            raise ValueError(f"unknown failure {row['failure']!r:.80}")
        self.errors.setdefault(name, []).append(text(row, "error"))
        self.timeouts[name] += row["failure"] == "timeout"

    def _apply_reference(self, row: Mapping[str, Any]) -> None:
        self.reference_name = text(row, "name")
        self.references.setdefault(whole(row, "round"), []).append(Visit.from_json(row))
        self.last_process = max(self.last_process, whole(row, "process"))

    def _apply_chosen(self, row: Mapping[str, Any]) -> None:
        chosen = row["networks"]
        if not isinstance(chosen, dict) or not all(isinstance(role, str) for role in chosen.values()):
            raise ValueError("`networks` is an object of architectures and their roles")
        self.chosen = dict(chosen)

    def _apply_round(self, row: Mapping[str, Any]) -> None:
        number = whole(row, "round")
        states, seconds = row["conditions"], row["seconds"]
        if not isinstance(states, list):
            raise ValueError("conditions are no list")
        if type(seconds) not in (int, float) or not 0 <= seconds <= LARGEST_COUNT:
            raise ValueError(f"seconds is no length of time: {seconds!r:.80}")
        conditions = tuple(checked(state, "conditions") for state in states)
        self.ends[number] = RoundEnd(number, conditions, float(seconds))
        self.current_round = max(self.current_round, number + 1)
        self._count_visits(number)
        self._disturbances = self._energy_disturbances = {}

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
        if len(self._disturbances) != len(self.ends):
            self._disturbances = disturbances({number: self._evidence(number) for number in self.ends})
        return self._disturbances

    @property
    def energy_disturbances(self) -> Mapping[int, tuple[Disturbance, ...]]:
        """The same of the end of each round, in which energies were read: what is used beside counts too."""
        if len(self._energy_disturbances) != len(self.ends):
            found = {}
            for number, end in self.ends.items():
                pairs = [pair for pair in pairwise(end.conditions) if pair[1].get("phase") == ENERGY]
                found[number] = RoundEvidence(conditions=[state for pair in pairs for state in pair])
            self._energy_disturbances = disturbances(found)
        return self._energy_disturbances

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
        return verdict(self.progress(name), self.header.goal.precision)

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
        emulated = why_emulated(self.header.identity)
        return emulated or why_disturbed(self.disturbances, self.header.goal.rounds, self.status_counts())


class ProfileWriter:
    """Appends rows to a profile's file and to the profile in memory; one writer at a time.

    Use as a context manager. Every row is flushed to the system before it counts.
    """

    def __init__(self, profile: Profile) -> None:
        """Store the profile; `__enter__` opens its file."""
        self.profile = profile

    def __enter__(self) -> ProfileWriter:
        """Open the file for appending, drop a torn last line, write the header of a new file.

        Raises:
            ProfileError: another process writes to this profile, or the place cannot be written.
        """
        path = self.profile.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b")
        except OSError as error:
            raise ProfileError(f"cannot write {path}: {error.strerror}; choose another --out") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ProfileError(f"{path} is being written by another bench; wait for it to end") from error
        cut_torn_line(self._file)
        if self._file.seek(0, os.SEEK_END) == 0:
            self._write(self.profile.header.to_json())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file and give the lock back."""
        self._file.close()

    def reading(self, reading: Reading, kind: Kind, number: int) -> None:
        """Append what a graph showed."""
        row: dict[str, Any] = {
            "row": _row_of(reading, kind),
            "name": reading.graph,
            "round": number,
            "process": reading.process,
        }
        found = reading.visit or reading.inside or reading.energy
        row |= {"error": reading.error, "failure": reading.failure} if found is None else found.to_json()
        self.append(row)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append one row, checked by the profile in memory first."""
        self.profile.apply(row)
        self._write(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        line = json.dumps(row, separators=(",", ":")).encode("utf-8") + b"\n"
        if len(line) > LARGEST_LINE_BYTES:
            raise ProfileError(
                f"a line of {len(line)} bytes would not be read back: the device tells too much"
            )
        self._file.write(line)
        self._file.flush()


def _row_of(reading: Reading, kind: Kind) -> str:
    special = {"reference": reading.is_reference, "inside": reading.is_inside, "energy": reading.is_energy}
    return next((row for row, holds in special.items() if holds), kind)
