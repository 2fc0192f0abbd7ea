"""What does a training step of a supernet cost, beside steps of its subnets trained plainly?

One supernet and some of its networks are trained on the same images, in one process, with the same recipe:
each repeat takes a step of the supernet along every path and a step of every network, in random order. Told
is the ratio of the two totals, its median over repeats and the 95 % interval of that.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --space ofa-mbv3 --batch 16 --device cuda
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator

import numpy as np
import torch

from devices.statistics import interval
from hwprofile.catalog import space_named
from hwprofile.display import table
from ponas_core.datasets.images import ArrayImages, LabelledImages
from ponas_core.datasets.normalization import Normalization
from ponas_core.samplers import sampler
from ponas_core.space import SearchSpace
from ponas_core.training.batches import Augmentation, DeviceImages
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Progress, Trainer

IMAGES_IN_BATCHES = 4
WARM_UP = 2
"""Repeats that are not counted: a first step makes momenta, chooses algorithms, and fills caches."""


def images(space: SearchSpace, batch: int, device: torch.device) -> DeviceImages:
    """Noise: only time is asked for."""
    rng = np.random.default_rng(0)
    shape, count = space.shape_in, IMAGES_IN_BATCHES * batch
    pixels = rng.integers(0, 256, (count, shape.channels, shape.height, shape.width), dtype=np.uint8)
    labels = rng.integers(0, space.head[-1].place.channels_out, count, dtype=np.int64)
    data = LabelledImages(ArrayImages(pixels), labels)
    return DeviceImages(data, Normalization.of(data), device)


class Plan:
    """Which path the supernet's next step takes."""

    def __init__(self) -> None:
        self.ops: tuple[int, ...] = ()

    def __call__(self, step: int) -> tuple[int, ...]:
        """The path that was set, at any step."""
        return self.ops


def step_ms(training: Iterator[Progress], device: torch.device) -> float:
    start = time.perf_counter()
    next(training)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000 * (time.perf_counter() - start)


def measured(space: SearchSpace, arguments: argparse.Namespace) -> tuple[list[float], list[float]]:
    """Milliseconds of a step of the supernet, and of the networks, the mean of each repeat."""
    device = torch.device(arguments.device)
    data = images(space, arguments.batch, device)
    path_of = sampler(space, "fair", arguments.seed)
    paths = [path_of(step) for step in range(arguments.paths)]
    repeats = WARM_UP + arguments.repeats
    epochs = -(-repeats * len(paths) // IMAGES_IN_BATCHES)
    augmentation = Augmentation.usual(space.shape_in.channels, space.shape_in.height)
    # a rate at which nothing is learnt and nothing can diverge
    recipe = TrainingRecipe(epochs, arguments.batch, learning_rate=1e-6, augmentation=augmentation)
    supernet, plan = Supernet(space), Plan()
    networks = [Network(space.architecture(ops)) for ops in paths]
    start_training(supernet, arguments.seed)
    for network in networks:
        start_training(network, arguments.seed)
    whole = Trainer(supernet, data, recipe)
    whole.path_of = plan
    runs = [whole.run(), *(Trainer(network, data, recipe).run() for network in networks)]
    rng = np.random.default_rng(arguments.seed)
    totals = np.zeros((repeats, 2))
    gc.collect()
    gc.disable()  # as timeit does: what one makes is not collected at the expense of the other
    for repeat in range(repeats):
        for choice in rng.permutation(2 * len(paths)):
            which, alone = divmod(int(choice), 2)
            plan.ops = paths[which]
            totals[repeat, alone] += step_ms(runs[alone * (which + 1)], device)
        gc.collect()
    gc.enable()
    supernet_ms, networks_ms = (totals[WARM_UP:] / len(paths)).T.tolist()
    return supernet_ms, networks_ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", action="append", help="default: cifar-tiny and nasbench-macro")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--paths", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name in arguments.space or ["cifar-tiny", "nasbench-macro"]:
        supernet_ms, networks_ms = measured(space_named(name), arguments)
        ratios = [one / other for one, other in zip(supernet_ms, networks_ms, strict=True)]
        ratio, low, high = interval(ratios)
        rows.append(
            [
                name,
                f"{np.median(supernet_ms):.2f}",
                f"{np.median(networks_ms):.2f}",
                f"{ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
            ]
        )
    print(
        f"{arguments.device}, batch {arguments.batch}, {arguments.threads} threads, {arguments.paths} paths, "
        f"{arguments.repeats} repeats, torch {torch.__version__}"
    )
    print(table(["space", "supernet ms", "networks ms", "ratio", "95 %"], rows))


if __name__ == "__main__":
    main()
