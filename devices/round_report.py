"""What a round left, as text that comes back from a board of a fleet; believed as far as it is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from devices.agent import strict_json
from devices.circumstances import checked
from devices.measurement import EnergyVisit, NodeTimes, Visit
from devices.rounds import FAILURES, SORTS, Reading

LARGEST_REPORT_BYTES = 64 << 20
LONGEST_ERROR = 4000


@dataclass(frozen=True, slots=True)
class RoundReport:
    """A round that was done.

    Attributes:
        identity: of the device that its processes ran on.
        readings: what the graphs showed, in time order; processes count from 0.
        conditions: states of the target, each with the `process` it was read in.
        seconds: how long it took.
    """

    identity: Mapping[str, Any]
    readings: tuple[Reading, ...]
    conditions: tuple[Mapping[str, Any], ...]
    seconds: float

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps(
            {
                "identity": dict(self.identity),
                "readings": [_reading_json(reading) for reading in self.readings],
                "conditions": [dict(state) for state in self.conditions],
                "seconds": self.seconds,
            }
        )

    @classmethod
    def from_text(cls, text: object) -> RoundReport:
        """Read what `to_text` writes.

        Raises:
            ValueError: it is something else; a target may answer anything.
        """
        fields = json_object(text)
        try:
            seconds = fields["seconds"]
            if type(seconds) not in (int, float) or not 0 <= seconds < 1e9:
                raise ValueError(f"seconds is no length of time: {seconds!r:.80}")
            return cls(
                checked(fields["identity"], "identity"),
                tuple(_reading(row) for row in _rows(fields["readings"])),
                tuple(checked(state, "conditions") for state in _rows(fields["conditions"])),
                float(seconds),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the report of a round: {error!r:.200}") from error

    def check_asked(self, asked: Mapping[str, Sequence[str]], reference: str) -> None:
        """Hold the readings against what was asked for.

        Args:
            asked: names of the graphs by sort: `visit`, `inside` and `energy`.
            reference: name of the thermometer.

        Raises:
            ValueError: a graph is missing, was never asked for, or is there twice.
        """
        found: dict[str, list[str]] = {sort: [] for sort in SORTS}
        failed = set()
        for reading in self.readings:
            found[reading.sort].append(reading.graph)
            if reading.failure and not (reading.is_inside or reading.is_energy):
                failed.add(reading.graph)
        if set(found["reference"]) - {reference}:
            raise ValueError("the round had another thermometer")
        for sort in ("visit", "inside", "energy"):
            # the energy of a graph that failed before is not read
            wanted = [name for name in asked[sort] if sort != "energy" or name not in failed]
            if sorted(found[sort]) != sorted(wanted):
                odd = sorted({*found[sort]} ^ {*wanted}) or sorted(found[sort])
                raise ValueError(f"the round tells other graphs than were asked for, such as {odd[0]:.200}")


def json_object(text: object) -> dict[str, Any]:
    """The JSON object in an answer's text; ValueError for anything else, or more than a round can tell."""
    if not isinstance(text, str) or len(text) > LARGEST_REPORT_BYTES:
        raise ValueError("the answer is no text, or too long")
    fields = strict_json.loads(text.encode())
    if not isinstance(fields, dict):
        raise ValueError("the answer is no JSON object")
    return fields


def _rows(rows: object) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("no list of objects")
    return rows


def _reading_json(reading: Reading) -> dict[str, Any]:
    return {"graph": reading.graph, "process": reading.process, "sort": reading.sort, **reading.to_json()}


def _reading(row: Mapping[str, Any]) -> Reading:
    name, process, sort = row["graph"], row["process"], row["sort"]
    if not isinstance(name, str) or type(process) is not int or not 0 <= process < 1e6 or sort not in SORTS:
        raise ValueError(f"no reading of a graph: {name!r:.80}, {process!r:.20}, {sort!r:.20}")
    marks = {f"is_{special}": sort == special for special in SORTS[1:]}
    if row.get("error") is not None:
        error, failure = row["error"], row["failure"]
        if not isinstance(error, str) or failure not in FAILURES or sort == "reference":
            raise ValueError(f"no failure of a graph: {failure!r:.80}")
        return Reading(name, process, error=error[:LONGEST_ERROR], failure=failure, **marks)
    if sort == "inside":
        return Reading(name, process, inside=NodeTimes.from_json(row), **marks)
    if sort == "energy":
        return Reading(name, process, energy=EnergyVisit.from_json(row), **marks)
    return Reading(name, process, Visit.from_json(row), **marks)
