"""What each of several processes does in the tests of joint training: `joint_training FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ponas_core.network_weights import Arrays, WeightsFile
from ponas_core.training import processes
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Network
from ponas_core.training.trainer import Progress, Trainer, TrainingError
from ponas_core.training.training_file import train_to_file
from tests.ponas_core.training.toys import (
    BARE,
    CPU,
    PLAIN,
    TOY,
    DrawnWeights,
    network,
    on_cpu,
    recipe,
    toy_images,
    trainer,
)

SUPERNET: dict[str, Any] = {"epochs": 12, "shared_epochs": 2}
STEP: dict[str, Any] = {"epochs": 1, "augmentation": PLAIN, "largest_gradient": 1e9}


def one_step(name: str) -> Arrays:
    """The gradients of one step, all images of which are seen by one process or another."""
    if name == "bare":
        images = on_cpu(toy_images(15, shape=BARE.shape_in))
        training = Trainer(Network(BARE.architecture([1]), DrawnWeights()), images, recipe(**STEP, batch=15))
    else:  # statistics are frozen from the first step on
        model = Network(TOY.architecture((1, 2, 1)), DrawnWeights())
        training = trainer(model, toy_images(15), **STEP, batch=15, shared_epochs=1)
    list(training.run())
    return {
        name: parameter.grad.contiguous().numpy()
        for name, parameter in training.model.named_parameters()
        if parameter.grad is not None
    }


class Stopped(Exception):
    """Raised in place of a crash."""


def crash(progress: Progress) -> None:
    if progress.step == 31:
        raise Stopped


def too_many() -> str:
    try:
        trainer(network(), toy_images(1))
    except TrainingError as error:
        return str(error)
    return ""


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    processes.join(CPU)
    rank = processes.rank()
    (folder / f"world{rank}").write_text(f"{rank} of {processes.world()}: {too_many()}")
    training = trainer(**SUPERNET)
    train_to_file(training, folder / "joint.npz", "toy", {}, every_s=0)
    WeightsFile("toy", arrays(training.model)).save(folder / f"weights{rank}.npz")
    try:
        train_to_file(trainer(**SUPERNET), folder / "stopped.npz", "toy", {}, tell=crash, every_s=0)
    except Stopped:
        train_to_file(trainer(**SUPERNET), folder / "stopped.npz", "toy", {}, every_s=0)
    for name in ("bare", "frozen"):
        WeightsFile("toy", one_step(name)).save(folder / f"{name}{rank}.npz")
    processes.leave()


if __name__ == "__main__":
    main()
