"""What a latency table is: entries by key, or by layer and op."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
UNIT = "ms"
MOST_ENTRIES = 100_000
LONGEST_NAME = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one block.

    Attributes:
        mean_ms: its latency, milliseconds. An entry that carries a correction of the whole network may be
            below 0.
        var_ms2: variance of a measurement, ms²; None where nobody says.
        count: how many measurements; None where nobody says.
    """

    mean_ms: float
    var_ms2: float | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a latency that is no number, or a negative variance or count."""
        if not math.isfinite(self.mean_ms):
            raise ValueError(f"a latency is a finite number of milliseconds, got {self.mean_ms}")
        if self.var_ms2 is not None and not (math.isfinite(self.var_ms2) and self.var_ms2 >= 0):
            raise ValueError(f"a variance is a number from 0 on, got {self.var_ms2}")
        if self.count is not None and (type(self.count) is not int or not 0 <= self.count < 2**63):
            raise ValueError(f"a count is a whole number from 0 on, got {self.count}")

    def plus(self, more_ms: float) -> Entry:
        """The same with so much added to its latency."""
        return Entry(self.mean_ms + more_ms, self.var_ms2, self.count)


def joined(entries: Sequence[Entry]) -> Entry:
    """Several entries as one: latencies and variances add up; the count is the smallest."""
    variances = [entry.var_ms2 for entry in entries if entry.var_ms2 is not None]
    counts = [entry.count for entry in entries if entry.count is not None]
    return Entry(
        math.fsum(entry.mean_ms for entry in entries),
        math.fsum(variances) if variances else None,
        min(counts) if counts else None,
    )


@dataclass(frozen=True)
class KeyedTable:
    """Entries by key, as ProxylessNAS and Once-for-All publish them.

    Attributes:
        entries: by key.
        notes: what a reader of the file should know.
    """

    entries: Mapping[str, Entry]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError for no entries, or too many."""
        _check_size(len(self.entries))
        object.__setattr__(self, "entries", MappingProxyType(dict(self.entries)))


@dataclass(frozen=True)
class LayerTable:
    """Entries by layer and op, and what every network costs besides.

    Attributes:
        layers: names of the layers, from input to output.
        rows: rows[layer] is the entries of that layer by op.
        fixed_ms: what every network costs besides: stem, head and what is paid once.
        space: name of the space whose layers they are; None where nobody says.
        notice: what it does not count; None where it is whole.
    """

    layers: tuple[str, ...]
    rows: tuple[Mapping[str, Entry], ...]
    fixed_ms: float
    space: str | None = None
    notice: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a layer without ops, twice, or without a name, or for too many entries."""
        if len(self.layers) != len(self.rows) or not all(self.rows):
            raise ValueError("a table has at least one op for every layer")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError("a table names a layer twice")
        if not all(0 < len(name) <= LONGEST_NAME for name in (*self.layers, *self.ops)):
            raise ValueError(f"names of layers and ops have 1 to {LONGEST_NAME} characters")
        if not math.isfinite(self.fixed_ms):
            raise ValueError(f"the fixed part is a finite number of milliseconds, got {self.fixed_ms}")
        _check_size(len(self.layers) * len(self.ops))
        object.__setattr__(self, "rows", tuple(MappingProxyType(dict(row)) for row in self.rows))

    @classmethod
    def from_arrays(
        cls,
        layers: Sequence[str],
        ops: Sequence[str],
        latency_ms: Floats,
        fixed_ms: float,
        var_ms2: Floats | None = None,
        count: Floats | None = None,
        space: str | None = None,
    ) -> LayerTable:
        """From arrays of shape (layers, ops); where the latency is NaN, the layer lacks the op.

        Raises:
            ValueError: arrays of another shape, or numbers that are none.
        """
        shape = (len(layers), len(ops))
        unknown = np.full(shape, np.nan)
        var_ms2, count = unknown if var_ms2 is None else var_ms2, unknown if count is None else count
        if not latency_ms.shape == var_ms2.shape == count.shape == shape:
            raise ValueError(f"{shape} latencies are expected, got {latency_ms.shape}")
        rows = [
            {
                op: Entry(float(mean), _known(var), _count(counted))
                for op, mean, var, counted in zip(ops, means, variances, counts, strict=True)
                if not math.isnan(mean)
            }
            for means, variances, counts in zip(latency_ms, var_ms2, count, strict=True)
        ]
        return cls(tuple(layers), tuple(rows), float(fixed_ms), space)

    @property
    def ops(self) -> tuple[str, ...]:
        """Names of all ops, in the order in which they first occur."""
        return tuple(dict.fromkeys(op for row in self.rows for op in row))

    @property
    def latency_ms(self) -> Floats:
        """(layers, ops) milliseconds; NaN where a layer lacks the op."""
        return self._array(lambda entry: entry.mean_ms)

    @property
    def var_ms2(self) -> Floats:
        """(layers, ops) variances, ms²; NaN where none is known."""
        return self._array(lambda entry: math.nan if entry.var_ms2 is None else entry.var_ms2)

    @property
    def count(self) -> Floats:
        """(layers, ops) numbers of measurements; NaN where none is known."""
        return self._array(lambda entry: math.nan if entry.count is None else float(entry.count))

    def _array(self, number: Callable[[Entry], float]) -> Floats:
        ops = self.ops
        return np.array([[number(row[op]) if op in row else math.nan for op in ops] for row in self.rows])


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _count(number: float) -> int | None:
    if math.isnan(number):
        return None
    if not float(number).is_integer():
        raise ValueError(f"a count is a whole number, got {number}")
    return int(number)


def _check_size(entries: int) -> None:
    if not 0 < entries <= MOST_ENTRIES:
        raise ValueError(f"a table has 1 to {MOST_ENTRIES} entries, this one {entries}")
