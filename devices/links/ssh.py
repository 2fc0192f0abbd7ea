"""SSH through the system's own `ssh`: configuration, keys, agent and jump hosts are the user's."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devices.links import ssh_masters, ssh_words
from devices.links.link import Link
from devices.links.local import started

CONNECT_TIMEOUT_S = 15
ALIVE_INTERVAL_S = 10
ALIVE_COUNT = 3
"""After so many unanswered questions, one an interval, `ssh` gives the connection up and ends with `LOST`."""
LOST = 255
"""Exit status of `ssh` for every failure of its own."""

OPTIONS = {
    "BatchMode": "yes",  # no question that nobody answers
    "StrictHostKeyChecking": "yes",
    "NoHostAuthenticationForLocalhost": "no",
    "ClearAllForwardings": "yes",
    "Tunnel": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "LogLevel": "ERROR",
    "ControlMaster": "auto",
    "ControlPersist": "60",
}

_NAME = r"[A-Za-z0-9._][A-Za-z0-9._-]*"
_IPV6 = r"[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?"
_JUMP = rf"({_NAME}@)?({_NAME}|\[{_IPV6}\])(:[0-9]{{1,5}})?"
_FORMS = {
    "alias": (_NAME, "letters, digits, `.`, `_` and `-`, no `-` first"),
    "host": (rf"{_NAME}|{_IPV6}", "a name, an alias of your ssh configuration or an address, no `-` first"),
    "user": (_NAME, "letters, digits, `.`, `_` and `-`, no `-` first"),
    "jump": (rf"{_JUMP}(,{_JUMP})*", "[USER@]HOST[:PORT], several with commas between, no `-` first"),
    "python": (
        r"(~/)?[A-Za-z0-9._/+][A-Za-z0-9._/+-]*",
        "a name or path of letters, digits and `._/+-`, perhaps after `~/`, no `-` first",
    ),
    "host_key_alias": (_NAME, "letters, digits, `.`, `_` and `-`, no `-` first"),
}


@dataclass(frozen=True)
class SshLink(Link):
    """A target that the system's `ssh` reaches; all processes share one connection.

    Attributes:
        alias: what it is called in every text that is kept.
        host: name, address, or alias of the user's ssh configuration.
        user: there; None for what the configuration says.
        port: of its SSH server; None for what the configuration says.
        jump: hosts in between, as for `ssh -J`; None for what the configuration says.
        python: the target's interpreter.
        config: another file than `~/.ssh/config`.
        host_key_alias: name under which the host's key is known, where the address does not tell hosts apart.
    """

    alias: str
    host: str
    user: str | None = None
    port: int | None = None
    jump: str | None = None
    python: str = "python3"
    config: Path | None = None
    host_key_alias: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what is no name, or what `ssh` or a shell would take for something else."""
        for field, (form, words) in _FORMS.items():
            value = getattr(self, field)
            if value is not None and not re.fullmatch(form, value):
                raise ValueError(f"{field} {value!r}: give {words}")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"port {self.port}: give one from 1 to 65535")

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the target's Python with these arguments, over the shared connection."""
        return started([*self._ssh(), self.remote_command(arguments)], stderr, _environment())

    def remote_command(self, arguments: Sequence[str]) -> str:
        """What the login shell on the target is given: means the same to sh, bash, zsh, fish and csh.

        A shell of our own stays between, which tells the death of Python by a signal as 128 + its number:
        `ssh` would say 255, as for a lost connection. The path of Python is left to the login shell, for `~`.
        """
        return f'exec sh -c \'"$0" "$@"; exit $?\' {self.python} {shlex.join(arguments)}'

    def was_lost(self, exit_status: int) -> bool:
        """Whether `ssh` itself failed, or was killed here."""
        return exit_status == LOST or exit_status < 0

    def answers(self) -> bool:
        """Whether the target still answers; gives the shared connection up where it does not."""
        limit_s = CONNECT_TIMEOUT_S + ALIVE_INTERVAL_S * (ALIVE_COUNT + 1)
        try:
            asked = subprocess.run(
                [*self._ssh(), "exit"],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=limit_s,
                start_new_session=True,
                env=_environment(),
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return not self.was_lost(asked.returncode)

    def give_up(self) -> None:
        """End the shared connection: the next process makes a new one."""
        ssh_masters.end(ssh_masters.socket_of(repr(self)))

    def redacted(self, text: str) -> str:
        """A text without the names of the host, its users and yours, and without addresses."""
        known = ssh_words.names(tuple(self._where()), (self.host, self.jump or ""))
        return ssh_words.redacted(super().redacted(text), known, self.alias)

    def advice(self, text: str) -> str:
        """What a person can do about what `ssh`, the login shell or Python printed."""
        by_hand = ["ssh", *(word for word in self._where() if word != "--")]
        return ssh_words.advice(text, by_hand, self.python)

    def _ssh(self) -> list[str]:
        """The command up to the host's name."""
        options = {
            **OPTIONS,
            "ConnectTimeout": str(CONNECT_TIMEOUT_S),
            "ServerAliveInterval": str(ALIVE_INTERVAL_S),
            "ServerAliveCountMax": str(ALIVE_COUNT),
            "ControlPath": ssh_masters.socket_of(repr(self)),
        }
        return [
            "ssh",
            "-Tax",
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
            *self._where(),
        ]

    def _where(self) -> list[str]:
        flags = {"-F": self.config, "-l": self.user, "-p": self.port, "-J": self.jump}
        given = [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
        alias = ["-o", f"HostKeyAlias={self.host_key_alias}"] if self.host_key_alias else []
        return [*given, *alias, "--", self.host]


def _environment() -> dict[str, str]:
    """This process's own, without a window that asks for a password on a jump host."""
    return {**os.environ, "SSH_ASKPASS_REQUIRE": "never"}
