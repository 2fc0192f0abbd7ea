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

from devices.agent import frames
from devices.archive import agent_arguments, agent_program, archive
from devices.links.link import Link

LARGEST_BANNER_BYTES = 64 * 1024
START_TIMEOUT_S = 60.0
EXIT_TIMEOUT_S = 0.2
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

    def __init__(self, link: Link, program: bytes | None = None) -> None:
        """Store the link; `__enter__` starts the agent: the archive `program`, or hwprofile's own."""
        self._link = link
        self._program = archive() if program is None else program
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> Connection:
        """Start the agent, send it its own program, wait for its greeting."""
        token = f"HWPROFILE-{secrets.token_hex(16)}"
        self._errors = tempfile.TemporaryFile()
        try:
            self._process = self._start(agent_arguments(token, self._program), self._errors)
            self._wait_at_most(START_TIMEOUT_S)
            self._write(agent_program(self._program))
            self._await_greeting(token.encode("ascii"))
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
        """End the agent's process and give its streams back; harmless when already closed."""
        if self._process is not None:
            self._process.kill()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process.wait()
            self._process = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def request(
        self, verb: str, payload: bytes = b"", timeout_s: float = 60.0, **fields: object
    ) -> frames.Header:
        """Ask one thing and wait for its answer."""
        self._wait_at_most(timeout_s)
        self._write(frames.encode({"verb": verb, **fields}, payload))
        self._write(payload)
        try:
            header, _ = frames.read(self._read_exactly)
        except (frames.FrameError, EOFError) as error:
            raise AgentDied(f"{error}{self._last_words()}") from error
        if "error" in header:
            raise RequestFailed(str(header["error"]))
        return header

    def _wait_at_most(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s

    def _start(self, arguments: list[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        try:
            return self._link.start(arguments, errors)
        except OSError as error:
            raise AgentDied(f"the agent cannot be started: {error}") from error

    def _await_greeting(self, token: bytes) -> None:
        """Discard what a login shell may print before the agent speaks."""
        seen = b""
        while not seen.endswith(token):
            byte = self._read_exactly(1)
            if not byte:
                raise AgentDied(f"the agent did not start{self._last_words()}")
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
                    raise NoAnswer(f"what it is sent is not read within {self._timeout_s:g} s")
                view = view[os.write(stream, view[: 1 << 20]) :]
        except BrokenPipeError as error:
            raise AgentDied(f"the agent ended{self._last_words()}") from error

    def _read_exactly(self, size: int) -> bytes:
        stream, parts, missing = self._stream("stdout"), [], size
        while missing:
            if not self._ready(stream, select.POLLIN):
                raise NoAnswer(f"no answer within {self._timeout_s:g} s{self._last_words()}")
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
        if stream is None:
            raise AgentDied("the agent is not running")
        return int(stream.fileno())

    def _last_words(self) -> str:
        """How the agent ended, if it has, and what it printed to stderr at last, for an error's message."""
        if self._errors is None or self._process is None:
            return ""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_TIMEOUT_S)
        code = self._process.returncode
        end = "" if code is None else f" ({_exit_in_words(code)})"
        descriptor = self._errors.fileno()  # read apart from the offset at which the agent writes
        size = os.fstat(descriptor).st_size
        words = os.pread(descriptor, LAST_WORDS_BYTES, max(0, size - LAST_WORDS_BYTES))
        text = words.decode("utf-8", "replace").strip()
        return f"{end}; its last words: {text}" if text else end


def _exit_in_words(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
