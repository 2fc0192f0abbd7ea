"""What the accuracy of a whole network costs, and who keeps the books."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from ponas_core.accuracies import Encoded, KnownAccuracies

Evaluated = tuple[Encoded, float]
"""A network and its accuracy in per cent."""


class Evaluator(Protocol):
    """Whatever can tell the accuracy of a network: a table, a supernet, a training run."""

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy of a network in per cent, 0 to 100; may be noisy, and costs one evaluation."""
        ...


@runtime_checkable
class EagerEvaluator(Evaluator, Protocol):
    """An evaluator that can begin before it is asked, such as one that has other computers at work."""

    def expect(self, architectures: Sequence[Encoded]) -> None:
        """Networks whose accuracy will be asked for soon, in about this order."""
        ...


class OutOfEvaluations(RuntimeError):
    """As many networks were evaluated as are allowed."""

    def __init__(self, most: int) -> None:
        """Say the figure."""
        self.most = most
        super().__init__(
            f"all {most} evaluations that were allowed are spent: allow more, or ask for less; what was "
            "evaluated is kept"
        )


class TabularEvaluator:
    """Known accuracies, with Gaussian noise where asked for, in place of training.

    The noise of a network is drawn from a generator seeded with the seed and the network's op indexes. So it
    does not depend on the order of calls, asking twice gives one answer, as evaluating a network twice on the
    same images does, and another seed is an independent evaluation of every network.

    Args:
        known: accuracies in per cent.
        noise_sd: standard deviation of the noise, in points; the sum is kept within 0 to 100.
        seed: of the noise, from 0 on.
    """

    def __init__(self, known: KnownAccuracies, noise_sd: float = 0.0, seed: int = 0) -> None:
        if not (math.isfinite(noise_sd) and noise_sd >= 0):
            raise ValueError(f"the noise of an evaluation is a number of points from 0 on, not {noise_sd}")
        self._known, self._noise_sd, self._seed = known, noise_sd, seed

    @property
    def description(self) -> str:
        """What is read, one line."""
        noise = f", with noise of {self._noise_sd:g} points, seed {self._seed}" if self._noise_sd else ""
        return f"known accuracies ({self._known.source}){noise}"

    def accuracy(self, architecture: Encoded) -> float:
        """Known accuracy and noise, in per cent; KeyError where the accuracy is not known."""
        known = self._known.get(architecture)
        if known is None:
            raise KeyError(f"no accuracy is known of {architecture} ({self._known.source})")
        if not self._noise_sd:
            return known
        rng = np.random.default_rng([self._seed, *architecture.ops])
        return float(np.clip(known + self._noise_sd * rng.standard_normal(), 0.0, 100.0))


class Ledger:
    """Pays for each network once, counts, remembers in order, and stops where told.

    One ledger serves one space. Spellings of one network (an identity in front of a block or behind it) are
    different architectures here: in a supernet they have different weights.

    Args:
        evaluator: who is asked.
        most: networks that may be evaluated in all, those of `history` included; None for any number.
        history: networks that were evaluated before, so that an interrupted search goes on.
        on_new: told of every new accuracy right after it was paid for, such as a journal.
        lasting: whether an accuracy stays true. Where an evaluation trains the weights on, it does not: then
            every question is paid for, and `history` answers the first ones, in its order.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        most: int | None = None,
        history: Iterable[Evaluated] = (),
        on_new: Callable[[Encoded, float], None] | None = None,
        lasting: bool = True,
    ) -> None:
        self._evaluator, self._most, self._on_new, self._lasting = evaluator, most, on_new, lasting
        before = list(history)
        self._replayed: deque[Evaluated] = deque() if lasting else deque(before)
        once = {architecture.ops: (architecture, accuracy) for architecture, accuracy in before}
        self._history = list(once.values()) if lasting else []
        self._kept = {ops: accuracy for ops, (_, accuracy) in once.items()} if lasting else {}

    @property
    def description(self) -> str:
        """What the evaluator is."""
        return described(self._evaluator)

    @property
    def history(self) -> tuple[Evaluated, ...]:
        """Every evaluation that was paid for, in order."""
        return tuple(self._history)

    @property
    def evaluations(self) -> int:
        """How many evaluations were paid for."""
        return len(self._history)

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy in per cent, evaluated where it is not kept.

        Raises:
            OutOfEvaluations: it is not kept, and all evaluations are spent.
            ValueError: the evaluator's answer is no percentage, or `history` is of another search.
        """
        if self._lasting and architecture.ops in self._kept:
            return self._kept[architecture.ops]
        if self._most is not None and self.evaluations >= self._most:
            raise OutOfEvaluations(self._most)
        if self._replayed:
            return self._replay(architecture)
        accuracy = float(self._evaluator.accuracy(architecture))
        if not (math.isfinite(accuracy) and 0 <= accuracy <= 100):
            raise ValueError(f"the accuracy of {architecture} is given as {accuracy}, which is no percentage")
        self._kept[architecture.ops] = accuracy
        self._history.append((architecture, accuracy))
        if self._on_new is not None:
            self._on_new(architecture, accuracy)
        return accuracy

    def _replay(self, architecture: Encoded) -> float:
        before, accuracy = self._replayed.popleft()
        if before.ops != architecture.ops:
            raise ValueError(
                f"what was kept is of another search: {before} was evaluated, not {architecture}; "
                "choose another place, or move it away to search anew"
            )
        self._history.append((architecture, accuracy))
        return accuracy

    def expect(self, architectures: Sequence[Encoded]) -> None:
        """Say which networks will be asked for soon, so that an eager evaluator can begin with them.

        Nothing is paid for, and no answer changes. Networks that are kept, or more than may still be paid
        for, are not told on; nor are any where accuracies do not last, since there the order matters.
        """
        if not (self._lasting and isinstance(self._evaluator, EagerEvaluator)):
            return
        new = {network.ops: network for network in architectures if network.ops not in self._kept}
        self._evaluator.expect(list(new.values())[: int(min(self.left, len(new)))])

    @property
    def left(self) -> float:
        """How many evaluations may still be paid for; infinite where any number may."""
        return math.inf if self._most is None else self._most - self.evaluations

    def keeps(self, architecture: Encoded) -> bool:
        """Whether asking for this network costs nothing."""
        return self._lasting and architecture.ops in self._kept

    def forget(self) -> None:
        """Pay anew from here on, since weights have changed; count and history stay."""
        self._kept.clear()


def described(evaluator: Evaluator) -> str:
    """What an evaluator says of itself, else the name of its class."""
    return str(getattr(evaluator, "description", type(evaluator).__name__))


def ledger_of(evaluator: Evaluator) -> Ledger:
    """The evaluator, if it keeps books already, else a ledger of its own."""
    return evaluator if isinstance(evaluator, Ledger) else Ledger(evaluator)
