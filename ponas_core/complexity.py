"""Exact sizes of every block of a space as additive costs: MACs, parameters, bytes in a file."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from ponas_core.cell_space import CellSpace, OpSpace
from ponas_core.cost import CostTable
from ponas_core.space import Layer

Complexity: TypeAlias = Literal["macs", "params", "stored_bytes"]
COMPLEXITIES: tuple[Complexity, ...] = ("macs", "params", "stored_bytes")


def complexity(space: OpSpace, quantity: Complexity) -> CostTable:
    """The additive cost of a quantity that follows from the space alone.

    Args:
        space: the search space; of cells, convolutions count wherever they are written.
        quantity: `macs`, multiply-accumulates of one inference at batch 1; `params`, trainable parameters as
            the field counts them; `stored_bytes`, fp32 parameters of the exported file.

    Raises:
        ValueError: stored bytes of cells: a file holds only what reaches the output, which does not add up.
    """
    if isinstance(space, CellSpace):
        return _of_cells(space, quantity)
    fixed = sum(_size(layer, 0, quantity) for layer in space.fixed_layers)
    rows = tuple(
        np.array([_size(layer, op, quantity) for op in range(len(layer.blocks))], np.float64)
        for layer in space.layers
    )
    return CostTable(quantity, float(fixed), rows)


def _of_cells(space: CellSpace, quantity: Complexity) -> CostTable:
    if quantity == "stored_bytes":
        raise ValueError(f"the bytes of a network of {space.name} do not add up over its edges")
    size = space.macs if quantity == "macs" else space.params
    empty = [0] * len(space.op_counts)
    fixed = size(space.architecture(empty))
    rows = []
    for edge, count in enumerate(space.op_counts):
        alone = [space.architecture([*empty[:edge], op, *empty[edge + 1 :]]) for op in range(count)]
        rows.append(np.array([size(cell) - fixed for cell in alone], np.float64))
    return CostTable(quantity, float(fixed), tuple(rows))


def _size(layer: Layer, op: int, quantity: Complexity) -> int:
    recipe = layer.recipe(op)
    if quantity == "macs":
        return recipe.macs(layer.place.shape_in)
    return recipe.params if quantity == "params" else recipe.stored_bytes
