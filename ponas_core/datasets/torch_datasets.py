"""Any map-style torch Dataset of (image, label) as a data set; torch itself is not imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.digests import array_chunks, digest_of
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset, DatasetImages, Items, LabelledImages
from ponas_core.datasets.in_memory import numbered
from ponas_core.datasets.items import label_of_item
from ponas_core.operators import TensorShape


def dataset_from_torch(
    name: str,
    training: Items,
    test: Items | None = None,
    classes: Sequence[str] | None = None,
    shape: TensorShape | None = None,
) -> Dataset:
    """A data set whose images come from torch Datasets, one by one when they are needed.

    Labels are taken from the attribute `targets` where there is one, else every item is asked for once. The
    digest is of the labels and the shape only: transforms may be random.

    Args:
        name: what people call it.
        training: images to learn from, without augmentation or normalisation: training adds both.
        test: images for the last test, or None.
        classes: names; else the attribute `classes`, else numbers.
        shape: of every image; else that of the first.

    Raises:
        DatasetError: items are not (image, label) as `DatasetImages` wants them.
    """
    images = _images(training, shape)
    parts = [LabelledImages(images, _labels(training))]
    if test is not None:
        parts.append(LabelledImages(_images(test, images.shape), _labels(test)))
    labels = [part.labels for part in parts]
    names = tuple(classes) if classes is not None else _names(training, labels)
    chunks = [chunk for numbers in labels for chunk in array_chunks(numbers)]
    return Dataset(
        name=name,
        classes=names,
        training=parts[0],
        test=parts[1] if test is not None else None,
        digest=digest_of([str(images.shape).encode(), *chunks]),
    )


def _images(items: Any, shape: TensorShape | None) -> DatasetImages:
    if not hasattr(items, "__len__") or not hasattr(items, "__getitem__"):
        raise DatasetError(
            f"{type(items).__name__} gives no image by its number: pass a map-style Dataset, "
            "one with __len__ and __getitem__, not a loader"
        )
    return DatasetImages(items, shape)


def _labels(items: Items) -> NDArray[np.int64]:
    # a transform of labels is not applied to `targets`
    if getattr(items, "target_transform", None) is None:
        told = _told_labels(getattr(items, "targets", None), len(items))
        if told is not None:
            return told
    return np.array([label_of_item(items[index], f"item {index}") for index in range(len(items))], np.int64)


def _told_labels(targets: Any, count: int) -> NDArray[np.int64] | None:
    """The attribute `targets` where it is one whole number for each item, else None."""
    try:
        labels = np.asarray(targets)
    except (TypeError, ValueError):  # ragged, or on another device
        return None
    return labels.astype(np.int64) if labels.shape == (count,) and labels.dtype.kind in "iu" else None


def _names(items: Items, labels: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    """The attribute `classes` where it names every label, else numbers."""
    numbers = numbered(*labels)
    told = getattr(items, "classes", None)
    if isinstance(told, list | tuple) and len(told) >= len(numbers):
        return tuple(map(str, told))
    return numbers
