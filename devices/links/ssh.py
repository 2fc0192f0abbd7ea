"""A target over SSH: the system's own `ssh`, whose configuration and keys it uses."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from devices.links.link import Link
from devices.links.local import started

_NAME = re.compile(r"[A-Za-z0-9._]([A-Za-z0-9._-]*)")
_PROGRAM = re.compile(r"[A-Za-z0-9._/~+]([A-Za-z0-9._/+-]*)")
LOST = 255


@dataclass(frozen=True, slots=True)
class SshLink(Link):
    """A target over SSH.

    Attributes:
        alias: the device's name for people.
        host: where.
        user: login there; None for what ssh's configuration says.
        port: None for what ssh's configuration says.
        jump: host to go through.
        python: the target's interpreter.
        config: ssh's configuration file, None for the user's.
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
        """Raise ValueError for names that ssh or a shell would take for something else."""
        for name in (self.alias, self.host, self.user, self.jump, self.host_key_alias):
            if name is not None and not _NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80}: give the name of a host or user")
        if not _PROGRAM.fullmatch(self.python):
            raise ValueError(f"python {self.python!r:.80}: give the path of an interpreter")

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the target's Python with these arguments."""
        options = {"BatchMode": "yes", "StrictHostKeyChecking": "yes", "ConnectTimeout": "15"}
        if self.host_key_alias is not None:
            options["HostKeyAlias"] = self.host_key_alias
        command = ["ssh", "-T", *(["-F", str(self.config)] if self.config else [])]
        command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        for flag, value in (("-l", self.user), ("-p", self.port), ("-J", self.jump)):
            command += [] if value is None else [flag, str(value)]
        return started([*command, "--", self.host, shlex.join([self.python, *arguments])], stderr)

    def was_lost(self, exit_status: int) -> bool:
        """Whether ssh itself ended the connection."""
        return exit_status == LOST

    def answers(self) -> bool:
        """Whether the target still answers."""
        return True

    def give_up(self) -> None:
        """Nothing is shared here."""
