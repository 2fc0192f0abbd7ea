"""Does a supernet rank networks as their own training does?

    hwprofile search ponas --space cifar-tiny --data cifar10_jpeg.npz --out ct --epochs 48 --shared-epochs 12
    python -m benchmarks.supernet_rank --search ct --data cifar10_jpeg.npz

Trains random networks of the space from nothing, each by itself, and holds their validation accuracy against
what the supernet and its score table say of them. What was trained is kept in results/ and not trained again.
A correlation over 24 networks is uncertain by about 0.1 to 0.2, which the intervals say.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwprofile.catalog import space_named
from hwprofile.display import table
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.training import TrainingData
from ponas_core.complexity import complexity
from ponas_core.held_out import kendall, rank_interval, spearman
from ponas_core.sampling import random_sample
from ponas_core.space import Architecture, SearchSpace
from ponas_core.training.accuracy import SupernetEvaluator, accuracy_percent, recalibration_batches
from ponas_core.training.batch_norm import recalibrate_bn
from ponas_core.training.batches import Augmentation
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Trainer
from ponas_core.weights import GivenWeights

RESULTS = Path(__file__).parent / "results" / "supernet_rank.jsonl"
CPU = torch.device("cpu")
Options = argparse.Namespace


def loaded(options: Options) -> tuple[SearchSpace, TrainingData]:
    space = space_named(options.space)
    return space, TrainingData.named(space, options.data, CPU, lambda text: None)


def train_alone(task: tuple[Options, str]) -> dict[str, Any]:
    """One network from nothing: its own training accuracy on the validation images."""
    options, text = task
    torch.set_num_threads(1)
    space, data = loaded(options)
    few = np.random.default_rng(0).permutation(len(data.splits.training))[: options.images]
    training = data.on_device(data.splits.training.take(few.astype(np.intp)))
    shape = space.shape_in
    recipe = TrainingRecipe(
        epochs=options.epochs,
        batch=64,
        learning_rate=0.2,
        augmentation=Augmentation.usual(shape.channels, shape.height),
    )
    network = Network(space.parse(text))
    start_training(network, 0)
    for _ in Trainer(network, training, recipe).run():
        pass
    final = recalibrate_bn(network, recalibration_batches(training, 0))
    return key(options, text) | {"accuracy": accuracy_percent(final, data.validation)}


def key(options: Options, text: str) -> dict[str, Any]:
    return {"space": options.space, "arch": text, "epochs": options.epochs, "images": options.images}


def kept(options: Options) -> dict[str, float]:
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {row["arch"]: row["accuracy"] for row in rows if key(options, row["arch"]).items() <= row.items()}


def trained_alone(options: Options, networks: list[Architecture]) -> list[float]:
    """Accuracies of the networks' own trainings, those that are not kept trained now."""
    RESULTS.parent.mkdir(exist_ok=True)
    missing = [str(network) for network in networks if str(network) not in kept(options)]
    with multiprocessing.get_context("spawn").Pool(options.processes) as workers:
        for row in workers.imap_unordered(train_alone, [(options, text) for text in missing]):
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['arch']}: {row['accuracy']:.2f} %", flush=True)
    found = kept(options)
    return [found[str(network)] for network in networks]


def main() -> None:
    """Print one row for everything that claims to rank networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--search", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--space", default="cifar-tiny")
    parser.add_argument("--networks", type=int, default=24)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=20_000, help="that each network learns from")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    space, data = loaded(options)
    networks = random_sample(space, np.random.default_rng(7), options.networks)
    own = np.array(trained_alone(options, networks))
    weights, scores = SearchFolder(options.search).trained()
    supernet = Supernet(space, GivenWeights(weights.arrays))
    supernet.eval()
    claims = {
        "score table": [scores.value(network.ops) for network in networks],
        "multiply-accumulates": [complexity(space, "macs").total(network.ops) for network in networks],
    }
    for title, shared in (("supernet, shared statistics", True), ("supernet, statistics of each", False)):
        if shared and not weights.about["recipe"]["shared_epochs"]:
            continue
        evaluator = SupernetEvaluator(supernet, data.training, data.validation, shared_statistics=shared)
        claims[title] = [evaluator.accuracy(network) for network in networks]
    print(
        f"{len(own)} networks, own trainings: {own.min():.2f} to {own.max():.2f} %, mean {own.mean():.2f} %"
    )
    rows = []
    for title, values in claims.items():
        cells = [title]
        for correlation in (spearman, kendall):
            value, low, high = rank_interval(
                correlation, np.array(values, np.float64), own, np.random.default_rng(0)
            )
            cells += [f"{value:.3f}", f"{low:.3f} to {high:.3f}"]
        percent = max(values) <= 100
        rows.append([*cells, f"{np.mean(values):.2f} %" if percent else ""])
    print(table(["", "Spearman", "95 %", "Kendall", "95 %", "mean"], rows))
    if len(claims) == 4:
        of_all, of_each = (
            np.array(values, np.float64) for title, values in claims.items() if "statistics" in title
        )
        print(f"the two kinds of statistics rank alike: Spearman {spearman(of_all, of_each):.3f}")


if __name__ == "__main__":
    main()
