"""Appends to a profile's file: one writer at a time, every row flushed."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from types import TracebackType
from typing import IO, Any

from devices.rounds import Reading
from hwprofile.profile import Kind, Profile
from hwprofile.profile_lines import LARGEST_LINE_BYTES, ProfileError, cut_torn_line


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
        self.append(
            {
                "row": kind if reading.sort == "visit" else reading.sort,
                "name": reading.graph,
                "round": number,
                "process": reading.process,
                **reading.to_json(),
            }
        )

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
