"""The host's end of an agent: one process on the target, asked one thing at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from types import TracebackType
from typing import IO

from devices.agent import frames, strict_json, watchdog
from devices.archive import agent_arguments, agent_program, archive
from devices.links.link import Link

LARGEST_BANNER_BYTES = 64 * 1024
START_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 3.0
KILL_TIMEOUT_S = 5.0
WATCH_S = 1.0
LARGEST_STDERR_BYTES = 100_000_000
LAST_WORDS_BYTES = 2000
LONGEST_ERROR = 4000


class DeviceError(Exception):
    """A target does not do what it should; the message says what was seen."""


class AgentDied(DeviceError):
    """The agent's process ended, hung or sent something that is no answer."""


class NoAnswer(AgentDied):
    """The agent gave no answer in the time that a request may take."""


class LinkLost(AgentDied):
    """The target was lost, and the agent with it: no graph is to blame."""


class RequestFailed(DeviceError):
    """The agent is well, but could not do what was asked."""


class NoEnergySource(RequestFailed):
    """Nothing on the target tells the energy of what is measured; the message says what would."""


class Connection:
    """A running agent; use as a context manager, which ends the process.

    Raises:
        AgentDied: from every method, when the process ends, hangs beyond its time or breaks the protocol.
        RequestFailed: when the agent answers with an error.
    """

    def __init__(self, link: Link, program: bytes | None = None) -> None:
        """Store the link; `__enter__` starts the agent: the archive `program`, or hwprofile's own."""
        self._link = link
        self._program = archive() if program is None else program
        self._process: subprocess.Popen[bytes] | None = None
        self._is_idle = self._has_greeted = False
        self._errors: IO[bytes] | None = None
        self._asked = 0

    def __enter__(self) -> Connection:
        """Start the agent, send it its own program, wait for its greeting."""
        token = f"HWPROFILE-{secrets.token_hex(16)}"
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = self._start(agent_arguments(token, self._program), self._errors)
            self._wait_at_most(START_TIMEOUT_S)
            self._write(agent_program(self._program))
            self._await_greeting(token.encode("ascii"))
            self._is_idle = self._has_greeted = True
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the agent."""
        self.close()

    def close(self) -> None:
        """End the agent's process and give its streams back; harmless when already closed.

        An agent that is asked nothing ends by itself when its input does, and has then left the target.
        """
        if self._process is not None:
            if self._is_idle:
                self._exit_status()
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                # a process that waits for a device inside the kernel ends when that answers
                self._process.wait(KILL_TIMEOUT_S)
            self._process, self._is_idle = None, False
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def request(
        self, verb: str, payload: bytes = b"", timeout_s: float = 60.0, **fields: object
    ) -> frames.Header:
        """Ask one thing and wait for its answer, which has no payload."""
        return self._exchange(verb, payload, timeout_s, 0, fields)[0]

    def request_parts(
        self, verb: str, parts: Mapping[str, bytes], timeout_s: float, largest_bytes: int, **fields: object
    ) -> tuple[frames.Header, dict[str, bytes]]:
        """Ask with a payload of several named parts; the answer may have some too, up to so many bytes."""
        listed, payload = frames.joined(parts)
        header, answered = self._exchange(verb, payload, timeout_s, largest_bytes, {**fields, **listed})
        try:
            return header, frames.parts(header, answered)
        except frames.FrameError as error:
            raise AgentDied(self._told(str(error))) from error

    def _exchange(
        self, verb: str, payload: bytes, timeout_s: float, largest: int, fields: Mapping[str, object]
    ) -> tuple[frames.Header, bytes]:
        """Send a request; the agent is told how long it may take. Its answer and the answer's payload."""
        self._wait_at_most(timeout_s)
        self._check_stderr()
        self._asked, self._is_idle = self._asked + 1, False
        asked = {"verb": verb, "number": self._asked, "timeout_s": timeout_s, **fields}
        self._write(frames.encode(asked, payload))
        self._write(payload)
        try:
            header, answered = frames.read(self._read_exactly, largest)
        except (frames.FrameError, EOFError) as error:
            raise self._ended(str(error)) from error
        if header.pop("number", None) != self._asked:
            # the answer to a request that was given up, or a second one
            raise AgentDied("the agent answered another request than the last")
        self._is_idle = True
        if "error" in header:
            raise RequestFailed(self._link.redacted(str(header["error"])[:LONGEST_ERROR]))
        return header, answered

    def _wait_at_most(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def _start(self, arguments: list[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return self._link.start(arguments, errors)
        except OSError as error:
            message = f"the agent cannot be started: {error}"
            raise AgentDied(_joined(message, self._link.advice(message))) from error

    def _await_greeting(self, token: bytes) -> None:
        """Discard what a login shell may print before the agent speaks."""
        seen = bytearray()
        while not seen.endswith(token):
            byte = self._read_exactly(1)
            if not byte:
                raise self._ended("the agent did not start")
            seen += byte
            if len(seen) > LARGEST_BANNER_BYTES + len(token):
                raise AgentDied(f"more than {LARGEST_BANNER_BYTES} bytes came before the agent's greeting")

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        stream = self._stream("stdin")
        os.set_blocking(stream, False)
        try:
            while view:
                if not self._ready(stream, select.POLLOUT):
                    raise self._silent(f"what it is sent is not read within {self._timeout_s:g} s")
                view = view[os.write(stream, view[: 1 << 20]) :]
        except BrokenPipeError as error:
            raise self._ended("the agent ended") from error

    def _read_exactly(self, size: int) -> bytes:
        stream, parts, missing = self._stream("stdout"), [], size
        while missing:
            if not self._ready(stream, select.POLLIN):
                raise self._silent(f"no answer within {self._timeout_s:g} s")
            part = os.read(stream, min(missing, 1 << 20))
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _ready(self, stream: int, event: int) -> bool:
        """Whether the stream can be used, or has ended, before the request's time is up."""
        poll = select.poll()
        poll.register(stream, event)
        while True:
            left_s = max(0.0, self._deadline - time.monotonic())
            if poll.poll(min(left_s, WATCH_S) * 1e3):
                return True
            self._check_stderr()
            if left_s <= WATCH_S:
                return False

    def _check_stderr(self) -> None:
        """What a target prints is kept in a file here, and must not fill the disk."""
        if self._errors is not None and os.fstat(self._errors.fileno()).st_size > LARGEST_STDERR_BYTES:
            raise AgentDied(self._told(f"the agent printed more than {LARGEST_STDERR_BYTES} bytes"))

    def _stream(self, name: str) -> int:
        stream = getattr(self._process, name, None)
        if stream is None or stream.closed:
            raise AgentDied("the agent is not running")
        return int(stream.fileno())

    def _ended(self, message: str) -> AgentDied:
        """The error for a stream that gives no more: the agent's own death, or the loss of its target."""
        code = self._exit_status()
        if code is None:
            return AgentDied(self._told(message))
        words = f"{message} ({_exit_in_words(code)})"
        if self._link.was_lost(code) or code == watchdog.SILENT_HOST:
            return self._lost(words)
        return AgentDied(self._told(words))

    def _silent(self, message: str) -> AgentDied:
        """The error for a request whose time is up: a graph that hangs, or a target that went away unseen."""
        if not self._link.answers():
            return self._lost(message)
        return NoAnswer(self._told(message))

    def _lost(self, message: str) -> LinkLost:
        self._link.give_up()
        words = f"{message}{self._last_words()}"
        what = "the link was lost" if self._has_greeted else "it is not reached"
        # no row ever keeps it, so the advice may name the host
        return LinkLost(_joined(f"{what}: {self._link.redacted(words)}", self._link.advice(words)))

    def _told(self, message: str) -> str:
        """A message with the agent's last words and what helps, fit to be kept: nobody is named in it."""
        words = f"{message}{self._last_words()}"
        return self._link.redacted(_joined(words, self._link.advice(words)))

    def _exit_status(self) -> int | None:
        """How the agent ended, once its input has too; None where it lives on."""
        if self._process is None:
            return None
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_S)
        return self._process.returncode

    def _last_words(self) -> str:
        """What the agent, or what reaches it, printed to stderr at last, for an error's message."""
        if self._errors is None:
            return ""
        descriptor = self._errors.fileno()  # read apart from the offset at which the agent writes
        size = os.fstat(descriptor).st_size
        words = os.pread(descriptor, LAST_WORDS_BYTES, max(0, size - LAST_WORDS_BYTES))
        # `ssh` ends its lines as a terminal in raw mode wants them
        text = strict_json.harmless(words.decode("utf-8", "replace").replace("\r\n", "\n")).strip()
        return f"; its last words: {text}" if text else ""


def _joined(message: str, advice: str) -> str:
    return f"{message}; {advice}" if advice else message


def _exit_in_words(code: int) -> str:
    """An exit status for people; a shell in between tells the death by a signal as 128 + its number."""
    number = -code if code < 0 else code - 128
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"exit status {code}" if code >= 0 else f"killed by signal {number}"
    return f"killed by {name}" if code < 0 else f"exit status {code}: killed by {name}"
