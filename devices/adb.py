"""Running `adb`, Android's debug bridge: bounded in time and output, its faults turned into advice.

What runs on the phone is a line for its shell. `adb` joins arguments with spaces and the phone's shell splits
them again, so a line is built from constants, numbers and checked names only, never from what a phone said.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import select
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from devices.connection import AgentDied, DeviceError, LinkLost, NoAnswer, RequestFailed

TIMEOUT_S = 60.0
PUSH_TIMEOUT_S = 600.0
POLL_MS = 20
LARGEST_ANSWER_BYTES = 4 << 20
LARGEST_LINE_BYTES = 4000
"""Phones before Android 8 take no longer line."""
LAST_WORDS_CHARACTERS = 1500
_SERIAL = re.compile(r"[A-Za-z0-9._:][A-Za-z0-9._:-]*")

_ACCEPT = "unlock the phone and accept the debugging prompt on it; `adb devices` must then say `device`"
_ATTACHED = "see that it is attached, and that `adb devices` lists it"
ADVICE = {
    "no devices/emulators found": "attach the phone, switch on USB debugging in its developer options, and "
    "see that `adb devices` lists it",
    "more than one device": "several are attached: name one by its serial (`adb devices` lists them; "
    "`serial` of the device, or ANDROID_SERIAL)",
    "more than one emulator": "several are attached: name one by its serial (`adb devices` lists them)",
    "unauthorized": _ACCEPT,
    "authorizing": _ACCEPT,
    "device offline": "the phone does not answer adb: reconnect its cable, or run `adb reconnect`",
    "' not found": "no attached device has this serial: `adb devices` lists those that are",
    "no permissions": "this user may not open the phone's USB device: install Android's udev rules "
    "(`apt install android-sdk-platform-tools-common`) and reconnect it",
    "cannot connect to daemon": "adb's server cannot be reached: run `adb kill-server`, then `adb devices`",
    "failed to start daemon": "adb's server does not start: run `adb kill-server`, then `adb devices`",
    "cannot bind": "adb's server does not start: another program holds its port (ANDROID_ADB_SERVER_PORT)",
    "protocol fault": "adb's server broke off: run `adb kill-server`, then `adb devices`",
    "device disconnected": _ATTACHED,
    "error: closed": _ATTACHED,
}
"""What a person can do, by a part of what adb prints when the phone is out of reach."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line printed on the phone, and its exit status there."""

    text: str
    status: int


@dataclass(frozen=True, slots=True)
class Adb:
    """One phone, as `adb` names it.

    Attributes:
        serial: as `adb devices` lists it; None for $ANDROID_SERIAL, else the only one attached.

    Raises:
        DeviceError: from every method, when adb is not installed.
        LinkLost: when the phone is out of reach; the message says what to do.
        NoAnswer: when it takes too long.
        RequestFailed: when adb reaches the phone but cannot do what was asked.
    """

    serial: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a serial that is none."""
        if self.serial is not None and not _SERIAL.fullmatch(self.serial):
            raise ValueError(
                f"serial {self.serial!r:.80}: give letters, digits, `.`, `_`, `:` and `-`, no `-` first"
            )

    def run(self, *arguments: str, timeout_s: float = TIMEOUT_S) -> str:
        """Run adb for this phone and give what it printed, stdout and stderr together."""
        status, text = self._finished(arguments, timeout_s)
        if status == 0:
            return text
        raise self._lost(text) or RequestFailed(f"adb {arguments[0]} failed: {self._last_words(text)}")

    def shell(self, line: str, timeout_s: float = TIMEOUT_S) -> Answer:
        """Run a line in the phone's shell.

        The exit status is printed there: phones before Android 7 do not pass it on, and a phone that vanishes
        may leave adb with status 0.

        Raises:
            ValueError: the line is too long for a phone.
        """
        token = secrets.token_hex(8)
        whole = f"echo {token}\n(\n{line}\n)\necho {token} $?"
        if len(whole.encode()) > LARGEST_LINE_BYTES:
            raise ValueError(f"{len(whole)} bytes for the phone's shell; most: {LARGEST_LINE_BYTES}")
        _, text = self._finished(["shell", whole], timeout_s)
        found = re.fullmatch(rf".*?{token}\n(.*){token} (\d+)\s*", text, re.DOTALL)
        if found is None:
            words = self._last_words(text) or "nothing more"
            raise self._lost(text) or LinkLost(f"the phone broke off (last: {words}); {_ATTACHED}")
        return Answer(found[1], int(found[2]))

    def push(self, local: str | os.PathLike[str], remote: str) -> None:
        """Copy a file to the phone."""
        self.run("push", os.fspath(local), remote, timeout_s=PUSH_TIMEOUT_S)

    def forward(self, port: int) -> int:
        """Open a port on this computer's loopback that leads to one on the phone's; give its number."""
        words = self.run("forward", "tcp:0", f"tcp:{port}").split()
        if words and words[-1].isdigit():
            return int(words[-1])
        here = _free_port()  # adb before 1.0.36 chooses none, or does not tell which
        self.run("forward", f"tcp:{here}", f"tcp:{port}")
        return here

    def forwards(self, here: int, port: int) -> bool:
        """Whether such a forward stands: it goes with the phone's connection."""
        return f"tcp:{here} tcp:{port}" in self.run("forward", "--list")

    def remove_forward(self, here: int) -> None:
        """Close the port of a forward."""
        self.run("forward", "--remove", f"tcp:{here}")

    def redacted(self, text: str) -> str:
        """A text without the phone's serial."""
        for serial in (self.serial, os.environ.get("ANDROID_SERIAL")):
            text = text.replace(serial, "SERIAL") if serial else text
        return text

    def _last_words(self, text: str) -> str:
        return self.redacted(text).strip()[-LAST_WORDS_CHARACTERS:]

    def _finished(self, arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
        chosen = [] if self.serial is None else ["-s", self.serial]
        try:
            status, data = _output(["adb", *chosen, *arguments], timeout_s)
        except FileNotFoundError as error:
            raise DeviceError(
                "adb is not installed: `apt install adb`, or put Android's platform-tools on PATH"
            ) from error
        return status, data.decode("utf-8", "replace").replace("\r\n", "\n")

    def _lost(self, text: str) -> LinkLost | None:
        advice = advice_for(text)
        return LinkLost(f"{self._last_words(text)}; {advice}") if advice else None


def advice_for(text: str) -> str:
    """What a person can do about a phone that is out of reach; empty where adb does not say that it is."""
    return next((advice for words, advice in ADVICE.items() if words in text), "")


def _output(command: Sequence[str], timeout_s: float) -> tuple[int, bytes]:
    """Exit status and output of a program that may take so long and print so much.

    Raises:
        OSError: it cannot be started.
        NoAnswer: it took too long.
        AgentDied: it printed too much.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        start_new_session=True,  # a Ctrl-C of the terminal is for the host, which then cleans up on the phone
    ) as process:
        try:
            return _read(process, time.monotonic() + timeout_s, timeout_s)
        finally:
            if process.poll() is None:
                _kill(process)


def _read(process: subprocess.Popen[bytes], end: float, timeout_s: float) -> tuple[int, bytes]:
    """Read until the program ends: adb's server, which it may start, can hold its output open for ever."""
    assert process.stdout is not None  # it was asked for
    stream, data = process.stdout.fileno(), b""
    poll = select.poll()
    poll.register(stream, select.POLLIN)
    while time.monotonic() < end:
        status = process.poll()
        if poll.poll(0 if status is not None else POLL_MS):
            part = os.read(stream, 1 << 16)
            data += part
            if len(data) > LARGEST_ANSWER_BYTES:
                raise AgentDied(f"more than {LARGEST_ANSWER_BYTES} bytes came from the phone")
            if part:
                continue
            status = _status(process, end)
        if status is not None:
            return status, data
    raise NoAnswer(f"adb took more than {timeout_s:g} s")


def _status(process: subprocess.Popen[bytes], end: float) -> int | None:
    """Exit status of a program that has closed its output; None where it goes on."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, end - time.monotonic()))
    return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
