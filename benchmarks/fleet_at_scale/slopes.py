"""Power laws through measured costs: slopes on log-log paper, with their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

CONFIDENCE = 0.95
LEARNED_RANGE = 35.0
"""A slope is that of the largest sizes: those that lie within this factor of the largest."""
FEWEST_POINTS = 4


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """cost = scale * (size / centre) ** slope, least squares on logarithms.

    Attributes:
        slope: 1 is linear.
        half_width: of the slope's 95 % interval; infinite for two points.
        scale: cost at `centre`.
        centre: geometric mean of the sizes learned from.
        scatter: of a point around the law, standard deviation of logarithms; nan for two points.
        points: how many were learned from.
        largest: the largest size.
        spread: sum of squares of the sizes' logarithms around their mean.
    """

    slope: float
    half_width: float
    scale: float
    centre: float
    scatter: float
    points: int
    largest: float
    spread: float

    def at(self, size: float) -> float:
        """The cost at a size."""
        return self.scale * math.exp(self.slope * math.log(size / self.centre))

    def factor_at(self, size: float) -> float:
        """What the law's value at a size is multiplied with and divided by for its 95 % interval."""
        if self.points < 3:
            return math.inf
        away = math.log(size / self.centre)
        sd = self.scatter * math.sqrt(1 / self.points + away**2 / self.spread)
        return math.exp(_student(self.points) * sd)


def power_law(sizes: Sequence[float], costs: Sequence[float]) -> PowerLaw:
    """The law through the largest sizes: small ones pay what every call pays.

    Args:
        sizes: two at least that differ, above 0.
        costs: one a size, above 0.

    Raises:
        ValueError: fewer than two sizes, or a number that is not above 0.
    """
    pairs = sorted(zip(sizes, costs, strict=True))
    if len({size for size, _ in pairs}) < 2 or min(map(min, pairs)) <= 0:
        raise ValueError(f"a slope needs two sizes, and costs above 0: {pairs}")
    largest = pairs[-1][0]
    near = [pair for pair in pairs if pair[0] * LEARNED_RANGE >= largest]
    learned = near if len(near) >= FEWEST_POINTS else pairs[-FEWEST_POINTS:]
    x, y = (np.log([pair[column] for pair in learned]) for column in (0, 1))
    away = x - x.mean()
    spread = float(away @ away)
    slope = float(away @ (y - y.mean())) / spread
    residuals = y - y.mean() - slope * away
    scatter, half_width = math.nan, math.inf
    if len(learned) > 2:
        scatter = math.sqrt(float(residuals @ residuals) / (len(learned) - 2))
        half_width = _student(len(learned)) * scatter / math.sqrt(spread)
    return PowerLaw(
        slope,
        half_width,
        math.exp(float(y.mean())),
        math.exp(float(x.mean())),
        scatter,
        len(learned),
        largest,
        spread,
    )


def _student(points: int) -> float:
    return float(stdtrit(points - 2, 0.5 + CONFIDENCE / 2))


@dataclass(frozen=True, slots=True)
class Series:
    """One cost at growing sizes.

    Attributes:
        what: what was done.
        unit: of the cost: `s` or `bytes`.
        against: what grew.
        sizes: how large it was.
        costs: what it cost there.
    """

    what: str
    unit: str
    against: str
    sizes: tuple[float, ...]
    costs: tuple[float, ...]

    @property
    def law(self) -> PowerLaw:
        """The law through the largest sizes."""
        return power_law(self.sizes, self.costs)
