"""Labelled images, and the parts of them that a search may see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.items import pixels_of_item
from ponas_core.datasets.pictures import check_channels, pixels_of_file, require_pillow
from ponas_core.datasets.splitting import check_counts, held_out
from ponas_core.operators import TensorShape

__all__ = [
    "ArrayImages",
    "Dataset",
    "DatasetError",
    "DatasetImages",
    "FileImages",
    "Images",
    "Items",
    "LabelledImages",
    "SearchSplits",
    "SomeImages",
]


class Images(Protocol):
    """What a trainer asks of a set of images.

    Attributes:
        shape: of every image.
    """

    shape: TensorShape

    def __len__(self) -> int:
        """How many there are."""
        ...

    def batch(self, indexes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels (B, C, H, W) of these images, in this order; an index may come twice."""
        ...


class ArrayImages:
    """Images in memory.

    Attributes:
        pixels: (N, C, H, W).
        shape: of every image.
    """

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        """Raises DatasetError unless the array is (N, C, H, W), uint8, and no axis is empty."""
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or not pixels.size:
            raise DatasetError(
                f"images in memory are a uint8 array (N, C, H, W), not {pixels.dtype} {pixels.shape}"
            )
        # layouts are views of what was read: random access wants each image in one piece
        self.pixels = np.ascontiguousarray(pixels)
        self.shape = TensorShape(*pixels.shape[1:])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.pixels)

    def batch(self, indexes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels (B, C, H, W) of these images: a copy."""
        return self.pixels[np.asarray(indexes, np.intp)]


class FileImages:
    """Image files, decoded when they are asked for by several threads: Pillow lets go of the interpreter.

    The shorter side is brought to the wanted size, and the middle of the longer side is taken. One channel
    is greyscale, three are red, green, blue.

    Attributes:
        files: where they lie.
        shape: of every image once it is decoded.
    """

    def __init__(self, files: Sequence[Path], shape: TensorShape) -> None:
        """Raises DatasetError without Pillow, or for other than 1 or 3 channels."""
        require_pillow()
        check_channels(shape)
        self.files = tuple(files)
        self.shape = shape

    def __len__(self) -> int:
        """How many there are."""
        return len(self.files)

    def batch(self, indexes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels (B, C, H, W) of these images; DatasetError names a file that cannot be decoded."""
        files = [self.files[index] for index in indexes]
        pixels = np.empty((len(files), self.shape.channels, self.shape.height, self.shape.width), np.uint8)
        # threads of a batch end with it: nothing to close, and a process may fork between batches
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for row, image in enumerate(pool.map(lambda file: pixels_of_file(file, self.shape), files)):
                pixels[row] = image
        return pixels


class Items(Protocol):
    """A map-style torch Dataset, or any sequence of (image, label)."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """Image and label."""
        ...


class DatasetImages:
    """Images of a torch Dataset, or of a sequence of (image, label), asked for one by one when needed.

    An image may be a PIL image, a numpy array (H, W, C) or (H, W) of uint8, or a torch tensor (C, H, W) of
    uint8 or of floats in 0..1.

    Attributes:
        items: what gives them.
        shape: of every image.
    """

    def __init__(self, items: Items, shape: TensorShape | None = None) -> None:
        """Take the shape of the first image unless it is told.

        Raises:
            DatasetError: there are no items, or the first image is of a kind that is not known.
        """
        if not len(items):
            raise DatasetError("the data set holds no images")
        self.items = items
        self.shape = shape or TensorShape(*self._pixels(0, None).shape)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.items)

    def batch(self, indexes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels (B, C, H, W) of these images; DatasetError names an image of another shape."""
        wanted = (self.shape.channels, self.shape.height, self.shape.width)
        pixels = np.empty((len(indexes), *wanted), np.uint8)
        for row, index in enumerate(indexes):
            image = self._pixels(int(index), self.shape.channels)
            if image.shape != wanted:
                raise DatasetError(
                    f"image {index} is {'x'.join(map(str, image.shape))}, not {self.shape}: let the data "
                    "set's transform resize every image to one size"
                )
            pixels[row] = image
        return pixels

    def _pixels(self, index: int, channels: int | None) -> NDArray[np.uint8]:
        return pixels_of_item(self.items[index], channels, f"image {index}")


class SomeImages:
    """Some of the images of another set, in an order of their own; nothing is read before it is asked for.

    Attributes:
        images: the other set.
        indexes: which of its images, one for each of these.
        shape: of every image.
    """

    def __init__(self, images: Images, indexes: NDArray[np.intp]) -> None:
        self.images = images
        self.indexes = indexes
        self.shape = images.shape

    def __len__(self) -> int:
        """How many there are."""
        return len(self.indexes)

    def batch(self, indexes: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Pixels (B, C, H, W) of these images."""
        return self.images.batch(self.indexes[indexes])


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and the class of each.

    Attributes:
        images: the images.
        labels: int64, one for each image, counted from 0.
    """

    images: Images
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise DatasetError unless every image has a label, there is one, and none is negative."""
        if self.labels.dtype != np.int64 or self.labels.ndim != 1:
            raise DatasetError(
                f"labels are one int64 for each image, not {self.labels.dtype} {self.labels.shape}"
            )
        if len(self.images) != len(self.labels):
            raise DatasetError(f"{len(self.images)} images have {len(self.labels)} labels: each needs one")
        if not len(self.labels):
            raise DatasetError("there are no images")
        if self.labels.min() < 0:
            raise DatasetError(f"the label {self.labels.min()} is negative: classes are counted from 0")

    def __len__(self) -> int:
        """How many there are."""
        return len(self.labels)

    def take(self, indexes: NDArray[np.intp] | Sequence[int]) -> LabelledImages:
        """Some of them, in this order: a copy of images in memory, a view of all others."""
        wanted = np.asarray(indexes, np.intp)
        images: Images
        if isinstance(self.images, ArrayImages):
            images = ArrayImages(self.images.batch(wanted))
        elif isinstance(self.images, SomeImages):
            images = SomeImages(self.images.images, self.images.indexes[wanted])
        else:
            images = SomeImages(self.images, wanted)
        return LabelledImages(images, self.labels[wanted])


@dataclass(frozen=True, eq=False)
class SearchSplits:
    """What a search may see; there is no test image in it, so none can leak.

    Attributes:
        training: to train on.
        validation: fills score tables.
        verification: chooses among the best of a table; never used to fill it.
    """

    training: LabelledImages
    validation: LabelledImages
    verification: LabelledImages


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images for training and for the last test.

    Attributes:
        name: what people call it.
        classes: names of the classes, in the order of labels.
        training: what may be learned from.
        test: what the final network is judged by, once; None when there is none.
        digest: of the content, 12 hexadecimal digits: a search that is resumed can tell whether its data
            changed.
        notice: what people ought to know about the data, one sentence, or None.
    """

    name: str
    classes: tuple[str, ...]
    training: LabelledImages
    test: LabelledImages | None
    digest: str
    notice: str | None = None

    def __post_init__(self) -> None:
        """Raise DatasetError unless every label has a class and all images have one shape."""
        for part in self._parts():
            if part.labels.max() >= len(self.classes):
                raise DatasetError(
                    f"{self.name} has the label {part.labels.max()}, but {len(self.classes)} classes, "
                    "counted from 0"
                )
            if part.images.shape != self.training.images.shape:
                raise DatasetError(
                    f"{self.name}: training images are {self.training.images.shape}, "
                    f"test images {part.images.shape}; bring them to one shape"
                )

    def check(self, shape: TensorShape, classes: int) -> None:
        """Raise DatasetError unless networks that read this shape and tell so many classes fit the data."""
        found = self.training.images.shape
        if found != shape:
            raise DatasetError(
                f"the images of {self.name} are {found}, the space reads {shape}: set `input` of the space "
                f"to [{found.channels}, {found.height}, {found.width}], or convert the images"
            )
        if len(self.classes) != classes:
            raise DatasetError(
                f"{self.name} has {len(self.classes)} classes, the network {classes} outputs: "
                f"set `channels` of the space's classifier to {len(self.classes)}"
            )

    def splits(self, validation_share: float = 0.2, seed: int = 0) -> SearchSplits:
        """Divide the training images; every class is in every part, in proportion.

        Args:
            validation_share: of the training images, half of it validation, half verification.
            seed: of the random choice.

        Raises:
            DatasetError: a class has fewer than three images, or the share is not between 0 and 1.
        """
        if not 0 < validation_share < 1:
            raise DatasetError(f"the share for validation lies between 0 and 1, not {validation_share}")
        labels = self.training.labels
        check_counts(labels, self.classes, 3, f"to divide {self.name} for training, validation, verification")
        kept, held = held_out(labels, validation_share, seed, fewest=2)
        # at least two of each class lie in a row: every other one gives each half its share of every class
        halves = np.sort(held[0::2]), np.sort(held[1::2])
        return SearchSplits(self.training.take(kept), *map(self.training.take, halves))

    def _parts(self) -> tuple[LabelledImages, ...]:
        return (self.training,) if self.test is None else (self.training, self.test)
