"""The networks of NAS-Bench-201 (Dong and Yang, ICLR 2020): one cell, fifteen times.

Stem (3×3 convolution to 16 channels), five cells, residual block to half the resolution and twice the
channels, five cells, the same again, five cells; batch normalisation, ReLU, global average pool and a linear
layer. A convolution in a cell is ReLU, convolution, batch normalisation.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ponas_core import cell_features
from ponas_core.cell_views import EDGE_KINDS
from ponas_core.cells import EDGES, OPERATIONS, Cell, parse_cell
from ponas_core.features import Features
from ponas_core.operators import Classifier, Convolution, TensorShape
from ponas_core.space import SearchSpace

CELLS_PER_STAGE = 5
CHANNELS = (16, 32, 64)
"""Width of the cells of each stage."""

_KERNELS = {"conv1x1": 1, "conv3x3": 3}


def cell_convolution(kind: str, channels: int) -> Convolution | None:
    """The convolution of an operation in a cell; None where it holds none."""
    kernel = _KERNELS.get(kind)
    return None if kernel is None else Convolution(channels, channels, kernel, 1, 1, "linear")


@dataclass(frozen=True, slots=True)
class Reduction:
    """The residual block between two stages: half the resolution, twice the channels.

    ReLU, `first`, ReLU, `second`; added to a 2×2 average pool with stride 2 and `shortcut`, which has no
    batch normalisation.
    """

    first: Convolution
    second: Convolution
    shortcut: Convolution

    @classmethod
    def of(cls, channels: int) -> Reduction:
        """The block for an input of so many channels."""
        return cls(
            Convolution(channels, 2 * channels, 3, 2, 1, "linear"),
            Convolution(2 * channels, 2 * channels, 3, 1, 1, "linear"),
            Convolution(channels, 2 * channels, 1, 1, 1, "linear"),
        )

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return self.first.params + self.second.params + self.shortcut.weights

    def macs(self, shape: TensorShape) -> int:
        """Multiply-accumulates of one inference for an input of this shape."""
        half = self.first.output(shape)
        return self.first.macs(shape) + self.second.macs(half) + self.shortcut.macs(half)


@dataclass(frozen=True)
class CellSpace:
    """All networks that repeat one cell.

    Attributes:
        name: short name.
        description: one sentence for people.
        shape_in: input tensor without its batch; the resolution is halved twice.
        classes: numbers that a network gives.
    """

    name: str
    description: str
    shape_in: TensorShape
    classes: int

    def __post_init__(self) -> None:
        """Raise ValueError for a resolution that cannot be halved twice."""
        if self.shape_in.height % 4 or self.shape_in.width % 4:
            raise ValueError(f"space {self.name} needs a resolution that is a multiple of 4: {self.shape_in}")

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(len(OPERATIONS) for _ in EDGES)

    @property
    def stem(self) -> Convolution:
        """The convolution in front of all cells."""
        return Convolution(self.shape_in.channels, CHANNELS[0], 3, 1, 1, "linear")

    @property
    def stages(self) -> tuple[TensorShape, ...]:
        """Shape of the tensors in the cells of each stage."""
        return tuple(self.shape_in.strided(width, 2**stage) for stage, width in enumerate(CHANNELS))

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """The blocks between the stages."""
        return tuple(map(Reduction.of, CHANNELS[:-1]))

    @property
    def classifier(self) -> Classifier:
        """The linear layer behind all cells."""
        return Classifier(CHANNELS[-1], self.classes)

    @property
    def op_counts(self) -> tuple[int, ...]:
        """Number of operations of each edge."""
        return (len(OPERATIONS),) * len(EDGES)

    def architecture(self, ops: Sequence[int]) -> Cell:
        """The cell with these op indexes, one an edge."""
        return Cell(tuple(map(operator.index, ops)))

    def parse(self, text: str) -> Cell:
        """Read a cell: the field's own string, or six op indexes (`342101`).

        Raises:
            ValueError: not a cell; the message says why.
        """
        return parse_cell(text)

    def sample(self, rng: np.random.Generator) -> Cell:
        """Draw every edge's operation uniformly and independently; one cell in 46 is not connected."""
        return Cell(tuple(rng.integers(len(OPERATIONS), size=len(EDGES)).tolist()))

    def enumerate(self) -> Iterator[Cell]:
        """All cells, the last edge changing fastest."""
        return map(Cell, itertools.product(range(len(OPERATIONS)), repeat=len(EDGES)))

    def describe(self, networks: Sequence[Cell]) -> Features:
        """Named numbers of cells in the groups of `ponas_core.cell_features`, the same columns for all."""
        return cell_features.describe(networks)

    def macs(self, cell: Cell) -> int:
        """Multiply-accumulates of one inference, of every convolution that is written, as the field counts.

        An exported network holds only what reaches its output, see `ponas_core.cell_onnx`.
        """
        fixed = self.stem.macs(self.shape_in) + self.classifier.macs(self.stages[-1])
        between = sum(
            block.macs(shape) for block, shape in zip(self.reductions, self.stages[:-1], strict=True)
        )
        cells = sum(part.macs(shape) for shape in self.stages for part in _convolutions(cell, shape))
        return fixed + between + CELLS_PER_STAGE * cells

    def params(self, cell: Cell) -> int:
        """Trainable parameters of the network, of every convolution that is written."""
        batch_norm = 2 * CHANNELS[-1]
        fixed = self.stem.params + batch_norm + self.classifier.params
        between = sum(block.params for block in self.reductions)
        cells = sum(part.params for shape in self.stages for part in _convolutions(cell, shape))
        return fixed + between + CELLS_PER_STAGE * cells


def _convolutions(cell: Cell, shape: TensorShape) -> list[Convolution]:
    found = [cell_convolution(EDGE_KINDS[op], shape.channels) for op in cell.ops]
    return [part for part in found if part is not None]


CELL_SPACES = {
    space.name: space
    for space in (
        CellSpace("nasbench201", "cells of NAS-Bench-201, CIFAR-10 at 32x32", TensorShape(3, 32, 32), 10),
        CellSpace(
            "nasbench201-cifar100", "cells of NAS-Bench-201, CIFAR-100 at 32x32", TensorShape(3, 32, 32), 100
        ),
        CellSpace(
            "nasbench201-imagenet16",
            "cells of NAS-Bench-201, ImageNet16-120 at 16x16",
            TensorShape(3, 16, 16),
            120,
        ),
    )
}
"""The networks for the three data sets of the paper: same cells, other resolutions and numbers of classes."""

OpSpace: TypeAlias = SearchSpace | CellSpace
"""A space whose networks are one op per place: layers of a chain, edges of a cell."""
