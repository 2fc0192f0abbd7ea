"""The networks of NAS-Bench-201 (Dong and Yang, ICLR 2020): one cell, repeated fifteen times.

Stem (3×3 convolution to 16 channels), five cells, residual block to half the resolution and twice the channels,
five cells, the same again, five cells; batch normalisation, ReLU, global average pool and a linear layer. A
convolution of a cell is ReLU, convolution, batch normalisation.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ponas_core import cell_features
from ponas_core.cell_views import full_view
from ponas_core.cells import EDGES, OPERATIONS, Cell, cell_of, parse_cell
from ponas_core.features import Features
from ponas_core.operators import Classifier, Convolution, TensorShape

CELLS_PER_STAGE = 5
_CHANNELS = (16, 32, 64)


@dataclass(frozen=True, slots=True)
class Reduction:
    """The residual block between two stages: half the resolution, twice the channels.

    ReLU, 3×3 convolution with stride 2, ReLU, 3×3 convolution; beside them a 2×2 average pool with stride 2 and
    a 1×1 convolution without batch normalisation.
    """

    channels: int

    @property
    def convolutions(self) -> tuple[Convolution, Convolution]:
        """The two 3×3 convolutions."""
        wide = 2 * self.channels
        return (
            Convolution(self.channels, wide, 3, 2, 1, "linear"),
            Convolution(wide, wide, 3, 1, 1, "linear"),
        )

    @property
    def shortcut(self) -> tuple[int, int, int, int]:
        """Shape of the 1×1 kernel."""
        return (2 * self.channels, self.channels, 1, 1)


def cell_convolution(kind: str, channels: int) -> Convolution:
    """The convolution of an operation `conv1x1` or `conv3x3` in a cell."""
    return Convolution(channels, channels, 3 if kind == "conv3x3" else 1, 1, 1, "linear")
