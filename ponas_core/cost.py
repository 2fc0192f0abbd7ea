"""Additive costs of architectures, and limits on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """An additive cost: a fixed part plus one number per (layer, op).

    Attributes:
        name: what is counted, with its unit: `latency_ms`, `macs`, `params`, `stored_bytes`.
        fixed: cost of what every network has.
        rows: `rows[layer][op]`; layers may have different numbers of ops.
    """

    name: str
    fixed: float
    rows: tuple[NDArray[np.float64], ...]

    def __post_init__(self) -> None:
        """Copy the arrays and make them read-only; ValueError for empty or non-finite ones."""
        if not self.rows:
            raise ValueError(f"{self.name}: a cost needs at least one layer")
        if not math.isfinite(self.fixed):
            raise ValueError(f"{self.name}: the fixed part is {self.fixed}")
        object.__setattr__(self, "rows", tuple(self._checked(n, row) for n, row in enumerate(self.rows)))

    def _checked(self, layer: int, row: NDArray[np.float64]) -> NDArray[np.float64]:
        copy = np.array(row, np.float64)
        if copy.ndim != 1 or copy.size == 0:
            raise ValueError(f"{self.name}, layer {layer}: needs one number per op, got shape {copy.shape}")
        if not np.isfinite(copy).all():
            raise ValueError(f"{self.name}, layer {layer}: {copy.tolist()} holds a number that is not finite")
        copy.flags.writeable = False
        return copy

    def total(self, choices: Sequence[int]) -> float:
        """Cost of one network, correctly rounded, so independent of the order of summation."""
        return math.fsum([self.fixed, *(row[op] for row, op in zip(self.rows, choices, strict=True))])

    def totals(self, choices: NDArray[np.intp]) -> NDArray[np.float64]:
        """Costs of many networks: (networks, layers) op indexes to (networks,)."""
        total = np.full(len(choices), self.fixed)
        for layer, row in enumerate(self.rows):
            total += row[choices[:, layer]]
        return total

    def smallest(self) -> tuple[int, ...]:
        """Op indexes of the cheapest network."""
        return tuple(int(row.argmin()) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Limit:
    """An upper limit on an additive cost."""

    cost: CostTable
    at_most: float

    def __post_init__(self) -> None:
        """Raise ValueError for a limit that is no number or negative."""
        if math.isnan(self.at_most) or self.at_most < 0:
            raise ValueError(f"{self.cost.name}: a limit is a number from 0 on, got {self.at_most}")

    def holds(self, choices: Sequence[int]) -> bool:
        """Whether a network is within the limit, up to the rounding of a sum."""
        return self.cost.total(choices) <= self.at_most * (1 + ROUNDING)


ROUNDING = 1e-12
"""Relative excess over a limit that is taken for the rounding of a sum."""
