"""The handwritten digits that come with scikit-learn: 1,797 images, 1x8x8, ten classes."""

from __future__ import annotations

import numpy as np

from ponas_core.datasets.images import Dataset
from ponas_core.datasets.in_memory import in_memory
from ponas_core.datasets.splitting import test_apart

_SCALE = 255 / 16  # grey values are 0..16


def digits() -> Dataset:
    """The digits, with a fixed fifth of every class as test images."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = np.rint(found.images * _SCALE).astype(np.uint8)[:, np.newaxis]
    labels = found.target.astype(np.int64)
    classes = [str(name) for name in found.target_names]
    training, test = test_apart(labels, classes, "digits")
    return in_memory("digits", classes, (pixels[training], labels[training]), (pixels[test], labels[test]))
