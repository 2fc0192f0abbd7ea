"""What do several processes cost a training step, and would torch's DistributedDataParallel be faster?

Trains a supernet on noise, in one process and in several that `torchrun` starts, in turns. The ways:

    one process              everything by itself
    joint statistics         processes share the batch, batch normalisation goes by all of it (the default)
    whole parts              `--accumulate N`: each of N processes takes a part with statistics of its own
    paths of their own       the same, each part along a path of its own
    DDP                      joint statistics, gradients exchanged by DistributedDataParallel instead

    python -m benchmarks.training_processes
    python -m benchmarks.training_processes --space proxyless --batch 8 --steps 5

DDP must be told to look for parameters without a gradient, since a step trains one path, and exchanges zeros
for all of them. Printed too: how far its weights are from ours after a step (nothing but roundings), and what
a process sends a step.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks.training_step import images
from devices.statistics import interval
from hwprofile.catalog import space_named
from hwprofile.display import table
from ponas_core.space import SearchSpace
from ponas_core.training import processes
from ponas_core.training.batch_norm import jointly
from ponas_core.training.networks import Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Trainer

CPU = torch.device("cpu")
WARM_UP = 3
WAYS = ("joint statistics", "whole parts", "paths of their own", "DDP")
"""Of several processes."""


class Forward(nn.Module):
    """A loss as a module, which DistributedDataParallel asks for."""

    def __init__(self, trainer: Trainer) -> None:
        super().__init__()
        self.model, self._trainer = trainer.model, trainer

    def forward(self, x: Tensor, labels: Tensor, path: tuple[int, ...]) -> Tensor:
        """The loss along a path."""
        return self._trainer._loss(x, labels, path)


class DdpTrainer(Trainer):
    """A trainer whose gradients are exchanged by DistributedDataParallel, bucket by bucket."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._ddp = DistributedDataParallel(
            Forward(self), find_unused_parameters=True, broadcast_buffers=False
        )

    def _learn(self, step: int) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(step, self.steps)
        (part,) = self.sharing.passes()
        x, labels = self.data.batch(self.order(step)[part.places])
        self.optimizer.zero_grad(set_to_none=True)
        with jointly(self._convolutions, joint=self.sharing.joint):
            loss: Tensor = self._ddp(x, labels, self._paths(step)[0]) * part.weight
            (loss * processes.world()).backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
        learned = [parameter for parameter in self._parameters if parameter.grad is not None]
        nn.utils.clip_grad_norm_(learned, self.recipe.largest_gradient)
        self.optimizer.step()
        total = loss.detach()
        processes.add_up([total])
        return total


def trainer_of(way: str, space: SearchSpace, given: argparse.Namespace) -> Trainer:
    parts = processes.world() if way in WAYS[1:3] else 1
    recipe = TrainingRecipe(
        epochs=WARM_UP + given.steps,
        batch=given.batch,
        accumulate=parts,
        paths_per_part=way == "paths of their own",
        learning_rate=0.01,
    )
    model = Supernet(space)
    start_training(model, 0)
    return (DdpTrainer if way == "DDP" else Trainer)(model, images(space, given.batch, CPU), recipe)


def measured(way: str, space: SearchSpace, given: argparse.Namespace) -> tuple[list[float], Trainer]:
    """Milliseconds of each step."""
    training = trainer_of(way, space, given)
    times = []
    run = training.run()
    for _ in range(WARM_UP + given.steps):
        start = time.perf_counter()
        next(run)
        times.append(1000 * (time.perf_counter() - start))
    return times[WARM_UP:], training


def work(given: argparse.Namespace) -> None:
    """One of the processes; the first prints what it saw, as JSON."""
    torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        processes.join(CPU)
    space = space_named(given.space)
    ways = WAYS if processes.world() > 1 else ("one process",)
    found: dict[str, Any] = {"ms": {}}
    for way in ways:
        found["ms"][way], last = measured(way, space, given)
    if processes.world() > 1:
        found |= after_a_step(space, given)
        paths = [last.path_of(step) for step in range(50)] if last.path_of else []
        supernet = Supernet(space)
        blocks = [sum(p.numel() for b in supernet.path(path) for p in b.parameters()) for path in paths]
        found["path_mb"] = 4e-6 * float(np.mean(blocks))
        found["supernet_mb"] = 4e-6 * sum(parameter.numel() for parameter in supernet.parameters())
    if processes.rank() == 0:
        print(json.dumps(found))
    processes.leave()


def after_a_step(space: SearchSpace, given: argparse.Namespace) -> dict[str, float]:
    """The largest difference between the weights of the two exchanges, in units of the largest weight."""
    weights = []
    for way in ("joint statistics", "DDP"):
        training = trainer_of(way, space, given)
        next(training.run())
        weights.append(torch.cat([part.detach().reshape(-1) for part in training.model.parameters()]))
    ours, theirs = weights
    return {"difference": float((ours - theirs).abs().max() / ours.abs().max())}


def started(count: int, given: argparse.Namespace) -> dict[str, Any]:
    """What so many processes saw."""
    run = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    options = ["--space", given.space, "--batch", str(given.batch), "--steps", str(given.steps)]
    command = [sys.executable, *run, "-m", "benchmarks.training_processes", "--work", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="cifar-tiny")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30, help="that are timed, in each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given)
        return
    medians: dict[str, list[float]] = {}
    told: dict[str, Any] = {}
    for _ in range(given.rounds):
        for count in (1, given.processes):
            told = started(count, given)
            for way, times in told["ms"].items():
                medians.setdefault(way, []).append(float(np.median(times)))
    print(
        f"{given.space}, batch {given.batch}, {given.processes} processes of one thread, "
        f"{given.rounds} rounds of {given.steps} steps\n"
        f"a path holds {told['path_mb']:.2f} MB, the supernet {told['supernet_mb']:.2f} MB\n"
        f"after a step the weights of the two exchanges differ by {told['difference']:.1e} of the largest"
    )
    alone = medians["one process"]
    rows = []
    for way, times in medians.items():
        ratio, low, high = interval([one / other for one, other in zip(times, alone, strict=True)])
        rows.append([way, f"{np.median(times):.1f}", f"{ratio:.2f}", f"{low:.2f} to {high:.2f}"])
    print(table(["", "ms a step", "against one process", "95 %"], rows))


if __name__ == "__main__":
    main()
