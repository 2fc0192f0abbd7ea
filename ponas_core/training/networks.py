"""Whole networks as torch modules: one architecture, or a supernet that holds every candidate block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ponas_core.space import Architecture, Layer, SearchSpace
from ponas_core.training.modules import BlockModule, ConvolutionModule, arrays, set_weights
from ponas_core.weights import GivenWeights, RandomWeights, Weights


class Network(nn.ModuleDict):
    """One architecture; the names of its state are those that the ONNX writer asks for.

    Args:
        architecture: what is built.
        weights: what it holds; `start_training` gives it those to begin with.
    """

    def __init__(self, architecture: Architecture, weights: Weights | None = None) -> None:
        super().__init__({layer.name: BlockModule(layer.recipe(op)) for layer, op in architecture.chain})
        set_weights(self, weights or RandomWeights())

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to (batch, classes), before the softmax."""
        for block in self.values():
            x = block(x)
        return x


class Supernet(nn.ModuleDict):
    """Every candidate of every layer with weights of its own; a forward pass goes through one path.

    Memory of activations and gradients is that of the path, whatever the number of candidates.
    Weights are named `layer3.mb_k5_e6.0.weight`, so that they survive a change of the order of candidates.

    Args:
        space: the space.
        weights: what it holds; `start_training` gives it those to begin with.
    """

    def __init__(self, space: SearchSpace, weights: Weights | None = None) -> None:
        super().__init__({layer.name: _candidates(layer) for layer in space.all_layers})
        self.space = space
        set_weights(self, weights or RandomWeights())

    def forward(self, x: Tensor, ops: Sequence[int]) -> Tensor:
        """(batch, channels, height, width) and the op of each searchable layer to (batch, classes)."""
        for block in self.path(ops):
            x = block(x)
        return x

    def path(self, ops: Sequence[int]) -> list[BlockModule]:
        """The blocks that an architecture uses, from input to output, stem and head included."""
        return [self.block(layer, op) for layer, op in self.space.architecture(ops).chain]

    def block(self, layer: Layer, op: int) -> BlockModule:
        """One candidate of one layer."""
        candidates = self[layer.name]
        assert isinstance(candidates, nn.ModuleDict)
        block = candidates[str(layer.blocks[op])]
        assert isinstance(block, BlockModule)
        return block

    def network(self, architecture: Architecture) -> Network:
        """A network of its own with copies of this supernet's weights."""
        found: dict[str, NDArray[np.float32]] = {}
        for (layer, _), block in zip(architecture.chain, self.path(architecture.ops), strict=True):
            found |= {f"{layer.name}.{name}": array for name, array in arrays(block).items()}
        return Network(architecture, GivenWeights(found))


def start_training(network: Network | Supernet, seed: int) -> None:
    """Give a network the weights that a training begins with: He-normal, every residual block an identity.

    The scale of a residual block's last normalisation is 0 (Goyal et al., 2017, section 5.1). In a supernet
    candidates of a layer so begin alike, and disturb each other less.
    """
    set_weights(network, RandomWeights(seed))
    with torch.no_grad():
        for block in network.modules():
            if isinstance(block, BlockModule) and block.residual:
                last = block[-1]
                assert isinstance(last, ConvolutionModule)
                last.gamma.zero_()


def _candidates(layer: Layer) -> nn.ModuleDict:
    return nn.ModuleDict({str(block): BlockModule(layer.recipe(op)) for op, block in enumerate(layer.blocks)})
