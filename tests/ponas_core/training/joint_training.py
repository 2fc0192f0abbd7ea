"""What each of several processes does in the tests of joint training: `joint_training FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

from ponas_core.complexity import complexity
from ponas_core.network_weights import Arrays, WeightsFile
from ponas_core.proxyless import Gradient, ProxylessSettings
from ponas_core.samplers import largest_path
from ponas_core.training import processes
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.proxyless_trainer import ProxylessTrainer
from ponas_core.training.trainer import MOMENTUM, Progress, Trainer, TrainingError
from ponas_core.training.training_file import TrainingFile
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
GRADIENTS: tuple[Gradient, ...] = ("two", "full", "reinforce")
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


def search(gradient: Gradient) -> ProxylessTrainer:
    """Of 15 validation images; the architecture learns at steps 1 and 3."""
    macs = complexity(TOY, "macs")
    settings = ProxylessSettings(
        gradient,
        target=0.7 * macs.total(largest_path(TOY)),
        warmup_epochs=0,
        weights_only_epochs=0,
        every=2,
        architecture_rate=0.1,
    )
    training, validation = on_cpu(toy_images()), on_cpu(toy_images(15, seed=1))
    model = Supernet(TOY, DrawnWeights())
    return ProxylessTrainer(model, training, validation, recipe(epochs=1), settings, macs)


def one_architecture_step(gradient: Gradient) -> Arrays:
    """The logits and their squared gradients after one step, no statistics of a batch."""
    training = search(gradient)
    training.model.eval()
    training.learn_architecture(0, 1)
    return training.paths.state(TOY, MOMENTUM)


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
    TrainingFile(training, folder / "joint.npz", "toy", {}, every_s=0).train()
    WeightsFile("toy", arrays(training.model)).save(folder / f"weights{rank}.npz")
    try:
        TrainingFile(trainer(**SUPERNET), folder / "stopped.npz", "toy", {}, tell=crash, every_s=0).train()
    except Stopped:
        TrainingFile(trainer(**SUPERNET), folder / "stopped.npz", "toy", {}, every_s=0).train()
    for name in ("bare", "frozen"):
        WeightsFile("toy", one_step(name)).save(folder / f"{name}{rank}.npz")
    for gradient in GRADIENTS:
        WeightsFile("toy", one_architecture_step(gradient)).save(folder / f"{gradient}{rank}.npz")
    searching = search("two")
    list(searching.run())
    WeightsFile("toy", searching.paths.state(TOY, MOMENTUM)).save(folder / f"logits{rank}.npz")
    processes.leave()


if __name__ == "__main__":
    main()
