"""Sockets of shared SSH connections: in a private folder of this process, gone when it ends."""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

LONGEST_FOLDER = 60
"""Characters; a socket's whole path may have about 100, of which `ssh` takes 17 for itself."""
END_TIMEOUT_S = 2.0


def socket_of(link: str) -> str:
    """Path of the socket of a link; equal links share a connection."""
    return str(_folder(os.getpid()) / hashlib.sha256(link.encode()).hexdigest()[:12])


def end(socket: str) -> None:
    """End the connection behind a socket; harmless where it has ended, hangs or never was."""
    if not os.path.exists(socket):
        return
    command = ["ssh", "-F", "none", "-o", f"ControlPath={socket}", "-O", "exit", "--", "none"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=END_TIMEOUT_S
        )
    # one that hangs goes on without its name, and ends by itself once it sees that its connection is dead
    with contextlib.suppress(OSError):
        os.unlink(socket)


def end_all() -> None:
    """End all shared connections of this process, and remove their folder."""
    for folder in _folders.pop(os.getpid(), ()):
        for socket in folder.iterdir():
            end(str(socket))
        shutil.rmtree(folder, ignore_errors=True)
    _folder.cache_clear()


_folders: dict[int, list[Path]] = {}
"""By process: a forked child must not end what its parent uses."""


@functools.cache
def _folder(process: int) -> Path:
    """A folder that only this user can enter; made at the first use in a process."""
    usual = tempfile.gettempdir()
    # `ssh` would take `%`, `$` and blanks in the path for something else
    plain = re.fullmatch(r"[A-Za-z0-9._/+-]+", usual) and len(usual) <= LONGEST_FOLDER
    folder = Path(tempfile.mkdtemp(prefix="hwprofile-", dir=usual if plain else "/tmp"))
    _folders.setdefault(process, []).append(folder)
    return folder


atexit.register(end_all)
