"""How an estimated score table came about, as plain values for its file."""

from __future__ import annotations

from typing import Any

import numpy as np

from ponas_core.evaluation import Evaluator, described


def estimated_by(
    method: str, evaluator: Evaluator, evaluations: int, rng: np.random.Generator | None
) -> dict[str, Any]:
    """What every estimated table tells.

    Args:
        method: how, one word.
        evaluator: who told the accuracies.
        evaluations: how many evaluations the table rests on, whoever paid for them.
        rng: what was drawn with; None where nothing was drawn.
    """
    return {
        "method": method,
        "evaluator": described(evaluator),
        "evaluations": evaluations,
        "seed": None if rng is None else seed_of(rng),
    }


def seed_of(rng: np.random.Generator) -> int | list[int] | None:
    """What a generator was seeded with; None where it does not tell.

    It tells how to repeat a draw only where nothing else was drawn from the generator before.
    """
    entropy = getattr(rng.bit_generator.seed_seq, "entropy", None)
    if entropy is None:
        return None
    return int(entropy) if np.ndim(entropy) == 0 else [int(part) for part in entropy]
