"""Predicted latencies of a space's networks in the forms that other people's code takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.tables.device import TableLatency, TableOrigin
from hwprofile.tables.space_table import SpaceTable
from hwprofile.tables.values import LayerTable
from ponas_core.closed_loop import Latency
from ponas_core.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from ponas_core.training.expected_cost import ExpectedCost


@dataclass(frozen=True)
class LatencyModel:
    """Predicted latencies of the networks of a space, milliseconds.

    Attributes:
        space: the space.
    """

    space: SearchSpace
    _latency: SpaceLatency | TableLatency
    _origin: Profile | TableOrigin

    def predict(self, architecture: Architecture | str | Sequence[int]) -> Latency:
        """Latency of a network with its 95 % interval: `median_ms`, `low_ms`, `high_ms`.

        Args:
            architecture: op indexes, a text such as `2,2,1`, or a name that the space knows.

        Raises:
            UserError: the space has no such network.
        """
        try:
            if isinstance(architecture, str):
                architecture = self.space.parse(architecture)
            elif not isinstance(architecture, Architecture):
                architecture = self.space.architecture(architecture)
        except (ValueError, TypeError) as error:
            raise UserError(str(error)) from error
        return self._latency.predict([architecture])[0]

    def predict_many(self, ops: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latencies and 95 % intervals of very many networks, milliseconds.

        Args:
            ops: (networks, layers) op indexes.

        Returns:
            (networks,) and (networks, 2).

        Raises:
            UserError: a wrong number of layers, or an op that a layer lacks.
        """
        found = np.asarray(ops)
        counts = np.array(self.space.op_counts)
        if found.ndim != 2 or found.shape[1] != len(counts) or found.dtype.kind not in "iu":
            raise UserError(
                f"networks of {self.space.name} are op indexes of shape (networks, {len(counts)}), "
                f"not {found.dtype} of shape {found.shape}"
            )
        if ((found < 0) | (found >= counts)).any():
            row, layer = np.argwhere((found < 0) | (found >= counts))[0]
            raise UserError(
                f"network {row}: {self.space.layers[layer].name} has ops 0 to {counts[layer] - 1}"
            )
        return self._latency.predict_ops(found)

    def table(self) -> LayerTable:
        """The additive table: `latency_ms` [layer, op] (NaN: no such op), `layers`, `ops`, `fixed_ms`."""
        if isinstance(self._latency, TableLatency):
            return self._latency.table.by_layer
        assert isinstance(self._origin, Profile)
        return SpaceTable.from_latency(self._latency, self._origin).by_layer

    def expected_cost(self) -> ExpectedCost:
        """A torch module: expected milliseconds of probabilities of ops, differentiable, for a loss.

        Raises:
            UserError: no torch.
        """
        try:
            import torch  # noqa: F401  # told here, in words
        except ImportError as error:
            raise UserError("expected_cost needs torch: pip install 'hwprofile[pytorch]'") from error
        from ponas_core.training.expected_cost import ExpectedCost

        return ExpectedCost(self._latency.cost)
