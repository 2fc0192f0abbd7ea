"""This computer: the agent is a child process."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO

from devices.links.link import Link

PIPE_BYTES = 1 << 20


class LocalLink(Link):
    """This computer: the agent is a child process under this interpreter."""

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start this interpreter with these arguments."""
        return started([sys.executable, *arguments], stderr)


def started(
    command: Sequence[str], stderr: IO[bytes], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A child process with unbuffered pipes that hold a graph; None for this process's own environment."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        bufsize=0,
        env=environment,
        # a Ctrl-C of the terminal is for the host, which then ends the agent in order
        start_new_session=True,
    )
    if hasattr(fcntl, "F_SETPIPE_SZ") and process.stdin is not None:
        # graphs are megabytes; the usual 64 KiB would wake both sides hundreds of times for each
        with contextlib.suppress(OSError):  # a user's limit on pipes: slower, not wrong
            fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return process
