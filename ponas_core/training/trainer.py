"""Training, step by step: of one network, or of a supernet along one path a step.

Everything random at a step follows from the seed and the step's number. So a state is weights, momenta and a
number, and a training that goes on from a saved state does what it would have done, with any number of
processes: what a step computes differs between numbers of them by the rounding of sums only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ponas_core.network_weights import Arrays
from ponas_core.samplers import PathOf, largest_path, sampler
from ponas_core.training import processes
from ponas_core.training.batch_norm import estimate_statistics, freeze, jointly
from ponas_core.training.batches import DeviceImages, Epochs, augment
from ponas_core.training.joint_batch_norm import widened
from ponas_core.training.modules import arrays, convolutions, place, set_weights
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.sharing import Pass, Sharing
from ponas_core.weights import GivenWeights

_Path: TypeAlias = tuple[int, ...] | None
MOMENTUM = "momentum:"
"""Begins the names of momenta in a state."""
CHECK_EVERY = 20
"""Steps between two looks at their losses; a look makes a GPU wait."""
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
        loss: of the last step that was looked at, the mean over its images in all processes; None before.
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

    Attributes:
        step: steps done.
        steps: steps in all.
        losses: steps, counted from 1, and their losses, each the mean over all images of its step; of those
            since the training was begun or restored, as far as they were looked at.

    Raises:
        TrainingError: there are more parts or processes than images of a step.
    """

    def __init__(self, model: Network | Supernet, data: DeviceImages, recipe: TrainingRecipe) -> None:
        self.model, self.data, self.recipe = model, data, recipe
        place(model, data.device)
        self.order = Epochs(len(data), min(recipe.batch, len(data)), recipe.seed)
        try:
            self.sharing = Sharing.here(self.order.batch, recipe.accumulate)
        except ValueError as error:
            raise TrainingError(f"{error} or give a larger --batch-size") from error
        self.steps = recipe.epochs * self.order.steps
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self._unread: list[Tensor] = []
        self.path_of: PathOf | None = None
        self._largest: tuple[int, ...] = ()
        if isinstance(model, Supernet):
            self.path_of = sampler(model.space, recipe.sampling, recipe.seed)
            self._largest = largest_path(model.space)
        # walks through all modules are too long for every step
        self._parameters, self._convolutions = list(model.parameters()), convolutions(model)
        self.optimizer = _optimizer(model, recipe)

    @property
    def loss(self) -> float | None:
        """The last one that was looked at; None where none was."""
        return self.losses[-1][1] if self.losses else None

    @property
    def about(self) -> dict[str, Any]:
        """What the training's state depends on beside its data, as JSON values or tuples of them."""
        return {"recipe": self.recipe.notes(), "steps": self.steps}

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
            self._unread.append(self._learn(step))
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
        """One step of the weights; its loss, the mean over all images in all processes."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate_at(step, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        paths = self._paths(step)
        loss = torch.zeros((), dtype=self._parameters[0].dtype, device=self.data.device)
        with jointly(self._convolutions, joint=self.sharing.joint):
            for part in self.sharing.passes():
                loss += self._through(part, step, paths[part.part])
        gradients = self._gradients(paths)
        # one exchange for all that has a gradient, and the loss with it
        processes.add_up([*gradients.values(), loss])
        nn.utils.clip_grad_norm_(gradients.keys(), self.recipe.largest_gradient)
        self.optimizer.step()
        return loss

    def _paths(self, step: int) -> list[_Path]:
        """Which path each part of a step takes; None where there is but one."""
        parts = self.recipe.accumulate
        if self.path_of is None:
            return [None] * parts
        if self.recipe.paths_per_part:
            return [self.path_of(step * parts + part) for part in range(parts)]
        return [self.path_of(step)] * parts

    def _through(self, part: Pass, step: int, path: _Path) -> Tensor:
        """Send images forth and back; what they add to the loss of their step."""
        x, labels = self.data.batch(self.order(step)[part.places])
        draw = generator_at(self.recipe.seed, step, self.data.device)
        x = augment(x, self.recipe.augmentation, draw, (self.sharing.images, part.places))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.data.device.type, torch.bfloat16, enabled=self.recipe.mixed_precision):
            loss = self._loss(x, labels, path)
        share = loss * part.weight  # every image weighs the same, whoever has one more
        share.backward()  # type: ignore[no-untyped-call]  # torch leaves this one without types
        return share.detach()

    def _gradients(self, paths: Sequence[_Path]) -> dict[nn.Parameter, Tensor]:
        """What learns from a step, in all processes alike, and its gradient from this process's images."""
        if self.recipe.paths_per_part and isinstance(self.model, Supernet):
            # blocks that only other processes' paths go through
            blocks = {block for path in paths if path is not None for block in self.model.path(path)}
            for parameter in (parameter for block in blocks for parameter in block.parameters()):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
        return {part: part.grad for part in self._parameters if part.grad is not None}

    def _loss(self, x: Tensor, labels: Tensor, path: _Path) -> Tensor:
        smoothing, share = self.recipe.label_smoothing, self.recipe.distillation
        if path is None or not isinstance(self.model, Supernet):
            return functional.cross_entropy(widened(self.model(x)), labels, label_smoothing=smoothing)
        logits = widened(self.model(x, path))
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        if not share:
            return loss
        # the largest path learns from the labels, and the sampled one from it (BigNAS, section 3.1)
        largest = widened(self.model(x, self._largest))
        soft = functional.softmax(largest.detach(), 1)
        distilled = functional.cross_entropy(logits, soft)
        own = functional.cross_entropy(largest, labels, label_smoothing=smoothing)
        return (1 - share) * loss + share * distilled + own

    def check(self) -> None:
        """Look at the losses of the last steps, which are the same in all processes.

        Raises:
            TrainingError: one is not finite.
        """
        if not self._unread:
            return
        found: list[float] = torch.stack(self._unread).tolist()
        self._unread.clear()
        if not all(map(math.isfinite, found)):
            raise self.diverged("the loss is")
        self.losses += enumerate(found, self.step - len(found) + 1)

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
        self.step, self.losses, self._unread = step, [], []


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
    """What a step draws from, in all processes alike."""
    numbers = np.random.SeedSequence([seed, step, 0]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(numbers[0] >> np.uint64(1)))
