"""How accurate networks are on images: one network, or paths of a supernet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ponas_core.accuracies import Encoded
from ponas_core.space import Architecture
from ponas_core.training.batch_norm import RECALIBRATION_BATCHES, recalibrate_bn
from ponas_core.training.batches import DeviceImages
from ponas_core.training.modules import place
from ponas_core.training.networks import Network, Supernet

EVALUATION_BATCH = 250
RECALIBRATION_BATCH = 128


@torch.no_grad()
def accuracy_percent(network: Callable[[Tensor], Tensor], data: DeviceImages) -> float:
    """Share of the images whose highest output is their label, per cent."""
    right = torch.zeros((), dtype=torch.int64, device=data.device)
    for x, labels in data.in_order(EVALUATION_BATCH):
        right += (network(x).argmax(1) == labels).sum()
    return 100 * int(right.item()) / len(data)


def recalibration_batches(training: DeviceImages, seed: int) -> list[Tensor]:
    """Training images, as they are, that statistics of batch normalisation are estimated on."""
    order = np.random.default_rng([seed, 1]).permutation(len(training)).astype(np.intp)
    # batches weigh alike, so a last short one is left out
    batches = min(RECALIBRATION_BATCHES, max(1, len(order) // RECALIBRATION_BATCH))
    return [
        training.batch(order[number * RECALIBRATION_BATCH : (number + 1) * RECALIBRATION_BATCH])[0]
        for number in range(batches)
    ]


class SupernetEvaluator:
    """Accuracy of architectures with the weights of a supernet.

    Args:
        supernet: trained.
        training: images that statistics of batch normalisation are estimated on.
        held_out: images that accuracies are counted on.
        shared_statistics: whether every path works with the supernet's statistics; else each gets its own.
        seed: which training images.
    """

    def __init__(
        self,
        supernet: Supernet,
        training: DeviceImages,
        held_out: DeviceImages,
        *,
        shared_statistics: bool,
        seed: int = 0,
    ) -> None:
        self.supernet, self.held_out, self.shared_statistics = supernet, held_out, shared_statistics
        self._batches = [] if shared_statistics else recalibration_batches(training, seed)

    def network(self, architecture: Architecture) -> Network:
        """An architecture with its weights and statistics, ready to be used or exported."""
        network = self.supernet.network(architecture)
        place(network, self.held_out.device)
        if not self.shared_statistics:
            return recalibrate_bn(network, self._batches)
        network.eval()
        return network

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy on the held-out images, per cent."""
        if not self.shared_statistics:
            network = self.network(self.supernet.space.architecture(architecture.ops))
            return accuracy_percent(network, self.held_out)
        self.supernet.eval()
        return accuracy_percent(partial(self.supernet, ops=architecture.ops), self.held_out)
