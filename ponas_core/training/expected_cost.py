"""Expected cost of a distribution over architectures as a torch module: what a search adds to its loss.

The table is the module's buffers, so it moves with the model (`to`, `state_dict`, DistributedDataParallel),
and a search that uses it needs nothing else of this project.

    expected = ExpectedCost(cost)              # cost: CostTable("latency_ms", ...), or from arrays in a file:
    expected = ExpectedCost.from_arrays(file["latency_ms"], file["fixed_ms"])
    ...
    latency_ms = expected([logits.softmax(-1) for logits in alphas])
    loss = cross_entropy + 0.1 * hinge_penalty(latency_ms, 15.0)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ponas_core.cost import CostTable


class ExpectedCost(nn.Module):
    """E[T] = fixed + sum over layers and ops of p[layer, op] * T[layer, op], differentiable in p.

    As in ProxylessNAS (Cai, Zhu and Han, ICLR 2019), where T is a latency table. It is computed in the dtype
    of the buffers whatever autocast says; `half()` and `bfloat16()` would round the table itself.

    Args:
        cost: the table; its name says what is counted, with its unit (`latency_ms`).
        dtype: of the buffers; float32 for accelerators that lack float64.

    Attributes:
        ops: number of ops of every layer.
        costs: (total ops,) the table's rows, one after another.
        fixed: () what every network costs.
    """

    costs: Tensor
    fixed: Tensor

    def __init__(self, cost: CostTable, dtype: torch.dtype = torch.float64) -> None:
        """Copy the table into buffers."""
        super().__init__()
        self.name = cost.name
        self.ops = tuple(len(row) for row in cost.rows)
        rows = [torch.tensor(row, dtype=dtype) for row in cost.rows]
        self.register_buffer("costs", torch.cat(rows))
        self.register_buffer("fixed", torch.tensor(cost.fixed, dtype=dtype))

    @classmethod
    def from_arrays(
        cls, latency_ms: NDArray[np.float64], fixed_ms: float, dtype: torch.dtype = torch.float64
    ) -> ExpectedCost:
        """From a latency table: (layers, ops) milliseconds, NaN where a layer lacks the op.

        The ops of a layer are those that it has, in the order of the columns.

        Raises:
            ValueError: a layer has no op, or a latency is infinite.
        """
        rows = tuple(row[~np.isnan(row)] for row in np.asarray(latency_ms, np.float64))
        return cls(CostTable("latency_ms", float(fixed_ms), rows), dtype)

    def forward(self, probabilities: Tensor | Sequence[Tensor]) -> Tensor:
        """The expected cost, a scalar in the table's unit.

        Args:
            probabilities: of every layer, (ops of the layer,); or (layers, ops) where all have as many.

        Raises:
            ValueError: other numbers of layers or ops than the table has.
        """
        rows = list(probabilities)
        found = tuple(row.shape[0] if row.dim() == 1 else -1 for row in rows)
        if found != self.ops:
            raise ValueError(f"layers with {self.ops} ops are expected, got {[tuple(x.shape) for x in rows]}")
        flat = torch.cat(rows).to(self.costs.dtype)
        return self.fixed + (flat * self.costs).sum()

    def extra_repr(self) -> str:
        """What is counted, and over how many layers."""
        return f"{self.name}, layers={len(self.ops)}"


def hinge_penalty(expected: Tensor, at_most: float) -> Tensor:
    """Relative excess over a budget: max(0, E[T] / budget - 1); without a gradient below it."""
    return torch.relu(expected / at_most - 1)


def log_ratio_penalty(expected: Tensor, at_most: float) -> Tensor:
    """log(E[T] / budget): pulls on both sides of the budget, whatever the unit.

    The released ProxylessNAS divides log E[T] by log of the reference, which depends on the unit.
    """
    return torch.log(expected / at_most)
