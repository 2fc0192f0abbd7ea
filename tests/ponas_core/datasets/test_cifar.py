"""CIFAR-10 and CIFAR-100 in the forms in which they are published."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponas_core.datasets import cifar
from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset
from ponas_core.operators import TensorShape
from tests.ponas_core.datasets import written

SHAPE = TensorShape(3, 32, 32)


def read(path: Path) -> Dataset:
    return load_dataset(str(path), SHAPE)


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=6, max_size=6), st.integers(0, 99)
)
def test_both_versions_hold_the_same_images(labels: list[list[int]], seed: int) -> None:
    parts = [(written.images(len(found), seed=seed + i), found) for i, found in enumerate(labels)]
    with tempfile.TemporaryDirectory() as folder:
        both = (
            read(written.binary10(Path(folder) / "binary", parts)),
            read(written.python10(Path(folder) / "python", parts)),
        )
    for dataset in both:
        assert dataset.name == "CIFAR-10"
        assert dataset.classes == written.NAMES
        pixels = np.concatenate([pixels for pixels, _ in parts[:5]])
        np.testing.assert_array_equal(dataset.training.images.batch(np.arange(len(pixels))), pixels)
        np.testing.assert_array_equal(dataset.training.labels, np.concatenate(labels[:5]))
        assert dataset.test is not None
        np.testing.assert_array_equal(dataset.test.images.batch(np.arange(len(labels[5]))), parts[5][0])
        np.testing.assert_array_equal(dataset.test.labels, labels[5])
    assert both[0].digest == both[1].digest


def test_the_fine_labels_of_cifar_100_are_taken(tmp_path: Path) -> None:
    part = (written.images(3), [2, 0, 1])
    both = (
        read(written.binary100(tmp_path / "binary", part, part)),
        read(written.python100(tmp_path / "python", part, part)),
    )
    for dataset in both:
        assert dataset.name == "CIFAR-100"
        assert dataset.training.labels.tolist() == [2, 0, 1]
        assert dataset.classes == written.NAMES
    assert both[0].digest == both[1].digest


@pytest.mark.parametrize("write", [written.binary10, written.python10])
def test_an_archive_is_read_as_its_folder(write: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "c", written.cifar_parts())
    assert read(written.archive(folder, tmp_path / "c.tar.gz")).digest == read(folder).digest
    assert sorted(file.name for file in tmp_path.iterdir()) == ["c", "c.tar.gz"]


def test_missing_files_are_named(tmp_path: Path) -> None:
    folder = written.binary10(tmp_path / "c", written.cifar_parts())
    (folder / "data_batch_3.bin").unlink()
    (folder / "batches.meta.txt").unlink()
    with pytest.raises(DatasetError, match=r"lacks data_batch_3\.bin, batches\.meta\.txt of CIFAR-10"):
        read(folder)


@pytest.mark.parametrize("end", [0, 1, 3072, 3074])
def test_a_binary_file_that_was_cut_off_is_named(end: int, tmp_path: Path) -> None:
    folder = written.binary10(tmp_path / "c", written.cifar_parts())
    file = folder / "data_batch_2.bin"
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(DatasetError, match=r"data_batch_2\.bin is no whole number of records of 3073 bytes"):
        read(folder)


def test_a_python_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    folder = written.python10(tmp_path / "c", written.cifar_parts())
    os.truncate(folder / "data_batch_2", 3000)
    with pytest.raises(DatasetError, match=r"data_batch_2 is damaged .*use the binary version"):
        read(folder)


def test_an_archive_that_was_cut_off_is_named(tmp_path: Path) -> None:
    file = written.archive(written.binary10(tmp_path / "c", written.cifar_parts()), tmp_path / "c.tar.gz")
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(DatasetError, match=r"cannot unpack .*c\.tar\.gz"):
        read(file)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(DatasetError, match="no files of CIFAR"):
        read(written.archive(tmp_path / "c", tmp_path / "c.tgz"))


def test_an_archive_of_two_data_sets_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "two.tar.gz"
    with tarfile.open(file, "w:gz") as packed:
        for folder in "ab":
            packed.addfile(tarfile.TarInfo(f"{folder}/train.bin"), io.BytesIO())
    with pytest.raises(DatasetError, match=r"train\.bin twice"):
        read(file)


def test_what_is_read_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written.binary10(tmp_path / "c", written.cifar_parts())
    file = written.archive(folder, tmp_path / "c.tar.gz")
    monkeypatch.setattr(cifar, "_LARGEST_FILE_BYTES", 1000)
    monkeypatch.setattr(cifar, "_LARGEST_ARCHIVE_BYTES", 1000)
    for path in (folder, file):
        with pytest.raises(DatasetError, match="is larger than CIFAR-10"):
            read(path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({b"data": [1, 2]}, "no `data` of 3072 bytes"),
        ({b"data": np.zeros((4, 3073), np.uint8)}, "no `data` of 3072 bytes"),
        ({b"fine_labels": ["a"] * 4}, "no list of numbers `fine_labels`"),
        ({b"fine_labels": [2**40] * 4}, "no list of numbers `fine_labels`"),
        ({b"fine_labels": [0] * 3}, "4 images have 3 labels"),
        ({b"fine_labels": [7] * 4}, "label 7, but 3 classes"),
    ],
)
def test_a_file_of_another_content_is_refused(change: dict[bytes, Any], problem: str, tmp_path: Path) -> None:
    part = (written.images(4), [0, 1, 2, 0])
    folder = written.python100(tmp_path / "c", part, part)
    content = {b"data": written.flat(part[0]), b"fine_labels": part[1], **change}
    (folder / "train").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DatasetError, match=problem):
        read(folder)


def test_names_of_classes_are_texts(tmp_path: Path) -> None:
    part = (written.images(3), [0, 1, 2])
    folder = written.python100(tmp_path / "c", part, part)
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [1, 2]}, 2))
    with pytest.raises(DatasetError, match="meta has no list of texts"):
        read(folder)
