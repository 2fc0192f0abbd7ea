"""Which of the evaluated networks a search answers with."""

from __future__ import annotations

from collections.abc import Mapping

from ponas_core.held_out import residuals_of
from ponas_core.score_table import CEILING, ScoreTable
from ponas_core.searches.candidates import Ops
from ponas_core.verification import observation_weight, shrunk

FEWEST_TO_FIT = 4
"""Networks below which a table that is fitted to them says nothing."""


def most_accurate(observed: Mapping[Ops, float], table: ScoreTable | None, noise: float) -> Ops:
    """The network with the highest accuracy by observation and table together, the first of equals.

    The highest of many noisy observations is a lucky one, so each is shrunk towards the table by the share
    of the spread that noise explains (`ponas_core.verification`).

    Args:
        observed: accuracies in per cent.
        table: fitted to them, or to others; None for observations alone.
        noise: standard deviation of an observation in points; 0 for observations alone.
    """
    if table is None or not noise:
        return max(observed, key=lambda ops: observed[ops])
    best = max(table.value(ops) for ops in observed)
    weight = observation_weight(residuals_of(table).table_sd(noise), noise / (CEILING - best))
    return max(observed, key=lambda ops: shrunk(table.value(ops), observed[ops], weight))
