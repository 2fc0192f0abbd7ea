"""Trainings on scikit-learn's digits in double precision: `digit_curves FOLDER WAY...`, also by `torchrun`.

In single precision a rounding decides now and then whether a ReLU lets pass; what follows from that grows. In
double precision the same training with its sums in another order differs in the last digits only.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from ponas_core.complexity import complexity
from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.normalization import Normalization
from ponas_core.network_weights import Arrays
from ponas_core.proxyless import ProxylessSettings
from ponas_core.samplers import largest_path
from ponas_core.space_file import shipped_space, space_from_toml
from ponas_core.training import processes
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.training.proxyless_trainer import ProxylessTrainer
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Progress, Trainer
from ponas_core.training.training_file import TrainingFile
from tests.ponas_core.training.toys import CPU, DoubleImages, recipe

SPACE = space_from_toml(
    'schema_version = 1\nname = "small-digits"\ninput = [1, 8, 8]\nactivation = "relu"\n'
    '[[stem]]\nblock = "conv_k3"\nchannels = 8\nstride = 2\n'
    '[[stages]]\nlayers = 2\nchannels = 8\nblocks = ["skip", "mb_k3_e2", "mb_k3_e4_se"]\n'
    '[[stages]]\nchannels = 16\nstride = 2\nblocks = ["conv_k1_linear", "mb_k3_e2", "mb_k3_e4"]\n'
    '[[head]]\nblock = "classifier"\nchannels = 10\n'
)
WAYS: dict[str, dict[str, Any]] = {
    "one path": {},
    "a network": {},
    "distillation, then shared statistics": {"distillation": 0.5, "shared_epochs": 1},
    "three parts": {"accumulate": 3},
    "a path for each of two parts": {"accumulate": 2, "paths_per_part": True},
    "a path for each of three parts": {"accumulate": 3, "paths_per_part": True},
    "search by gradients": {},
    "search by rewards": {"accumulate": 2},
}
LARGE: dict[str, dict[str, Any]] = {
    "digits, one path": {"epochs": 12},
    "digits, distillation, then shared statistics": {"epochs": 8, "distillation": 0.5, "shared_epochs": 2},
}
"""In the space `digits`."""
GOES_ON = "one path"
STEPS = 34
"""Of two epochs: 1,150 images, 66 a step."""


class Stopped(Exception):
    """Raised in place of a crash."""


class DoubleTrainer(Trainer):
    """A trainer whose state is in double precision too."""

    def state(self) -> dict[str, NDArray[Any]]:
        found = super().state()
        return found | {name: tensor.numpy().copy() for name, tensor in self.model.state_dict().items()}

    def restore(self, state: Arrays, step: int) -> None:
        super().restore(state, step)
        for name, tensor in self.model.state_dict().items():
            tensor.copy_(torch.from_numpy(state[name]))


class DoubleSearch(DoubleTrainer, ProxylessTrainer):
    """The same of a search."""


def trainer(way: str) -> Trainer:
    """A fresh training."""
    space = shipped_space("digits") if way in LARGE else SPACE
    splits = load_dataset("digits", space.shape_in).splits()
    normalization = Normalization.of(splits.training)
    training, validation = (
        DoubleImages(images, normalization, CPU) for images in (splits.training, splits.validation)
    )
    how: TrainingRecipe = recipe(**{"epochs": 2, "batch": 66, "learning_rate": 0.2, **(WAYS | LARGE)[way]})
    model = Network(space.architecture((1, 2, 1))) if way == "a network" else Supernet(space)
    start_training(model, how.seed)
    model.double()
    if not way.startswith("search") or isinstance(model, Network):
        return DoubleTrainer(model, training, how)
    macs = complexity(space, "macs")
    settings = ProxylessSettings(
        "reinforce" if "rewards" in way else "two",
        target=0.7 * macs.total(largest_path(space)),
        warmup_epochs=0,
        weights_only_epochs=0,
        every=3,
        architecture_rate=0.05,
    )
    return DoubleSearch(model, training, validation, how, settings, macs)


def train(way: str, path: Path, stop: int | None = None) -> None:
    """Train to a file, or go on with it; crash after step `stop`."""

    def tell(progress: Progress) -> None:
        if progress.step == stop:
            raise Stopped

    training = trainer(way)
    try:
        TrainingFile(training, path, "digits", {}, tell=tell, every_s=0).train()
    except Stopped:
        return


def main() -> None:
    torch.set_num_threads(1)
    if "WORLD_SIZE" in os.environ:
        processes.join(CPU)
    for way in sys.argv[2:]:
        train(way, Path(sys.argv[1]) / f"{way}.npz")
    processes.leave()


if __name__ == "__main__":
    main()
