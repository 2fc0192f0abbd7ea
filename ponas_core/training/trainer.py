"""Training, step by step: of one network, or of a supernet along one path a step.

Everything random at a step follows from the seed and the step's number. So a state is weights, momenta and a
number, and a training that goes on from a saved state does what it would have done.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ponas_core.network_weights import Arrays
from ponas_core.samplers import PathOf, largest_path, sampler
from ponas_core.training import processes
from ponas_core.training.batch_norm import estimate_statistics, freeze
from ponas_core.training.batches import DeviceImages, Epochs, augment
from ponas_core.training.modules import arrays, place, set_weights
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.weights import GivenWeights

MOMENTUM = "momentum:"
"""Begins the names of momenta in a state."""
CHECK_EVERY = 20
"""Steps between two looks at the loss; a look makes a GPU wait."""
SHARED_PASSES = 200
"""Batches along random paths that the shared statistics are estimated from."""


class TrainingError(ValueError):
    """A training cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        step: steps done.
        steps: steps in all.
        loss: of the last batch that was looked at; None before the first.
    """

    step: int
    steps: int
    loss: float | None


class Trainer:
    """A training that can be stopped after any step and taken up again.

    Args:
        model: a network, or a supernet.
        data: training images.
        recipe: how.

    Raises:
        TrainingError: there are more processes than images of a step.
    """

    def __init__(self, model: Network | Supernet, data: DeviceImages, recipe: TrainingRecipe) -> None:
        self.model, self.data, self.recipe = model, data, recipe
        place(model, data.device)
        self.order = Epochs(len(data), min(recipe.batch, len(data)), recipe.seed)
        if self.order.batch < processes.world():
            raise TrainingError(
                f"{processes.world()} processes cannot share steps of {self.order.batch} images: start fewer "
                "or give a larger --batch-size"
            )
        self.steps = recipe.epochs * self.order.steps
        self.step = 0
        self.loss: float | None = None
        self._last: Tensor | None = None
        self.path_of: PathOf | None = None
        self._largest: tuple[int, ...] = ()
        if isinstance(model, Supernet):
            self.path_of = sampler(model.space, recipe.sampling, recipe.seed)
            self._largest = largest_path(model.space)
        self._parameters = list(model.parameters())  # a walk through all modules, too long for every step
        self.optimizer = _optimizer(model, recipe)

    @property
    def about(self) -> dict[str, Any]:
        """What the training's state depends on beside its data, as JSON values or tuples of them."""
        return {"recipe": dataclasses.asdict(self.recipe), "steps": self.steps}

    def run(self, stop: int | None = None) -> Iterator[Progress]:
        """Train up to step `stop` (default: the last), telling where it stands after each step.

        Raises:
            TrainingError: the loss is not finite.
        """
        self.model.train()
        freeze(self.model, frozen=self.step > self._first_shared)
        for step in range(self.step, self.steps if stop is None else min(stop, self.steps)):
            if step == self._first_shared:
                if isinstance(self.model, Supernet):
                    share_statistics(self.model, self.data, self.order, self._path_of_statistics())
                freeze(self.model)
            self._last = self._learn(step)
            self.step = step + 1
            if self.step % CHECK_EVERY == 0 or self.step == self.steps:
                self.check()
            yield Progress(self.step, self.steps, self.loss)

    @property
    def _first_shared(self) -> int:
        """The first step with shared statistics; the number of steps where there is none."""
        return self.steps - self.recipe.shared_epochs * self.order.steps

    def _path_of_statistics(self) -> PathOf:
        """Paths, by number, along which the shared statistics are estimated."""
        assert isinstance(self.model, Supernet)
        return sampler(self.model.space, "fair", self.recipe.seed)

    def _learn(self, step: int) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(step, self.steps)
        everyones = self.order(step)
        indexes = everyones[processes.rank() :: processes.world()]
        x, labels = self.data.batch(indexes)
        draw = generator_at(self.recipe.seed, step, self.data.device)
        x = augment(x, self.recipe.augmentation, draw).contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision):
            loss = self._loss(x, labels, step)
        # every image weighs the same, also where one process has one more
        share = loss * (len(indexes) * processes.world() / len(everyones))
        share.backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
        learned = [part for part in self._parameters if part.grad is not None]
        processes.average(part.grad for part in learned if part.grad is not None)
        nn.utils.clip_grad_norm_(learned, self.recipe.largest_gradient)
        self.optimizer.step()
        return loss.detach()

    def _loss(self, x: Tensor, labels: Tensor, step: int) -> Tensor:
        smoothing, share = self.recipe.label_smoothing, self.recipe.distillation
        if self.path_of is None or not isinstance(self.model, Supernet):
            return functional.cross_entropy(self.model(x).float(), labels, label_smoothing=smoothing)
        logits = self.model(x, self.path_of(step)).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        if not share:
            return loss
        # the largest path learns from the labels, and the sampled one from it (BigNAS, section 3.1)
        largest = self.model(x, self._largest).float()
        soft = functional.softmax(largest.detach(), 1)
        distilled = functional.cross_entropy(logits, soft)
        own = functional.cross_entropy(largest, labels, label_smoothing=smoothing)
        return (1 - share) * loss + share * distilled + own

    def check(self) -> None:
        """Look at the last batch's loss; all processes do so together.

        Raises:
            TrainingError: it is not finite, in any process.
        """
        if self._last is None:
            return
        self.loss = float(self._last.item())
        if processes.together(not math.isfinite(self.loss), self.data.device):
            raise self.diverged("the loss is")

    def diverged(self, what: str) -> TrainingError:
        """What to tell when something is not finite any more."""
        return TrainingError(
            f"{what} not finite at step {self.step} of {self.steps}: give a lower --learning-rate "
            f"(it was {self.recipe.learning_rate:g}); the last checkpoint is intact"
        )

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that a training goes on from, but its step: weights, statistics, momenta.

        All processes call it together.
        """
        processes.average(buffer for buffer in self.model.buffers())
        found: dict[str, NDArray[Any]] = dict(arrays(self.model))
        for name, parameter in self.model.named_parameters():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None:
                found[MOMENTUM + name] = momentum.cpu().contiguous().numpy().copy()
        return found

    def restore(self, state: Arrays, step: int) -> None:
        """Go on from a state after so many steps.

        Raises:
            KeyError: the state lacks a weight of the model.
            ValueError: a weight has another shape, or the step is beyond the last.
        """
        if not 0 <= step <= self.steps:
            raise ValueError(f"step {step} lies beyond the training's {self.steps} steps")
        set_weights(self.model, GivenWeights(state))
        self.optimizer.state.clear()
        for name, parameter in self.model.named_parameters():
            if MOMENTUM + name in state:
                momentum = torch.empty_like(parameter.detach())  # lies in memory as it did
                momentum.copy_(torch.from_numpy(np.array(state[MOMENTUM + name])))
                self.optimizer.state[parameter]["momentum_buffer"] = momentum
        self.step, self.loss, self._last = step, None, None


def share_statistics(supernet: Supernet, data: DeviceImages, order: Epochs, path_of: PathOf) -> None:
    """Set the statistics of a supernet to their mean over paths and batches.

    Blocks that no path goes through keep those that they have.
    """

    def passes() -> Iterator[tuple[Tensor, Callable[[Tensor], Tensor]]]:
        for number in range(SHARED_PASSES):
            x, _ = data.batch(order(number))
            yield x, partial(supernet, ops=path_of(number))

    estimate_statistics(supernet, passes())


def _optimizer(model: nn.Module, recipe: TrainingRecipe) -> torch.optim.SGD:
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=recipe.momentum > 0)


def generator_at(seed: int, step: int, device: torch.device) -> torch.Generator:
    """What a step draws from, in this process."""
    numbers = np.random.SeedSequence([seed, step, processes.rank()]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(numbers[0] >> np.uint64(1)))
