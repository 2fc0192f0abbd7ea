"""Networks as named numbers in groups, what latency predictors learn from.

The groups go from the whole of a network to its single layers, so that a predictor can share what it learns
among layers as far as the measurements ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Features:
    """Named numbers of networks.

    Attributes:
        names: of the columns; no name twice.
        groups: the group of every column.
        values: (networks, columns).
        alike: of a group whose columns cost alike where they are alike, how alike: a covariance (columns of
            the group, the same).
        for_many: groups that are worth their columns only where hundreds of networks are measured.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    values: NDArray[np.float64]
    alike: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    for_many: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where names, groups and columns do not agree."""
        if len(self.names) != len(self.groups) or self.values.shape[1:] != (len(self.names),):
            raise ValueError(
                f"{len(self.names)} names, {len(self.groups)} groups, values {self.values.shape}"
            )
        if len(set(self.names)) != len(self.names):
            raise ValueError("a feature is named twice")


class NetworkSpace(Protocol):
    """What a predictor needs of a space; `Network` is whatever the space calls its networks (hashable)."""

    @property
    def name(self) -> str:
        """Short name."""
        ...

    def parse(self, text: str) -> Any:
        """Read a network; ValueError says what is wrong. `str(network)` writes it in its canonical form."""
        ...

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw a network at random."""
        ...

    def describe(self, networks: Sequence[Any]) -> Features:
        """Named numbers of networks, the same columns for whichever networks."""
        ...
