"""Folders for files that a runtime insists on writing: gone when they were used, or by the next agent."""

import contextlib
import os
import shutil
import tempfile
from typing import Iterator, List

from devices.agent import system_files

PREFIX = "hwprofile-agent-"
_open: List[str] = []


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """A folder that exists while the block runs; removes those of agents that were killed."""
    _remove_orphans()
    path = tempfile.mkdtemp(prefix="{}{}-".format(PREFIX, os.getpid()))
    _open.append(path)
    try:
        yield path
    finally:
        remove_all()


def remove_all() -> None:
    """Remove what is in use now: for a process that ends in the middle of it."""
    while _open:
        shutil.rmtree(_open.pop(), ignore_errors=True)


def _remove_orphans() -> None:
    for path in system_files.entries(tempfile.gettempdir(), PREFIX):
        owner = os.path.basename(path)[len(PREFIX) :].partition("-")[0]
        if owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(path, ignore_errors=True)  # of another user: it stays


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # of another user
    return True
