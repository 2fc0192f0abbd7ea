"""The lines of a profile file: its header, and bounded reading of everything after it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from devices.agent import strict_json
from devices.circumstances import checked
from devices.measurement import EnergySource
from devices.schedule import Goal
from hwprofile.errors import UserError

SCHEMA_VERSION = 2
LARGEST_LINE_BYTES = 4_000_000
LARGEST_FILE_BYTES = 1_000_000_000
LARGEST_COUNT = 1_000_000_000

UNITS = {
    "wall_ns": "nanoseconds of one sample, all of its inferences together",
    "cpu_ns": "nanoseconds of the timing thread during the same sample",
    "energy_uj": "microjoules of all `runs` together, what an idle target uses included; idle_uj in idle_ns",
    "runs_per_sample": "inferences in one sample; latency is wall_ns / runs_per_sample",
    "h2d_ns": "nanoseconds of copying the inputs of one inference to the device, where it tells",
    "d2h_ns": "nanoseconds of copying its outputs back, where it tells",
    "enqueue_ns": "nanoseconds of the host's thread to start one inference, where it tells",
}


class ProfileError(UserError):
    """A profile cannot be used; the message says which line and what to do."""


@dataclass(frozen=True, slots=True)
class Header:
    """First line of a profile.

    Attributes:
        device: name of the device as typed.
        subject: name of the space, or of the set of models.
        space: name or file of the space; None for a set of models.
        identity: what decides whether two profiles may be compared: hardware, runtime, settings.
        software: the rest of the fingerprint, for people: system, firmware, providers, Python.
        goal: precision and rounds aimed at.
        inline: whether times inside networks are wanted too.
        created: UTC, ISO 8601.
        energy: what tells the energy of graphs; None where that is not wanted.
    """

    device: str
    subject: str
    space: str | None
    identity: Mapping[str, Any]
    software: Mapping[str, Any]
    goal: Goal
    inline: bool = False
    created: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    energy: EnergySource | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a field of another type, or circumstances that no device tells."""
        texts = (self.device, self.subject, self.created, "" if self.space is None else self.space)
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.inline, bool):
            raise ValueError("device, subject, space and created are texts, inline is true or false")
        checked(self.identity, "identity")
        checked(self.software, "software")

    def to_json(self) -> dict[str, Any]:
        """The header as JSON values."""
        return {"schema_version": SCHEMA_VERSION, "file": "hwprofile-profile", **asdict(self), "units": UNITS}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Header:
        """Read what `to_json` writes; ValueError when something is missing or of another type."""
        names = ("device", "subject", "space", "identity", "software", "goal", "inline", "created")
        missing = [name for name in names if name not in fields]
        if missing:
            raise ValueError(f"the header lacks {', '.join(missing)}")
        if not isinstance(fields["goal"], dict):
            raise ValueError("the goal is no object")
        try:
            goal = Goal(**fields["goal"])
        except TypeError as error:
            raise ValueError(f"the goal is malformed: {error}") from error
        told = fields.get("energy")  # profiles of before energy could be read have no such field
        energy = None if told is None else EnergySource.from_json(told)
        return cls(**{**{name: fields[name] for name in names}, "goal": goal, "energy": energy})


def read_lines(path: Path) -> Iterator[bytes]:
    """Every line, the last one perhaps torn; ProfileError for a file or a line that is too large."""
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise ProfileError(f"{path} is larger than a profile can be ({LARGEST_FILE_BYTES} bytes)")
        with path.open("rb") as file:
            while line := file.readline(LARGEST_LINE_BYTES + 1):
                if len(line) > LARGEST_LINE_BYTES:
                    raise ProfileError(f"{path} has a line of over {LARGEST_LINE_BYTES} bytes: not a profile")
                yield line
    except OSError as error:
        raise ProfileError(f"cannot read the profile {path}: {error.strerror}") from error


def read_header(path: Path, line: bytes) -> Header:
    """The header in the first line; ProfileError for another file, or another version."""
    try:
        fields = json_object(line)
        version = fields.get("schema_version")
        if fields.get("file") != "hwprofile-profile" or type(version) is not int:
            raise ValueError("not the header of a profile")
    except ValueError as error:
        raise ProfileError(
            f"{path}, line 1: {reason(error)}; is this a file of `hwprofile bench`?"
        ) from error
    if version > SCHEMA_VERSION:
        raise ProfileError(
            f"{path} was written by a newer hwprofile (schema {version}, this one reads {SCHEMA_VERSION}): "
            "update hwprofile, or measure anew with --fresh"
        )
    if version < SCHEMA_VERSION:
        raise ProfileError(f"{path} has schema {version}, which is no longer read: measure anew with --fresh")
    try:
        return Header.from_json(fields)
    except ValueError as error:
        raise ProfileError(f"{path}, line 1: {reason(error)}; measure anew with --fresh") from error


def json_object(line: bytes) -> dict[str, Any]:
    """The JSON object in a line; ValueError for anything else."""
    try:
        value = strict_json.loads(line)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def whole(row: Mapping[str, Any], name: str) -> int:
    """A count in a row; ValueError where it is none."""
    value = row[name]
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError(f"{name} is no count: {value!r:.80}")
    return value


def text(row: Mapping[str, Any], name: str) -> str:
    """A text in a row; ValueError where it is none."""
    value = row[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text: {value!r:.80}")
    return value


def reason(error: Exception) -> str:
    """What an error says, in words for people."""
    return f"the field {error} is missing" if isinstance(error, KeyError) else str(error)


def cut_torn_line(file: IO[bytes]) -> None:
    """Cut what follows the last complete line: an interrupted write."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return
    file.seek(max(0, size - LARGEST_LINE_BYTES))
    tail = file.read()
    if not tail.endswith(b"\n"):
        file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
