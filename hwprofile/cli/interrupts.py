"""Ctrl-C that cannot crash the interpreter: one that comes in the middle of an import waits for its end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_WAIT_S = 0.02
_IMPORT_MACHINERY = "<frozen importlib._bootstrap"


def let_imports_finish() -> None:
    """Raise KeyboardInterrupt on SIGINT as Python does, but never inside an import.

    Extension modules call back into Python while they are loaded; an exception raised there ends in a crash
    or is swallowed. Outside the main thread, or where a host program handles SIGINT itself, nothing changes.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
        sys.unraisablehook = _not_losing_interrupts(sys.unraisablehook)


def _interrupt(number: int, frame: FrameType | None) -> None:
    at = frame
    while at is not None:
        if at.f_code.co_filename.startswith(_IMPORT_MACHINERY):
            _again_soon()
            return
        at = at.f_back
    signal.default_int_handler(number, frame)


def _not_losing_interrupts(report: Callable[[Any], object]) -> Callable[[Any], None]:
    """What to do with an exception that Python drops, as in a finaliser; an interrupt comes again."""

    def hook(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            _again_soon()
        else:
            report(unraisable)

    return hook


def _again_soon() -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None  # it is running
    # to that thread: it may be waiting in a call of the system, which only a signal of its own ends
    again = threading.Timer(_WAIT_S, signal.pthread_kill, [main_thread, signal.SIGINT])
    again.daemon = True
    again.start()
