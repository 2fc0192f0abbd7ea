"""Data sets by name or path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.errors import DatasetError
from ponas_core.operators import TensorShape

SHAPE = TensorShape(1, 8, 8)


def test_the_digits_come_with_a_fixed_test() -> None:
    dataset, again = (load_dataset("digits", SHAPE) for _ in range(2))
    dataset.check(SHAPE, 10)
    assert dataset.test is not None
    assert (len(dataset.training), len(dataset.test)) == (1438, 359)
    assert dataset.digest == again.digest
    counts = np.bincount(load_digits().target)
    np.testing.assert_allclose(np.bincount(dataset.test.labels), counts / 5, atol=0.5)
    pixels = dataset.training.images.batch(np.arange(len(dataset.training)))
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_the_digits_stay_as_they_are_whatever_the_space_reads() -> None:
    with pytest.raises(DatasetError, match="digits are 1x8x8, the space reads 3x32x32"):
        load_dataset("digits", TensorShape(3, 32, 32)).check(TensorShape(3, 32, 32), 10)


def test_what_is_accepted_is_said(tmp_path: Path) -> None:
    accepted = (
        r"accepted are digits, a folder of CIFAR-10 or CIFAR-100, its archive .*, an \.npz file, a folder"
    )
    with pytest.raises(DatasetError, match=f"imagenet does not exist; {accepted}"):
        load_dataset(str(tmp_path / "imagenet"), SHAPE)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match=rf"notes\.txt is no data set that can be read; {accepted}"):
        load_dataset(str(tmp_path / "notes.txt"), SHAPE)


def test_a_path_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"does not exist|cannot read the data set"):
        load_dataset(str(tmp_path / ("x" * 5000)), SHAPE)
