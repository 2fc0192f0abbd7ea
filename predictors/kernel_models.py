"""Latency of fused kernels that were never measured, learned from those that were.

One model a kind. A roofline (the price of a call, arithmetic, traffic; no weight negative) says what is
physically likely, and a Gaussian process over the logarithms of the shapes learns how far the runtime is from
it, where measured kernels are near. Far from them the process falls silent, and the roofline is left, with a
wide interval.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from predictors.kernels import CONVOLUTIONS, FusedKernel

BLOCK = 16
"""Channels that vector units work on together: layouts pad to them, or refuse what does not divide."""
ACTIVATIONS = (
    "relu", "relu6", "leakyrelu", "sigmoid", "hsigmoid", "swish", "hswish", "longhswish", "affine",
)  # fmt: skip
FEWEST = 4
"""Measured kernels from which a kind can be learned."""
FOLDS = 5
MARGIN = 0.05
"""How far beyond the measured kernels of its kind a kernel may lie, as a share of their range."""
NEAR = 0.5
"""Correlation that the process sees between two kernels which are near."""


@dataclass(frozen=True, slots=True)
class KernelLatency:
    """Latency of one kernel.

    Attributes:
        latency_ms: the likeliest.
        sd: standard deviation of its logarithm.
        in_range: whether it lies among measured kernels: inside their box, and near some.
    """

    latency_ms: float
    sd: float
    in_range: bool


class KindModel:
    """Latency of the kernels of one kind.

    Attributes:
        weights_: of the roofline's terms, milliseconds, the terms scaled to at most 1.
        process_: the Gaussian process of log(latency / roofline).
    """

    def fit(self, kernels: Sequence[FusedKernel], latencies_ms: Sequence[float]) -> KindModel:
        """Learn from measured kernels of one kind.

        Raises:
            ValueError: fewer than `FEWEST` kernels, or latencies that are not positive.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        times = np.asarray(latencies_ms, np.float64)
        if len(kernels) < FEWEST or times.shape != (len(kernels),) or not (times > 0).all():
            raise ValueError(f"a kind is learned from at least {FEWEST} kernels with positive latencies")
        terms, places = _stacked(kernels)
        self.largest_ = np.maximum(terms.max(axis=0), 1e-12)
        self.weights_, _ = nnls(terms / self.largest_ / times[:, None], np.ones_like(times))
        self.low_, self.high_ = places.min(axis=0), places.max(axis=0)
        self.varied_ = self.high_ > self.low_
        distances = Matern(np.ones(int(self.varied_.sum())), (0.05, 30.0), nu=2.5)
        shape = ConstantKernel(0.1, (1e-3, 10.0)) * distances + WhiteKernel(1e-3, (1e-5, 0.1))
        self.process_ = GaussianProcessRegressor(shape)
        with warnings.catch_warnings():
            # a length at its upper bound is the finding that a feature does not matter
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.process_.fit(self._scaled(places), np.log(times / self._roofline_ms(terms)))
        return self

    def predict(self, kernels: Sequence[FusedKernel]) -> list[KernelLatency]:
        """Latencies of kernels of this kind."""
        if not kernels:
            return []
        terms, places = _stacked(kernels)
        logs, sds = self.process_.predict(self._scaled(places), return_std=True)
        medians = self._roofline_ms(terms) * np.exp(logs)
        margin = MARGIN * (self.high_ - self.low_)
        inside = ((places >= self.low_ - margin) & (places <= self.high_ + margin)).all(axis=1)
        correlation = self.process_.kernel_.k1.k2  # of the sum (constant * Matern) + noise
        near = correlation(self._scaled(places), self.process_.X_train_).max(axis=1) >= NEAR
        return [
            KernelLatency(float(median), float(sd), bool(known))
            for median, sd, known in zip(medians, sds, inside & near, strict=True)
        ]

    def _scaled(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """What varied among the measured kernels, each from 0 to 1."""
        wide = (self.high_ - self.low_)[self.varied_]
        return np.asarray((places[:, self.varied_] - self.low_[self.varied_]) / wide)

    def _roofline_ms(self, terms: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.maximum(terms / self.largest_ @ self.weights_, 1e-6))


def _stacked(kernels: Sequence[FusedKernel]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    terms = np.array([_terms(kernel) for kernel in kernels], np.float64)
    return terms, np.array([_place(kernel) for kernel in kernels], np.float64)


def _terms(kernel: FusedKernel) -> list[float]:
    """What a kernel's time is made of: a call, arithmetic (padded), elements in and out, weights."""
    channels = kernel.shape_out[0]
    padding = -(-channels // BLOCK) * BLOCK / channels if kernel.kind in CONVOLUTIONS else 1.0
    return [1.0, kernel.macs * padding, kernel.elements_in, kernel.elements_out, kernel.weight_bytes]


def _place(kernel: FusedKernel) -> list[float]:
    """Where a kernel lies among others of its kind."""
    channels, channels_out = kernel.shape_in[0] // kernel.groups, kernel.shape_out[0] // kernel.groups
    return [
        math.log(channels),
        math.log(channels_out),
        math.log(kernel.batch * math.prod(kernel.shape_out[1:])),
        math.log(math.prod(kernel.kernel)),
        math.log(math.prod(kernel.stride)),
        math.log(math.prod(kernel.dilation)),
        math.log(kernel.groups),
        math.log(kernel.inputs),
        float(channels % BLOCK == 0),
        float(channels_out % BLOCK == 0),
        float(kernel.residual),
        *(float(kernel.activation == name) for name in ACTIVATIONS),
    ]


def fitted_kinds(measured: Mapping[FusedKernel, float]) -> dict[str, KindModel]:
    """A model for every kind of which enough kernels were measured (milliseconds)."""
    kinds = _by_kind(measured)
    return {
        kind: KindModel().fit(kernels, [measured[kernel] for kernel in kernels])
        for kind, kernels in kinds.items()
        if len(kernels) >= FEWEST
    }


def held_out_errors(measured: Mapping[FusedKernel, float]) -> dict[str, float]:
    """Mean absolute relative error of each kind, every fifth of its kernels predicted from the others."""
    errors = {}
    for kind, kernels in _by_kind(measured).items():
        if len(kernels) < FOLDS + FEWEST:
            continue
        fold = np.random.default_rng(0).permutation(len(kernels)) % FOLDS
        found = []
        for number in range(FOLDS):
            kept = [kernel for kernel, other in zip(kernels, fold, strict=True) if other != number]
            held = [kernel for kernel, other in zip(kernels, fold, strict=True) if other == number]
            model = KindModel().fit(kept, [measured[kernel] for kernel in kept])
            predicted = [one.latency_ms for one in model.predict(held)]
            found += [abs(ms / measured[kernel] - 1) for ms, kernel in zip(predicted, held, strict=True)]
        errors[kind] = float(np.mean(found))
    return errors


def _by_kind(measured: Mapping[FusedKernel, float]) -> dict[str, list[FusedKernel]]:
    kinds: dict[str, list[FusedKernel]] = {}
    for kernel in measured:
        kinds.setdefault(kernel.kind, []).append(kernel)
    return kinds
