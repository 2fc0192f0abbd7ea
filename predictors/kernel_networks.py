"""Latency of any network as a calibrated sum over its fused kernels, with what the sum rests on.

A kernel timed alone pays for a call of the runtime and, where it works in a layout of its own, for turning
its input and output into that layout; inside a network it pays neither, while arithmetic between kernels of
one layout pays for turning back, and weights have left the caches. So a network is

    intercept + sum over its kernels of
        a(kind) * latency + b + c * weight bytes + d * elements in a layout + e * other elements

with weak priors around the plain sum (less a call a kernel), fitted on whole networks measured in the same
profile. Where a kernel was measured its own latency counts, else its kind's model says one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from predictors.kernel_models import KernelLatency, fitted_kinds
from predictors.kernels import CONVOLUTIONS, Decomposition, FusedKernel

CONFIDENCE = 0.95
WITH_LAYOUT = (*CONVOLUTIONS, "maxpool", "avgpool", "gap")
"""Kinds that runtimes execute in a layout of their own."""
KIND_SD, FEATURE_SD, CALLS_SD = 0.05, 0.1, 3.0
"""Prior spreads: of a kind's slope around 1; of what traffic of a sort adds, relative to a network; of what
the network itself adds, in calls of the runtime (a kernel: one call)."""
NOISE_SD, NOISE_WEIGHT = 0.05, 5
"""Prior of the relative residuals, worth so many networks."""
STUDENT_FREEDOM, STEPS = 4, 15
"""Degrees of freedom of the residuals, and how often their weights are computed anew."""
SMALLEST_SHARE = 0.2
"""A kernel in a network is never cheaper than this share of its latency alone."""
UNCALIBRATED_SD = 0.2
"""Relative spread of a sum that no measured network has corrected."""


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """Kernels of a whole network and its latency, milliseconds."""

    kernels: tuple[FusedKernel, ...]
    latency_ms: float


@dataclass(frozen=True, slots=True)
class NetworkLatency:
    """Latency of a network, and what it rests on.

    Attributes:
        median_ms: the sum; of what is known, where something is not.
        low_ms: lower end of the 95 % interval of what a measurement shows; of `median_ms`, like `high_ms`.
        high_ms: its upper end.
        measured: share of the predicted time of kernels that were measured themselves.
        in_range: share of kernels that lie among measured ones.
        extrapolated: share of the other kernels; the three add up to 1, or are 0 where there is no kernel.
        unknown: operators, or kinds of kernels, that no model stands for, with their number.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    measured: float
    in_range: float
    extrapolated: float
    unknown: Mapping[str, int]

    @property
    def is_lower_bound(self) -> bool:
        """Whether time is missing from the sum."""
        return bool(self.unknown)


class KernelNetworks:
    """Calibrated sum over fused kernels.

    Attributes:
        measured_: latency of every measured kernel, milliseconds.
        kinds_: a model for each kind.
        coefficients_: slope of every kind (in the order of `kinds_`), then what a kernel, a byte of weights,
            an element of the kinds `WITH_LAYOUT`, an element of other kinds and the network add, in ms.
        residual_sd_: relative spread of the calibration networks around the fit, the scale of a Student's t.
        networks_: how many networks calibrate; with none the sum is plain.
    """

    def fit(
        self, measured: Mapping[FusedKernel, float], networks: Sequence[MeasuredNetwork]
    ) -> KernelNetworks:
        """Learn from measured kernels (milliseconds) and whole networks.

        Networks with a kernel that nothing is known of calibrate nothing.

        Raises:
            ValueError: no kernel was measured, or a latency is not positive.
        """
        if not measured or min(measured.values()) <= 0:
            raise ValueError("needs measured kernels with positive latencies")
        self.measured_ = dict(measured)
        self.kinds_ = fitted_kinds(measured)
        known = self._known([kernel for network in networks for kernel in network.kernels])
        complete = [network for network in networks if all(kernel in known for kernel in network.kernels)]
        rows = [self._rows(network.kernels, known).sum(axis=0) for network in complete]
        self.networks_ = len(complete)
        self._calibrate(rows, np.array([network.latency_ms for network in complete]))
        return self

    def _calibrate(self, rows: Sequence[NDArray[np.float64]], times_ms: NDArray[np.float64]) -> None:
        """Relative residuals with the priors; the noise is estimated along.

        Residuals are Student's t (iterated weights): now and then a runtime does something with a network
        that no sum of kernels tells, and one such network must not bend all others.
        """
        a_call = min(self.measured_.values())
        prior: NDArray[np.float64] = np.array([*[1.0] * len(self.kinds_), -a_call, 0.0, 0.0, 0.0, a_call])
        self.coefficients_ = prior
        self.residual_sd_ = UNCALIBRATED_SD
        self.covariance_: NDArray[np.float64] = np.zeros((len(prior), len(prior)))
        if not rows:
            return
        features = np.stack(rows)
        traffic = np.maximum(features.mean(axis=0)[-4:-1], 1e-12)
        traffic_sd = FEATURE_SD * times_ms.mean() / traffic
        prior_sd = np.array([*[KIND_SD] * len(self.kinds_), a_call, *traffic_sd, CALLS_SD * a_call])
        design, sd = features / times_ms[:, None], NOISE_SD
        weights = np.ones(len(times_ms))
        for _ in range(STEPS):
            precision = (design.T * weights) @ design / sd**2 + np.diag(prior_sd**-2.0)
            pull = weights @ design / sd**2 + prior / prior_sd**2
            self.coefficients_ = np.asarray(np.linalg.solve(precision, pull), np.float64)
            residuals = design @ self.coefficients_ - 1
            freedom = len(times_ms) + NOISE_WEIGHT
            sd = float(np.sqrt((weights @ residuals**2 + NOISE_WEIGHT * NOISE_SD**2) / freedom))
            weights = (STUDENT_FREEDOM + 1) / (STUDENT_FREEDOM + (residuals / sd) ** 2)
        self.residual_sd_, self.covariance_ = sd, np.asarray(np.linalg.inv(precision), np.float64)

    def _known(self, kernels: Sequence[FusedKernel]) -> dict[FusedKernel, KernelLatency]:
        """Latency alone of every kernel that a measurement or a model stands for."""
        wanted = dict.fromkeys(kernels)
        found = {
            kernel: KernelLatency(self.measured_[kernel], 0.0, True)
            for kernel in wanted
            if kernel in self.measured_
        }
        for kind, model in self.kinds_.items():
            others = [kernel for kernel in wanted if kernel.kind == kind and kernel not in found]
            found |= dict(zip(others, model.predict(others), strict=True))
        return found

    def _rows(
        self, kernels: Sequence[FusedKernel], known: Mapping[FusedKernel, KernelLatency]
    ) -> NDArray[np.float64]:
        """What each kernel adds to the features of its network: (kernels + 1, features).

        The last row is the network's own.
        """
        kinds = list(self.kinds_)
        rows = np.zeros((len(kernels) + 1, len(kinds) + 5))
        rows[-1, -1] = 1.0
        for row, kernel in zip(rows, kernels, strict=False):
            if kernel.kind in self.kinds_:
                row[kinds.index(kernel.kind)] = known[kernel].latency_ms
            moved = kernel.elements_in + kernel.elements_out
            row[-5:-1] = (
                1.0,
                kernel.weight_bytes,
                *((moved, 0.0) if kernel.kind in WITH_LAYOUT else (0.0, moved)),
            )
        return rows

    def predict(self, networks: Sequence[Decomposition]) -> list[NetworkLatency]:
        """Latencies of networks; what no model stands for is named."""
        known = self._known([kernel for network in networks for kernel in network.kernels])
        return [self._one(network, known) for network in networks]

    def _one(self, network: Decomposition, known: Mapping[FusedKernel, KernelLatency]) -> NetworkLatency:
        kernels = [kernel for kernel in network.kernels if kernel in known]
        missing = Counter(f"kernel {kernel.kind}" for kernel in network.kernels if kernel not in known)
        rows = self._rows(kernels, known)
        alone = np.array([known[kernel].latency_ms for kernel in kernels])
        costs = np.maximum(rows[:-1] @ self.coefficients_, SMALLEST_SHARE * alone)
        total = max(float(costs.sum() + self.coefficients_[-1]), float(SMALLEST_SHARE * costs.sum()))
        exact = np.array([kernel in self.measured_ for kernel in kernels], bool)
        inside = np.array([known[kernel].in_range for kernel in kernels], bool) & ~exact
        shares = [float(costs[chosen].sum() / max(costs.sum(), 1e-12)) for chosen in (exact, inside)]
        # what the models are unsure of outside their range errs the same way for kernels that are alike
        unsure = np.array([known[kernel].sd for kernel in kernels]) * costs * ~(exact | inside)
        half = self._half_width(rows.sum(axis=0), total, float(unsure.sum()))
        return NetworkLatency(
            total,
            total / (1 + half),
            total * (1 + half),
            measured=shares[0],
            in_range=shares[1],
            extrapolated=max(0.0, 1.0 - sum(shares)) if kernels else 0.0,
            unknown=dict(Counter(network.unknown) + missing),
        )

    def _half_width(self, features: NDArray[np.float64], total_ms: float, unsure_ms: float) -> float:
        """Relative half width of the 95 % interval: scatter, what the fit leaves open, extrapolation."""
        if total_ms <= 0:
            return 0.0
        relative = features / total_ms
        variance = self.residual_sd_**2 + relative @ self.covariance_ @ relative + (unsure_ms / total_ms) ** 2
        return float(stdtrit(STUDENT_FREEDOM, 0.5 + CONFIDENCE / 2) * np.sqrt(variance))
