"""How well a score table ranks networks that did not fill it, and how far off it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.provenance import seed_of
from ponas_core.score_table import CEILING, ScoreTable, ScoreTableError, log_error
from ponas_core.space import Architecture

FEWEST = 5
"""Networks below which a rank correlation says nothing."""
RESAMPLES = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Residuals:
    """How far a table is off, on the log of the error, in the half of the networks that it holds for better.

    Winners come from that half. The other half, where a few broken networks are tens of points off, says
    nothing of them.

    Attributes:
        log_sd: standard deviation of observed minus predicted log error, noise of the observations included.
        log_per_point: what a point of accuracy is on that scale: root mean square of 1 / error.
    """

    log_sd: float
    log_per_point: float

    @classmethod
    def of(cls, predicted: Floats, observed: Floats) -> Residuals:
        """From log errors of the same networks, (networks,) each, at least two."""
        better = np.argsort(-predicted, kind="stable")[: max(2, (len(predicted) + 1) // 2)]
        residuals = (observed - predicted)[better]
        # 1 / error is the exponential of minus its log, which is what a log error is
        per_point = np.sqrt(np.mean(np.exp(2 * observed[better])))
        return cls(float(residuals.std(ddof=1)), float(per_point))

    def table_sd(self, noise_sd: float) -> float:
        """What is left when noise of so many points is taken off; 0 where noise explains it all."""
        return float(np.sqrt(max(0.0, self.log_sd**2 - (noise_sd * self.log_per_point) ** 2)))

    def to_json(self) -> dict[str, float]:
        """Plain values for a file."""
        return asdict(self)


def residuals_of(table: ScoreTable) -> Residuals:
    """What a table tells of its own errors: on held-out networks, else on those left out one at a time.

    Raises:
        ScoreTableError: neither was stored with the table.
    """
    for key in ("held_out", "left_out"):
        found = table.provenance.get(key)
        if isinstance(found, Mapping) and {"log_sd", "log_per_point"} <= set(found):
            return Residuals(float(found["log_sd"]), float(found["log_per_point"]))
    raise ScoreTableError(
        "the score table does not tell how far it is off: evaluate networks that did not fill it, "
        "and pass them to held_out_rank"
    )


def held_out_rank(
    table: ScoreTable,
    architectures: Sequence[Architecture],
    accuracies: Sequence[float],
    rng: np.random.Generator,
    noise_sd: float | None = None,
) -> ScoreTable:
    """The table with what held-out networks say of it under `held_out` of its provenance.

    Stored are the rank correlations of Spearman and Kendall (tau-b) with 95 % intervals by the percentile
    bootstrap over networks (Efron 1979; 1,000 resamples); of a table that predicts accuracies, also the
    standard deviation of observed minus predicted ones in points, and `Residuals`. The networks are added to
    the table's `evaluations`.

    An interval tells how much another draw of networks would change the figure. It does not hold what another
    training seed would change, is too short below about 20 networks, and cannot pass 1. Noise in the
    accuracies lowers the correlation itself; it is not corrected for.

    Args:
        table: none of the networks filled it.
        architectures: distinct held-out networks, at least 5.
        accuracies: theirs in per cent.
        rng: draws the resamples.
        noise_sd: standard deviation of the accuracies' noise in points, where known.

    Raises:
        ValueError: too few networks, a network twice, unlike lengths, or accuracies that are all equal.
    """
    observed = np.array(accuracies, np.float64)
    _check(architectures, observed)
    totals = np.array([table.total(architecture.ops) for architecture in architectures])
    predicted = np.array([table.value(architecture.ops) for architecture in architectures])
    if np.ptp(predicted) == 0:
        raise ValueError("the table says the same of all held-out networks: there is nothing to compare")
    ranks = {
        "spearman": rank_interval(spearman, predicted, observed, rng),
        "kendall": rank_interval(kendall, predicted, observed, rng),
    }
    held_out: dict[str, Any] = {"networks": len(observed), "seed": seed_of(rng), "noise_sd": noise_sd}
    for name, (value, low, high) in ranks.items():
        held_out |= {name: value, f"{name}_low": low, f"{name}_high": high}
    if table.kind == "accuracy":
        log_predicted = totals if table.link == "log-error" else log_error(np.minimum(predicted, CEILING - 1))
        held_out["residual_sd"] = float((observed - predicted).std(ddof=1))
        held_out |= Residuals.of(log_predicted, log_error(observed)).to_json()
    evaluations = table.provenance.get("evaluations", 0) + len(observed)
    return replace(table, provenance={**table.provenance, "evaluations": evaluations, "held_out": held_out})


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation; ties share their mean rank; nan where one is constant."""
    from scipy.stats import rankdata

    first, second = (rankdata(values) - (len(values) + 1) / 2 for values in (one, other))
    scale = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / scale if scale else float("nan")


def kendall(one: Floats, other: Floats) -> float:
    """Kendall's tau-b; nan where one is constant."""
    from scipy.stats import kendalltau

    return float(kendalltau(one, other).statistic)


def rank_interval(
    correlation: Callable[[Floats, Floats], float], one: Floats, other: Floats, rng: np.random.Generator
) -> tuple[float, float, float]:
    """A correlation over networks and the ends of its 95 % interval, by the percentile bootstrap.

    Resamples without two different values are left out.
    """
    draws = rng.integers(len(other), size=(RESAMPLES, len(other)))
    low, high = np.nanpercentile([correlation(one[draw], other[draw]) for draw in draws], [2.5, 97.5])
    return correlation(one, other), float(low), float(high)


def _check(architectures: Sequence[Architecture], observed: Floats) -> None:
    if len(architectures) != len(observed) or len(observed) < FEWEST:
        raise ValueError(
            f"needs one accuracy a network and at least {FEWEST} networks: "
            f"got {len(architectures)} networks, {len(observed)} accuracies"
        )
    if len({architecture.ops for architecture in architectures}) < len(observed):
        raise ValueError("a held-out network is given twice")
    if not (np.isfinite(observed).all() and (observed >= 0).all() and (observed <= 100).all()):
        raise ValueError("an accuracy is no percentage")
    if np.ptp(observed) == 0:
        raise ValueError(f"all held-out networks have the accuracy {observed[0]:g}: there is nothing to rank")
