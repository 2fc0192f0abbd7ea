"""Folders of image files, one folder for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.digests import array_chunks, digest_of
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset, FileImages, LabelledImages
from ponas_core.datasets.splitting import TEST_SHARE, test_apart
from ponas_core.operators import TensorShape

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_TRAINING = "train"
_TESTS = ("test", "val")  # the first that there is


@dataclass(frozen=True)
class _Files:
    """Files and the class of each."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]

    def take(self, indexes: NDArray[np.intp]) -> _Files:
        return _Files(tuple(self.files[index] for index in indexes), self.labels[indexes])

    def labelled(self, shape: TensorShape) -> LabelledImages:
        return LabelledImages(FileImages(self.files, shape), self.labels)


def read_folder(path: Path, shape: TensorShape) -> Dataset:
    """Read `DIR/<class>/*.png`, or `DIR/train/<class>/*.png` with `DIR/test` or `DIR/val`.

    Without a folder of test images a fixed fifth of every class is set apart, which the notice says.

    Raises:
        DatasetError: there are no classes, one holds no images, or test images have a class of their own.
    """
    divided = bool(_classes(path / _TRAINING))
    root = path / _TRAINING if divided else path
    folders = _classes(root)
    if len(folders) < 2:
        raise DatasetError(
            f"{root} needs a folder of images ({', '.join(SUFFIXES)}) for each class, at least two; "
            f"it has {len(folders)} folders"
        )
    classes = tuple(folders)
    training = _files(folders, classes)
    tests = [name for name in _TESTS if divided and _classes(path / name)]
    if tests:
        test = _files(_classes(path / tests[0]), classes)
        notice = f"{path.name}/{tests[1]} is not used: {tests[0]} is the test" if len(tests) > 1 else None
    else:
        training, test = map(training.take, test_apart(training.labels, classes, path.name))
        notice = (
            f"{path.name} has no test images of its own: {TEST_SHARE:.0%} of every class, "
            f"{len(test.files)} images, were set apart"
        )
    digest = _digest(path, training, test)
    return Dataset(path.name, classes, training.labelled(shape), test.labelled(shape), digest, notice)


def _classes(root: Path) -> dict[str, Path]:
    """Folders by their names, sorted; none where the root is no folder."""
    if not root.is_dir():
        return {}
    folders = (entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return {folder.name: folder for folder in sorted(folders, key=lambda folder: folder.name)}


def _files(folders: Mapping[str, Path], classes: Sequence[str]) -> _Files:
    """All images of these folders; a folder that is no class, or holds no image, is an error."""
    files: list[Path] = []
    labels: list[int] = []
    for name, folder in folders.items():
        if name not in classes:
            raise DatasetError(f"{folder} is a class without training images: add some or remove it")
        found = sorted(file for file in folder.iterdir() if _is_image(file))
        if not found:
            raise DatasetError(f"{folder} holds no images ({', '.join(SUFFIXES)}): add some or remove it")
        files += found
        labels += [classes.index(name)] * len(found)
    return _Files(tuple(files), np.array(labels, np.int64))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()


def _digest(path: Path, *parts: _Files) -> str:
    """Digest of names, sizes and labels: reading every image would take too long."""
    return digest_of(
        chunk
        for part in parts
        for chunk in (
            *(f"{file.relative_to(path).as_posix()} {file.stat().st_size}".encode() for file in part.files),
            *array_chunks(part.labels),
        )
    )
