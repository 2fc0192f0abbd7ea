"""Links: how to reach a target. A link starts a Python program there and gives its streams."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
from collections.abc import Sequence
from typing import IO, Protocol

PIPE_BYTES = 1 << 20


class Link(Protocol):
    """Starts the agent on a target."""

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the target's Python with these arguments; stdin and stdout are unbuffered pipes."""
        ...


class LocalLink:
    """This computer: the agent is a child process."""

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start this interpreter with these arguments."""
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            # a Ctrl-C of the terminal is for the host, which then ends the agent in order
            start_new_session=True,
        )
        if hasattr(fcntl, "F_SETPIPE_SZ") and process.stdin is not None:
            # graphs are megabytes; the usual 64 KiB would wake both sides hundreds of times for each
            with contextlib.suppress(OSError):  # a user's limit on pipes: slower, not wrong
                fcntl.fcntl(process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        return process
