"""A score table over the traits of networks, and what its fit leaves open: a distribution over tables."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.score_table import log_error
from ponas_core.searches.candidates import Candidates, Ops

Floats = NDArray[np.float64]
RIDGE = 0.25
"""Penalty on an entry, that is noise over the spread of entries; on the log of the error."""


@dataclass(frozen=True, eq=False)
class TraitTable:
    """A normal distribution over tables of one number per value of each trait, on the log of the error.

    Attributes:
        counts: values of each trait.
        mean: (entries,), traits one after the other.
        spread: a square root of the covariance, (entries, entries).
    """

    counts: tuple[int, ...]
    mean: Floats
    spread: Floats

    @classmethod
    def fitted(
        cls,
        candidates: Candidates,
        accuracies: Mapping[Ops, float],
        *,
        ridge: float = RIDGE,
        top: float | None = None,
    ) -> TraitTable:
        """Weighted ridge regression with a free intercept, and its posterior with the residuals' variance.

        Args:
            candidates: tell the traits of networks.
            accuracies: of networks in per cent, at least one.
            ridge: penalty on the entries.
            top: a network weighs 1 / (1 + rank / top), the best having rank 0; None weighs all alike.
        """
        counts = candidates.trait_counts
        traits = np.array([candidates.traits(ops) for ops in accuracies], np.intp)
        target = log_error(list(accuracies.values()))
        ranks = np.argsort(np.argsort(-target, kind="stable"), kind="stable")
        weights = np.ones(len(target)) if top is None else 1 / (1 + ranks / top)
        design = np.zeros((len(traits), sum(counts)))
        np.put_along_axis(design, traits + np.cumsum([0, *counts[:-1]]), 1.0, axis=1)
        share = weights / weights.sum()
        centre, level = share @ design, float(share @ target)
        features, above = design - centre, target - level
        weighted = features * weights[:, np.newaxis]
        precision = weighted.T @ features + ridge * np.eye(sum(counts))
        mean = np.linalg.solve(precision, weighted.T @ above)
        variance = float(share @ (above - features @ mean) ** 2)
        # precision = L L', so the covariance is (inverse of L)' (inverse of L)
        spread = np.linalg.inv(np.linalg.cholesky(precision)).T * np.sqrt(variance)
        return cls(counts, mean, spread)

    @property
    def rows(self) -> list[Floats]:
        """The mean: rows[trait][value]."""
        return self._rows(self.mean)

    def draw(self, rng: np.random.Generator) -> list[Floats]:
        """A table drawn at random: rows[trait][value]."""
        return self._rows(self.mean + self.spread @ rng.standard_normal(len(self.mean)))

    def _rows(self, entries: Floats) -> list[Floats]:
        ends = np.cumsum([0, *self.counts])
        return [entries[start:end] for start, end in itertools.pairwise(ends)]
