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
from tests.ponas_core.training import digit_curves
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
STEP: dict[str, Any] = {"epochs": 1, "augmentation": PLAIN, "largest_gradient": 1e9, "batch": 15}
STEPS: dict[str, dict[str, Any]] = {
    "bare": {},
    "frozen": {"shared_epochs": 1},
    "by the batch": {},
    "by the batch, augmented": {"augmentation": recipe().augmentation},
    "three parts": {"accumulate": 3},
    "two paths": {"accumulate": 2, "paths_per_part": True},
    "three paths": {"accumulate": 3, "paths_per_part": True, "distillation": 0.5},
}
"""Steps of 15 images, eight of which are seen by one process and seven by the other."""

CURVES = (digit_curves.GOES_ON, "a path for each of two parts")


def one_step(name: str) -> Arrays:
    """The gradients of one step."""
    changes = STEP | STEPS[name]
    if name == "bare":
        images = on_cpu(toy_images(15, shape=BARE.shape_in))
        training = Trainer(Network(BARE.architecture([1]), DrawnWeights()), images, recipe(**changes))
    elif name == "frozen":
        model = Network(TOY.architecture((1, 2, 1)), DrawnWeights())
        training = trainer(model, toy_images(15), **changes)
    else:
        training = trainer(Supernet(TOY, DrawnWeights()), toy_images(15), **changes)
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
    """The logits and their squared gradients after one step, normalised by the batch."""
    training = search(gradient)
    training.model.train()
    training.learn_architecture(0, 1)
    return training.paths.state(TOY, MOMENTUM)


class Stopped(Exception):
    """Raised in place of a crash."""


def crash(progress: Progress) -> None:
    if progress.step == 31:
        raise Stopped


def refused(path: Path = Path("/none"), images: int = 64, **changes: Any) -> str:
    """What a training says that cannot be."""
    try:
        TrainingFile(trainer(network(), toy_images(images), **changes), path, "toy", {})
    except TrainingError as error:
        return str(error)
    return ""


def stopped_and_gone_on(path: Path) -> None:
    """A training to a file that only the first process sees."""
    try:
        TrainingFile(trainer(**SUPERNET), path, "toy", {}, tell=crash, every_s=0).train()
    except Stopped:
        TrainingFile(trainer(**SUPERNET), path, "toy", {}, every_s=0).train()


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    processes.join(CPU)
    rank = processes.rank()
    own = folder / f"of {rank}"
    own.mkdir()
    (own / "world").write_text(f"{rank} of {processes.world()}")
    (own / "too many").write_text(refused(images=1))
    (own / "differ").write_text(refused(seed=rank))
    if rank == 1:
        (own / "theirs.npz").touch()
    (own / "elsewhere").write_text(refused(path=own / "theirs.npz"))
    training = trainer(**SUPERNET)
    TrainingFile(training, folder / "joint.npz", "toy", {}, every_s=0).train()
    WeightsFile("toy", arrays(training.model)).save(own / "weights.npz")
    stopped_and_gone_on(own / "stopped.npz")
    for name in STEPS:
        WeightsFile("toy", one_step(name)).save(own / f"{name}.npz")
    for gradient in GRADIENTS:
        WeightsFile("toy", one_architecture_step(gradient)).save(own / f"{gradient}.npz")
    searching = search("two")
    list(searching.run())
    WeightsFile("toy", searching.paths.state(TOY, MOMENTUM)).save(own / "logits.npz")
    for way in CURVES:
        digit_curves.train(way, folder / f"{way}.npz")
    digit_curves.train(digit_curves.GOES_ON, folder / "begun by one.npz")
    digit_curves.train(digit_curves.GOES_ON, folder / "begun by two.npz", stop=21)
    processes.leave()


if __name__ == "__main__":
    main()
