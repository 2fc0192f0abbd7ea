"""What every reader promises, whatever it reads."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ponas_core.datasets.catalog import dataset_from_torch, load_dataset
from ponas_core.datasets.images import Dataset
from ponas_core.operators import TensorShape
from tests.ponas_core.datasets import written

SHAPE = TensorShape(3, 32, 32)
LABELS = [i % 3 for i in range(12)]


def pixels(changed: bool) -> NDArray[np.uint8]:
    found = written.images(12)
    found[0, 0, 0, 0] ^= 255 * changed
    return found


def parts(changed: bool) -> list[written.Part]:
    found = written.cifar_parts()
    found[0][0][0, 0, 0, 0] ^= 255 * changed
    return found


def binary10(folder: Path, changed: bool) -> Dataset:
    return load_dataset(str(written.binary10(folder / "c", parts(changed))), SHAPE)


def python10(folder: Path, changed: bool) -> Dataset:
    return load_dataset(str(written.python10(folder / "c", parts(changed))), SHAPE)


def binary100(folder: Path, changed: bool) -> Dataset:
    path = written.binary100(folder / "c", (pixels(changed), LABELS), (pixels(False), LABELS))
    return load_dataset(str(path), SHAPE)


def python100_archive(folder: Path, changed: bool) -> Dataset:
    path = written.python100(folder / "c", (pixels(changed), LABELS), (pixels(False), LABELS))
    return load_dataset(str(written.archive(path, folder / "cifar-100-python.tar.gz")), SHAPE)


def keras_npz(folder: Path, changed: bool) -> Dataset:
    last = pixels(changed).transpose(0, 2, 3, 1)
    file = folder / "keras.npz"
    labels = np.array(LABELS)[:, None]
    np.savez(file, x_train=last, y_train=labels, x_test=last, y_test=labels)
    return load_dataset(str(file), SHAPE)


def arrays_npz(folder: Path, changed: bool) -> Dataset:
    file = folder / "arrays.npz"
    np.savez(file, images=pixels(changed) / np.float32(255), labels=LABELS, is_train=np.arange(12) < 9)
    return load_dataset(str(file), SHAPE)


def jpeg_npz(folder: Path, changed: bool) -> Dataset:
    files = []
    for image in pixels(changed):
        stream = io.BytesIO()
        Image.fromarray(image.transpose(1, 2, 0)).save(stream, "JPEG")
        files.append(stream.getvalue())
    file = folder / "jpeg.npz"
    jpeg = np.frombuffer(b"".join(files), np.uint8)
    offsets = np.cumsum([0, *map(len, files)])
    np.savez(file, jpeg=jpeg, offsets=offsets, label=LABELS, is_train=np.arange(12) < 9)
    return load_dataset(str(file), SHAPE)


def folders(folder: Path, changed: bool) -> Dataset:
    found = pixels(False)
    if changed:
        found[0] = 0  # files are told apart by their sizes
    return load_dataset(str(written.folder_of_images(folder / "pictures", found)), SHAPE)


def from_torch(_: Path, changed: bool) -> Dataset:
    labels = [2, *LABELS[1:]] if changed else LABELS  # only labels are in its digest
    items = list(zip(pixels(False).transpose(0, 2, 3, 1), labels, strict=True))
    return dataset_from_torch("torch", items)


@pytest.mark.parametrize(
    "read",
    [
        binary10, python10, binary100, python100_archive, keras_npz, arrays_npz, jpeg_npz, folders, from_torch
    ],
    ids=lambda read: read.__name__,
)  # fmt: skip
class TestReader:
    def test_images_have_the_shape_that_they_say_and_are_bytes(
        self, read: Callable[[Path, bool], Dataset], tmp_path: Path
    ) -> None:
        dataset = read(tmp_path, False)
        dataset.check(SHAPE, 3)
        for part in filter(None, [dataset.training, dataset.test]):
            batch = part.images.batch(np.arange(len(part)))
            assert batch.shape == (len(part), 3, 32, 32)
            assert batch.dtype == np.uint8

    def test_a_batch_is_in_the_order_that_was_asked_for(
        self, read: Callable[[Path, bool], Dataset], tmp_path: Path
    ) -> None:
        images = read(tmp_path, False).training.images
        everything = images.batch(np.arange(len(images)))
        wanted = np.array([3, 0, 3, 1])
        np.testing.assert_array_equal(images.batch(wanted), everything[wanted])

    def test_labels_are_numbers_of_classes(
        self, read: Callable[[Path, bool], Dataset], tmp_path: Path
    ) -> None:
        dataset = read(tmp_path, False)
        assert set(dataset.training.labels) == {0, 1, 2}
        assert len(dataset.classes) == 3

    def test_the_digest_is_that_of_the_content(
        self, read: Callable[[Path, bool], Dataset], tmp_path: Path
    ) -> None:
        places = [tmp_path / name for name in "abc"]
        for place in places:
            place.mkdir()
        one, same, other = (read(place, place.name == "c").digest for place in places)
        assert one == same
        assert one != other
        assert len(one) == 12

    def test_it_can_be_split(self, read: Callable[[Path, bool], Dataset], tmp_path: Path) -> None:
        splits = read(tmp_path, False).splits()
        for part in (splits.training, splits.validation, splits.verification):
            assert set(part.labels) == {0, 1, 2}
            assert part.images.batch(np.array([0])).shape == (1, 3, 32, 32)
