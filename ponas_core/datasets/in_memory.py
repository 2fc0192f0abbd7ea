"""Data sets whose pixels lie in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.digests import array_chunks, digest_of
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import ArrayImages, Dataset, LabelledImages


def in_memory(
    name: str,
    classes: Sequence[str],
    training: tuple[NDArray[np.uint8], NDArray[Any]],
    test: tuple[NDArray[np.uint8], NDArray[Any]] | None,
    notice: str | None = None,
) -> Dataset:
    """A data set of arrays.

    Args:
        name: what people call it.
        classes: names, in the order of labels.
        training: pixels (N, C, H, W) and labels (N).
        test: the same, or None.
        notice: what people ought to know about the data.

    Raises:
        DatasetError: arrays and labels do not fit.
    """
    parts = [training] if test is None else [training, test]
    images = [ArrayImages(pixels) for pixels, _ in parts]
    labels = [whole_labels(numbers, name) for _, numbers in parts]
    arrays = [array for pair in zip(images, labels, strict=True) for array in (pair[0].pixels, pair[1])]
    labelled = [LabelledImages(*pair) for pair in zip(images, labels, strict=True)]
    return Dataset(
        name=name,
        classes=tuple(classes),
        training=labelled[0],
        test=labelled[1] if test is not None else None,
        digest=digest_of(chunk for array in arrays for chunk in array_chunks(array)),
        notice=notice,
    )


def whole_labels(values: NDArray[Any], name: str) -> NDArray[np.int64]:
    """Labels (N) or (N, 1) of any type of whole numbers as int64 (N); DatasetError for others."""
    if values.ndim == 2 and values.shape[1] == 1:  # as Keras has them
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DatasetError(
            f"{name}: labels are one whole number for each image, not {values.dtype} {values.shape}"
        )
    return values.astype(np.int64)


def numbered(*labels: NDArray[np.int64]) -> tuple[str, ...]:
    """Names of classes that have none: their numbers, up to the largest label.

    Raises:
        DatasetError: there would be more classes than images.
    """
    found = np.concatenate(labels)
    count = int(found.max(initial=0)) + 1
    if count > max(len(found), 1):
        raise DatasetError(
            f"the largest label is {count - 1}, but there are {len(found)} images: "
            "number the classes from 0 without gaps"
        )
    return tuple(map(str, range(count)))
