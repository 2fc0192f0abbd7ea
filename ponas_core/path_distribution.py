"""A distribution over the paths of a supernet: every layer draws its op by itself, from a softmax of logits.

Draws go by the largest of logit plus Gumbel noise, without replacement by the largest two (Yellott 1977), so
that no probability is too small to be drawn beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.cost import CostTable

Floats = NDArray[np.float64]
LogitRows: TypeAlias = Sequence[Floats]
"""rows[layer][op], float64."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What one layer does at a step of the architecture.

    Attributes:
        sampled: ops that learn from the step, rising; probabilities are taken among them.
        active: position in `sampled` of the op that the batch goes through.
    """

    sampled: tuple[int, ...]
    active: int

    @property
    def op(self) -> int:
        """The op that the batch goes through."""
        return self.sampled[self.active]


def log_softmax(logits: Floats) -> Floats:
    """Logarithms of the probabilities, finite for finite logits."""
    shifted = logits - logits.max()
    found: Floats = shifted - math.log(np.exp(shifted).sum())
    return found


def softmax(logits: Floats) -> Floats:
    """The probabilities."""
    return np.exp(log_softmax(logits))


def draw_path(rows: LogitRows, rng: np.random.Generator) -> tuple[int, ...]:
    """One op a layer."""
    return tuple(int((row + rng.gumbel(size=row.size)).argmax()) for row in rows)


def draw_among_all(rows: LogitRows, rng: np.random.Generator) -> tuple[Draw, ...]:
    """A path, from which every op of every layer learns."""
    path = draw_path(rows, rng)
    return tuple(Draw(tuple(range(row.size)), op) for row, op in zip(rows, path, strict=True))


def draw_pairs(rows: LogitRows, rng: np.random.Generator) -> tuple[Draw, ...]:
    """Two ops of every layer without replacement, and which of them is active, by their share of the pair.

    A layer with one op gives that.
    """
    return tuple(_draw_pair(row, rng) for row in rows)


def _draw_pair(row: Floats, rng: np.random.Generator) -> Draw:
    largest = np.argsort(-(row + rng.gumbel(size=row.size)), kind="stable")[:2]
    pair = np.sort(largest)
    active = int((row[pair] + rng.gumbel(size=pair.size)).argmax())
    return Draw(tuple(pair.tolist()), active)


def through_softmax(probabilities: Floats, gates: Floats) -> Floats:
    """Gradient in the logits from that in the gates: sum_j dL/dg_j p_j (delta_ij - p_i).

    Args:
        probabilities: of the ops among which the softmax is taken.
        gates: dL/dg_j of these ops.
    """
    found: Floats = probabilities * (gates - probabilities @ gates)
    return found


def logit_gradients(rows: LogitRows, draws: Sequence[Draw], gates: Sequence[Floats]) -> list[Floats]:
    """Gradient in the logits, 0 for ops that are not sampled.

    Args:
        rows: the logits.
        draws: of every layer.
        gates: gates[layer][position in sampled], dL/dg_j.
    """
    found = []
    for row, draw, along in zip(rows, draws, gates, strict=True):
        sampled = list(draw.sampled)
        gradient = np.zeros(row.size)
        gradient[sampled] = through_softmax(softmax(row[sampled]), along)
        found.append(gradient)
    return found


def path_gradients(rows: LogitRows, path: Sequence[int]) -> list[Floats]:
    """Gradient of -log p of a path in the logits."""
    found = []
    for row, op in zip(rows, path, strict=True):
        gradient = softmax(row)
        gradient[op] -= 1
        found.append(gradient)
    return found


def gate_costs(cost: CostTable, draws: Sequence[Draw]) -> list[Floats]:
    """Gradient of the cost in the gates: of each sampled op its own cost, whichever is active."""
    return [row[list(draw.sampled)] for row, draw in zip(cost.rows, draws, strict=True)]


def expected_cost(rows: LogitRows, cost: CostTable) -> float:
    """E[T] = fixed part + sum over layers and ops of p * T."""
    means = (float(softmax(row) @ costs) for row, costs in zip(rows, cost.rows, strict=True))
    return math.fsum([cost.fixed, *means])


def expected_cost_gradient(rows: LogitRows, cost: CostTable) -> list[Floats]:
    """Gradient of E[T] in the logits of every layer."""
    return [through_softmax(softmax(row), costs) for row, costs in zip(rows, cost.rows, strict=True)]


def keep_others(before: Floats, after: Floats, sampled: Sequence[int]) -> Floats:
    """Logits after a step, shifted so that ops that were not sampled keep their probability.

    From the sampled ones goes log(sum exp(after) / sum exp(before)), both sums over them.

    Args:
        before: a layer's logits.
        after: those after the step, which moved the sampled ones only.
        sampled: the ops that it moved.
    """
    chosen, found = list(sampled), after.copy()
    found[chosen] -= np.logaddexp.reduce(after[chosen]) - np.logaddexp.reduce(before[chosen])
    return found
