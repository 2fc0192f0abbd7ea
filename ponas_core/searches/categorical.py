"""A policy over the networks of a space: for every place one categorical distribution over its ops."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.score_table import ScoreTable
from ponas_core.searches.candidates import Candidates, Ops, Rows

_DRAWS = 30
"""Draws that break the budget, after which the solver is asked for the nearest network that holds it."""


def log_softmax(logits: Rows) -> list[NDArray[np.float64]]:
    """Log-probabilities of the ops of each place; finite where the logits are."""
    shifted = [row - row.max() for row in logits]
    return [row - np.log(np.exp(row).sum()) for row in shifted]


def softmax(logits: Rows) -> list[NDArray[np.float64]]:
    """Probabilities of the ops of each place."""
    return [np.exp(row) for row in log_softmax(logits)]


def argmax(rows: Rows) -> Ops:
    """The highest op of each place, the first of equals; perhaps not a candidate."""
    return tuple(int(row.argmax()) for row in rows)


def draw(log_rows: Rows, candidates: Candidates, rng: np.random.Generator) -> Ops:
    """A candidate, drawn from a policy.

    The highest of log-probabilities with standard Gumbel noise is a draw from the distribution. Draws that
    are no candidates are thrown away, which leaves the ratios between candidates as they are. Where many in
    a row are none, the candidate with the highest sum for the last noise is taken ("perturb and MAP",
    Papandreou and Yuille, ICCV 2011): the ratios are about right then, not exactly.

    Args:
        log_rows: log-probability of every op of each place.
        candidates: the networks to draw from.
        rng: everything random.
    """
    flat, noisy = np.concatenate(log_rows), list(log_rows)
    ends = np.cumsum([len(row) for row in log_rows]).tolist()
    places = [slice(end - len(row), end) for end, row in zip(ends, log_rows, strict=True)]
    for _ in range(_DRAWS):
        raised = flat + rng.gumbel(size=len(flat))
        noisy = [raised[place] for place in places]
        ops = argmax(noisy)
        if candidates.holds(ops):
            return ops
    return candidates.best(noisy)[0]


def log_probability_table(space_name: str, log_rows: Rows, provenance: Mapping[str, Any]) -> ScoreTable:
    """The score table of a policy.

    Args:
        space_name: name of the space.
        log_rows: log-probability of every op of each place.
        provenance: how the policy came about.
    """
    return ScoreTable(
        space=space_name,
        kind="custom",
        meaning="logarithm of the probability with which a policy chooses each op",
        rows=tuple(np.array(row, np.float64) for row in log_rows),
        provenance=provenance,
    )
