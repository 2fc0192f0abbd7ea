"""What a worker of a fleet does that evaluates networks: a worker imports this, and whoever gives it work."""

from __future__ import annotations

import ctypes
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from hwprofile.errors import UserError
from hwprofile.fleet.members import EVALUATION, PREFIX
from ponas_core.evaluation import Evaluator

Ops: TypeAlias = tuple[int, ...]
_Value = TypeVar("_Value")

_MOST_READY = 2
"""Evaluators that a process keeps, since one may hold a supernet and a data set."""
_TOLD_FRAMES = 2
"""Calls of a traceback that travel back: where an evaluation failed."""
_KEPT_BYTES = 512 * 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # names of <malloc.h>
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024  # glibc takes no larger one
_ready: dict[str, Evaluator] = {}
"""By token, the one that was made last at the end."""


@runtime_checkable
class Recipe(Protocol):
    """How an evaluator is made on a worker, where it is too large to travel, or needs what is there."""

    def evaluator(self) -> Evaluator:
        """The evaluator; UserError where something that it needs is not on this computer."""
        ...


Work: TypeAlias = Evaluator | Recipe
"""What travels to a worker, once."""


class NotReady(Exception):
    """A worker was asked before it was given the evaluator, such as one that joined just now."""

    def __init__(self, address: str) -> None:
        """Tell which worker."""
        super().__init__(address)
        self.address = address


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it travels: its space stays at home.

    Attributes:
        ops: op indexes.
    """

    ops: Ops

    def __str__(self) -> str:
        """Op indexes as people type them."""
        return ",".join(map(str, self.ops))


def version() -> str:
    """Of the installed hwprofile."""
    return metadata.version("hwprofile")


def carried(value: _Value) -> _Value:
    """The value itself: a task whose result workers hand on to each other."""
    return value


def made_ready(work: Work, token: str, client_version: str) -> str:
    """Make the evaluator in this process.

    Args:
        work: what it is made from.
        token: what it is asked for by.
        client_version: of the hwprofile that will ask.

    Returns:
        What it computes with, where accuracies depend on it; else nothing.

    Raises:
        UserError: this worker cannot evaluate, or must not; the message names it.
    """
    name, others = _self()
    if others:
        raise UserError(
            f"worker {name} offers {EVALUATION} and {others[0]}, and what measures must not do other work: "
            "start it with one of them"
        )
    if client_version != version():
        raise UserError(
            f"worker {name} has hwprofile {version()}, this computer {client_version}: install the same there"
        )
    _keep_memory()
    try:
        evaluator = work.evaluator() if isinstance(work, Recipe) else work
    except UserError as error:
        raise UserError(f"worker {name}: {error}") from None
    _ready.pop(token, None)
    _ready[token] = evaluator
    while len(_ready) > _MOST_READY:
        _ready.pop(next(iter(_ready)), None)
    return str(getattr(evaluator, "means", ""))


def evaluated(token: str, ops: Ops) -> float:
    """Accuracy of a network in per cent.

    Raises:
        NotReady: this process has no such evaluator.
        Exception: what the evaluation itself raises, with a note that tells the worker and the last calls.
    """
    evaluator = _ready.get(token)
    if evaluator is None:
        from distributed import get_worker

        raise NotReady(get_worker().address)
    try:
        return float(evaluator.accuracy(Network(ops)))
    except Exception as error:
        calls = "".join(traceback.format_tb(error.__traceback__)[-_TOLD_FRAMES:])
        error.add_note(f"on worker {_self()[0]}, which evaluated {Network(ops)}:\n{calls}")
        raise error.with_traceback(None) from None


def _keep_memory() -> None:
    """Let this process keep the memory that it frees, as far as the C library can.

    Dask lets its workers give memory back at once. An evaluation asks for the same megabytes again and again,
    and with fresh pages each time one of a digits supernet took almost four times as much of the processor.
    """
    with suppress(AttributeError, OSError, TypeError):  # another library than glibc
        tune = ctypes.CDLL(None).mallopt
        tune(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        tune(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _self() -> tuple[Any, list[str]]:
    """This worker's name, and what it offers that is measured."""
    from distributed import get_worker

    worker = get_worker()
    offered = worker.state.total_resources
    return worker.name, sorted(name for name in offered if name.startswith(PREFIX) and name != EVALUATION)
