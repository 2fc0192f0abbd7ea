"""Exact sizes of every block of a space as additive costs: MACs, parameters, bytes in a file."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from ponas_core.cost import CostTable
from ponas_core.space import Layer, SearchSpace

Complexity: TypeAlias = Literal["macs", "params", "stored_bytes"]
COMPLEXITIES: tuple[Complexity, ...] = ("macs", "params", "stored_bytes")


def complexity(space: SearchSpace, quantity: Complexity) -> CostTable:
    """The additive cost of a quantity that follows from the space alone.

    Args:
        space: the search space.
        quantity: `macs`, multiply-accumulates of one inference at batch 1; `params`, trainable parameters as
            the field counts them; `stored_bytes`, fp32 parameters of the exported file.
    """
    fixed = sum(_size(layer, 0, quantity) for layer in space.fixed_layers)
    rows = tuple(
        np.array([_size(layer, op, quantity) for op in range(len(layer.blocks))], np.float64)
        for layer in space.layers
    )
    return CostTable(quantity, float(fixed), rows)


def _size(layer: Layer, op: int, quantity: Complexity) -> int:
    recipe = layer.recipe(op)
    if quantity == "macs":
        return recipe.macs(layer.place.shape_in)
    return recipe.params if quantity == "params" else recipe.stored_bytes
