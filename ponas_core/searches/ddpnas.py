"""DDPNAS: prune the worst op of every place, round by round (Zheng et al., IJCV 2023, arXiv 1905.13543).

Every place has a categorical distribution over its ops, theta, uniform at first. A round deals the ops that
are alive out like cards: in K networks each op of a place stands once (Latin sampling). A softmax of their
accuracies says how good the ops are, and the worst op of every place goes, until one is left. What that costs
does not depend on the number of places: T * (K + ... + 2) evaluations.

Where an evaluation trains a supernet on the network for an epoch first, as in the paper, the evaluator does
so, and the ledger does not last: a network that is dealt twice is trained twice.

Beyond the paper, and off unless asked for: a temperature that follows the spread of accuracies, a price on
cost, and regression in place of the softmax, which gives every op of a network the credit of all others.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.interface import Found, accuracy, network
from ponas_core.searches.trait_table import TraitTable
from ponas_core.solve import Infeasible

Credit: TypeAlias = Literal["softmax", "regression"]
Temperature: TypeAlias = Literal["point", "spread"]
Floats = NDArray[np.float64]
Sample = tuple[Ops, float]
"""A network and what it is judged by: accuracy in per cent, less what its cost takes off."""

PUBLISHED_ROUNDS = 3
_DEALS = 16
"""Random deals under a budget, of which the one with the most candidates is taken, and filled."""
_NOISE = 0.1
"""What decides between networks that hold as many ops which no other holds."""


@dataclass(frozen=True)
class Ddpnas:
    """Dynamic distribution pruning.

    Attributes:
        rounds: Latin samplings between two prunings (T of the paper, 3 there); None for as many as the
            evaluations allow.
        stop_at: ops a place that are left at the end; the best candidate among these is chosen exactly
            ("network generation under constraints", 2 in the paper).
        guard: never drop a place's last op with parameters, nor its last without, while it has both.
        momentum: share of theta that stays at an update.
        temperature: of the softmax: `point`, one point of accuracy; `spread`, the standard deviation of the
            accuracies of a deal.
        latency_weight: points of accuracy that a network which takes the whole budget is judged lower by.
        credit: who is pruned: `softmax`, by theta; `regression`, by the numbers of a table that is fitted to
            everything evaluated so far (in this round, where accuracies do not last). The table then
            chooses among all candidates.
        checked: evaluations that are kept for the table's best networks at the end (`regression` only), the
            table being fitted anew after each; the most accurate network of all is chosen then.
    """

    rounds: int | None = None
    stop_at: int = 1
    guard: bool = False
    momentum: float = 0.5
    temperature: Temperature = "point"
    latency_weight: float = 0.0
    credit: Credit = "softmax"
    checked: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for settings without a meaning."""
        if (self.rounds is not None and self.rounds < 1) or self.stop_at < 1:
            raise ValueError("there is at least one sampling a round, and one op left at the end")
        if not 0 <= self.momentum < math.inf or not 0 <= self.latency_weight < math.inf:
            raise ValueError("momentum and latency_weight are numbers from 0 on")
        if self.checked < 0 or (self.checked and self.credit != "regression"):
            raise ValueError("checked is a number of networks from 0 on, and needs credit=regression")

    def cost_of_a_sampling(self, op_counts: Sequence[int]) -> int:
        """Evaluations with one sampling a round: K + ... + (stop_at + 1)."""
        return sum(range(self.stop_at + 1, max(op_counts) + 1))

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        counts = candidates.space.op_counts
        samplings = self.rounds
        if samplings is None:
            dealt = max(1, ledger.left - self.checked)
            affordable = dealt / max(1, self.cost_of_a_sampling(counts))
            samplings = PUBLISHED_ROUNDS if math.isinf(affordable) else max(1, int(affordable))
        pruning = _Pruning(self, candidates, ledger, rng)
        for _ in range(max(counts) - self.stop_at):
            pruning.round(samplings)
            if not pruning.can_go_on:
                break
        return pruning.found()


@dataclass
class _Pruning:
    """What is alive, and how good it is taken to be."""

    search: Ddpnas
    candidates: Candidates
    ledger: Ledger
    rng: np.random.Generator
    can_go_on: bool = True
    seen: dict[Ops, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with all ops alive, and uniform distributions."""
        counts = self.candidates.space.op_counts
        self.within = self.candidates
        self.alive = [tuple(range(count)) for count in counts]
        self.theta = [np.full(count, 1 / count) for count in counts]
        self.params = complexity(self.candidates.space, "params").rows

    def round(self, samplings: int) -> None:
        """Sample, learn, and drop one op of each place; where evaluations run out, learn only."""
        before = self.seen
        if not all(self.ledger.keeps(network(self.candidates, ops)) for ops in before):
            self.seen = {}  # accuracies of other weights are not compared with those to come
        deals = [self._deal() for _ in range(samplings)]
        self._announce(deals)
        dealt = [self._evaluated(networks) for networks in deals if self.can_go_on]
        dealt = [samples for samples in dealt if samples]
        if not dealt:
            self.seen = before
            return
        for place, alive in enumerate(self.alive):
            credit = np.mean([self._softmax(samples, place, alive) for samples in dealt], axis=0)
            updated = credit + self.search.momentum * self.theta[place][list(alive)]
            self.theta[place][list(alive)] = updated / updated.sum()
        if self.can_go_on:
            self._prune()

    def _deal(self) -> list[Ops]:
        """Candidates among which each op of a place that is alive stands once, if the budget lets it."""
        best: list[Ops] = []
        size = max(map(len, self.alive))
        for _ in range(_DEALS):
            # a place with fewer ops deals them round again
            columns = [
                np.concatenate([self.rng.permutation(alive) for _ in range(-(-size // len(alive)))])[:size]
                for alive in self.alive
            ]
            networks = map(tuple, np.column_stack(columns).tolist())
            held = [ops for ops in networks if self.candidates.holds(ops)]
            if len(held) > len(best):
                best = held
            if len(best) == size:
                break
        return self._filled(best, size)

    def _filled(self, networks: list[Ops], size: int) -> list[Ops]:
        """The networks and others within the budget, which hold what is still missing as far as they can."""
        while len(networks) < size:
            rows = [self.rng.uniform(0, _NOISE, len(theta)) for theta in self.theta]
            for place, alive in enumerate(self.alive):
                held = {ops[place] for ops in networks}
                rows[place][[op for op in alive if op not in held]] += 1
            new = self.within.best(rows, without=networks)
            if not new:
                break
            networks = [*networks, *new]
        return networks

    def _announce(self, deals: Sequence[Sequence[Ops]]) -> None:
        """Say what will be asked for; the last evaluations may be kept for the table's best networks."""
        networks = [network(self.candidates, ops) for ops in dict.fromkeys(itertools.chain(*deals))]
        new = [one for one in networks if not self.ledger.keeps(one)]
        self.ledger.expect(new[: max(0, int(min(self.ledger.left - self.search.checked, len(new))))])

    def _evaluated(self, networks: Sequence[Ops]) -> list[Sample]:
        samples = []
        for ops in networks:
            kept = self.ledger.keeps(network(self.candidates, ops))
            if self.ledger.evaluations and self.ledger.left <= self.search.checked and not kept:
                self.can_go_on = False
                break
            self.seen[ops] = accuracy(self.ledger, self.candidates, ops)
            samples.append((ops, self.seen[ops] - self._price(ops)))
        return samples

    def _price(self, ops: Ops) -> float:
        limit, cost = self.candidates.cost_limit(), self.candidates.cost(ops)
        return self.search.latency_weight * cost / limit if limit and cost is not None else 0.0

    def _softmax(self, samples: Sequence[Sample], place: int, alive: Sequence[int]) -> Floats:
        """How good the ops of a place are by one deal; 0 for an op that no candidate had."""
        judged = np.array([value for _, value in samples])
        unit = 1.0 if self.search.temperature == "point" else float(judged.std()) or 1.0
        weights = np.exp((judged - judged.max()) / unit)
        had = np.array([[ops[place] == op for op in alive] for ops, _ in samples])
        # a place with fewer ops than networks deals an op twice: its mean counts
        times = np.maximum(had.sum(axis=0), 1)
        credit: Floats = weights @ had / times
        return np.asarray(credit / credit.sum())

    def _prune(self) -> None:
        """Drop the worst op of each place, unless no candidate would be left."""
        worth = self._table().rows if self.search.credit == "regression" else self.theta
        for place, alive in enumerate(self.alive):
            for op in sorted(alive, key=lambda op: float(worth[place][op])):
                if len(alive) <= self.search.stop_at:
                    break
                rest = [*self.alive]
                rest[place] = tuple(kept for kept in alive if kept != op)
                if self.search.guard and self._kinds(place, rest[place]) != self._kinds(place, alive):
                    continue
                try:
                    self.within = self.within.within(rest)
                except Infeasible:
                    continue
                self.alive = rest
                self.theta[place][op] = 0.0
                self.theta[place] /= self.theta[place].sum()
                break

    def _kinds(self, place: int, ops: Sequence[int]) -> set[bool]:
        """Whether there are ops with parameters among these, and without."""
        return {bool(self.params[place][op] > 0) for op in ops}

    def _table(self) -> TraitTable:
        """Fitted to everything that was evaluated; traits of cells begin with one for each edge."""
        judged = {ops: value - self._price(ops) for ops, value in self.seen.items()}
        return TraitTable.fitted(self.candidates, judged)

    def found(self) -> Found:
        """The best candidate by theta, or by the regressed table."""
        rows = [theta.copy() for theta in self.theta]
        if self.search.checked:
            ops = self._checked()
        elif self.search.credit == "regression":
            (ops,) = self.candidates.best_by_traits(self._table().rows)
        else:
            (ops,) = self.within.best(rows)
        table = ScoreTable(
            space=self.candidates.space.name,
            kind="custom",
            meaning="joint distribution of DDPNAS; 0 where an op was pruned; no accuracy",
            rows=tuple(rows),
            provenance={"method": "ddpnas", "evaluations": self.ledger.evaluations},
        )
        return Found(ops, table)

    def _checked(self) -> Ops:
        """The most accurate network, the table's best ones evaluated too."""
        while self.ledger.left >= 1:
            unseen = self.candidates.best_by_traits(self._table().rows, without=self.seen)
            if not unseen:
                break
            self.seen[unseen[0]] = accuracy(self.ledger, self.candidates, unseen[0])
        return max(self.seen, key=lambda ops: self.seen[ops] - self._price(ops))
