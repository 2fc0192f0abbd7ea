"""The additive latency table with a calibration on whole networks.

A block timed alone in a hot loop flatters a network in some ways (inside it, weights and activations have
left the caches) and blames it in others (a call of the runtime has a price that a network pays once). So a
network is

    intercept + sum over its blocks of  a * latency + b * 1 + c * weight bytes + d * activation bytes

fitted on whole networks measured in the same profile, with weak priors that leave the plain sum where there
is no evidence. The result is additive again: one corrected cost per block. The model knows only named
numbers. A block's latency may be the one alone, the one read inside whole networks, or both: `chosen_table`
takes what predicts held-out networks best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

CONFIDENCE = 0.95
ALONE, INSIDE = "latency_ms", "inside_ms"
"""Named numbers of a block: its latency alone, and inside whole networks."""
FEATURES = ("blocks", "weight_bytes", "activation_bytes")
"""Further ones: 1, and what it moves."""
SLOPES, SLOPE_SD = {ALONE: 1.05, INSIDE: 1.0}, 0.15
FEATURE_SD = 0.03
"""Prior spread of what a feature other than latency adds to a network, relative to the network's latency."""
INTERCEPT_SD = 0.05
NOISE_SD, NOISE_WEIGHT = 0.015, 5
"""Prior of the relative residuals, worth so many networks."""
SMALLEST_PROCESS_SD = 0.005
UNKNOWN_PROCESS_SD = 0.015
LEVEL_SD = 0.01
"""How far a machine's level moves between a profile and a later measurement: the mean errors of ten models,
each held against networks measured right after its profile, scatter by 1.4 %; its processes explain 0.6 %."""
SMALLEST_SHARE = 0.2
"""A corrected block is never cheaper than this share of its latency alone."""
UNCALIBRATED_HALF_WIDTH = 0.5
FEWEST_TO_CHOOSE = 6
"""Networks from which leaving one out says which table is better."""
CONFIRMING_PROCESSES = 5
"""A prediction's interval is for a measurement over so many processes."""


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
        """Median over processes."""
        return float(np.median(self.process_ms))


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted latency with the 95 % interval of what a measurement over processes will show."""

    median_ms: float
    low_ms: float
    high_ms: float


class CalibratedTable:
    """Sum of block latencies, corrected by whole networks.

    Args:
        times: which latencies of a block are used: `ALONE`, `INSIDE` or both.

    Attributes:
        features_: `times` and `FEATURES` of every block, by key.
        coefficients_: what one unit of each feature adds, and the intercept last, milliseconds.
        block_ms_: corrected cost of every block, by key.
        intercept_ms_: what every network pays once.
        residual_sd_: relative spread of the calibration networks around the fit.
        process_sd_: relative spread between processes, of the typical network.
        processes_: in how many processes a calibration network was measured, the median over networks.
        networks_: how many networks calibrate; with none the table is the plain sum.
    """

    def __init__(self, times: Sequence[str] = (ALONE,)) -> None:
        """Store what is used."""
        self.times = tuple(times)

    def fit(
        self, blocks: Mapping[str, Mapping[str, float]], networks: Sequence[NetworkTiming] = ()
    ) -> CalibratedTable:
        """Learn from blocks and measured networks.

        Args:
            blocks: `times` and `FEATURES` of every block, by key.
            networks: measured networks; their blocks must be among `blocks`.

        Raises:
            MissingBlock: a network has a block that was not measured.
        """
        self.features_ = {
            key: np.array([numbers[name] for name in (*self.times, *FEATURES)])
            for key, numbers in blocks.items()
        }
        self.networks_ = len(networks)
        self.process_sd_ = _typical_process_sd(networks)
        self.processes_ = float(np.median([len(network.process_ms) for network in networks] or [1]))
        if networks:
            design = np.stack([self.network_features(network.keys) for network in networks])
            self._fit(design, np.array([network.latency_ms for network in networks]))
        else:
            self.coefficients_ = np.concatenate([self._prior(1.0), np.zeros(len(FEATURES) + 1)])
        self.intercept_ms_ = float(self.coefficients_[-1])
        self.block_ms_ = {
            key: max(
                float(numbers @ self.coefficients_[:-1]),
                SMALLEST_SHARE * float(numbers[: len(self.times)].min()),
            )
            for key, numbers in self.features_.items()
        }
        return self

    def _prior(self, slope: float | None = None) -> NDArray[np.float64]:
        """What a millisecond of each of `times` adds to a network before any was measured."""
        return np.array([slope or SLOPES[name] for name in self.times]) / len(self.times)

    def _fit(self, features: NDArray[np.float64], times_ms: NDArray[np.float64]) -> None:
        """Least squares of relative residuals with the priors; the noise is estimated along."""
        scale = np.maximum(features.mean(axis=0), 1e-12)
        typical_ms = times_ms.mean()
        moved = scale[len(self.times) : -1]
        prior_sd = np.concatenate(
            [[SLOPE_SD] * len(self.times), FEATURE_SD * typical_ms / moved, [INTERCEPT_SD * typical_ms]]
        )
        prior = np.concatenate([self._prior(), np.zeros(len(FEATURES) + 1)])
        design = features / times_ms[:, None]
        sd = NOISE_SD
        for _ in range(5):
            precision = design.T @ design / sd**2 + np.diag(prior_sd**-2.0)
            self.coefficients_ = np.linalg.solve(precision, design.sum(axis=0) / sd**2 + prior / prior_sd**2)
            residuals = design @ self.coefficients_ - 1
            freedom = len(times_ms) + NOISE_WEIGHT
            sd = float(np.sqrt((residuals @ residuals + NOISE_WEIGHT * NOISE_SD**2) / freedom))
        self.residual_sd_ = sd
        self.covariance_ = np.linalg.inv(precision)

    def network_features(self, keys: Sequence[str]) -> NDArray[np.float64]:
        """Totals of `times` and `FEATURES`, and 1 for the intercept; MissingBlock for an unknown key."""
        total = np.zeros(len(self.times) + len(FEATURES))
        for key in keys:
            if key not in self.features_:
                raise MissingBlock(key)
            total += self.features_[key]
        return np.append(total, 1.0)

    def predict(self, networks: Sequence[Sequence[str]]) -> list[Prediction]:
        """Latencies of networks, each given as the keys of its blocks; MissingBlock for an unknown key."""
        if not networks:
            return []
        features = np.stack([self.network_features(keys) for keys in networks])
        medians = np.array(
            [self.intercept_ms_ + sum(self.block_ms_[key] for key in keys) for keys in networks]
        )
        return [
            Prediction(float(median), float(median / (1 + half)), float(median * (1 + half)))
            for median, half in zip(medians, self._half_widths(features, medians), strict=True)
        ]

    def _half_widths(
        self, features: NDArray[np.float64], medians_ms: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Relative half widths of the 95 % intervals: scatter, what the fit leaves open, level, processes."""
        if not self.networks_:
            return np.full(len(medians_ms), UNCALIBRATED_HALF_WIDTH)
        relative = features / medians_ms[:, None]
        leverage = np.einsum("ij,jk,ik->i", relative, self.covariance_, relative)
        # the networks of one profile share its processes, so more of them do not tell its level better
        level = self.process_sd_**2 / self.processes_ + LEVEL_SD**2
        variance = self.residual_sd_**2 + leverage + level + self.process_sd_**2 / CONFIRMING_PROCESSES
        return np.asarray(stdtrit(self.networks_ + NOISE_WEIGHT, 0.5 + CONFIDENCE / 2) * np.sqrt(variance))


def chosen_table(
    blocks: Mapping[str, Mapping[str, float]], networks: Sequence[NetworkTiming]
) -> tuple[CalibratedTable, dict[str, float]]:
    """The table that predicts held-out networks best: of latencies alone, inside networks, or both.

    Args:
        blocks: `ALONE`, `FEATURES` and, of every block or of none, `INSIDE`.
        networks: measured networks.

    Returns:
        The fitted table, and the mean absolute relative error of each candidate where every network in turn
        is left out of the fit, by the names of its latencies joined with `+`; empty without a choice.
    """
    if not all(INSIDE in numbers for numbers in blocks.values()) or len(networks) < FEWEST_TO_CHOOSE:
        return CalibratedTable().fit(blocks, networks), {}
    candidates = [(ALONE,), (INSIDE,), (ALONE, INSIDE)]
    errors = {"+".join(times): _held_out_error(times, blocks, networks) for times in candidates}
    best = min(candidates, key=lambda times: errors["+".join(times)])
    return CalibratedTable(best).fit(blocks, networks), errors


def _held_out_error(
    times: Sequence[str], blocks: Mapping[str, Mapping[str, float]], networks: Sequence[NetworkTiming]
) -> float:
    errors = []
    for index, network in enumerate(networks):
        others = [*networks[:index], *networks[index + 1 :]]
        (found,) = CalibratedTable(times).fit(blocks, others).predict([network.keys])
        errors.append(abs(found.median_ms / network.latency_ms - 1))
    return float(np.mean(errors))


def _typical_process_sd(networks: Sequence[NetworkTiming]) -> float:
    """Relative spread between processes, the median over networks: one disturbed process does not move it."""
    found = [np.log(network.process_ms).std(ddof=1) for network in networks if len(network.process_ms) > 1]
    return max(SMALLEST_PROCESS_SD, float(np.median(found))) if found else UNKNOWN_PROCESS_SD
