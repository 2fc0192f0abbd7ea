"""A target reached with the system's ssh (stand-in: the fields only)."""

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

_NAME = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class SshLink(Link):
    """A target's Python over ssh.

    Attributes:
        alias: name of the device; stands in messages in place of the host.
        host: name or address.
        user: account there; None for what ssh's configuration says.
        port: None for what ssh's configuration says.
        jump: host to go through.
        python: the target's interpreter.
        config: a configuration file of ssh's in place of the user's own.
    """

    alias: str
    host: str
    user: str | None = None
    port: int | None = None
    jump: str | None = None
    python: str = "python3"
    config: Path | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a name that ssh might take for something else."""
        for name in ("host", "user", "jump"):
            value = getattr(self, name)
            if value is not None and not _NAME.fullmatch(value):
                raise ValueError(f"{name} is letters, digits, `.`, `_` and `-`, got {value!r}")

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the target's Python."""
        options = ["-o", "BatchMode=yes"]
        options += ["-F", str(self.config)] if self.config else []
        options += ["-p", str(self.port)] if self.port else []
        options += ["-J", self.jump] if self.jump else []
        options += ["-l", self.user] if self.user else []
        command = shlex.join([self.python, *arguments])
        return started(["ssh", *options, "--", self.host, command], stderr)

    def was_lost(self, exit_status: int) -> bool:
        """Whether ssh itself failed."""
        return exit_status == 255

    def redacted(self, text: str) -> str:
        """The text with the device's name for the host's."""
        return text.replace(self.host, self.alias)
