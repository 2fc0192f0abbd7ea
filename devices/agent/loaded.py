"""A graph that a runtime has loaded: all that the timing loop knows of a runtime."""

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Optional


def nothing() -> None:
    """Give nothing back: the garbage collector does."""


@dataclass
class Loaded:
    """One graph, inputs and outputs in place.

    Attributes:
        run: one synchronous inference; inputs and outputs stay where the device computes.
        span_ns: so many inferences back to back, by the device's own clock (CUDA events); nanoseconds of all
            together. None where the host's clock times `run`.
        evict: fills the device's own caches with so many bytes of other data; None where the host's memory is
            the device's.
        parts_ns: one inference with copies from and to the host: `h2d_ns`, `d2h_ns`, `enqueue_ns`. None where
            there are no copies.
        close: gives the device's memory back.
        notes: what loading told that a row should keep, as JSON values: hash of an engine, whether a CUDA
            graph was captured.
        kept: what the host should keep and send along with the next `load` of the same graph, by name.
    """

    run: Callable[[], Any]
    span_ns: Optional[Callable[[int], int]] = None
    evict: Optional[Callable[[int], None]] = None
    parts_ns: Optional[Callable[[], Dict[str, int]]] = None
    close: Callable[[], None] = nothing
    notes: Dict[str, Any] = field(default_factory=dict)
    kept: Dict[str, bytes] = field(default_factory=dict)
