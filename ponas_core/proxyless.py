"""ProxylessNAS as published (Cai, Zhu and Han, ICLR 2019): its settings, and how loss and cost become one.

The released code takes the logarithm of milliseconds: below 1 ms it has no answer, and what its exponent
does depends on the unit. Here a cost is counted in such a unit that the target is 80, the paper's in
milliseconds on a phone, for which the published numbers were chosen. So they mean the same on every device
and for every cost.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Gradient: TypeAlias = Literal["two", "full_v2", "full", "reinforce"]
Coupling: TypeAlias = Literal["mul-log", "add-linear"]

TARGET_COUNTS_AS = 80.0
"""The target in the unit in which costs are counted."""
PUBLISHED_RATE, PUBLISHED_STEPS, HIGHEST_RATE = 1e-3, 100_000, 0.05
"""Of the logits: the paper's, how many steps it took there (about), and what is never passed unasked."""
LEAST_COUNTED = math.e
"""What a lower cost counts as, in that unit: 3.4 per cent of the target, whose logarithm is 1."""


@dataclass(frozen=True, slots=True)
class Coupled:
    """A loss that speaks of accuracy and cost, and its slopes.

    Attributes:
        loss: what is minimised.
        by_cross_entropy: its derivative by the cross entropy.
        by_cost: its derivative by the expected cost, per unit of the cost table.
    """

    loss: float
    by_cross_entropy: float
    by_cost: float


@dataclass(frozen=True, slots=True)
class ProxylessSettings:
    """How a search learns which path to take.

    Attributes:
        gradient: `two`, two sampled ops a layer (the paper); `full_v2`, all ops, run one after another in the
            backward pass (the released code); `full`, all ops kept in memory; `reinforce`, no gradient
            through the network, the reward of sampled networks.
        coupling: of cross entropy and expected cost, for all but `reinforce`: `mul-log`, loss_scale * CE *
            (log E[T] / log target) ^ cost_exponent; `add-linear`, CE + cost_weight * (E[T] - target) /
            target.
        target: what the cost should be, in the unit of the cost table; None where no cost is looked at.
        loss_scale: of `mul-log`; Adam does not feel it.
        cost_exponent: of `mul-log`.
        cost_weight: of `add-linear`.
        warmup_epochs: of the recipe's, the first ones, in which only weights learn and the recipe's
            `sampling` takes the paths (as published: `uniform`, 40 epochs in front of 120).
        weights_only_epochs: those behind them, in which paths are drawn from the logits and still only
            weights learn.
        every: steps between two of the architecture.
        architecture_rate: Adam's learning rate of the logits; None for that of the paper, 1e-3, in a search
            of its length, about 100,000 steps of the architecture, and a higher one in a shorter search: see
            `rate`.
        validation_batch: validation images of a step of the architecture; None for the recipe's `batch`.
        networks: sampled at a step of `reinforce`.
        reward_exponent: of `reinforce`, whose reward is accuracy * (target / T) ^ reward_exponent.
        baseline_decay: weight of the past in the baseline of `reinforce`, a slow moving average of mean
            rewards that begins with the first. (In the released code the past weighs 0.01, so that its
            baseline is almost the last mean alone.)
    """

    gradient: Gradient = "two"
    coupling: Coupling = "mul-log"
    target: float | None = None
    loss_scale: float = 0.2
    cost_exponent: float = 0.3
    cost_weight: float = 0.1
    warmup_epochs: int = 8
    weights_only_epochs: int = 1
    every: int = 5
    architecture_rate: float | None = None
    validation_batch: int | None = None
    networks: int = 10
    reward_exponent: float = 0.1
    baseline_decay: float = 0.95

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that no search can have."""
        if self.gradient not in get_args(Gradient) or self.coupling not in get_args(Coupling):
            raise ValueError(
                f"a gradient is one of {', '.join(get_args(Gradient))}, a coupling one of "
                f"{', '.join(get_args(Coupling))}, got {self.gradient!r} and {self.coupling!r}"
            )
        if self.target is not None and not (math.isfinite(self.target) and self.target > 0):
            raise ValueError(f"a target is above 0, got {self.target}")
        if self.architecture_rate is not None and not 0 < self.architecture_rate < math.inf:
            raise ValueError(f"a learning rate is above 0, got {self.architecture_rate}")
        weights = (self.loss_scale, self.cost_exponent, self.cost_weight, self.reward_exponent)
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or self.loss_scale == 0:
            raise ValueError(
                f"scale, weight and exponents are numbers from 0 on, the scale above, got {weights}"
            )
        if not 0 <= self.baseline_decay < 1:
            raise ValueError(f"the past weighs from 0 to below 1 in a baseline, got {self.baseline_decay}")
        if min(self.warmup_epochs, self.weights_only_epochs) < 0 or min(self.every, self.networks) < 1:
            raise ValueError("epochs are counted from 0 on, steps and networks from 1 on")
        if self.validation_batch is not None and self.validation_batch < 2:
            raise ValueError(f"a batch has at least 2 images, got {self.validation_batch}")

    def rate(self, steps: int) -> float:
        """Adam's learning rate of the logits in a search of so many steps of the architecture.

        A step of Adam is about as long as its rate. So a rate that logits cannot reach each other with is of
        no use: 100 over the steps, at least the paper's and at most 0.05, unless one is set.
        """
        if self.architecture_rate is not None:
            return self.architecture_rate
        return min(max(PUBLISHED_RATE, PUBLISHED_RATE * PUBLISHED_STEPS / steps), HIGHEST_RATE)

    def coupled(self, cross_entropy: float, expected: float | None) -> Coupled:
        """Cross entropy and expected cost as one loss.

        Args:
            cross_entropy: of a validation batch.
            expected: E[T], in the unit of the cost table; None where no cost is looked at. `mul-log` counts
                what is below 3.4 per cent of the target as that, where it has no slope.
        """
        if expected is None or self.target is None:
            return Coupled(cross_entropy, 1.0, 0.0)
        if self.coupling == "add-linear":
            over = (expected - self.target) / self.target
            return Coupled(cross_entropy + self.cost_weight * over, 1.0, self.cost_weight / self.target)
        counted, moves = self._counted(expected, self.target)
        ratio = math.log(counted) / math.log(TARGET_COUNTS_AS)
        factor = self.loss_scale * ratio**self.cost_exponent
        # d log(counted) / d expected = 1 / expected, whatever the unit
        by_log = factor * self.cost_exponent / math.log(counted)
        by_cost = cross_entropy * by_log / expected if moves else 0.0
        return Coupled(factor * cross_entropy, factor, by_cost)

    def reward(self, accuracy: float, cost: float | None) -> float:
        """What a sampled network is worth to `reinforce`.

        Args:
            accuracy: share of a validation batch, 0 to 1.
            cost: of this network, in the unit of the cost table; None where no cost is looked at. Below 3.4
                per cent of the target it counts as that.
        """
        if cost is None or self.target is None:
            return accuracy
        counted, _ = self._counted(cost, self.target)
        return accuracy * float((TARGET_COUNTS_AS / counted) ** self.reward_exponent)

    @staticmethod
    def _counted(cost: float, target: float) -> tuple[float, bool]:
        """A cost in the unit in which the target is 80, and whether it is above the least that counts."""
        counted = TARGET_COUNTS_AS * cost / target
        return max(counted, LEAST_COUNTED), counted > LEAST_COUNTED
