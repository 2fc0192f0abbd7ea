"""Blocks and networks as ONNX graphs, written directly from their recipes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from ponas_core.onnx_writer import LAYER_END, GraphWriter
from ponas_core.space import Architecture, Layer
from ponas_core.weights import RandomWeights, Weights


def layer_of(node: str) -> str | None:
    """The layer that a node belongs to, by its name; None for one that a runtime has put in.

    Runtimes that fuse or rearrange nodes name the new ones for a value that they compute.
    """
    layer, end, _ = node.partition(LAYER_END)
    return layer if end else None


def block_model(layer: Layer, op: int, weights: Weights | None = None, batch: int = 1) -> onnx.ModelProto:
    """One candidate block alone, with the input and output shapes it has in its layer.

    Raises:
        ValueError: the block is the identity, which leaves no operator to measure.
    """
    recipe = layer.recipe(op)
    if not recipe.operators:
        raise ValueError(f"{layer.blocks[op]} in {layer.name} is the identity: it has no graph")
    writer = GraphWriter(layer.place.shape_in, weights or RandomWeights())
    writer.add(recipe, layer.name)
    return writer.model(batch, {"block": layer.key(op) or ""})


def network_model(
    architecture: Architecture,
    weights: Weights | None = None,
    batch: int = 1,
    notes: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """The whole network of an architecture: input (batch, C, H, W) to output (batch, classes), float32.

    The model's metadata hold space, architecture, blocks, whether the weights are random or trained, and
    further notes.
    """
    writer = GraphWriter(architecture.space.shape_in, weights or RandomWeights())
    for layer, op in architecture.chain:
        writer.add(layer.recipe(op), layer.name)
    names = {
        "space": architecture.space.name,
        "architecture": str(architecture),
        "blocks": ",".join(map(str, architecture.blocks)),
    }
    return writer.model(batch, {**(notes or {}), **names})
