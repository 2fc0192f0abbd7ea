"""REINFORCE: a policy over the ops of each place learns from the accuracies of what it draws.

The gradient is that of the probability with which a place draws its op freely. Under a budget networks are
drawn from the candidates only (`categorical.draw`), so that the gradient is slightly biased then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ponas_core.derivation import log_probability_table
from ponas_core.evaluation import Ledger
from ponas_core.path_distribution import log_softmax, softmax
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops, Rows
from ponas_core.searches.categorical import argmax, draw
from ponas_core.searches.interface import Found, accuracy, best_seen, expect, network

_FIRST_SD = 1e-3
"""Standard deviation of the logits at the start, as in the released code of both."""
_VAIN_STEPS = 100
"""Networks in a row that were known already, after which the policy is taken to have settled."""
_LEAST_COST = 1e-3
"""Share of the budget below which a network's cost earns no more; a cost of nothing would earn infinity."""


@dataclass(frozen=True)
class Reinforce:
    """REINFORCE (Williams, 1992), one network a step; chooses the most accurate that was seen.

    As in the code released with NAS-Bench-201 (Dong and Yang, ICLR 2020): Adam on logits that are all but
    equal at first, and a moving average of the accuracies, without the bias of its start, as the baseline.
    Its learning rate is 0.001, in a later version 0.01, with which a hundred steps hardly change a policy;
    the default is ours.

    Attributes:
        learning_rate: of Adam, on the logits.
        momentum: share of the baseline that stays at each step.
    """

    learning_rate: float = 0.08
    momentum: float = 0.9

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot learn."""
        _check(self.learning_rate, self.momentum)

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        policy = Policy(candidates.space.op_counts, self.learning_rate, 0.9, rng)
        baseline = MovingAverage(self.momentum)
        vain = 0
        while ledger.left > 0 and vain < _VAIN_STEPS:
            before = ledger.evaluations
            ops = draw(policy.log_rows, candidates, rng)
            reward = accuracy(ledger, candidates, ops)
            vain = 0 if ledger.evaluations > before else vain + 1
            policy.learn([ops], [reward - baseline.updated(reward)])
        provenance = {"search": "reinforce", "learning_rate": self.learning_rate, "momentum": self.momentum}
        return Found(best_seen(ledger), policy.table(candidates, provenance))


@dataclass(frozen=True)
class ProxylessReinforce:
    """The REINFORCE variant of ProxylessNAS (Cai et al., ICLR 2019); chooses what the policy prefers.

    A network's reward is its accuracy × (budget / cost)^`cost_exponent`, or the accuracy alone where there
    is no budget. At the end the policy's highest ops are taken; where these are no candidate, the candidate
    with the highest probability. The table's provenance tells the highest ops (`argmax`) and whether they
    are a candidate (`argmax_holds`).

    Batch and moments of Adam are those of the released code. Its learning rate, 0.001, is for tens of
    thousands of steps; the default is ours, for tens. Its baseline is all but the last batch's mean (momentum
    0.01); ours looks further back. Its exponent, 0.1, holds back networks beyond the budget. None is drawn
    here, so that it would only give away accuracy for a cost below the budget: ours is 0.

    Attributes:
        learning_rate: of Adam, on the logits; its first moment is not averaged.
        momentum: share of the baseline that stays at each batch; the rest is the batch's mean.
        batch: networks of a step.
        cost_exponent: how much a cost below the budget earns; 0 for nothing.
    """

    learning_rate: float = 0.3
    momentum: float = 0.7
    batch: int = 10
    cost_exponent: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot learn."""
        _check(self.learning_rate, self.momentum)
        if self.batch < 1:
            raise ValueError(f"a batch is at least one network, not {self.batch}")
        if not (math.isfinite(self.cost_exponent) and self.cost_exponent >= 0):
            raise ValueError(f"the exponent of the cost is a number from 0 on, not {self.cost_exponent}")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`.

        Raises:
            ValueError: fewer evaluations than two batches.
        """
        if ledger.left < 2 * self.batch:
            raise ValueError(
                f"a policy learns from the difference between batches of {self.batch}: allow at least "
                f"{2 * self.batch} evaluations, not {ledger.left}, or make the batch smaller"
            )
        policy = Policy(candidates.space.op_counts, self.learning_rate, 0.0, rng)
        baseline: float | None = None
        vain = 0
        while ledger.left > 0 and vain < _VAIN_STEPS:
            before = ledger.evaluations
            drawn, rewards = self._batch(policy.log_rows, candidates, ledger, rng)
            vain = 0 if ledger.evaluations > before else vain + len(drawn)
            mean = float(np.mean(rewards))
            if baseline is None:
                baseline = mean
            policy.learn(drawn, [reward - baseline for reward in rewards])
            baseline = self.momentum * baseline + (1 - self.momentum) * mean
        chosen = candidates.best(policy.log_rows)[0]
        provenance = {
            "search": "proxyless-reinforce",
            "learning_rate": self.learning_rate,
            "momentum": self.momentum,
            "batch": self.batch,
            "cost_exponent": self.cost_exponent,
        }
        return Found(chosen, policy.table(candidates, provenance))

    def _batch(
        self, log_rows: Rows, candidates: Candidates, ledger: Ledger, rng: np.random.Generator
    ) -> tuple[list[Ops], list[float]]:
        """Networks and their rewards; fewer than a batch where evaluations run out."""
        batch = [draw(log_rows, candidates, rng) for _ in range(self.batch)]
        expect(ledger, candidates, batch)
        drawn: list[Ops] = []
        rewards: list[float] = []
        for ops in batch:
            if ledger.left <= 0 and not ledger.keeps(network(candidates, ops)):
                break
            drawn.append(ops)
            rewards.append(accuracy(ledger, candidates, ops) * self._thrift(candidates, ops))
        return drawn, rewards

    def _thrift(self, candidates: Candidates, ops: Ops) -> float:
        """(budget / cost)^exponent; 1 where there is no budget, or one of 0."""
        limit, cost = candidates.cost_limit(), candidates.cost(ops)
        if not limit or cost is None:
            return 1.0
        return float((limit / max(cost, _LEAST_COST * limit)) ** self.cost_exponent)


class MovingAverage:
    """An exponential moving average without the bias of its start.

    Args:
        momentum: share of the average that stays at each step.
    """

    def __init__(self, momentum: float) -> None:
        self._momentum, self._sum, self._weight = momentum, 0.0, 0.0

    def updated(self, value: float) -> float:
        """The average with one more value."""
        self._sum = self._momentum * self._sum + (1 - self._momentum) * value
        self._weight = self._momentum * self._weight + (1 - self._momentum)
        return self._sum / self._weight


class Policy:
    """Logits of the ops of each place, and Adam (Kingma and Ba, ICLR 2015) to change them.

    Args:
        op_counts: number of ops of each place.
        learning_rate: of Adam.
        first_decay: decay of the first moment; the second's is 0.999.
        rng: draws the first logits, all but equal.
    """

    def __init__(
        self, op_counts: Sequence[int], learning_rate: float, first_decay: float, rng: np.random.Generator
    ) -> None:
        self._ends = np.cumsum(op_counts)
        self._starts = self._ends - np.array(op_counts)
        self._logits = _FIRST_SD * rng.standard_normal(self._ends[-1])
        self._rate, self._decays = learning_rate, (first_decay, 0.999)
        self._first, self._second = np.zeros_like(self._logits), np.zeros_like(self._logits)
        self._steps = 0

    @property
    def _rows(self) -> list[NDArray[np.float64]]:
        return np.split(self._logits, self._ends[:-1])

    @property
    def log_rows(self) -> list[NDArray[np.float64]]:
        """Log-probability of every op of each place."""
        return [log_softmax(row) for row in self._rows]

    def learn(self, drawn: Sequence[Ops], advantages: Sequence[float]) -> None:
        """One step up the mean of advantage × log-probability of the networks that were drawn."""
        gradient = -sum(advantages) * np.concatenate([softmax(row) for row in self._rows])
        for ops, advantage in zip(drawn, advantages, strict=True):
            gradient[self._starts + np.array(ops)] += advantage
        self._climb(gradient / len(drawn))

    def _climb(self, gradient: NDArray[np.float64]) -> None:
        first, second = self._decays
        self._steps += 1
        self._first = first * self._first + (1 - first) * gradient
        self._second = second * self._second + (1 - second) * gradient**2
        mean, square = self._first / (1 - first**self._steps), self._second / (1 - second**self._steps)
        self._logits = self._logits + self._rate * mean / (np.sqrt(square) + 1e-8)

    def table(self, candidates: Candidates, provenance: dict[str, object]) -> ScoreTable:
        """The log-probabilities; the provenance also tells the highest ops, and whether they hold."""
        rows = self.log_rows
        highest = argmax(rows)
        told = {"argmax": list(highest), "argmax_holds": candidates.holds(highest)}
        table = log_probability_table(candidates.space, self._rows)
        return replace(table, provenance=provenance | told)


def _check(learning_rate: float, momentum: float) -> None:
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ValueError(f"the learning rate is a number above 0, not {learning_rate}")
    if not 0 <= momentum < 1:
        raise ValueError(f"the momentum of the baseline is from 0 on and below 1, not {momentum}")
