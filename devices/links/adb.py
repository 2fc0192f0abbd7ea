"""A phone over ADB-forwarded SSH: a port of this computer leads to the `sshd` that Termux runs on the phone.

Forwarding goes through USB (or wireless debugging), so the phone needs no network. All phones are 127.0.0.1
to ssh, so each has a name of its own under which ssh knows its host key.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from devices.adb import Adb, advice_for
from devices.connection import DeviceError
from devices.links.link import Link
from devices.links.ssh import SshLink

ANSWER_TIMEOUT_S = 15.0
TERMUX_PORT = 8022
"""Where Termux's `sshd` listens: ports below 1024 are not an app's to take."""
_ADVICE = (
    (
        "Host key verification failed|host key is known|IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known as {known_as}: type `{open}`, then `{ssh}`, and compare "
        "the fingerprint with what `ssh-keygen -lf $PREFIX/etc/ssh/ssh_host_ed25519_key.pub` tells in Termux",
    ),
    (
        r"Permission denied \(",
        "it accepts none of your keys: type `{open}`, then `{ssh}`, which must work without a password "
        "(your public key is a line of ~/.ssh/authorized_keys in Termux)",
    ),
    (
        "Connection closed|Connection reset|kex_exchange_identification",
        "nothing answers on the phone's port {port}: run `sshd` in Termux, and keep Termux running "
        "(`termux-wake-lock`)",
    ),
)
"""What `ssh` prints, and what helps where it goes through a port that is open only while hwprofile runs."""


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
    config: Path | None = None
    _forward: _Forward = field(default_factory=_Forward, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raise ValueError for what adb or ssh would take for something else."""
        if type(self.port) is not int or not 0 < self.port < 1 << 16:
            raise ValueError(f"port {self.port!r:.80}: give one from 1 to 65535")
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

    def answers(self) -> bool:
        """Whether adb and ssh still reach the phone."""
        with contextlib.suppress(DeviceError):
            self.adb.run("get-state", timeout_s=ANSWER_TIMEOUT_S)
            return self.ssh(self._forward.port or self.port).answers()
        return False

    def give_up(self) -> None:
        """Forget ssh's connection; the forward is looked at whenever a process starts."""
        self.ssh(self._forward.port or self.port).give_up()

    def advice(self, text: str) -> str:
        """What a person can do, by what ssh printed."""
        found = next((sentence for pattern, sentence in _ADVICE if re.search(pattern, text)), None)
        if found is None:
            return advice_for(text) or self.ssh(self.port).advice(text)
        login = "127.0.0.1" if self.user is None else f"{self.user}@127.0.0.1"
        return found.format(
            known_as=self.host_key_alias,
            port=self.port,
            open=f"adb forward tcp:{self.port} tcp:{self.port}",
            ssh=f"ssh -p {self.port} -o HostKeyAlias={self.host_key_alias} {login}",
        )


def _close(adb: Adb, forward: _Forward) -> None:
    """Close a port, where the phone is still there; the forward goes with the phone else."""
    if forward.port:
        with contextlib.suppress(DeviceError):
            adb.remove_forward(forward.port)
        forward.port = 0
