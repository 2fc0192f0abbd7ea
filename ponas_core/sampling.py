"""Distinct random networks of a space, within bands of costs where asked for."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import Encoded
from ponas_core.cost import ROUNDING, CostTable
from ponas_core.space import Architecture, SearchSpace

ENUMERATED = 100_000
"""Spaces up to this size are listed, so that a sample may take any share of them."""
_BATCH, _BATCHES = 4096, 500


@dataclass(frozen=True, slots=True)
class Band:
    """Networks whose cost lies between two numbers."""

    cost: CostTable
    at_least: float
    at_most: float = math.inf

    def __post_init__(self) -> None:
        """Raise ValueError for an empty band."""
        if not self.at_least <= self.at_most:
            raise ValueError(f"{self.cost.name}: no number lies within {self.at_least} and {self.at_most}")

    def holds(self, choices: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which networks are within: (networks, layers) op indexes to (networks,)."""
        totals = self.cost.totals(choices)
        slack = ROUNDING * np.abs(totals)
        return (totals >= self.at_least - slack) & (totals <= self.at_most + slack)


def random_sample(
    space: SearchSpace,
    rng: np.random.Generator,
    count: int,
    *,
    bands: Sequence[Band] = (),
    without: Collection[Encoded] = (),
) -> list[Architecture]:
    """Distinct networks, each as likely as any other.

    Args:
        space: the space.
        rng: the draw.
        count: how many.
        bands: all of them hold. A band from just below the smallest limit of interest keeps networks out
            that no solver would pick, and whose accuracies bend the fit (docs/search.md).
        without: networks that are not drawn, such as those that filled a table.

    Raises:
        ValueError: there are too few such networks, or they are too rare to be found by drawing.
    """
    taken = {architecture.ops for architecture in without}
    found: dict[tuple[int, ...], None] = {}
    for choices in _draws(space, rng):
        within = np.ones(len(choices), np.bool_)
        for band in bands:
            within &= band.holds(choices)
        for ops in map(tuple, choices[within].tolist()):
            if len(found) == count:
                break
            if ops not in taken:
                found[ops] = None
        if len(found) == count:
            return [space.architecture(ops) for ops in found]
    wanted = f"{count} distinct networks of {space.name}"
    limits = "".join(f", {band.cost.name} within {band.at_least:g} and {band.at_most:g}" for band in bands)
    raise ValueError(f"{wanted}{limits}: found {len(found)}; ask for fewer, or widen the band")


def _draws(space: SearchSpace, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Random networks in batches of op indexes; all of a small space once."""
    sizes = [len(layer.blocks) for layer in space.layers]
    if space.size <= ENUMERATED:
        every = np.stack(np.unravel_index(rng.permutation(space.size), sizes), axis=1)
        yield from np.array_split(every, math.ceil(len(every) / _BATCH))
        return
    for _ in range(_BATCHES):
        yield rng.integers(sizes, size=(_BATCH, len(sizes)), dtype=np.intp)
