"""How a network or a supernet is trained, as one value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from ponas_core.samplers import Sampling
from ponas_core.training.batches import Augmentation


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Hyper-parameters of a training with SGD (Nesterov).

    PONAS' own are not published; these are ours.

    Attributes:
        epochs: times that every image is seen.
        batch: images of one step, over all processes.
        accumulate: parts that a step's images go through the network in, one after another, each with batch
            statistics of its own; the weights learn from all of them together.
        paths_per_part: whether every part of a step takes a path of a supernet of its own.
        learning_rate: highest one; a linear warm-up leads to it, a half cosine down to nothing.
        warmup: share of the steps that warm up.
        momentum: of SGD.
        weight_decay: of kernels and matrices; not of normalisations and biases.
        label_smoothing: share of the target that goes to all classes alike.
        largest_gradient: the gradient's norm is cut to this.
        sampling: which path of a supernet a step takes.
        distillation: share of the target that comes from the supernet's largest path; 0 for labels alone.
        shared_epochs: of `epochs`, the last ones for which batch normalisation keeps the statistics that all
            paths share, so that each path of the supernet works as it is. 0: every network that is taken out
            gets statistics of its own (`recalibrate`).
        augmentation: what is done to images.
        seed: of everything random.
        mixed_precision: bfloat16 where it is safe; for GPUs.
    """

    epochs: int = 30
    batch: int = 128
    accumulate: int = 1
    paths_per_part: bool = False
    learning_rate: float = 0.1
    warmup: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    largest_gradient: float = 5.0
    sampling: Sampling = "fair"
    distillation: float = 0.0
    shared_epochs: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    mixed_precision: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that no training can have."""
        if self.epochs < 1 or self.batch < 2 or not 0 <= self.shared_epochs <= self.epochs:
            raise ValueError("at least 1 epoch, 2 images a batch, and no more shared epochs than epochs")
        if self.accumulate < 1 or self.batch < 2 * self.accumulate:
            raise ValueError(f"{self.batch} images of a step have no {self.accumulate} parts of at least 2")
        if self.paths_per_part and self.accumulate == 1:
            raise ValueError("paths for each part of a step need several parts: --accumulate 2 or more")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"a learning rate is above 0, got {self.learning_rate}")
        if not 0 <= self.distillation <= 1:
            raise ValueError(f"distillation is a share from 0 to 1, got {self.distillation}")

    def notes(self) -> dict[str, Any]:
        """As JSON values or tuples of them.

        What came later is told only where it is used, so that older files are still known.
        """
        later = {"accumulate": 1, "paths_per_part": False}
        return {name: value for name, value in asdict(self).items() if (name, value) not in later.items()}

    def rate_at(self, step: int, steps: int) -> float:
        """Learning rate of a step: linear warm-up, then half a cosine."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        return self.learning_rate * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2
