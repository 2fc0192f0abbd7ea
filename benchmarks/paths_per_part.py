"""Does a supernet rank networks otherwise where each part of a step takes a path of its own?

    python -m benchmarks.paths_per_part

On scikit-learn's digits, in one process: what several processes with `--accumulate N` and `--paths-per-part`
compute does not depend on their number. Random networks are trained by themselves, several seeds each; the
mean accuracy on all images that nothing learns from is what is known. Supernets then learn in four ways, from
equally many images in equally many steps:

    one path                 a step's images together along one path (the default)
    one path, 2 parts        the same path for both halves, each with batch statistics of its own
    2 paths, 4 paths         `--paths-per-part`: each part along a path of its own

Printed are Spearman's correlations of what is known with the supernet's accuracies (shared statistics, on the
same images), and with a score table fitted to its accuracies of 96 networks on validation images: mean over
seeds, and the difference to one path, seed by seed, with 95 % intervals (Student's t). What was trained is
kept in results/ and not trained again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import stats

from hwprofile.catalog import space_named
from hwprofile.display import table
from hwprofile.learning.training import TrainingData
from ponas_core.evaluation import Ledger
from ponas_core.held_out import spearman
from ponas_core.sampling import random_sample
from ponas_core.space import Architecture, SearchSpace
from ponas_core.table_fit import fitted_estimate
from ponas_core.training.accuracy import SupernetEvaluator, accuracy_percent, recalibration_batches
from ponas_core.training.batch_norm import recalibrate_bn
from ponas_core.training.batches import Augmentation, DeviceImages
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Trainer

RESULTS = Path(__file__).parent / "results" / "paths_per_part.jsonl"
CPU = torch.device("cpu")
Row: TypeAlias = dict[str, Any]
AUGMENTATION = Augmentation.usual(1, 8)
WAYS: dict[str, dict[str, Any]] = {
    "one path": {},
    "one path, 2 parts": {"accumulate": 2},
    "2 paths": {"accumulate": 2, "paths_per_part": True},
    "4 paths": {"accumulate": 4, "paths_per_part": True},
}
FILLING = 96
"""Networks that a score table is fitted to."""


def loaded() -> tuple[SearchSpace, TrainingData, list[DeviceImages]]:
    """The space, the data, and all images that nothing learns from."""
    space = space_named("digits")
    data = TrainingData.named(space, "digits", CPU, lambda text: None)
    assert data.dataset.test is not None
    unseen = (data.splits.validation, data.splits.verification, data.dataset.test)
    return space, data, [data.on_device(images) for images in unseen]


def percent(images: list[DeviceImages], accuracy: Callable[[DeviceImages], float]) -> float:
    """Over several sets of images together."""
    counts = [len(some) for some in images]
    return float(np.average([accuracy(some) for some in images], weights=counts))


def train_alone(task: Row) -> Row:
    """One network from nothing."""
    torch.set_num_threads(1)
    space, data, unseen = loaded()
    recipe = TrainingRecipe(
        task["epochs"], 32, learning_rate=0.1, augmentation=AUGMENTATION, seed=task["seed"]
    )
    network = Network(space.parse(task["arch"]))
    start_training(network, recipe.seed)
    for _ in Trainer(network, data.training, recipe).run():
        pass
    final = recalibrate_bn(network, recalibration_batches(data.training, recipe.seed))
    return task | {"accuracy": percent(unseen, lambda images: accuracy_percent(final, images))}


def train_together(task: Row) -> Row:
    """A supernet; what it and a table fitted to it say of the networks."""
    torch.set_num_threads(1)
    space, data, unseen = loaded()
    epochs = task["epochs"]
    recipe = TrainingRecipe(
        epochs,
        task["batch"],
        learning_rate=0.2,
        shared_epochs=epochs // 4,
        augmentation=AUGMENTATION,
        seed=task["seed"],
        **WAYS[task["way"]],
    )
    supernet = Supernet(space)
    start_training(supernet, recipe.seed)
    for _ in Trainer(supernet, data.training, recipe).run():
        pass
    networks = chosen(space, task["networks"])

    def evaluator(images: DeviceImages) -> SupernetEvaluator:
        return SupernetEvaluator(supernet, data.training, images, shared_statistics=True)

    accuracies = [percent(unseen, lambda images: evaluator(images).accuracy(one)) for one in networks]  # noqa: B023  # called at once
    filling = Ledger(evaluator(data.validation))
    fitted = fitted_estimate(space, filling, np.random.default_rng([recipe.seed, 0]), FILLING)
    return task | {"accuracies": accuracies, "values": [fitted.value(one.ops) for one in networks]}


def chosen(space: SearchSpace, count: int) -> list[Architecture]:
    return random_sample(space, np.random.default_rng(7), count)


def done(
    tasks: list[dict[str, Any]], work: Callable[[dict[str, Any]], dict[str, Any]], processes: int
) -> list[Any]:
    """The rows of all tasks, those that are not kept worked out now."""
    RESULTS.parent.mkdir(exist_ok=True)
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    kept = [json.loads(line) for line in lines]
    missing = [task for task in tasks if not any(task.items() <= row.items() for row in kept)]
    with multiprocessing.get_context("spawn").Pool(processes) as workers:
        for row in workers.imap_unordered(work, missing):
            kept.append(row)
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{len(missing)} to do: {' '.join(str(row[key]) for key in tasks[0])}", flush=True)
    return [next(row for row in kept if task.items() <= row.items()) for task in tasks]


def with_interval(values: Iterable[float], form: str = ".3f") -> str:
    """Mean and 95 % interval over seeds."""
    found = np.array(list(values))
    half = stats.t.ppf(0.975, found.size - 1) * found.std(ddof=1) / np.sqrt(found.size)
    mean = found.mean()
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--own-seeds", type=int, default=4, help="of each network's own training")
    parser.add_argument("--own-epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=6, help="supernets in each way")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    space = space_named("digits")
    networks = chosen(space, given.networks)
    alone = [
        {"arch": str(one), "seed": seed, "epochs": given.own_epochs}
        for one in networks
        for seed in range(given.own_seeds)
    ]
    rows = done(alone, train_alone, given.processes)
    known = np.array([row["accuracy"] for row in rows]).reshape(len(networks), given.own_seeds)
    halves = [known[:, half::2].mean(1) for half in (0, 1)]
    own = known.mean(1)
    print(
        f"{len(own)} networks, own trainings: {own.min():.2f} to {own.max():.2f} %, mean {own.mean():.2f} %; "
        f"two halves of the seeds rank them alike by {spearman(*halves):.3f}"
    )
    sizes = {"epochs": given.epochs, "batch": given.batch, "networks": given.networks}
    tasks = [{"way": way, "seed": seed, **sizes} for seed in range(given.seeds) for way in WAYS]
    found = done(tasks, train_together, given.processes)
    by_way = {way: [row for row in found if row["way"] == way] for way in WAYS}
    ranks = {
        (way, what): np.array([spearman(np.array(row[what]), own) for row in by_way[way]])
        for way in WAYS
        for what in ("accuracies", "values")
    }
    cells = []
    for way in WAYS:
        line = [way]
        for what in ("accuracies", "values"):
            less = ranks[way, what] - ranks["one path", what]
            line += [with_interval(ranks[way, what]), with_interval(less, "+.3f") if less.any() else ""]
        line.append(with_interval((float(np.mean(row["accuracies"])) for row in by_way[way]), ".2f"))
        cells.append(line)
    head = ["", "supernet", "less one path", "score table", "less one path", "mean accuracy, %"]
    print(table(head, cells))


if __name__ == "__main__":
    main()
