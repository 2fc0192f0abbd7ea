"""Accuracy of every network of a small space with the weights of a supernet whose statistics are shared.

    python -m benchmarks.every_network --search DIR --data PATH --out FILE.csv.gz [--weights FILE.npz]

Prefixes are shared: a layer is run once for all networks that begin alike, so 4,096 networks of six layers
cost about as much as 1,000. Writes `arch,score,validation,test`: accuracies in per cent on the validation
images and on as many of the first test images, which choose nothing. The highest of thousands of noisy
accuracies is a lucky one, so `score`, which chooses, is the validation accuracy shrunk towards an additive
table that all networks together fill (its sums read as accuracies by isotonic regression). All networks see
the same images, so what images add to all of them alike is no noise: the rest is estimated from parts of the
images. How much shrinking is worth is printed: test accuracy of what each of the three chooses under budgets
of multiply-accumulates. `--weights` copies the supernet's weights beside it. That is how the files that come
with the space `cifar-tiny` were made:

    hwprofile search ponas --space cifar-tiny --data cifar10_jpeg.npz --out ct --epochs 48 --shared-epochs 12
    python -m benchmarks.every_network --search ct --data cifar10_jpeg.npz --images 2500
        --out ponas_core/data/cifar-tiny.csv.gz --weights ponas_core/data/cifar-tiny.npz
        --name "CIFAR-10 as JPEG" --classes airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck
"""

from __future__ import annotations

import argparse
import gzip
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch.nn import functional

from hwprofile.catalog import space_named
from hwprofile.display import progress, table
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.training import TrainingData
from ponas_core.accuracies import KnownAccuracies
from ponas_core.complexity import complexity
from ponas_core.datasets.images import LabelledImages
from ponas_core.held_out import kendall, spearman
from ponas_core.network_weights import WeightsFile
from ponas_core.operators import BATCH_NORM_EPSILON
from ponas_core.space import SearchSpace
from ponas_core.table_fit import fitted_table
from ponas_core.training.batches import DeviceImages
from ponas_core.training.modules import ACTIVATIONS, BlockModule, ConvolutionModule
from ponas_core.training.networks import Supernet
from ponas_core.verification import binomial_sd, observation_weight
from ponas_core.weights import GivenWeights, fold_batch_norm

CHUNK = 250
Step = Callable[[Tensor], Tensor]


def folded(block: BlockModule) -> Step:
    """A block in evaluation, batch normalisation folded into its convolutions: a third faster."""
    steps = [_folded_convolution(part) if isinstance(part, ConvolutionModule) else part for part in block]

    def run(x: Tensor) -> Tensor:
        y = x
        for step in steps:
            y = step(y)
        return x + y if block.residual else y

    return run


def _folded_convolution(part: ConvolutionModule) -> Step:
    tensors = (part.weight, part.gamma, part.beta, part.mean, part.variance)
    kernel, gamma, beta, mean, variance = (tensor.detach().numpy() for tensor in tensors)
    folded_kernel, folded_bias = fold_batch_norm(kernel, gamma, beta, mean, variance, BATCH_NORM_EPSILON)
    weight = torch.from_numpy(folded_kernel).contiguous(memory_format=torch.channels_last)
    bias, kind = torch.from_numpy(folded_bias), part.operator
    activation = ACTIVATIONS[kind.activation]

    def run(x: Tensor) -> Tensor:
        return activation(functional.conv2d(x, weight, bias, kind.stride, kind.kernel // 2, 1, kind.groups))

    return run


def walk(x: Tensor, layers: list[list[Step]], head: list[Step]) -> Iterator[Tensor]:
    """Logits of every network in the order of the last layer changing fastest."""
    if not layers:
        for step in head:
            x = step(x)
        yield x
        return
    for step in layers[0]:
        yield from walk(step(x), layers[1:], head)


@torch.no_grad()
def right_of_every_network(supernet: Supernet, data: DeviceImages, title: str) -> NDArray[np.int64]:
    """How many images of each chunk each network is right on: (chunks, networks).

    Networks are in the order of `SearchSpace.enumerate`; chunks hold 250 images, the last one maybe fewer.
    """
    space = supernet.space
    stem = [[folded(supernet.block(layer, 0))] for layer in space.stem]
    head = [folded(supernet.block(layer, 0)) for layer in space.head]
    layers = [
        [folded(supernet.block(layer, op)) for op in range(len(layer.blocks))] for layer in space.layers
    ]
    right = np.zeros((math.ceil(len(data) / CHUNK), space.size), np.int64)
    with progress(title, quiet=False) as bar:
        for number, (x, labels) in enumerate(data.in_order(CHUNK)):
            for index, logits in enumerate(walk(x, [*stem, *layers], head)):
                right[number, index] = int((logits.argmax(1) == labels).sum())
            bar.advance((number + 1) * CHUNK, len(data), "images")
    return right


def first(images: LabelledImages, count: int | None) -> LabelledImages:
    return images if count is None else images.take(np.arange(min(count, len(images)), dtype=np.intp))


Floats = NDArray[np.float64]


def paired_noise_sd(right: NDArray[np.int64]) -> float:
    """Noise of an accuracy in points, what the images do to all networks alike left out."""
    percent = 100 * right[:-1] / CHUNK
    own = percent - percent.mean(axis=1, keepdims=True) - percent.mean(axis=0) + percent.mean()
    chunks = len(percent)
    return float(np.sqrt((own**2).sum() / (chunks - 1) / own.shape[1] / chunks))


def shrunk_scores(space: SearchSpace, validation: Floats, noise_sd: float) -> tuple[Floats, Floats]:
    """What an additive table says of every network, and the observations shrunk towards it."""
    ops = [architecture.ops for architecture in space.enumerate()]
    known = KnownAccuracies(dict(zip(ops, validation.tolist(), strict=True)), "validation images")
    additive = fitted_table(space, known)
    # a sum ranks well, but is off where networks are far worse than most: its scale is read off the networks
    sums = np.array([additive.total(choices) for choices in ops])
    predicted = IsotonicRegression().fit_transform(sums, validation)
    left = float(np.std(validation - predicted))
    table_sd = math.sqrt(max(0.0, left**2 - noise_sd**2))
    weight = observation_weight(table_sd, noise_sd)
    print(f"weight of an observation beside the table: {weight:.2f}; the table leaves {left:.2f} points")
    return predicted, weight * validation + (1 - weight) * predicted


def chosen_under_budgets(space: SearchSpace, scores: Mapping[str, Floats], test: Floats) -> str:
    """Mean test accuracy of what each score chooses under 14 budgets, and of the best there is."""
    ops = np.array([architecture.ops for architecture in space.enumerate()], np.intp)
    macs = complexity(space, "macs").totals(ops)
    budgets = np.quantile(macs, np.linspace(0.03, 1, 14))
    found = {
        title: np.mean([test[np.where(macs <= budget, score, -1).argmax()] for budget in budgets])
        for title, score in {**scores, "test itself (a lucky one too)": test}.items()
    }
    return table(
        ["chosen by", "test accuracy"], [[title, f"{value:.2f} %"] for title, value in found.items()]
    )


def rows(space: SearchSpace, columns: Sequence[Floats]) -> Iterator[str]:
    yield "arch,score,validation,test"
    for architecture, *values in zip(space.enumerate(), *columns, strict=True):
        yield ",".join([f'"{architecture}"', *(f"{value:.2f}" for value in values)])


def main() -> None:
    """Evaluate, write, and say how validation and test agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--search", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--space", default="cifar-tiny")
    parser.add_argument("--images", type=int, help="of each split; all unless given")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--classes", help="names for the weights' file, in the order of labels: cat,dog,...")
    parser.add_argument("--name", help="of the data, for the weights' file")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    space, started = space_named(given.space), time.perf_counter()
    weights, _ = SearchFolder(given.search).trained()
    if not weights.about["recipe"]["shared_epochs"]:
        raise SystemExit("the search has no shared statistics: search with --shared-epochs")
    data = TrainingData.named(space, given.data, torch.device("cpu"), lambda text: None)
    assert data.dataset.test is not None
    supernet = Supernet(space, GivenWeights(weights.arrays))
    supernet.eval()
    parts = [first(images, given.images) for images in (data.splits.validation, data.dataset.test)]
    right_on_validation, right_on_test = (
        right_of_every_network(supernet, data.on_device(part), title)
        for part, title in zip(parts, ("validation", "test"), strict=True)
    )
    images = len(parts[0])
    validation = 100 * right_on_validation.sum(axis=0) / images
    test = 100 * right_on_test.sum(axis=0) / len(parts[1])
    noise_sd = paired_noise_sd(right_on_validation)
    independent_sd = binomial_sd(float(validation.mean()), images)
    print(f"noise {noise_sd:.2f} points, where independent images would give {independent_sd:.2f}")
    predicted, score = shrunk_scores(space, validation, noise_sd)
    text = "\n".join(rows(space, [score, validation, test])) + "\n"
    # no name and no time inside: equal content gives an equal file
    given.out.write_bytes(gzip.compress(text.encode(), mtime=0))
    if given.weights is not None:
        told = dict(weights.about)
        if given.classes:
            told["classes"] = given.classes.split(",")
        if given.name:
            told["data"] = {**told["data"], "name": given.name}
        WeightsFile(weights.space, weights.arrays, told).save(given.weights)
    print(f"{space.size} networks in {time.perf_counter() - started:.0f} s; {given.out}")
    for name, found in (("validation", validation), ("test", test)):
        print(f"{name}: {found.min():.2f} to {found.max():.2f} %, mean {found.mean():.2f} %")
    claims = {"validation": validation, "additive table": predicted, "both (score)": score}
    print(chosen_under_budgets(space, claims, test))
    for title, claim in claims.items():
        print(
            f"{title} against test: Spearman {spearman(claim, test):.3f}, Kendall {kendall(claim, test):.3f}"
        )


if __name__ == "__main__":
    main()
