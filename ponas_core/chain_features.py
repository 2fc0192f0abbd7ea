"""Chains of blocks as named numbers: from the whole of a network to its single layers.

`totals`: what all blocks compute, hold and move. `blocks`: how often each block stands in the network.
`alike`: each block in its layer, blocks alike in shape, kernel and width costing alike. `layers`: the same,
each on its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ponas_core.features import Features
from ponas_core.operators import Convolution, SqueezeExcite
from ponas_core.space import Architecture, Layer, SearchSpace

Floats = NDArray[np.float64]

TOTALS = (
    "macs", "depthwise_macs", "pointwise_macs", "dense_macs", "params", "activations", "bytes_moved",
    "blocks", "convolutions", "squeeze_excites",
)  # fmt: skip
FAR_APART = 4.0
"""Distance at which blocks tell little of each other; units: an octave of channels or size, a step of kernel,
stride, expansion or groups."""


def describe_chain(space: SearchSpace, architectures: Sequence[Architecture]) -> Features:
    """Named numbers of the networks of a chain, one row each."""
    ops = np.array([architecture.ops for architecture in architectures], np.intp)
    ops = ops.reshape(len(architectures), len(space.layers))
    layers = range(len(space.layers))
    counts = [len(layer.blocks) for layer in space.layers]
    chosen = np.concatenate([np.eye(counts[at])[ops[:, at]] for at in layers], axis=1)
    numbers = np.array([_totals(layer, op) for layer in space.layers for op in range(len(layer.blocks))])
    fixed = np.sum([_totals(layer, 0) for layer in space.fixed_layers], axis=0) if space.fixed_layers else 0.0
    kinds = list(dict.fromkeys(str(block) for layer in space.layers for block in layer.blocks))
    of_kind = np.array([[str(b) == kind for kind in kinds] for layer in space.layers for b in layer.blocks])
    moved = np.sqrt(numbers[:, TOTALS.index("activations")])
    places = [f"{layer.name}={block}" for layer in space.layers for block in layer.blocks]
    groups = {
        "totals": (TOTALS, chosen @ numbers + fixed),
        "blocks": (kinds, chosen @ of_kind),
        "alike": ([f"{place}~" for place in places], chosen * moved),
        "layers": (places, chosen),
    }
    return Features(
        tuple(name for names, _ in groups.values() for name in names),
        tuple(group for group, (names, _) in groups.items() for _ in names),
        np.concatenate([values for _, values in groups.values()], axis=1),
        {"alike": _alike(space)},
    )


def _totals(layer: Layer, op: int) -> Floats:
    """`TOTALS` of one block."""
    recipe, shape = layer.recipe(op), layer.place.shape_in
    found = dict.fromkeys(TOTALS, 0.0)
    found["macs"] = recipe.macs(shape)
    found["params"] = recipe.params
    found["blocks"] = float(bool(recipe.operators))
    for operator in recipe.operators:
        out = operator.output(shape)
        elements = shape.channels * shape.pixels + out.channels * out.pixels
        found["activations"] += elements
        found["bytes_moved"] += 4.0 * (elements + operator.stored_params)
        found["squeeze_excites"] += isinstance(operator, SqueezeExcite)
        if isinstance(operator, Convolution):
            found["convolutions"] += 1
            found[f"{_sort(operator)}_macs"] += operator.macs(shape)
        shape = out
    return np.array([found[name] for name in TOTALS], np.float64)


def _sort(operator: Convolution) -> str:
    if operator.groups == operator.channels_in:
        return "depthwise"
    return "pointwise" if operator.kernel == 1 else "dense"


def _alike(space: SearchSpace) -> Floats:
    """How alike blocks are: a Matérn covariance of smoothness 3/2 over what describes them."""
    blocks = [(at, layer, op) for at, layer in enumerate(space.layers) for op in range(len(layer.blocks))]
    points = np.array([[*_point(layer, op), at / len(space.layers)] for at, layer, op in blocks])
    apart = np.sqrt(np.square(points[:, None] - points).sum(axis=2)) * (np.sqrt(3) / FAR_APART)
    return np.asarray((1 + apart) * np.exp(-apart))


def _point(layer: Layer, op: int) -> list[float]:
    """Where a block stands among others, one step or octave apart in each coordinate."""
    shape, out = layer.place.shape_in, layer.place.shape_out
    recipe = layer.recipe(op)
    convolutions = [part for part in recipe.operators if isinstance(part, Convolution)]
    grouped = [part.groups for part in convolutions if part.groups != part.channels_in]
    widest = max((part.channels_out for part in convolutions), default=0)
    return [
        1.8 * np.log2(shape.channels) / 2,
        1.8 * np.log2(out.channels) / 2,
        np.log2(shape.height),
        float(layer.place.stride),
        (max((part.kernel for part in convolutions), default=1) - 3) / 2,
        np.log2(max(widest, 1) / shape.channels) * 0.77 if len(convolutions) > 1 else -1.0,
        np.log2(max(grouped, default=1)),
        3.0 * (not recipe.operators),
        float(any(isinstance(part, SqueezeExcite) for part in recipe.operators)),
    ]
