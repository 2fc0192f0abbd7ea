"""Ends this process when its host is gone, or when a request takes far too long: no agent outlives its host.

What waits here waits inside the system: nothing wakes up that a measurement would see.
"""

import faulthandler
import os
import select
import threading
import time
from typing import Any, Callable

from devices.agent import scratch

GRACE_S = 5.0
"""How long a request may go on after its host has gone or its time is up: the host's own end comes first."""
SILENCE_S = 300.0
"""After so long without a request the host is gone, though the system has not noticed."""
SILENT_HOST = 75
"""Exit status after such a silence."""
USUAL_S, LONGEST_S = 3600.0, 1e6
"""How long a request may take whose host does not tell, and at most."""
READ_BYTES = 64 * 1024 * 1024
STDERR = 2


class Watchdog:
    """Watches the input of this process, and the time of its requests."""

    def __init__(self, source: int = 0) -> None:
        """Store the descriptor that the host writes to; `start` begins to watch it."""
        self._source = source
        self._heard_s = time.monotonic()
        self._is_busy = False

    def start(self) -> None:
        """Watch the input from now on."""
        if hasattr(select, "poll"):
            threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, seconds: Any) -> None:
        """A request begins that may take so long; a runtime that never returns cannot stop this clock."""
        self._is_busy = True
        told = isinstance(seconds, (int, float)) and 0 < seconds < LONGEST_S
        faulthandler.dump_traceback_later((seconds if told else USUAL_S) + GRACE_S, exit=True, file=STDERR)

    def end(self) -> None:
        """The request has been answered."""
        faulthandler.cancel_dump_traceback_later()
        self._heard_s = time.monotonic()
        self._is_busy = False

    def reading(self, read: Callable[[int], bytes]) -> Callable[[int], bytes]:
        """The same, noting that the host is there whenever a part has come."""

        def read_parts(size: int) -> bytes:
            parts = []
            while True:
                parts.append(read(min(size, READ_BYTES)))
                self._heard_s = time.monotonic()
                size -= len(parts[-1])
                if not size or not parts[-1]:
                    return parts[0] if len(parts) == 1 else b"".join(parts)

        return read_parts

    def _watch(self) -> None:
        """Wait for the end of the input: without asking for data, only that is told."""
        poll = select.poll()
        poll.register(self._source, getattr(select, "POLLRDHUP", 0))
        while not poll.poll(SILENCE_S * 1e3):
            if not self._is_busy and time.monotonic() - self._heard_s > SILENCE_S:
                _exit(SILENT_HOST)
        time.sleep(GRACE_S)
        _exit(1)


def _exit(status: int) -> None:
    scratch.remove_all()
    os._exit(status)
