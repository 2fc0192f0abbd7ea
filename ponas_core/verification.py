"""The best networks of a table evaluated on data that did not fill it, and a winner that is no lucky one.

The highest of several noisy observations is too high on average (the winner's curse), and a worse network may
have it. So observations are shrunk towards what the table predicts, by the share of their spread that noise
explains: the posterior mean of a normal prior around the prediction (Efron and Morris 1973).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ponas_core.cost import Limit
from ponas_core.evaluation import Evaluator, ledger_of
from ponas_core.held_out import residuals_of
from ponas_core.score_table import CEILING, ScoreTable, log_error
from ponas_core.solve import k_best
from ponas_core.space import Architecture, SearchSpace

CHECKED = 8
"""Networks that are looked at for each budget."""
_MOST_ASKED = 8
"""How many times as many solutions are asked for, at most, where some are spellings of one network."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network with its accuracies in per cent.

    Attributes:
        architecture: the network.
        predicted: what the table says.
        observed: what the evaluator says.
        posterior: what both say together.
    """

    architecture: Architecture
    predicted: float
    observed: float
    posterior: float


@dataclass(frozen=True, slots=True)
class Verification:
    """Candidates of a table beside their evaluations.

    Attributes:
        candidates: in the table's order, at least one.
        weight: of the observations, 0 to 1; the rest is the predictions'.
        noise_sd: of an observation, in points.
        table_sd: of the table's errors, on the log of the error.
    """

    candidates: tuple[Candidate, ...]
    weight: float
    noise_sd: float
    table_sd: float

    @property
    def chosen(self) -> Candidate:
        """The candidate with the highest posterior, the first of equals."""
        return max(self.candidates, key=lambda candidate: candidate.posterior)


def verify(
    space: SearchSpace,
    table: ScoreTable,
    limits: Sequence[Limit],
    evaluator: Evaluator,
    *,
    noise_sd: float,
    count: int = 8,
    table_sd: float | None = None,
) -> Verification:
    """Evaluate the best networks of a table under limits, and weigh observation against prediction.

    All candidates have one weight, and shrinking is done on the log of the error, where the table adds up: an
    offset that the table's predictions have in common then moves no candidate past another. Without noise the
    highest observation is chosen, with endless noise the table's own best. A table that speaks of something
    else than accuracy (log-probabilities) names the candidates only: the highest observation is chosen.

    Args:
        space: the space.
        table: whose best networks are looked at.
        limits: all of them hold.
        evaluator: on images, or of a training seed, that did not fill the table.
        noise_sd: standard deviation of an observation in points; `binomial_sd` for a number of images.
        count: how many networks, at most; spellings of one network count once.
        table_sd: standard deviation of the table's errors on the log of the error, noise taken off; None
            takes what is stored with the table (`ponas_core.held_out`).

    Raises:
        Infeasible: no network holds the limits.
        ScoreTableError: the table does not tell its own errors.
        ValueError: a standard deviation is negative or nan, or nothing is asked for.
    """
    if count < 1:
        raise ValueError(f"at least one network is verified, not {count}")
    networks = distinct_best(space, table, limits, count)
    predicted = [table.value(network.ops) for network in networks]
    if table.kind != "accuracy":
        noise_sd = 0.0  # nothing to shrink towards
    if table_sd is None and 0 < noise_sd < math.inf:
        table_sd = residuals_of(table).table_sd(noise_sd)
    error = CEILING - math.fsum(predicted) / len(predicted) if noise_sd else 1.0
    weight = observation_weight(table_sd or 0.0, noise_sd / error)
    observed = [evaluator.accuracy(network) for network in networks]
    candidates = tuple(
        Candidate(network, says, seen, shrunk(says, seen, weight))
        for network, says, seen in zip(networks, predicted, observed, strict=True)
    )
    return Verification(candidates, weight, noise_sd, table_sd or 0.0)


class ImageCheck:
    """Looks at the best networks of a table anew, and remembers what came of it.

    Args:
        evaluator: tells accuracies on images that did not fill the table.
        images: how many; from them follows the noise of an accuracy.
    """

    def __init__(self, evaluator: Evaluator, images: int) -> None:
        self._evaluator, self._images = ledger_of(evaluator), images
        self._posteriors: dict[tuple[int, ...], float] = {}

    def get(self, architecture: Architecture) -> float | None:
        """Posterior accuracy in per cent of a network that was looked at, else None."""
        return self._posteriors.get(architecture.ops)

    def best(
        self, space: SearchSpace, table: ScoreTable, limits: Sequence[Limit], count: int
    ) -> list[Architecture]:
        """The table's best networks under limits, at least eight where there are so many.

        Raises:
            Infeasible: no network holds the limits.
            ScoreTableError: the table does not tell its own errors.
        """
        networks = distinct_best(space, table, limits, 1)
        noise_sd = binomial_sd(min(max(table.value(networks[0].ops), 1.0), 99.0), self._images)
        count = max(CHECKED, count)
        found = verify(space, table, limits, self._evaluator, noise_sd=noise_sd, count=count)
        for candidate in found.candidates:
            self._posteriors[candidate.architecture.ops] = candidate.posterior
        return [candidate.architecture for candidate in found.candidates]


def observation_weight(table_sd: float, noise_sd: float) -> float:
    """Weight of an observation beside a prediction, both standard deviations on one scale.

    1 where observations have no noise, whatever the table; 0 where their noise is endless.

    Raises:
        ValueError: a standard deviation is negative or nan, or the table's is infinite.
    """
    if not (0 <= table_sd < math.inf and noise_sd >= 0):
        raise ValueError(f"no standard deviations: {table_sd} of the table, {noise_sd} of an observation")
    if noise_sd == 0:
        return 1.0
    # by the ratio, so that squares neither vanish nor overflow
    ratio = table_sd / noise_sd
    return ratio * ratio / (1 + ratio * ratio) if ratio < 1 else 1 / (1 + 1 / (ratio * ratio))


def shrunk(predicted: float, observed: float, weight: float) -> float:
    """Posterior mean of an accuracy in per cent, taken on the log of the error."""
    if weight in (0.0, 1.0):
        return observed if weight else predicted  # free of the rounding of there and back
    total = weight * float(log_error(observed)) + (1 - weight) * float(log_error(predicted))
    return CEILING - math.exp(-total)


def distinct_best(
    space: SearchSpace, table: ScoreTable, limits: Sequence[Limit], count: int
) -> list[Architecture]:
    """The table's best networks under limits, the best first, each in its best spelling only.

    Two spellings of one network, such as an identity in front of a block or behind it, leave the same
    operators in the graph. Fewer are returned where fewer hold the limits, or nearly all are spellings.

    Raises:
        Infeasible: no network holds the limits.
    """
    asked = count
    while True:
        solutions = k_best(table.rows, limits, asked)
        networks = [space.architecture(solution.choices) for solution in solutions]
        distinct: dict[tuple[str, ...], Architecture] = {}
        for network in networks:
            distinct.setdefault(network.keys, network)
        if len(distinct) >= count or len(solutions) < asked or asked >= _MOST_ASKED * count:
            return list(distinct.values())[:count]
        asked *= 2


def binomial_sd(accuracy: float, images: int) -> float:
    """Standard deviation, in points, of an accuracy in per cent that was counted on so many images.

    It is what another draw of images changes, not another training seed; 0 at 0 and 100 per cent.

    Raises:
        ValueError: no percentage, or no images.
    """
    if not 0 <= accuracy <= 100 or images < 1:
        raise ValueError(f"{accuracy} per cent of {images} images is no accuracy")
    share = accuracy / 100
    return 100 * math.sqrt(share * (1 - share) / images)
