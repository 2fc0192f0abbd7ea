"""Evolution: children of the most accurate networks so far, by small changes and by crossing."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates, Ops
from ponas_core.searches.interface import Found, accuracies, accuracy, best_seen, expect
from ponas_core.searches.random_search import distinct, unseen

_MUTATIONS = 100
"""Children that are no candidates, after which a random candidate takes their place."""
_VAIN_CYCLES = 20
"""Cycles in a row whose child is known already, after which a random network that is not joins."""
_TRIES = 10
"""Tries for each child that is wanted, as in the released code of SPOS."""
_GENERATIONS = 10
"""Generations that there are at least, where so few evaluations are allowed that the population shrinks."""
_SMALLEST = 4
"""Members of the smallest population: two parents, a child by crossing and one by mutation."""


@dataclass(frozen=True)
class RegularizedEvolution:
    """Regularized evolution (Real et al., AAAI 2019): the oldest dies, however accurate it is.

    Each cycle draws a few of the population, changes one place of the most accurate of these, and adds the
    child. The defaults are those of the code released with NAS-Bench-201 (Dong and Yang, ICLR 2020). There
    every cycle costs an evaluation; here one whose child was evaluated before is free.

    Attributes:
        population: networks that are alive.
        tournament: draws from the population, with replacement, of which the most accurate is the parent.
        ahead: cycles after which a child is one of the population. 1 is the published algorithm; with more,
            so many networks can be evaluated at the same time, since no tournament waits for the newest.
    """

    population: int = 10
    tournament: int = 3
    ahead: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError for nobody alive or nobody drawn, or a child from the future."""
        if self.population < 1 or self.tournament < 1:
            raise ValueError(
                "evolution needs a population and a tournament of at least one network, "
                f"not {self.population} and {self.tournament}"
            )
        if self.ahead < 1:
            raise ValueError(f"a child joins the population after at least one cycle, not {self.ahead}")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        questions = _Questions(candidates, ledger)
        first = distinct(candidates, min(self.population, int(ledger.left)), rng)
        known = set(first)
        alive = deque(questions.put(first), maxlen=self.population)  # the oldest leaves in front
        young: deque[_Member] = deque()
        vain = 0
        while questions.left > 0:
            child: Ops | None = _one_change(candidates, self._parent(alive, questions, rng), rng)
            if vain == _VAIN_CYCLES:
                child = unseen(candidates, known, rng)
            if child is None:
                break
            vain = vain + 1 if child in known else 0
            known.add(child)
            young.extend(questions.put([child]))
            if len(young) == self.ahead:
                alive.append(young.popleft())
        questions.ask()
        return Found(best_seen(ledger))

    def _parent(self, alive: deque[_Member], questions: _Questions, rng: np.random.Generator) -> Ops:
        drawn = [alive[place] for place in rng.integers(len(alive), size=self.tournament)]
        return max(drawn, key=questions.accuracy).ops


@dataclass(eq=False)
class _Member:
    """A network of a population; its accuracy in per cent is not known before it is asked for."""

    ops: Ops
    accuracy: float | None = None


class _Questions:
    """Asks a ledger in the order in which members came, and not before an answer is needed.

    Most tournaments are decided without the newest members. So children of the next cycles are known, and an
    eager evaluator has several at work, while the answers and what follows from them stay the same.
    """

    def __init__(self, candidates: Candidates, ledger: Ledger) -> None:
        self._candidates, self._ledger = candidates, ledger
        self._open: deque[_Member] = deque()

    def put(self, networks: Collection[Ops]) -> list[_Member]:
        """New members, whose accuracies will be asked for."""
        expect(self._ledger, self._candidates, networks)
        members = [_Member(ops) for ops in networks]
        self._open.extend(members)
        return members

    def accuracy(self, member: _Member) -> float:
        """Accuracy of a member in per cent; those that came before it are asked for first."""
        while member.accuracy is None:
            self._ask_next()
        return member.accuracy

    def ask(self) -> None:
        """Ask for everything that is open."""
        while self._open:
            self._ask_next()

    @property
    def left(self) -> float:
        """How many evaluations may still be paid for once everything is asked."""
        if self._ledger.left <= len(self._open):  # some of them may cost nothing
            self.ask()
        return self._ledger.left - len(self._open)

    def _ask_next(self) -> None:
        member = self._open.popleft()
        member.accuracy = accuracy(self._ledger, self._candidates, member.ops)


def _one_change(candidates: Candidates, parent: Ops, rng: np.random.Generator) -> Ops:
    """A candidate that differs from its parent in one place; a random one where none is found."""
    counts = candidates.space.op_counts
    places = [place for place, count in enumerate(counts) if count > 1]
    for _ in range(_MUTATIONS if places else 0):
        place = places[int(rng.integers(len(places)))]
        other = (parent[place] + 1 + int(rng.integers(counts[place] - 1))) % counts[place]
        child = (*parent[:place], other, *parent[place + 1 :])
        if candidates.holds(child):
            return child
    return candidates.sample(rng)


@dataclass(frozen=True)
class SposEvolution:
    """The evolution of SPOS (Guo et al., ECCV 2020): generations of new networks from the best so far.

    Half of a generation are children by crossing, half by mutation; what is missing is random. No network
    comes twice. Where fewer than ten full generations are allowed, population and parents shrink in
    proportion, so that there are ten still.

    Attributes:
        population: networks of a generation.
        parents: the most accurate networks so far, which have the children.
        mutation: probability with which a mutation draws the op of a place anew.
    """

    population: int = 50
    parents: int = 10
    mutation: float = 0.1

    def __post_init__(self) -> None:
        """Raise ValueError for too small a generation, no parents or no probability."""
        if self.population < _SMALLEST or self.parents < 1:
            raise ValueError(
                f"evolution needs a population from {_SMALLEST} on and at least one parent, "
                f"not {self.population} and {self.parents}"
            )
        if not 0 < self.mutation <= 1:
            raise ValueError(f"the probability of a mutation is above 0 and at most 1, not {self.mutation}")

    def run(self, candidates: Candidates, ledger: Ledger, rng: np.random.Generator) -> Found:
        """Search; see `Search.run`."""
        size = min(self.population, max(_SMALLEST, int(ledger.left) // _GENERATIONS))
        parents = max(min(2, self.parents), round(self.parents * size / self.population))
        known: dict[Ops, float] = {}
        generation = distinct(candidates, min(size, int(ledger.left)), rng)
        while generation:
            known |= accuracies(ledger, candidates, generation)
            best = heapq.nlargest(parents, known, key=known.__getitem__)
            generation = self._children(candidates, best, known, min(size, int(ledger.left)), rng)
        return Found(best_seen(ledger))

    def _children(
        self,
        candidates: Candidates,
        parents: list[Ops],
        known: Collection[Ops],
        count: int,
        rng: np.random.Generator,
    ) -> list[Ops]:
        """So many candidates that are not known; fewer where there are no more."""
        counts = np.array(candidates.space.op_counts)

        def mutated() -> Ops:
            parent = np.array(_any(parents, rng))
            drawn = rng.random(len(counts)) < self.mutation
            return tuple(np.where(drawn, rng.integers(counts), parent).tolist())

        def crossed() -> Ops:
            one, other = _any(parents, rng), _any(parents, rng)
            return tuple(np.where(rng.random(len(counts)) < 0.5, one, other).tolist())

        found: dict[Ops, None] = {}
        for make, wanted in ((crossed, count // 2), (mutated, count)):
            _add_new(found, make, wanted, lambda ops: candidates.holds(ops) and ops not in known)
        taken = {*known, *found}
        while len(found) < count:
            ops = unseen(candidates, taken, rng)
            if ops is None:
                break
            found[ops] = None
            taken.add(ops)
        return list(found)


def _any(parents: list[Ops], rng: np.random.Generator) -> Ops:
    return parents[int(rng.integers(len(parents)))]


def _add_new(
    found: dict[Ops, None], make: Callable[[], Ops], wanted: int, is_new: Callable[[Ops], bool]
) -> None:
    """Add children until so many are found, or too many tries were in vain."""
    for _ in range(_TRIES * (wanted - len(found))):
        if len(found) >= wanted:
            break
        ops = make()
        if is_new(ops):
            found[ops] = None
