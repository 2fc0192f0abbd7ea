"""The baseline that every latency model must beat: a line through one size of a network, such as its MACs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SizeLine:
    """latency = slope * size + intercept, fitted by least squares of relative residuals.

    Attributes:
        slope_: milliseconds a unit of size.
        intercept_ms_: what a network of no size would take.
    """

    def fit(self, sizes: ArrayLike, latencies_ms: ArrayLike) -> SizeLine:
        """Learn from measured networks, at least two of different size.

        Raises:
            ValueError: too few networks, or latencies that are not positive.
        """
        size, times = np.asarray(sizes, np.float64), np.asarray(latencies_ms, np.float64)
        if size.shape != times.shape or size.ndim != 1 or np.unique(size).size < 2:
            raise ValueError("a line needs at least two networks of different size")
        if not (times > 0).all():
            raise ValueError("measured latencies must be positive")
        design = np.column_stack([size, np.ones_like(size)]) / times[:, None]
        (slope, intercept), *_ = np.linalg.lstsq(design, np.ones_like(times))
        self.slope_, self.intercept_ms_ = float(slope), float(intercept)
        return self

    def predict(self, sizes: ArrayLike) -> NDArray[np.float64]:
        """Latencies in milliseconds of networks of these sizes."""
        return self.slope_ * np.asarray(sizes, np.float64) + self.intercept_ms_
