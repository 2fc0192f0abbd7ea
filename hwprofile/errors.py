"""Errors that a person can act on. The command line catches them in one place and prints one sentence."""

from __future__ import annotations

from pathlib import Path


class UserError(Exception):
    """Something named well, but missing or unusable; the message says what to do.

    Args:
        message: one sentence.
        kept: a file that the command goes on with once the cause is gone; the command line says how.
    """

    exit_code = 1

    def __init__(self, message: str, *, kept: Path | None = None) -> None:
        """Store the sentence and the file."""
        super().__init__(message)
        self.kept = kept


class Interrupted(KeyboardInterrupt):
    """Ctrl-C while something was written that the same work goes on with.

    Args:
        kept: the file.
    """

    def __init__(self, kept: Path) -> None:
        """Store the file."""
        super().__init__()
        self.kept = kept


class BadInput(UserError):
    """The command line itself is wrong."""

    exit_code = 2


class NotTrustworthy(UserError):
    """A result stands, but must not be relied on; raised only where `--strict` asks for it."""

    exit_code = 3


class BudgetInfeasible(UserError):
    """No network holds the budget; the message gives the smallest reachable value."""

    exit_code = 4


class RegressionFound(UserError):
    """Something became slower between two profiles."""

    exit_code = 5


class DeviceUnreachable(UserError):
    """A device cannot be reached, or its preset still needs something."""

    exit_code = 6
