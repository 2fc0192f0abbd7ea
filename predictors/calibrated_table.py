"""The additive table of latencies, or of energies, with a calibration on whole networks.

A block timed alone in a hot loop flatters a network in some ways (inside it, weights and activations have
left the caches) and blames it in others (a call of the runtime has a price that a network pays once). So a
network is

    intercept + sum over its blocks of  a * latency + b * 1 + c * weight bytes + d * activation bytes

fitted on whole networks measured in the same profile, with weak priors that leave the plain sum where there
is no evidence. The result is additive again: one corrected cost per block. The model knows only named
numbers, and no unit: energies are fitted in millijoules as latencies are in milliseconds. A block's latency
may be the one alone, the one read inside whole networks, or both: `chosen_table` takes what predicts held-out
networks best.

The contract is that of scikit-learn, with networks as sequences of block keys: the constructor stores, `fit`
learns, what was learned ends in `_`, `predict`, `predict_interval`, `score`. scikit-learn is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = Mapping[str, Mapping[str, float]]
"""Named numbers of every block, by its key."""

CONFIDENCE = 0.95
ALONE, INSIDE, ENERGY = "latency_ms", "inside_ms", "energy_mj"
"""Named numbers of a block: its latency alone, and inside whole networks; its energy alone."""
FEATURES = ("blocks", "weight_bytes", "activation_bytes")
"""Further ones: 1, and what it moves."""
SLOPES, SLOPE_SD = {ALONE: 1.05, INSIDE: 1.0, ENERGY: 1.05}, 0.15
FEATURE_SD = 0.03
"""Prior spread of what a feature other than the measures adds to a network, relative to its cost."""
INTERCEPT_SD = 0.05
NOISE_SD, NOISE_WEIGHT = 0.015, 5
"""Prior of the relative residuals, worth so many networks."""
SMALLEST_PROCESS_SD = 0.005
UNKNOWN_PROCESS_SD = 0.015
LEVEL_SD = 0.01
"""How far a machine's level moves between a profile and a later measurement: the mean errors of ten models,
each held against networks measured right after its profile, scatter by 1.4 %; its processes explain 0.6 %."""
SMALLEST_SHARE = 0.2
"""A corrected block is never cheaper than this share of what was measured of it."""
UNCALIBRATED_HALF_WIDTH = 0.5
FEWEST_TO_CHOOSE = 6
"""Networks from which leaving one out says which table is better."""
MOST_FOLDS = 50
"""Beyond so many networks several are left out together: one by one, time would grow with their square."""
CONFIRMING_PROCESSES = 5
"""A prediction's interval is for a measurement over so many processes."""


class MissingBlock(KeyError):
    """A network needs a block that the table lacks; `key` names it."""

    def __init__(self, key: str) -> None:
        """Store the key."""
        super().__init__(f"the table has nothing for block {key}")
        self.key = key


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """A measured whole network: the keys of its blocks and one median a process."""

    keys: tuple[str, ...]
    process_costs: tuple[float, ...]

    @property
    def cost(self) -> float:
        """Median over processes."""
        return float(np.median(self.process_costs))


class CalibratedTable:
    """Sum of block latencies or energies, corrected by whole networks.

    Args:
        blocks: `measures` and `FEATURES` of every block, by key.
        measures: what was measured of a block: `ALONE`, `INSIDE` or both, or `ENERGY`.

    Attributes:
        features_: `measures` and `FEATURES` of every block, by key.
        coefficients_: what one unit of each feature adds, and the intercept last.
        covariance_: of the coefficients; nan where nothing calibrates.
        block_costs_: corrected cost of every block, by key.
        intercept_: what every network pays once.
        residual_sd_: relative spread of the calibration networks around the fit; nan where there are none.
        process_sd_: relative spread between processes, of the typical network.
        processes_: in how many processes a calibration network was measured, the median over networks.
        networks_: how many networks calibrate; with none the table is the plain sum.
    """

    def __init__(self, blocks: Blocks, measures: Sequence[str] = (ALONE,)) -> None:
        """Store what is given."""
        self.blocks = blocks
        self.measures = measures

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments by name; `deep` is scikit-learn's, and there is nothing below."""
        return {"blocks": self.blocks, "measures": self.measures}

    def set_params(self, **params: Any) -> Self:
        """Replace arguments of the constructor; ValueError for a name that it lacks."""
        for name, value in params.items():
            if name not in self.get_params():
                raise ValueError(f"a table has no parameter {name!r}, only {', '.join(self.get_params())}")
            setattr(self, name, value)
        return self

    def fit(
        self,
        X: Sequence[Sequence[str]] = (),
        y: ArrayLike = (),
        *,
        process_costs: Sequence[Sequence[float]] | None = None,
    ) -> Self:
        """Learn from measured networks; from none, the plain sum.

        Args:
            X: (networks,) the keys of the blocks of each.
            y: (networks,) their latencies or energies.
            process_costs: of each network, one median a process, for the spread between processes; None where
                each was measured in one process.

        Raises:
            MissingBlock: a network has a block that `blocks` lacks.
            ValueError: unlike numbers of networks, or a cost that is not above 0.
        """
        costs = np.asarray(y, np.float64)
        processes = [[ms] for ms in costs] if process_costs is None else process_costs
        if costs.shape != (len(X),) or len(processes) != len(X):
            raise ValueError(f"{len(X)} networks, costs {costs.shape}, processes of {len(processes)}")
        if not (np.isfinite(costs) & (costs > 0)).all():
            raise ValueError("costs are above 0")
        self.networks_ = len(X)
        self.process_sd_ = _typical_process_sd(processes)
        self.processes_ = float(np.median([len(found) for found in processes] or [1]))
        self.features_ = {
            key: np.array([numbers[name] for name in (*self.measures, *FEATURES)])
            for key, numbers in self.blocks.items()
        }
        if self.networks_:
            self._calibrate(self.network_features(X), costs)
        else:
            self.coefficients_ = np.concatenate([self._prior(1.0), np.zeros(len(FEATURES) + 1)])
            self.covariance_ = np.full((len(self.coefficients_),) * 2, np.nan)
            self.residual_sd_ = float("nan")
        self.intercept_ = float(self.coefficients_[-1])
        self.block_costs_ = {
            key: max(
                float(numbers @ self.coefficients_[:-1]),
                SMALLEST_SHARE * float(numbers[: len(self.measures)].min()),
            )
            for key, numbers in self.features_.items()
        }
        return self

    def _prior(self, slope: float | None = None) -> Floats:
        """What a unit of each of `measures` adds to a network before any was measured."""
        return np.array([slope or SLOPES[name] for name in self.measures]) / len(self.measures)

    def _calibrate(self, features: Floats, costs: Floats) -> None:
        """Least squares of relative residuals with the priors; the noise is estimated along."""
        scale = np.maximum(features.mean(axis=0), 1e-12)
        typical = costs.mean()
        moved = scale[len(self.measures) : -1]
        prior_sd = np.concatenate(
            [[SLOPE_SD] * len(self.measures), FEATURE_SD * typical / moved, [INTERCEPT_SD * typical]]
        )
        prior = np.concatenate([self._prior(), np.zeros(len(FEATURES) + 1)])
        design = features / costs[:, None]
        sd = NOISE_SD
        for _ in range(5):
            precision = design.T @ design / sd**2 + np.diag(prior_sd**-2.0)
            self.coefficients_ = np.linalg.solve(precision, design.sum(axis=0) / sd**2 + prior / prior_sd**2)
            residuals = design @ self.coefficients_ - 1
            freedom = len(costs) + NOISE_WEIGHT
            sd = float(np.sqrt((residuals @ residuals + NOISE_WEIGHT * NOISE_SD**2) / freedom))
        self.residual_sd_ = sd
        self.covariance_ = np.linalg.inv(precision)

    def network_features(self, X: Sequence[Sequence[str]]) -> Floats:
        """Totals of `measures` and `FEATURES`, and 1 for the intercept: (networks, coefficients).

        Raises:
            MissingBlock: a network has an unknown block.
        """
        found = np.ones((len(X), len(self.measures) + len(FEATURES) + 1))
        found[:, :-1] = 0.0
        for total, keys in zip(found, X, strict=True):
            for key in keys:
                if key not in self.features_:
                    raise MissingBlock(key)
                total[:-1] += self.features_[key]
        return found

    def predict(self, X: Sequence[Sequence[str]]) -> Floats:
        """Costs of networks: (networks,); MissingBlock for an unknown block."""
        try:
            return np.array([self.intercept_ + sum(self.block_costs_[key] for key in keys) for keys in X])
        except KeyError as error:
            raise MissingBlock(error.args[0]) from None

    def predict_interval(self, X: Sequence[Sequence[str]]) -> Floats:
        """Ends of the 95 % intervals of what a later measurement over processes will show: (networks, 2), ms.

        Raises:
            MissingBlock: a network has an unknown block.
        """
        return self.interval_around(self.predict(X), self.network_features(X))

    def interval_around(self, medians: Floats, features: Floats) -> Floats:
        """The same from predicted costs and `network_features`: (networks, 2).

        The relative half width: scatter, what the fit leaves open, level, processes.
        """
        if not self.networks_:
            factors = np.full(len(medians), 1 + UNCALIBRATED_HALF_WIDTH)
            return np.column_stack([medians / factors, medians * factors])
        relative = features / medians[:, None]
        leverage = ((relative @ self.covariance_) * relative).sum(axis=1)
        # the networks of one profile share its processes, so more of them do not tell its level better
        level = self.process_sd_**2 / self.processes_ + LEVEL_SD**2
        variance = self.residual_sd_**2 + leverage + level + self.process_sd_**2 / CONFIRMING_PROCESSES
        factors = 1 + stdtrit(self.networks_ + NOISE_WEIGHT, 0.5 + CONFIDENCE / 2) * np.sqrt(variance)
        return np.column_stack([medians / factors, medians * factors])

    def score(self, X: Sequence[Sequence[str]], y: ArrayLike) -> float:
        """Coefficient of determination of the predictions for measured costs (networks,).

        As scikit-learn has it: where all costs are equal it is 1 for exact predictions, else 0.
        """
        measured = np.asarray(y, np.float64)
        left = float(np.square(measured - self.predict(X)).sum())
        total = float(np.square(measured - measured.mean()).sum())
        return 1 - left / total if total else float(left == 0)


def fitted_table(
    blocks: Blocks, networks: Sequence[MeasuredNetwork], measures: Sequence[str] = (ALONE,)
) -> CalibratedTable:
    """The table of what was measured of blocks, calibrated on measured networks; MissingBlock as `fit`."""
    return CalibratedTable(blocks, measures).fit(
        [network.keys for network in networks],
        [network.cost for network in networks],
        process_costs=[network.process_costs for network in networks],
    )


def chosen_table(
    blocks: Blocks, networks: Sequence[MeasuredNetwork]
) -> tuple[CalibratedTable, dict[str, float]]:
    """The table that predicts held-out networks best: of latencies alone, inside networks, or both.

    Args:
        blocks: `ALONE`, `FEATURES` and, of every block or of none, `INSIDE`.
        networks: measured networks.

    Returns:
        The fitted table, and the mean absolute relative error of each candidate where every network in turn
        (with every fiftieth after it, where there are more) is left out of the fit, by the names of its
        latencies joined with `+`; empty without a choice.
    """
    if not all(INSIDE in numbers for numbers in blocks.values()) or len(networks) < FEWEST_TO_CHOOSE:
        return fitted_table(blocks, networks), {}
    candidates = [(ALONE,), (INSIDE,), (ALONE, INSIDE)]
    errors = {"+".join(names): _held_out_error(names, blocks, networks) for names in candidates}
    best = min(candidates, key=lambda names: errors["+".join(names)])
    return fitted_table(blocks, networks, best), errors


def _held_out_error(measures: Sequence[str], blocks: Blocks, networks: Sequence[MeasuredNetwork]) -> float:
    errors: list[float] = []
    for fold in range(min(len(networks), MOST_FOLDS)):
        held_out = networks[fold::MOST_FOLDS]
        others = [network for index, network in enumerate(networks) if index % MOST_FOLDS != fold]
        found = fitted_table(blocks, others, measures).predict([network.keys for network in held_out])
        errors += [abs(cost / network.cost - 1) for cost, network in zip(found, held_out, strict=True)]
    return float(np.mean(errors))


def _typical_process_sd(process_costs: Sequence[Sequence[float]]) -> float:
    """Relative spread between processes, the median over networks: one disturbed process does not move it."""
    found = [np.log(costs).std(ddof=1) for costs in process_costs if len(costs) > 1]
    return max(SMALLEST_PROCESS_SD, float(np.median(found))) if found else UNKNOWN_PROCESS_SD
