"""Sets of images, labelled images, and the parts that a search may see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponas_core.datasets.images import (
    ArrayImages,
    Dataset,
    DatasetError,
    DatasetImages,
    LabelledImages,
    SomeImages,
)
from ponas_core.operators import TensorShape


def numbered(labels: list[int]) -> LabelledImages:
    """Images of one line whose pixels tell their number."""
    numbers = np.arange(len(labels))
    pixels = np.stack([numbers % 256, numbers // 256], -1).astype(np.uint8)[:, None, None]
    return LabelledImages(ArrayImages(pixels), np.array(labels, np.int64))


def numbers(part: LabelledImages) -> NDArray[np.int64]:
    low, high = part.images.batch(np.arange(len(part)))[:, 0, 0].T.astype(np.int64)
    found: NDArray[np.int64] = low + 256 * high
    return found


def dataset(labels: list[int], test: LabelledImages | None = None) -> Dataset:
    return Dataset("some", tuple("abcdefgh"[: max(labels) + 1]), numbered(labels), test, "0" * 12)


some_labels = st.lists(st.integers(3, 40), min_size=2, max_size=5).flatmap(
    lambda counts: st.permutations([label for label, count in enumerate(counts) for _ in range(count)])
)


@given(some_labels, st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_parts_are_disjoint_exhaustive_and_stratified(labels: list[int], share: float, seed: int) -> None:
    splits = dataset(labels).splits(share, seed)
    parts = [splits.training, splits.validation, splits.verification]
    assert sorted(np.concatenate([numbers(part) for part in parts])) == list(range(len(labels)))
    for part in parts:
        np.testing.assert_array_equal(np.array(labels)[numbers(part)], part.labels)
    counts = np.array([np.bincount(part.labels, minlength=max(labels) + 1) for part in parts])
    assert counts.min() >= 1
    assert np.abs(counts[1] - counts[2]).max() <= 1
    assert abs(int(counts[1].sum()) - int(counts[2].sum())) <= 1
    wanted = np.clip(share * counts.sum(0), 2, counts.sum(0) - 1)
    assert np.abs(counts[1] + counts[2] - wanted).max() <= 0.5


@given(some_labels, st.integers(0, 2**32))
def test_the_seed_decides(labels: list[int], seed: int) -> None:
    one, same = (dataset(labels).splits(seed=seed) for _ in range(2))
    np.testing.assert_array_equal(numbers(one.validation), numbers(same.validation))
    np.testing.assert_array_equal(numbers(one.verification), numbers(same.verification))


def test_another_seed_gives_other_parts() -> None:
    whole = dataset([0, 1] * 100)
    assert set(numbers(whole.splits(seed=0).validation)) != set(numbers(whole.splits(seed=1).validation))


def test_a_class_too_small_to_divide_is_named() -> None:
    with pytest.raises(DatasetError, match="at least 3 images; class 'b' has 2"):
        dataset([0, 0, 0, 1, 1]).splits()


@pytest.mark.parametrize("share", [0, 1, float("nan")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(DatasetError, match="between 0 and 1"):
        dataset([0] * 9).splits(share)


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (np.zeros(2, np.int64), "3 images have 2 labels"),
        (np.array([0, -1, 0]), "-1 is negative"),
        (np.zeros(3, np.uint8), "int64"),
        (np.zeros((3, 1), np.int64), "one int64 for each"),
    ],
)
def test_labels_are_checked(labels: NDArray[np.int64], problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        LabelledImages(numbered([0, 0, 0]).images, labels)


def test_no_images_are_an_error() -> None:
    with pytest.raises(DatasetError, match="no images"):
        LabelledImages(DatasetImages([(np.zeros((2, 2), np.uint8), 0)]), np.zeros(1, np.int64)).take([])
    with pytest.raises(DatasetError, match="no images"):
        DatasetImages([])


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 3, 4), np.uint8), np.zeros((2, 1, 3, 4)), np.zeros(0, np.uint8)]
)
def test_images_in_memory_are_checked(pixels: NDArray[np.uint8]) -> None:
    with pytest.raises(DatasetError, match="uint8 array"):
        ArrayImages(pixels)


def test_some_of_the_images_in_memory_are_a_copy() -> None:
    whole = numbered([0, 1, 2])
    part = whole.take([2, 0, 2])
    assert isinstance(part.images, ArrayImages)
    assert numbers(part).tolist() == [2, 0, 2]
    assert part.labels.tolist() == [2, 0, 2]


def test_some_of_other_images_are_asked_for_when_they_are_needed() -> None:
    items = [(np.full((2, 2), number, np.uint8), number) for number in range(5)]
    whole = LabelledImages(DatasetImages(items), np.arange(5))
    part = whole.take([4, 3, 2]).take([2, 0])
    assert isinstance(part.images, SomeImages)
    assert isinstance(part.images.images, DatasetImages)
    assert part.images.batch(np.array([0, 1]))[:, 0, 0, 0].tolist() == [2, 4]
    assert part.labels.tolist() == [2, 4]


def test_a_network_of_another_shape_or_other_outputs_is_told_what_to_set() -> None:
    whole = dataset([0, 1, 2])
    whole.check(TensorShape(1, 1, 2), 3)
    with pytest.raises(DatasetError, match=r"are 1x1x2, the space reads 3x32x32: set `input` .* \[1, 1, 2\]"):
        whole.check(TensorShape(3, 32, 32), 3)
    for outputs in (2, 10):
        with pytest.raises(DatasetError, match="set `channels` of the space's classifier to 3"):
            whole.check(TensorShape(1, 1, 2), outputs)


def test_a_label_without_a_class_is_an_error() -> None:
    with pytest.raises(DatasetError, match="label 4, but 2 classes"):
        dataset([0, 1], numbered([4]))


def test_test_images_have_the_shape_of_training_images() -> None:
    other = LabelledImages(ArrayImages(np.zeros((1, 3, 2, 2), np.uint8)), np.zeros(1, np.int64))
    with pytest.raises(DatasetError, match="training images are 1x1x2, test images 3x2x2"):
        dataset([0], other)
