"""Errors that a person can act on. The command line catches them in one place and prints one sentence."""

from __future__ import annotations


class UserError(Exception):
    """Something named well, but missing or unusable; the message says what to do."""

    exit_code = 1


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
