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
from types import TracebackType
from typing import IO

from devices.agent import frames, watchdog
from devices.archive import agent_arguments, agent_program
from devices.links.link import Link

LARGEST_BANNER_BYTES = 64 * 1024
START_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 3.0
LAST_WORDS_BYTES = 2000


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


class Connection:
    """A running agent; use as a context manager, which ends the process.

    Raises:
        AgentDied: from every method, when the process ends, hangs beyond its time or breaks the protocol.
        RequestFailed: when the agent answers with an error.
    """

    def __init__(self, link: Link) -> None:
        """Store the link; `__enter__` starts the agent."""
        self._link = link
        self._process: subprocess.Popen[bytes] | None = None
        self._is_idle = self._has_greeted = False
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> Connection:
        """Start the agent, send it its own program, wait for its greeting."""
        token = f"HWPROFILE-{secrets.token_hex(16)}"
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = self._start(agent_arguments(token), self._errors)
            self._wait_at_most(START_TIMEOUT_S)
            self._write(agent_program())
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
            self._process.wait()
            self._process, self._is_idle = None, False
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def request(
        self, verb: str, payload: bytes = b"", timeout_s: float = 60.0, **fields: object
    ) -> frames.Header:
        """Ask one thing and wait for its answer; the agent is told how long it may take."""
        self._wait_at_most(timeout_s)
        self._is_idle = False
        self._write(frames.encode({"verb": verb, "timeout_s": timeout_s, **fields}, payload))
        self._write(payload)
        try:
            header, _ = frames.read(self._read_exactly)
        except (frames.FrameError, EOFError) as error:
            raise self._ended(str(error)) from error
        self._is_idle = True
        if "error" in header:
            raise RequestFailed(self._link.redacted(str(header["error"])))
        return header

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
        seen = b""
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
        return bool(poll.poll(max(0.0, self._deadline - time.monotonic()) * 1e3))

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
        text = words.decode("utf-8", "replace").strip()
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
