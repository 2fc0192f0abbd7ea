"""The first look at a target: is it reached, and what Python is there? Before an agent is sent."""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import IO

from devices.archive import ONE_LINER
from devices.connection import DeviceError
from devices.links.link import Link

TIMEOUT_S = 60.0
LARGEST_ANSWER_BYTES = 64 * 1024
LARGEST_WORDS_BYTES = 2000
OLDEST_PYTHON = (3, 8)
NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""Exit statuses of a shell that could not start the program."""

PROGRAM = """
import json
found = {"python": ".".join(str(part) for part in sys.version_info[:3]), "numpy": None}
try:
    import numpy
    found["numpy"] = numpy.__version__
except Exception:
    pass
sys.stdout.write(sys.argv[2] + json.dumps(found) + chr(10))
"""
"""Any Python answers this, the second too."""


class Unreachable(DeviceError):
    """The target did not answer at all.

    Attributes:
        advice: what a person can do about it; empty where that is not known.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        """Store both."""
        super().__init__(what)
        self.advice = advice


class NoPython(DeviceError):
    """The target was reached, but no Python answered there."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What answered on a target.

    Attributes:
        python: its version, (3, 11, 2).
        numpy: version of numpy; None where it cannot be imported.
    """

    python: tuple[int, ...]
    numpy: str | None

    @property
    def problem(self) -> str:
        """What the agent lacks there; empty for nothing."""
        version = ".".join(map(str, self.python))
        if self.python < OLDEST_PYTHON:
            return f"Python {version} is too old: the agent needs {'.'.join(map(str, OLDEST_PYTHON))}"
        return "" if self.numpy else f"Python {version} has no numpy"


def probe(link: Link, timeout_s: float = TIMEOUT_S) -> Probe:
    """Ask a target's Python for its version.

    Raises:
        Unreachable: the target cannot be reached.
        NoPython: it can, but its Python cannot be started.
    """
    token = f"HWPROFILE-{secrets.token_hex(16)}"
    with tempfile.TemporaryFile() as errors:
        try:
            process = link.start(["-c", ONE_LINER, "0", token, str(len(PROGRAM))], errors)
        except OSError as error:
            what = f"what reaches it cannot be started: {error}"
            raise Unreachable(what, link.advice(what)) from error
        try:
            _send(process, PROGRAM.encode("ascii"))
            answer = _answer(process, timeout_s)
        finally:
            status = _ended(process)
        errors.seek(0)
        words = errors.read()[-LARGEST_WORDS_BYTES:].decode("utf-8", "replace").strip()
    _, greeted, rest = answer.partition(token.encode())
    if greeted:
        return _read(rest)
    words = words.replace("\r\n", "\n")
    said = link.redacted(words)
    if status in (NOT_FOUND, NOT_EXECUTABLE):
        raise NoPython(f"it cannot start the Python that it shall{f': {said}' if said else ''}")
    if status is None:
        what = f"nothing came within {timeout_s:g} s{f'; its last words: {said}' if said else ''}"
        raise Unreachable(
            what, link.advice(words) or "log in by hand: does the login shell wait for something?"
        )
    raise Unreachable(said or f"exit status {status}", link.advice(f"{words} (exit status {status})"))


def _send(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write less than a pipe holds; what has ended already is not an error here."""
    assert process.stdin is not None  # links give pipes
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(data)


def _answer(process: subprocess.Popen[bytes], timeout_s: float) -> bytes:
    """What comes before the end of the stream, the limit or the time."""
    assert process.stdout is not None  # links give pipes
    found, deadline = b"", time.monotonic() + timeout_s
    while len(found) < LARGEST_ANSWER_BYTES:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            break
        part = process.stdout.read(4096)
        if not part:
            break
        found += part
    return found


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit status; None for a process that had to be ended."""
    status: int | None
    try:
        status = process.wait(1.0)
    except subprocess.TimeoutExpired:
        status = None
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        _close(stream)
    return status


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with contextlib.suppress(OSError):
            stream.close()


def _read(rest: bytes) -> Probe:
    try:
        found = json.loads(rest)
        version, numpy = found["python"], found["numpy"]
        python = tuple(int(part) for part in version.split("."))
        if not (numpy is None or isinstance(numpy, str)):
            raise TypeError("numpy has no version")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NoPython(f"what answers there is no Python: {rest[:200]!r}") from error
    return Probe(python, numpy)
