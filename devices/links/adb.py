"""A phone over ADB-forwarded SSH: a port of this computer leads to the `sshd` that Termux runs on the phone.

Forwarding goes through USB (or wireless debugging), so the phone needs no network. All phones are 127.0.0.1
to ssh, so each has a name of its own under which ssh knows its host key.
"""

from __future__ import annotations

import contextlib
import subprocess
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

from devices.adb import Adb, advice_for
from devices.connection import DeviceError
from devices.links.link import Link
from devices.links.ssh import SshLink

TERMUX_PORT = 8022
"""Where Termux's `sshd` listens: ports below 1024 are not an app's to take."""
_NOBODY_LISTENS = ("Connection closed", "Connection reset", "kex_exchange_identification")


@dataclass(slots=True)
class _Forward:
    """The port that stands open; 0 while none does."""

    port: int = 0


@dataclass(frozen=True, slots=True)
class AdbLink(Link):
    """A phone with Termux (or a Linux under proot) and its `sshd`.

    Attributes:
        alias: the device's name; ssh knows the phone's host key as `hwprofile-<alias>`.
        serial: as `adb devices` lists the phone; None for $ANDROID_SERIAL, else the only one attached.
        port: where `sshd` listens on the phone.
        user: login there; Termux takes any.
        python: the interpreter there.
        config: ssh's configuration file; None for the user's.
    """

    alias: str
    serial: str | None = None
    port: int = TERMUX_PORT
    user: str | None = None
    python: str = "python3"
    config: str | None = None
    _forward: _Forward = field(default_factory=_Forward, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError for what adb or ssh would take for something else."""
        if type(self.port) is not int or not 0 < self.port < 1 << 16:
            raise ValueError(f"{self.port!r:.80} is no port")
        Adb(self.serial)  # each is checked at birth
        self.ssh(self.port)

    @property
    def adb(self) -> Adb:
        """The phone as adb names it."""
        return Adb(self.serial)

    @property
    def host_key_alias(self) -> str:
        """The name under which ssh knows the phone's host key."""
        return f"hwprofile-{self.alias}"

    def ssh(self, here: int) -> SshLink:
        """The link through a forwarded port."""
        return SshLink(
            self.alias,
            "127.0.0.1",
            user=self.user,
            port=here,
            python=self.python,
            config=self.config,
            host_key_alias=self.host_key_alias,
        )

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the phone's Python with these arguments.

        Raises:
            DeviceError: adb is not installed.
            LinkLost: adb does not reach the phone; the message says what to do.
        """
        return self.ssh(self.forwarded()).start(arguments, stderr)

    def forwarded(self) -> int:
        """The port here that leads to the phone's `sshd`; opened anew where the phone was away since."""
        known = self._forward.port
        if not known or not self.adb.forwards(known, self.port):
            if not known:  # once: what is opened last is closed at the end
                weakref.finalize(self, _close, self.adb, self._forward)
            self._forward.port = self.adb.forward(self.port)
        return self._forward.port

    def close(self) -> None:
        """Close the port; harmless when there is none, and done at the end of the program anyway."""
        _close(self.adb, self._forward)

    def was_lost(self, exit_status: int) -> bool:
        """Whether ssh itself ended the connection."""
        return self.ssh(self.port).was_lost(exit_status)

    def redacted(self, text: str) -> str:
        """A text without the phone's serial and login."""
        return self.ssh(self.port).redacted(self.adb.redacted(text))

    def advice(self, text: str) -> str:
        """What a person can do, by what ssh printed."""
        if any(words in text for words in _NOBODY_LISTENS):
            return (
                f"nothing answers on the phone's port {self.port}: run `sshd` in Termux, and keep Termux "
                "running (`termux-wake-lock`)"
            )
        return self.ssh(self.port).advice(text) or advice_for(text)


def _close(adb: Adb, forward: _Forward) -> None:
    """Close a port, where the phone is still there; the forward goes with the phone else."""
    if forward.port:
        with contextlib.suppress(DeviceError):
            adb.remove_forward(forward.port)
        forward.port = 0
