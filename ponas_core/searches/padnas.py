"""PAD-NAS: progressive pruning of every layer's own set of ops (WACV 2022, arXiv 2005.10068).

Re-implemented from the paper's abstract, which tells of op sets per layer, of pruning them progressively, of
a trade-off between quality and diversity, and of a constraint that holds during the search. Shapes, drop
rates and schedules are ours.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import KnownAccuracies
from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger
from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.choice import FEWEST_TO_FIT, most_accurate
from ponas_core.searches.interface import Found, accuracies, accuracy, expect
from ponas_core.solve import Infeasible
from ponas_core.table_fit import fitted_table

Credit: TypeAlias = Literal["mean", "share", "ridge"]
Alive: TypeAlias = Sequence[tuple[int, ...]]
Train: TypeAlias = Callable[[int, Alive], None]
"""Stage and ops that are alive in it: trains the supernet among these before they are evaluated."""
Floats = NDArray[np.float64]

PRUNED = 25.0
"""What a pruned op's score lies below its fit: more than all others can make up, on the log of the error."""
_DRAWS = 100
"""Draws below the band after which any candidate will do."""
_BEST_SHARE = 0.25
"""Of the networks of a stage, whose ops `share` counts."""


@dataclass(frozen=True)
class PadNas:
    """Train, evaluate and prune in stages; then a table among what is left.

    Attributes:
        stages: how many.
        keep: share of the ops of each place that a stage keeps, rounded up over all stages together.
        fewest: ops that a place keeps at least.
        band: networks are drawn whose cost is at least this share of the budget: without it large ops win,
            and what a small budget needs is pruned.
        credit: quality of an op: `mean` accuracy of the networks that hold it, `share` of the best quarter
            that do, or `ridge`, what a fitted table says of the best candidate that holds it: under a small
            budget a good op that leaves no room for the others is worth little.
        diversity: weight, in standard deviations of the quality, of how unlike the kept ops of a place are:
            the mean distance between the logarithms of their multiply-accumulates, in standard deviations.
        checked: evaluations that are kept for the best networks of the last table.
        noise: standard deviation of an evaluation in points, for the choice among these.
        train: called before each stage's evaluations; None where weights do not change. What was evaluated
            before counts no more then.
    """

    stages: int = 3
    keep: float = 0.7
    fewest: int = 2
    band: float = 0.8
    credit: Credit = "ridge"
    diversity: float = 0.1
    checked: int = 8
    noise: float = 0.0
    train: Train | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for settings without a meaning."""
        if self.stages < 1 or self.fewest < 1 or self.checked < 1:
            raise ValueError("stages, fewest and checked are at least 1")
        if not (0 < self.keep <= 1 and 0 <= self.band <= 1):
            raise ValueError("keep is a share above 0 up to 1, band one from 0 to 1")
        if not (0 <= self.diversity < math.inf and 0 <= self.noise < math.inf):
            raise ValueError("diversity and noise are numbers from 0 on")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`.

        Raises:
            ValueError: fewer evaluations than stages and a check.
        """
        most = int(ledger.left)
        if most < self.stages + 1:
            raise ValueError(
                f"{self.stages} stages and a check take {self.stages + 1} evaluations, not {most}"
            )
        # with few evaluations, half of them fill the table
        filling = max(most - self.checked, (most + 1) // 2, self.stages)
        alive: Alive = [tuple(range(count)) for count in candidates.space.op_counts]
        within, seen = candidates, dict[Ops, float]()
        for stage in range(self.stages):
            if self.train is not None:
                self.train(stage, alive)
                ledger.forget()
                seen.clear()
            drawn = filling * (stage + 1) // self.stages - filling * stage // self.stages
            if stage + 1 == self.stages:  # a table takes some, and checks come after it
                drawn = max(drawn, FEWEST_TO_FIT - len(seen))
            networks = self._drawn(within, drawn, rng)
            expect(ledger, candidates, networks)
            for ops in networks:
                if ledger.left < 1:
                    break
                seen[ops] = accuracy(ledger, candidates, ops)
            if stage + 1 < self.stages:
                alive, within = self._pruned(within, alive, seen, self.keep ** (stage + 1))
        return self._found(candidates, within, alive, ledger, seen)

    def _drawn(self, within: Candidates, count: int, rng: np.random.Generator) -> list[Ops]:
        """Distinct candidates inside the band, as far as there are any; else others."""
        found: dict[Ops, None] = {}
        vain = 0
        while len(found) < min(count, within.count) and vain < 10 * _DRAWS:
            before = len(found)
            found[self._in_band(within, rng)] = None
            vain = 0 if len(found) > before else vain + 1
        return list(found)

    def _in_band(self, within: Candidates, rng: np.random.Generator) -> Ops:
        limit = within.cost_limit()
        ops = within.sample(rng)
        for _ in range(_DRAWS if limit else 0):
            if (within.cost(ops) or 0.0) >= self.band * (limit or 0.0):
                break
            ops = within.sample(rng)
        return ops

    def _pruned(
        self, within: Candidates, alive: Alive, seen: Mapping[Ops, float], share: float
    ) -> tuple[Alive, Candidates]:
        """What stays alive at each place, one place after the other: a candidate is always left."""
        kept = [*alive]
        worth = self._worth(within, alive, seen)
        sizes = [np.log1p(row) for row in complexity(within.space, "macs").rows]
        for place, ops in enumerate(alive):
            of_all = math.ceil(share * within.space.op_counts[place])
            size = min(len(ops), max(self.fewest, of_all))
            for subset in self._by_merit(ops, worth[place], sizes[place], size):
                rest = [*kept]
                rest[place] = subset
                try:
                    within = within.within(rest)
                except Infeasible:
                    continue
                kept = rest
                break
        return kept, within

    def _by_merit(
        self, ops: Sequence[int], worth: Floats, log_macs: Floats, size: int
    ) -> list[tuple[int, ...]]:
        """Subsets of the ops of a place, those with the highest quality and diversity first."""
        quality, spread = (_standardized(values[list(ops)]) for values in (worth, log_macs))
        merit = {}
        for chosen in itertools.combinations(range(len(ops)), size):
            apart = [abs(spread[one] - spread[other]) for one, other in itertools.combinations(chosen, 2)]
            diversity = math.fsum(apart) / len(apart) if apart else 0.0
            merit[tuple(ops[number] for number in chosen)] = (
                float(quality[list(chosen)].mean()) + self.diversity * diversity
            )
        return sorted(merit, key=lambda subset: -merit[subset])

    def _worth(self, within: Candidates, alive: Alive, seen: Mapping[Ops, float]) -> list[Floats]:
        """Quality of every op; that of one which no network holds is the lowest."""
        if self.credit == "ridge" and len(seen) >= FEWEST_TO_FIT:
            table = fitted_table(within.space, KnownAccuracies(dict(seen), ""))
            return _best_with_each(within, alive, table)
        ops, accuracies = np.array(list(seen), np.intp), np.array(list(seen.values()))
        if self.credit == "share":
            accuracies = (accuracies >= np.quantile(accuracies, 1 - _BEST_SHARE)).astype(np.float64)
        rows = []
        for place, count in enumerate(within.space.op_counts):
            held = ops[:, place, np.newaxis] == np.arange(count)
            means = accuracies @ held / np.maximum(held.sum(axis=0), 1)
            rows.append(np.where(held.any(axis=0), means, accuracies.min() - 1))
        return rows

    def _found(
        self,
        candidates: Candidates,
        within: Candidates,
        alive: Alive,
        ledger: Ledger,
        seen: dict[Ops, float],
    ) -> Found:
        if len(seen) < FEWEST_TO_FIT:
            return Found(most_accurate(seen, None, self.noise))
        table = fitted_table(candidates.space, KnownAccuracies(dict(seen), ledger.description))
        unseen = within.best(table.rows, max(1, int(ledger.left)), without=seen)
        seen |= accuracies(ledger, candidates, unseen[: int(ledger.left)])
        among = {ops: value for ops, value in seen.items() if within.holds(ops)} or seen
        return Found(most_accurate(among, table, self.noise), _only(table, alive))


def _best_with_each(within: Candidates, alive: Alive, table: ScoreTable) -> list[Floats]:
    """What a table says of the best candidate that holds an op; far below for ops that none holds."""
    rows = list(table.rows)
    if within.cost_limit() is None:
        return rows
    found = []
    for place, ops in enumerate(alive):
        worth = np.full(rows[place].size, -PRUNED)
        for op in ops:
            favoured = rows[place].copy()
            favoured[op] += PRUNED
            best = within.best([*rows[:place], favoured, *rows[place + 1 :]])[0]
            if best[place] == op:
                worth[op] = table.total(best)
        found.append(worth)
    return found


def _standardized(values: Floats) -> Floats:
    centred: Floats = values - values.mean()
    return centred / (float(centred.std()) or 1.0)


def _only(table: ScoreTable, alive: Alive) -> ScoreTable:
    """The table with pruned ops so far down that they are never chosen where others hold the budget."""
    rows = []
    for row, ops in zip(table.rows, alive, strict=True):
        pruned = ~np.isin(np.arange(row.size), list(ops))
        rows.append(row - PRUNED * pruned)
    provenance = {**table.provenance, "method": "padnas", "alive": [list(ops) for ops in alive]}
    return replace(table, rows=tuple(rows), provenance=provenance)
