"""Single blocks of a supernet trained on for a few steps, the rest left as it is (PONAS, second stage)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from ponas_core.training.batches import DeviceImages, Epochs, augment
from ponas_core.training.modules import BlockModule
from ponas_core.training.networks import Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import generator_at

FINE_TUNING_RATE = 0.1
"""Learning rate of fine-tuning, as a share of the highest of the training."""


class BlockTuner:
    """Trains one candidate of one layer, layers in front holding their winners, layers behind sampled.

    Args:
        supernet: trained; the candidate's weights change in place.
        data: training images.
        recipe: that of the training; its learning rate is lowered.
        steps: batches a candidate learns from.
    """

    def __init__(self, supernet: Supernet, data: DeviceImages, recipe: TrainingRecipe, steps: int) -> None:
        self.supernet, self.data, self.steps = supernet, data, steps
        self.recipe = replace(recipe, learning_rate=recipe.learning_rate * FINE_TUNING_RATE)

    def __call__(self, winners: Sequence[int], layer: int, op: int) -> None:
        """Train the candidate; what is random follows from the seed, the layer and the op."""
        space = self.supernet.space
        block = self.supernet.block(space.layers[layer], op)
        parameters = list(block.parameters())
        if not parameters:
            return
        optimizer = torch.optim.SGD(
            parameters, self.recipe.learning_rate, self.recipe.momentum, nesterov=True
        )
        order = Epochs(len(self.data), min(self.recipe.batch, len(self.data)), self.recipe.seed)
        first = (layer * max(len(place.blocks) for place in space.layers) + op) * self.steps
        self._only(block)
        for step in range(first, first + self.steps):
            x, labels = self.data.batch(order(step))
            draw = generator_at(self.recipe.seed, step, self.data.device)
            x = augment(x, self.recipe.augmentation, draw)
            behind = np.random.default_rng([self.recipe.seed, step, 2])
            rest = (int(behind.integers(len(place.blocks))) for place in space.layers[layer + 1 :])
            optimizer.zero_grad(set_to_none=True)
            logits = self.supernet(x, (*winners, op, *rest)).float()
            functional.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing).backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
            optimizer.step()
        self.supernet.requires_grad_(True)
        self.supernet.eval()

    def _only(self, block: BlockModule) -> None:
        """Let only this block learn, and only its own statistics move."""
        self.supernet.requires_grad_(False)
        block.requires_grad_(True)
        self.supernet.eval()
        block.train()
