"""How networks of a space become the rows that a predictor learns from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.features import Features, NetworkSpace
from predictors.model_file import Model, estimator
from predictors.sources import Sources

BACKGROUND_NETWORKS = 2000


@dataclass(frozen=True)
class Description:
    """How networks of a space become the rows of a predictor.

    Attributes:
        space: the space.
        background: features of networks that nobody needs to have measured.
        sources: other devices, whose latencies are further columns.
    """

    space: NetworkSpace
    background: Features
    sources: Sources | None = None

    @classmethod
    def of(cls, space: NetworkSpace, seed: int, sources: Sources | None = None) -> Description:
        """The description with a background of so many random networks."""
        return cls(space, background_of(space, seed), sources)

    @property
    def digest(self) -> str:
        """Of the names of the columns: two descriptions of one digest give equal rows."""
        return digest_of(self.background.names, self.sources)

    def rows(self, networks: Sequence[Any]) -> NDArray[np.float64]:
        """(networks, columns)."""
        return rows_of(self.space.describe(networks), self.sources)

    def unfitted(self, kind: str, interval: str = "scaled", seed: int = 0) -> Model:
        """A predictor that knows the groups of its columns, and what is usual in the space.

        Raises:
            ValueError: an unknown kind.
        """
        common = {"interval": interval, "seed": seed}
        if kind not in {"auto", "gp"}:
            return estimator(kind, **common)
        number = {group: index for index, group in enumerate(dict.fromkeys(self.background.groups))}
        devices = 0 if self.sources is None else len(self.sources.constants_ms)
        process = estimator(
            "gp",
            groups=[*(number[group] for group in self.background.groups), *[len(number)] * devices],
            background=rows_of(self.background, self.sources),
            covariances={number[group]: alike for group, alike in self.background.alike.items()},
            large_sample=[number[group] for group in self.background.for_many],
            **common,
        )
        return process if kind == "gp" else estimator("auto", gaussian_process=process, **common)


def rows_of(features: Features, sources: Sources | None) -> NDArray[np.float64]:
    """Features, and what other devices say of them: (networks, columns)."""
    if sources is None:
        return features.values
    return np.hstack([features.values, sources.columns(features.values)])


def digest_of(names: Sequence[str], sources: Sources | None) -> str:
    """Of the names of all columns."""
    columns = "\n".join(names) + ("" if sources is None else f"\n{len(sources.constants_ms)} sources")
    return hashlib.sha256(columns.encode()).hexdigest()[:16]


def background_of(space: NetworkSpace, seed: int) -> Features:
    """Networks of the space that nobody needs to have measured: what is usual there."""
    rng = np.random.default_rng(seed)
    return space.describe([space.sample(rng) for _ in range(BACKGROUND_NETWORKS)])
