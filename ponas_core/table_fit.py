"""Score tables fitted to accuracies of whole networks: ridge regression on the log of the error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ponas_core.accuracies import KnownAccuracies
from ponas_core.cell_space import OpSpace
from ponas_core.complexity import complexity
from ponas_core.evaluation import Evaluator, ledger_of
from ponas_core.held_out import Residuals
from ponas_core.provenance import estimated_by
from ponas_core.sampling import Band, random_sample
from ponas_core.score_table import ScoreTable, ScoreTableError, log_error
from ponas_core.space import SearchSpace

RIDGES = np.logspace(3, -8, 45)
"""Penalties that are tried, the strongest first; the weakest leaves accuracies that add up as they are."""
_PRIOR_PENALTY = 0.01
"""Penalty on the slope along MACs, as a share of that on an entry: one number that all networks tell."""

Floats = NDArray[np.float64]


def fitted_table(space: OpSpace, known: KnownAccuracies, ridge: float | None = None) -> ScoreTable:
    """Fit accuracies of whole networks by one number per (layer, op), on the scale of the log of the error.

    On that scale accuracies of chains are nearly additive (NAS-Bench-Macro: Spearman 0.979, the noise between
    two training seeds). Entries are shrunk towards a multiple of their block's multiply-accumulates, not
    towards 0: with few or noisy accuracies a larger block is taken to be the better one. The multiple is
    fitted with the entries, so it vanishes where it does not help.

    Args:
        space: the space.
        known: accuracies; at least two networks.
        ridge: penalty on the entries; None chooses it by the errors on networks left out one at a time
            (closed form, Allen 1974: residual / (1 - leverage)).

    Raises:
        ScoreTableError: fewer than two networks.
    """
    if len(known.values) < 2:
        raise ScoreTableError(f"a score table needs at least two accuracies, got {len(known.values)}")
    macs = _macs_of_entries(space)
    design, penalties = _design(space, np.array(list(known.values), np.intp), macs)
    target = log_error(list(known.values.values()))
    ridges = RIDGES if ridge is None else np.array([ridge])
    fit = _Ridge.of(design / np.sqrt(penalties), target, ridges)
    *entries, slope = fit.coefficients / np.sqrt(penalties)
    flat = np.array(entries) + slope * macs
    rows = tuple(flat[start:end] for start, end in itertools.pairwise([0, *np.cumsum(space.op_counts)]))
    provenance = {
        "method": "fitted",
        "source": known.source,
        "networks": len(known.values),
        "evaluations": len(known.values),
        "seed": None,
        "ridge": fit.ridge,
        "left_out": Residuals.of(fit.left_out, target).to_json(),
    }
    return ScoreTable(
        space=space.name,
        kind="accuracy",
        meaning=f"accuracy in per cent, fitted per block on the log of the error; {known.source}",
        rows=rows,
        intercept=fit.intercept,
        link="log-error",
        provenance=provenance,
    )


def fitted_estimate(
    space: SearchSpace,
    evaluator: Evaluator,
    rng: np.random.Generator,
    count: int,
    *,
    bands: Sequence[Band] = (),
    ridge: float | None = None,
) -> ScoreTable:
    """Evaluate distinct random networks and fit a table to them.

    Args:
        space: the space.
        evaluator: tells accuracies; a `Ledger` is used as it is.
        rng: draws the networks.
        count: how many networks are evaluated, at least two.
        bands: where the networks lie, anywhere unless given.
        ridge: as in `fitted_table`.

    Raises:
        ScoreTableError: fewer than two networks.
        ValueError: there are fewer such networks than asked for.
    """
    ledger = ledger_of(evaluator)
    networks = random_sample(space, rng, count, bands=bands)
    ledger.expect(networks)
    values = {architecture.ops: ledger.accuracy(architecture) for architecture in networks}
    table = fitted_table(space, KnownAccuracies(values, ledger.description), ridge)
    estimate = estimated_by("fitted", ledger, len(values), rng)
    settings = {
        "bands": [
            {"cost": band.cost.name, "at_least": band.at_least, "at_most": band.at_most} for band in bands
        ]
    }
    return replace(table, provenance={**table.provenance, **estimate, **settings})


def _macs_of_entries(space: OpSpace) -> Floats:
    """Multiply-accumulates of every entry, scaled so that their sum over a random network has variance 1."""
    rows = complexity(space, "macs").rows
    spread = float(np.sqrt(sum(row.var() for row in rows)))
    return np.concatenate([row - row.min() for row in rows]) / (spread or 1.0)


def _design(space: OpSpace, ops: NDArray[np.intp], macs: Floats) -> tuple[Floats, Floats]:
    """One column per entry and one for MACs, (networks, entries + 1); and the penalty of each column."""
    sizes = space.op_counts
    chosen = np.zeros((len(ops), sum(sizes)))
    np.put_along_axis(chosen, ops + np.concatenate([[0], np.cumsum(sizes)[:-1]]), 1.0, axis=1)
    design = np.column_stack([chosen, chosen @ macs])
    return design, np.array([*np.ones(sum(sizes)), _PRIOR_PENALTY])


@dataclass(frozen=True)
class _Ridge:
    """A ridge regression whose intercept is free.

    Attributes:
        ridge: the penalty with the smallest squared error on what was left out.
        coefficients: (features,).
        intercept: of the features as given.
        left_out: prediction of every row by all the others, (rows,).
    """

    ridge: float
    coefficients: Floats
    intercept: float
    left_out: Floats

    @classmethod
    def of(cls, features: Floats, target: Floats, ridges: Floats) -> _Ridge:
        """Fit (rows, features) to (rows,) with the best of the penalties."""
        centre, mean = features.mean(axis=0), float(target.mean())
        left, singular, right = np.linalg.svd(features - centre, full_matrices=False)
        kept = singular**2 / (singular**2 + ridges[:, np.newaxis])
        residuals = target - mean - (kept * (left.T @ (target - mean))) @ left.T
        errors = residuals / (1 - 1 / len(target) - kept @ (left**2).T)
        best = int((errors**2).mean(axis=1).argmin())
        scaled = singular / (singular**2 + ridges[best]) * (left.T @ (target - mean))
        coefficients = right.T @ scaled
        return cls(
            float(ridges[best]),
            coefficients,
            mean - float(centre @ coefficients),
            target - errors[best],
        )
