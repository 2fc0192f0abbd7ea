"""The additive latency table with a calibration on whole networks.

Blocks timed alone in a hot loop flatter a network: its weights and activations leave the caches between two
inferences. So the sum of the blocks is corrected by a line (or a gently bent one) fitted on whole networks
measured in the same profile. The model knows only names with milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
SMALLEST_PROCESS_SD = 0.005
"""Relative spread between processes that is assumed at least."""
PRIOR_SLOPE, PRIOR_SLOPE_SD = 1.1, 0.15
PRIOR_INTERCEPT_SD = 0.10
PRIOR_BEND_SD = 0.05
"""Weak priors of the line: networks are about a tenth slower than the sum of their blocks in a hot loop."""


class MissingBlock(KeyError):
    """A network needs a block that the table lacks; `key` names it."""

    def __init__(self, key: str) -> None:
        """Store the key."""
        super().__init__(f"the table has no latency for block {key}")
        self.key = key


@dataclass(frozen=True, slots=True)
class NetworkTiming:
    """A measured whole network: the keys of its blocks and one median a process, milliseconds."""

    keys: tuple[str, ...]
    process_ms: tuple[float, ...]

    @property
    def latency_ms(self) -> float:
        """Geometric mean over processes."""
        return float(np.exp(np.log(self.process_ms).mean()))


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted latency with the 95 % interval of what a measurement over processes will show."""

    median_ms: float
    low_ms: float
    high_ms: float


class CalibratedTable:
    """Sum of block latencies, corrected by a line fitted on whole networks.

    With t the sum of the blocks relative to its mean over the calibration networks, a network takes
    `mean * (a * t + b + c * (t - 1)^2)`; c is fitted only with `bend`.

    Args:
        bend: fit the third coefficient.

    Attributes:
        block_ms_: latency of each block alone.
        coefficients_: a, b, c.
        residual_sd_: relative spread of the calibration networks around the line.
        process_sd_: relative spread between processes, pooled over networks.
        networks_: how many networks calibrate; 0 leaves the plain sum.
    """

    def __init__(self, *, bend: bool = True) -> None:
        """Store the choice."""
        self.bend = bend

    def fit(self, block_ms: Mapping[str, float], networks: Sequence[NetworkTiming] = ()) -> CalibratedTable:
        """Learn from blocks and measured networks.

        Raises:
            MissingBlock: a network has a block that was not measured.
        """
        self.block_ms_ = dict(block_ms)
        self.networks_ = len(networks)
        sums = np.array([self.sum_ms(network.keys) for network in networks])
        times = np.array([network.latency_ms for network in networks])
        self.scale_ = float(sums.mean()) if self.networks_ else 1.0
        self.process_sd_ = _pooled_process_sd(networks)
        self._fit_line(sums / self.scale_, times / self.scale_)
        return self

    def _fit_line(self, t: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Least squares of relative residuals with weak priors; the noise is estimated once, then used."""
        prior_sd = np.array([PRIOR_SLOPE_SD, PRIOR_INTERCEPT_SD, PRIOR_BEND_SD if self.bend else 1e-9])
        prior_mean = np.array([PRIOR_SLOPE, 0.0, 0.0])
        design = self._design(t) / y[:, None]
        sd = 0.015
        for _ in range(3):
            precision = design.T @ design / sd**2 + np.diag(prior_sd**-2.0)
            right = design.T @ np.ones(len(y)) / sd**2 + prior_mean / prior_sd**2
            self.coefficients_ = np.linalg.solve(precision, right)
            residuals = design @ self.coefficients_ - 1
            # five degrees of prior belief in 1.5 % keep the estimate sane for two or three networks
            sd = float(np.sqrt((residuals @ residuals + 5 * 0.015**2) / (len(y) + 5)))
        self.residual_sd_ = sd
        self.covariance_ = np.linalg.inv(precision)

    @staticmethod
    def _design(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([t, np.ones_like(t), (t - 1) ** 2], axis=1)

    def sum_ms(self, keys: Sequence[str]) -> float:
        """Plain sum of the blocks; MissingBlock for one that was not measured."""
        try:
            return sum(self.block_ms_[key] for key in keys)
        except KeyError as error:
            raise MissingBlock(str(error.args[0])) from error

    def corrected_ms(self, sums_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Latencies of networks from the plain sums of their blocks; never below half of the sum."""
        if not self.networks_:
            return sums_ms
        line = self.scale_ * (self._design(sums_ms / self.scale_) @ self.coefficients_)
        return np.maximum(line, 0.5 * sums_ms)

    def predict(self, sums_ms: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latencies and relative half widths of their 95 % intervals, from the plain sums of the blocks."""
        median = self.corrected_ms(sums_ms)
        if not self.networks_:
            return median, np.full_like(median, 0.5)
        design = self.scale_ * self._design(sums_ms / self.scale_) / median[:, None]
        leverage = np.einsum("ij,jk,ik->i", design, self.covariance_, design)
        sd = np.sqrt(self.residual_sd_**2 + leverage + self.process_sd_**2 / 5)
        return median, stdtrit(self.networks_ + 2, 0.5 + CONFIDENCE / 2) * sd

    def prediction(self, keys: Sequence[str]) -> Prediction:
        """Latency of one network with its interval; MissingBlock for a block that was not measured."""
        median, half = self.predict(np.array([self.sum_ms(keys)]))
        return Prediction(
            float(median[0]), float(median[0] / (1 + half[0])), float(median[0] * (1 + half[0]))
        )

    def largest_sum_ms(self, limit_ms: float) -> float:
        """The largest plain sum whose corrected latency is within a limit: the budget for a solver.

        The correction rises with the sum over the range that the calibration networks span; a bisection is
        exact to the last bit there.
        """
        low, high = 0.0, 2.0 * limit_ms
        for _ in range(200):
            middle = (low + high) / 2
            if middle in (low, high):
                break
            low, high = (middle, high) if self._corrected(middle) <= limit_ms else (low, middle)
        return low

    def _corrected(self, sum_ms: float) -> float:
        return float(self.corrected_ms(np.array([sum_ms]))[0])


def _pooled_process_sd(networks: Sequence[NetworkTiming]) -> float:
    """Relative spread between processes, pooled over the networks with at least two."""
    logs = [np.log(network.process_ms) for network in networks if len(network.process_ms) > 1]
    freedom = sum(values.size - 1 for values in logs)
    if not freedom:
        return 0.015
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in logs)
    return max(SMALLEST_PROCESS_SD, float(np.sqrt(squares / freedom)))
