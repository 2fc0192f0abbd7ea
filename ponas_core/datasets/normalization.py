"""What a network reads of an image: pixels, centred and scaled per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.images import LabelledImages

STATISTICS_IMAGES = 10_000
_MEAN, _STD = "input_mean", "input_std"


@dataclass(frozen=True, slots=True)
class Normalization:
    """(pixel / 255 - mean) / std, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: LabelledImages) -> Normalization:
        """Mean and standard deviation of each channel over (at most 10,000) images."""
        count = len(images)
        chosen = np.unique(np.linspace(0, count - 1, min(count, STATISTICS_IMAGES)).astype(np.intp))
        pixels = images.images.batch(chosen).astype(np.float64) / 255
        mean, std = pixels.mean((0, 2, 3)), pixels.std((0, 2, 3))
        return cls(tuple(mean.tolist()), tuple(np.maximum(std, 1e-3).tolist()))

    @classmethod
    def from_notes(cls, notes: Mapping[str, str]) -> Normalization | None:
        """What `notes` wrote, such as an ONNX file's metadata; None where they tell nothing.

        Raises:
            ValueError: they are there, but are no numbers.
        """
        if _MEAN not in notes or _STD not in notes:
            return None
        return cls(*(tuple(float(word) for word in notes[key].split(",")) for key in (_MEAN, _STD)))

    def notes(self) -> dict[str, str]:
        """The numbers as texts, for a file's metadata."""
        return {_MEAN: ",".join(map(repr, self.mean)), _STD: ",".join(map(repr, self.std))}

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(batch, C, H, W) pixels to what the network reads."""
        mean, std = (np.array(values, np.float32)[:, None, None] * 255 for values in (self.mean, self.std))
        return (pixels.astype(np.float32) - mean) / std
