"""Candidates drawn from a policy: for every place one categorical distribution over its ops."""

from __future__ import annotations

import numpy as np

from ponas_core.searches.candidates import Candidates, Ops, Rows

_DRAWS = 30
"""Draws that break the budget, after which the solver is asked for the nearest network that holds it."""


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
