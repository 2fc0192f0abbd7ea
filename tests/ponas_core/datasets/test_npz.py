"""Data sets in one `.npz` file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset
from ponas_core.operators import TensorShape
from tests.ponas_core.datasets import written

ROOT = Path(__file__).parents[3]
PACKED = Path(os.environ.get("HWPROFILE_TEST_DATA", ROOT.parent / "shared" / "data")) / "cifar10_jpeg.npz"
NEEDS_PACKED = pytest.mark.skipif(
    not PACKED.is_file(),
    reason=f"the packed images {PACKED} are absent; HWPROFILE_TEST_DATA tells their folder",
)


def saved(folder: Path, **arrays: Any) -> Dataset:
    np.savez(folder / "set.npz", **arrays)
    return load_dataset(str(folder / "set.npz"), TensorShape(3, 32, 32))


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_layouts_and_types_come_to_the_same(axes: Any, channels: int, dtype: Any, tmp_path: Path) -> None:
    pixels = written.images(4, channels, size=6)
    values = pixels if dtype == np.uint8 else (pixels / 255).astype(dtype)
    dataset = saved(tmp_path, images=values.transpose(axes), labels=[0, 1, 1, 0])
    np.testing.assert_array_equal(dataset.training.images.batch(np.arange(4)), pixels)
    assert dataset.test is None
    assert dataset.name == "set"
    assert dataset.notice is None


def test_images_without_channels_have_one(tmp_path: Path) -> None:
    pixels = written.images(4, 1)
    dataset = saved(tmp_path, x_train=pixels[:, 0], y_train=[[0], [1], [1], [0]])
    np.testing.assert_array_equal(dataset.training.images.batch(np.arange(4)), pixels)


def test_classes_have_names_or_numbers(tmp_path: Path) -> None:
    images = written.images(3)
    assert saved(tmp_path, images=images, labels=[0, 2, 1]).classes == ("0", "1", "2")
    named = saved(tmp_path, images=images, labels=[0, 1, 1], classes=["cat", "dog", "owl"])
    assert named.classes == ("cat", "dog", "owl")


def test_is_train_divides(tmp_path: Path) -> None:
    images = written.images(4)
    dataset = saved(tmp_path, images=images, labels=[0, 1, 0, 1], is_train=[True, False, True, True])
    np.testing.assert_array_equal(dataset.training.images.batch(np.arange(3)), images[[0, 2, 3]])
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.test.images.batch(np.arange(1)), images[[1]])
    assert saved(tmp_path, images=images, labels=[0] * 4, is_train=[True] * 4).test is None


IMAGES = written.images(4)


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"pictures": IMAGES}, "has the arrays pictures; wanted are x_train"),
        ({"images": IMAGES[..., :3], "labels": [0] * 4}, "both the second and the last axis"),
        ({"images": IMAGES[:, [0, 1]], "labels": [0] * 4}, "no axis of"),
        ({"images": IMAGES[0, 0], "labels": [0] * 4}, "this one is"),
        ({"images": IMAGES.astype(np.int64), "labels": [0] * 4}, "not int64"),
        ({"images": IMAGES * 1.0, "labels": [0] * 4}, r"lie in 0\.\.1"),
        ({"images": IMAGES * np.nan, "labels": [0] * 4}, r"lie in 0\.\.1"),
        ({"images": IMAGES, "labels": [0.5] * 4}, "one whole number for each image"),
        ({"images": IMAGES, "labels": [0] * 3}, "4 images have 3 labels"),
        ({"images": IMAGES, "labels": [0, 1, 2, 10**12]}, "the largest label is 1000000000000"),
        ({"images": IMAGES, "labels": [0] * 4, "is_train": [1] * 4}, "one truth value for each of 4"),
        ({"images": IMAGES, "labels": [0] * 4, "is_train": [False] * 4}, "images in memory are"),
        ({"images": IMAGES, "labels": np.array(["a"] * 4, object)}, "cannot read .*plain arrays"),
        ({"x_train": IMAGES, "y_train": [0] * 4, "x_test": IMAGES}, "one of x_test and y_test"),
        ({"jpeg": IMAGES, "offsets": [0], "label": [0]}, "one behind the other"),
        ({"jpeg": IMAGES.ravel(), "offsets": [0, 4, 3], "label": [0, 0]}, "3 ascending whole numbers"),
        ({"jpeg": IMAGES.ravel(), "offsets": [0, 4, 10**9], "label": [0, 0]}, "ascending whole numbers"),
        ({"jpeg": IMAGES.ravel(), "offsets": [0, 4, 9], "label": [0, 0]}, "cannot decode .*image 0"),
    ],
)
def test_what_does_not_fit_is_said(arrays: dict[str, Any], problem: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=problem):
        saved(tmp_path, **arrays)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing", b"something else"])
def test_a_damaged_file_is_said(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "damaged.npz"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match=r"cannot read .*damaged\.npz"):
        load_dataset(str(file), TensorShape(3, 32, 32))


def test_one_array_is_said(tmp_path: Path) -> None:
    file = tmp_path / "one.npz"
    with file.open("wb") as stream:
        np.save(stream, IMAGES)
    with pytest.raises(DatasetError, match="one array, not an"):
        load_dataset(str(file), TensorShape(3, 32, 32))


def test_packed_images_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DatasetError, match=r"pip install 'hwprofile\[search\]'"):
        saved(tmp_path, jpeg=IMAGES.ravel(), offsets=[0, 4], label=[0])


@NEEDS_PACKED
def test_images_of_cifar_10_packed_as_jpeg_are_read(tmp_path: Path) -> None:
    with np.load(PACKED) as packed:
        offsets = packed["offsets"][:2001]
        arrays = {"jpeg": packed["jpeg"][: offsets[-1]], "label": packed["label"][:2000]}
    dataset = saved(tmp_path, offsets=offsets, **arrays)
    dataset.check(TensorShape(3, 32, 32), 10)
    assert "lossy" in (dataset.notice or "")
    mean = dataset.training.images.batch(np.arange(2000)).mean((0, 2, 3))
    np.testing.assert_allclose(mean, [125.3, 123.0, 113.9], atol=3)  # published means of CIFAR-10


@pytest.mark.slow
@NEEDS_PACKED
def test_all_of_cifar_10_packed_as_jpeg_is_read() -> None:
    dataset = load_dataset(str(PACKED), TensorShape(3, 32, 32))
    dataset.check(TensorShape(3, 32, 32), 10)
    assert dataset.test is not None
    assert np.bincount(dataset.training.labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
