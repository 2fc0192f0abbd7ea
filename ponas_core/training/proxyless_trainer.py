"""A supernet whose weights and paths are learned in turns: ProxylessNAS (Cai, Zhu and Han, ICLR 2019).

Weights learn along one path a step. Every few steps the distribution over paths learns from a batch of
validation images: by gradient through binary gates, or from the rewards of sampled networks (REINFORCE).

Cost enters as one more gradient in the gates: dL/dg_j = <dL/do, o_j(x)> + dL/dE[T] * T_j, of every sampled
op, whichever is active. (The released code drops it, with the rest, where the active op is the identity.)
E[T] itself is taken over all ops. In two-path mode both parts then go through the softmax of the pair.
So ops that were not sampled keep their probability, and since the pair weighs both parts alike, the expected
gradient weighs accuracy against cost as that over all ops does: with two candidates it is that gradient, with
even probabilities K / (2 (K - 1)) of it for K candidates.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ponas_core.cost import CostTable
from ponas_core.network_weights import Arrays
from ponas_core.path_distribution import (
    Draw,
    Floats,
    draw_among_all,
    draw_pairs,
    draw_path,
    expected_cost,
    gate_costs,
    logit_gradients,
    path_gradients,
)
from ponas_core.path_logits import PathLogits
from ponas_core.proxyless import ProxylessSettings
from ponas_core.samplers import PathOf, sampler
from ponas_core.training import processes
from ponas_core.training.batch_norm import jointly, untracked
from ponas_core.training.batches import DeviceImages, Epochs
from ponas_core.training.gates import gate_gradients
from ponas_core.training.networks import Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.sharing import Sharing
from ponas_core.training.trainer import MOMENTUM, Trainer, TrainingError

BASELINE = MOMENTUM + "baseline"
"""Name of REINFORCE's baseline in a state."""
_PATH, _ARCHITECTURE, _STATISTICS, _LOGITS = 1, 2, 3, 4


class ProxylessTrainer(Trainer):
    """A search that can be stopped after any step and taken up again.

    A state holds the logits of every layer beside the weights (`ponas_core.path_logits`). In its last epochs,
    where the recipe shares statistics of batch normalisation, these are estimated along paths drawn from the
    logits as they stand, and the architecture learns with them too: a path is judged as it will be used.

    Args:
        supernet: whose weights learn.
        training: images that weights learn from.
        validation: images that the architecture learns from, as they are.
        recipe: of the weights; its learning rate has one course over warm-up and search.
        settings: of the architecture.
        cost: additive cost of the space; None with settings without a target.

    Raises:
        TrainingError: there are more parts or processes than images of a step, or no step learns the
            architecture.
        ValueError: settings, recipe, cost and space do not go together.
    """

    def __init__(
        self,
        supernet: Supernet,
        training: DeviceImages,
        validation: DeviceImages,
        recipe: TrainingRecipe,
        settings: ProxylessSettings,
        cost: CostTable | None = None,
    ) -> None:
        super().__init__(supernet, training, recipe)
        if recipe.paths_per_part:
            raise ValueError("ProxylessNAS trains one path a step: leave --paths-per-part away")
        self.supernet, self.validation, self.settings, self.cost = supernet, validation, settings, cost
        _check_cost(supernet, settings, cost)
        size = min(settings.validation_batch or recipe.batch, len(validation))
        self.validation_order = Epochs(len(validation), size, recipe.seed)
        try:
            self.validation_sharing = Sharing.here(size, recipe.accumulate)
        except ValueError as error:
            raise TrainingError(f"validation images: {error}") from error
        alone = settings.warmup_epochs + settings.weights_only_epochs
        self._first_search = settings.warmup_epochs * self.order.steps
        self._first_architecture = alone * self.order.steps
        if self.steps - self._first_architecture < settings.every:
            raise TrainingError(
                f"no step of {recipe.epochs} epochs learns the architecture: the first {alone} train weights "
                f"only, behind them it learns every {settings.every} steps; take more epochs or a shorter "
                "warm-up"
            )
        self.rate = settings.rate((self.steps - self._first_architecture) // settings.every)
        self.paths = PathLogits.drawn(supernet.space, self._drawn(0, _LOGITS))
        self.baseline: float | None = None
        self._warm_path = sampler(supernet.space, recipe.sampling, recipe.seed)
        self.path_of = self._path

    @property
    def logits(self) -> tuple[Floats, ...]:
        """logits[layer][op] as they stand."""
        return self.paths.rows

    @property
    def expected_cost(self) -> float | None:
        """E[T] as it stands; None without a cost."""
        return None if self.cost is None else expected_cost(self.logits, self.cost)

    @property
    def about(self) -> dict[str, Any]:
        """What the training's state depends on beside its data, as JSON values or tuples of them."""
        return {
            **super().about,
            "proxyless": dataclasses.asdict(self.settings),
            "cost": None if self.cost is None else _notes(self.cost),
            "validation_images": len(self.validation),
        }

    def _drawn(self, step: int, what: int) -> np.random.Generator:
        """What a step draws from, in all processes alike."""
        return np.random.default_rng([self.recipe.seed, step, 0, what])

    def _path(self, step: int) -> tuple[int, ...]:
        if step < self._first_search:
            return self._warm_path(step)
        return draw_path(self.logits, self._drawn(step, _PATH))

    def _path_of_statistics(self) -> PathOf:
        return lambda number: draw_path(self.logits, self._drawn(number, _STATISTICS))

    def _learn(self, step: int) -> Tensor:
        loss = super()._learn(step)
        number, rest = divmod(step + 1 - self._first_architecture, self.settings.every)
        if number >= 1 and rest == 0:
            self.learn_architecture(step, number)
        return loss

    def learn_architecture(self, step: int, number: int) -> None:
        """One step of the logits; weights and running statistics stay as they are.

        Args:
            step: of the training, which everything random follows from.
            number: of this step among those of the architecture, from 1 on.

        Raises:
            TrainingError: the gradient is not finite.
        """
        with jointly(self._convolutions, joint=self.validation_sharing.joint):
            gradients, pairs = self._architecture_gradients(step, number)
        if not all(np.isfinite(gradient).all() for gradient in gradients):
            raise self.diverged("the gradient of the architecture is")
        self.paths.step(gradients, self.rate, number, pairs)

    def _architecture_gradients(self, step: int, number: int) -> tuple[list[Floats], Sequence[Draw] | None]:
        """Gradients in the logits, and the pairs of ops that they are about in two-path mode."""
        if self.settings.gradient == "reinforce":
            return self._from_rewards(step, number), None
        two = self.settings.gradient == "two"
        draw = draw_pairs if two else draw_among_all
        draws = draw(self.logits, self._drawn(step, _ARCHITECTURE))
        return self._through_gates(draws, number), draws if two else None

    def _images(self, number: int) -> Iterator[tuple[tuple[Tensor, Tensor], float]]:
        """This process's parts of a step's validation images, and their shares of it."""
        everyones = self.validation_order(number - 1)
        for part in self.validation_sharing.passes():
            yield self.validation.batch(everyones[part.places]), part.weight

    def _through_gates(self, draws: Sequence[Draw], number: int) -> list[Floats]:
        """Gradient of cross entropy and expected cost in the logits."""
        everything = torch.zeros(1 + sum(len(draw.sampled) for draw in draws), dtype=torch.float64)
        for images, share in self._images(number):
            loss, gates = gate_gradients(
                self.supernet,
                images,
                draws,
                stored=self.settings.gradient == "full",
                mixed_precision=self.recipe.mixed_precision,
                weight=share,
            )
            everything += torch.cat([loss.double().cpu().view(1), *gates])
        everything = everything.to(self.data.device)
        processes.add_up([everything])
        cross_entropy, *slopes = everything.tolist()
        coupled = self.settings.coupled(cross_entropy, self.expected_cost)
        flat = iter(coupled.by_cross_entropy * np.array(slopes))
        along = [np.array([next(flat) for _ in draw.sampled]) for draw in draws]
        if self.cost is not None:
            costs = gate_costs(self.cost, draws)
            along = [gate + coupled.by_cost * cost for gate, cost in zip(along, costs, strict=True)]
        return logit_gradients(self.logits, draws, along)

    def _from_rewards(self, step: int, number: int) -> list[Floats]:
        """Mean over sampled networks of (reward - baseline) times the gradient of -log p."""
        rng = self._drawn(step, _ARCHITECTURE)
        networks = [draw_path(self.logits, rng) for _ in range(self.settings.networks)]
        rewards = [
            self.settings.reward(accuracy, None if self.cost is None else self.cost.total(path))
            for accuracy, path in zip(self._accuracies(networks, number), networks, strict=True)
        ]
        mean = math.fsum(rewards) / len(rewards)
        baseline = mean if self.baseline is None else self.baseline
        self.baseline = baseline + (1 - self.settings.baseline_decay) * (mean - baseline)
        weights = (np.array(rewards) - baseline) / len(networks)
        of_paths = [path_gradients(self.logits, path) for path in networks]
        return [weights @ np.stack(of_layer) for of_layer in zip(*of_paths, strict=True)]

    @torch.no_grad()
    def _accuracies(self, networks: Sequence[tuple[int, ...]], number: int) -> list[float]:
        """Share of a validation batch that each network has right, 0 to 1."""
        device, mixed = self.data.device, self.recipe.mixed_precision
        found = torch.zeros(len(networks), dtype=torch.float64, device=device)
        with untracked(self.supernet), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            for (x, labels), share in self._images(number):
                right = [(self.supernet(x, path).argmax(1) == labels).double().mean() for path in networks]
                found += torch.stack(right) * share
        processes.add_up([found])
        return [float(accuracy) for accuracy in found.tolist()]

    def state(self) -> dict[str, NDArray[Any]]:
        """Weights, statistics, momenta, and logits with what Adam and REINFORCE remember.

        All processes call it together.
        """
        found = {**super().state(), **self.paths.state(self.supernet.space, MOMENTUM)}
        if self.baseline is not None:
            found[BASELINE] = np.array(self.baseline)
        return found

    def restore(self, state: Arrays, step: int) -> None:
        """Go on from a state after so many steps.

        Raises:
            KeyError: the state lacks a weight of the model, or the logits of a layer.
            ValueError: one of them has another shape, or the step is beyond the last.
        """
        super().restore(state, step)
        self.paths.restore(state, self.supernet.space, MOMENTUM)
        self.baseline = float(state[BASELINE]) if BASELINE in state else None


def _check_cost(supernet: Supernet, settings: ProxylessSettings, cost: CostTable | None) -> None:
    if (cost is None) != (settings.target is None):
        raise ValueError("a cost needs a target, and a target a cost")
    wanted = [len(layer.blocks) for layer in supernet.space.layers]
    if cost is not None and [row.size for row in cost.rows] != wanted:
        raise ValueError(f"the cost {cost.name} is of another space than {supernet.space.name}")


def _notes(cost: CostTable) -> dict[str, Any]:
    """What tells a cost from another."""
    numbers = np.concatenate([[cost.fixed], *cost.rows]).astype("<f8")
    return {"cost": cost.name, "cost_digest": hashlib.sha256(numbers.tobytes()).hexdigest()[:12]}
