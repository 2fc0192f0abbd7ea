"""How much memory does a ProxylessNAS step take, beside plain training of one network?

For some random paths of the space: the peak of live bytes during a step of the weights of the search, and
during a step of the architecture with each of its gradients, in units of a plain training step of the network
of that path on the same batch. Candidates of a layer are cut down to 2, to 4, or left as they are; the path
is the same, and those that stay with it are drawn, so that any may be the second of a pair.

Live bytes are those that torch's allocator has given out and not got back, followed through every allocation
of the step by torch.profiler (on a GPU: the allocator's own peak); what libraries take for themselves is not
in them. Counted is what a step adds: weights, momenta and statistics are there before and after. The last
column tells weights and statistics of the supernet; momenta take about as much again.

    python -m benchmarks.proxyless_memory
    python -m benchmarks.proxyless_memory --batch 16 --device cuda --candidates 2 7
"""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
import torch

from benchmarks.training_step import images
from hwprofile.catalog import space_named
from hwprofile.display import table
from ponas_core.path_distribution import Draw
from ponas_core.proxyless import Gradient
from ponas_core.space import Layer, SearchSpace
from ponas_core.training.batches import DeviceImages
from ponas_core.training.gates import gate_gradients
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Trainer

GRADIENTS: tuple[Gradient, ...] = tuple(name for name in get_args(Gradient) if name != "reinforce")
MEBIBYTE = 2**20


def fewer(layer: Layer, op: int, count: int, rng: np.random.Generator) -> Layer:
    """A layer with this op first and so many candidates in all, the others drawn."""
    others = rng.permutation([other for other in range(len(layer.blocks)) if other != op])
    kept = [op, *others[: count - 1].tolist()]
    return replace(layer, blocks=tuple(layer.blocks[index] for index in kept))


def peak_bytes(step: Callable[[], object], device: torch.device) -> int:
    """The most bytes that live at one moment of a step, over those that live before it."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        step()
    assert profile.profiler is not None
    assert profile.profiler.kineto_results is not None
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = np.cumsum([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())])
    return int(live.max())


class Case:
    """Peaks of one path in one space."""

    def __init__(self, space: SearchSpace, data: DeviceImages, batch: int) -> None:
        self.space, self.data, self.batch, self.device = space, data, batch, data.device
        self.recipe = TrainingRecipe(1, batch, learning_rate=1e-6)

    def training_step(self, model: Network | Supernet) -> int:
        """Of the weights; the first step, which makes the momenta, is not looked at."""
        training = Trainer(model, self.data, self.recipe)
        training.path_of = lambda step: (0,) * len(self.space.layers)
        steps = training.run()
        next(steps)
        training.optimizer.zero_grad(set_to_none=True)
        return peak_bytes(lambda: next(steps), self.device)

    def architecture_step(self, supernet: Supernet, gradient: Gradient) -> int:
        """Of the architecture, op 0 being active everywhere."""
        supernet.train()
        draws = [self._draw(len(layer.blocks), gradient) for layer in self.space.layers]
        batch = np.arange(self.batch, dtype=np.intp)

        def step() -> None:
            gate_gradients(supernet, self.data.batch(batch), draws, stored=gradient == "full")

        return peak_bytes(step, self.device)

    @staticmethod
    def _draw(ops: int, gradient: Gradient) -> Draw:
        sampled = min(2, ops) if gradient == "two" else ops
        return Draw(tuple(range(sampled)), 0)


def ratios(space: SearchSpace, count: int, arguments: argparse.Namespace) -> tuple[list[float], float, float]:
    """Peaks of the steps in units of plain training, that unit in bytes, and bytes of the supernet."""
    device = torch.device(arguments.device)
    data = images(space, arguments.batch, device)
    found, plain, fixed = [], [], []
    for number in range(arguments.paths):
        rng = np.random.default_rng([arguments.seed, number])
        path = [int(rng.integers(len(layer.blocks))) for layer in space.layers]
        cut = tuple(fewer(layer, op, count, rng) for layer, op in zip(space.layers, path, strict=True))
        case = Case(replace(space, layers=cut, named={}), data, arguments.batch)
        plain.append(case.training_step(Network(case.space.architecture([0] * len(cut)))))
        supernet = Supernet(case.space)
        fixed.append(sum(part.numel() * part.element_size() for part in supernet.state_dict().values()))
        peaks = [case.training_step(supernet)]
        peaks += [case.architecture_step(supernet, gradient) for gradient in GRADIENTS]
        found.append([peak / plain[-1] for peak in peaks])
    worst: Sequence[float] = np.max(found, axis=0).tolist()
    return list(worst), float(np.mean(plain)), float(np.mean(fixed))


def main() -> None:
    """Print one row for every number of candidates: the largest ratio over the paths."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--space", default="proxyless")
    parser.add_argument("--candidates", type=int, nargs="+", default=[2, 4, 7])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--paths", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler tells of every start and stop
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine take ten times as long
    space = space_named(arguments.space)
    rows = []
    for count in arguments.candidates:
        found, plain, fixed = ratios(space, count, arguments)
        most = max(min(count, len(layer.blocks)) for layer in space.layers)
        rows.append(
            [
                f"{most}",
                f"{plain / MEBIBYTE:.0f}",
                *(f"{ratio:.2f}" for ratio in found),
                f"{fixed / MEBIBYTE:.0f}",
            ]
        )
    print(
        f"{arguments.space}, {arguments.device}, batch {arguments.batch}, the largest ratio of "
        f"{arguments.paths} paths, torch {torch.__version__}"
    )
    names = (f"{name} / plain" for name in ("weights", *GRADIENTS))
    print(table(["candidates", "plain MiB", *names, "supernet MiB"], rows))


if __name__ == "__main__":
    main()
