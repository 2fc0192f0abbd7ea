"""The calibrated table for very many networks of one chain, given as op indexes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from predictors.calibrated_table import CalibratedTable, Floats

CHUNK = 1 << 14
"""Networks that are predicted at once: what they need fits into a processor's cache."""


class ChainTable:
    """A fitted table for networks that choose one block for every layer.

    It predicts what the table predicts for the keys of the chosen blocks, up to the rounding of sums.

    Args:
        table: the fitted table.
        fixed: keys of the blocks that every network has.
        layers: of each layer, the key of every candidate; None for one that leaves no operator.

    Raises:
        MissingBlock: the table lacks a block.
    """

    def __init__(
        self, table: CalibratedTable, fixed: Sequence[str], layers: Sequence[Sequence[str | None]]
    ) -> None:
        """Look up what every choice adds: its corrected cost, then its features."""
        self.table = table
        self._fixed = np.append(table.predict([fixed]), table.network_features([fixed]))
        self._rows = [np.stack([self._added(key) for key in keys]) for keys in layers]

    def _added(self, key: str | None) -> Floats:
        if key is None:
            return np.zeros_like(self._fixed)
        (features,) = self.table.network_features([[key]])
        features[-1] = 0.0  # the intercept is in the fixed part
        return np.append(self.table.block_costs_[key], features)

    def predict(self, X: NDArray[np.integer]) -> Floats:
        """Latencies of networks, milliseconds: (networks, layers) op indexes to (networks,).

        Raises:
            ValueError: a wrong number of layers, or an op that a layer lacks.
        """
        return self.predict_with_interval(X)[0]

    def predict_interval(self, X: NDArray[np.integer]) -> Floats:
        """Ends of their 95 % intervals, milliseconds: (networks, 2); ValueError as `predict`."""
        return self.predict_with_interval(X)[1]

    def predict_with_interval(self, X: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Both at once, for the price of one: (networks,) and (networks, 2); ValueError as `predict`."""
        self._check(X)
        medians, intervals = np.empty(len(X)), np.empty((len(X), 2))
        for part in _chunks(len(X)):
            total = np.tile(self._fixed, (len(X[part]), 1))
            for layer, rows in enumerate(self._rows):
                total += rows[X[part, layer]]
            medians[part] = total[:, 0]
            intervals[part] = self.table.interval_around(total[:, 0], total[:, 1:])
        return medians, intervals

    def _check(self, X: NDArray[np.integer]) -> None:
        if X.ndim != 2 or X.shape[1] != len(self._rows):
            raise ValueError(f"ops are (networks, {len(self._rows)}) here, not {X.shape}")
        counts = np.array([len(rows) for rows in self._rows])
        if len(X) and ((X.min(axis=0) < 0) | (X.max(axis=0) >= counts)).any():
            raise ValueError("an op index is beyond the candidates of its layer")


def _chunks(networks: int) -> Iterator[slice]:
    for start in range(0, networks, CHUNK):
        yield slice(start, start + CHUNK)
