"""Data sets that people name, checked against the space that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hwprofile.errors import BadInput, UserError
from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset, LabelledImages, SearchSplits
from ponas_core.operators import TensorShape
from ponas_core.space import SearchSpace

Split: TypeAlias = Literal["test", "verification", "validation", "training"]
BATCH = 500


def needed(name: str | None) -> str:
    """The name of a data set that was given; BadInput where none was."""
    if name is None:
        raise BadInput("give --data: `digits`, or the path of your images (docs/datasets.md)")
    return name


def dataset_named(name: str, shape: TensorShape, classes: int, tell: Callable[[str | None], None]) -> Dataset:
    """A data set that fits networks which read this shape and tell so many classes.

    Raises:
        UserError: there is none, it cannot be read, or it does not fit.
    """
    try:
        dataset = load_dataset(name, shape)
        dataset.check(shape, classes)
    except DatasetError as error:
        raise UserError(str(error)) from error
    tell(dataset.notice)
    return dataset


def dataset_for(space: SearchSpace, name: str, tell: Callable[[str | None], None]) -> Dataset:
    """A data set that fits the networks of a space; UserError as `dataset_named`."""
    return dataset_named(name, space.shape_in, classes_of(space), tell)


def classes_of(space: SearchSpace) -> int:
    """Outputs of the networks of a space."""
    last = space.all_layers[-1]
    return last.recipe(0).output(last.place.shape_in).channels


def splits_of(dataset: Dataset) -> SearchSplits:
    """Training, validation and verification, always the same ones; UserError where there are too few."""
    try:
        return dataset.splits()
    except DatasetError as error:
        raise UserError(str(error)) from error


def split_named(dataset: Dataset, split: Split) -> LabelledImages:
    """One part of a data set; UserError where it has no test images."""
    if split != "test":
        return getattr(splits_of(dataset), split)  # type: ignore[no-any-return]  # one of three fields
    if dataset.test is None:
        raise UserError(f"{dataset.name} has no test images: use --split verification, or add some")
    return dataset.test


def batches(images: LabelledImages) -> Iterator[NDArray[np.uint8]]:
    """Pixels of all images, in order, so many at a time."""
    for start in range(0, len(images), BATCH):
        yield images.images.batch(np.arange(start, min(start + BATCH, len(images)), dtype=np.intp))
