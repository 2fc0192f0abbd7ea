"""Data sets of torch, and items of every kind that such a set may give."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ponas_core.datasets.catalog import dataset_from_torch
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import DatasetImages
from ponas_core.operators import TensorShape
from tests.ponas_core.datasets import written

torch = pytest.importorskip("torch")
PIXELS = written.images(4, size=6)
LABELS = [0, 1, 2, 1]


class Counted:
    """A data set that counts how often it was asked, with `targets` if told."""

    def __init__(self, **attributes: Any) -> None:
        self.asked = 0
        vars(self).update(attributes)

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        self.asked += 1
        return torch.from_numpy(PIXELS[index]), LABELS[index]


def test_a_tensor_dataset_is_read() -> None:
    items = torch.utils.data.TensorDataset(torch.from_numpy(PIXELS), torch.tensor(LABELS))
    dataset = dataset_from_torch("mine", items, test=torch.utils.data.Subset(items, [0, 1]))
    assert dataset.training.labels.tolist() == LABELS
    assert dataset.classes == ("0", "1", "2")
    np.testing.assert_array_equal(dataset.training.images.batch(np.array([3, 1])), PIXELS[[3, 1]])
    assert dataset.test is not None
    assert dataset.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("targets", [LABELS, np.array(LABELS), torch.tensor(LABELS)])
def test_labels_are_taken_from_targets(targets: Any) -> None:
    items = Counted(targets=targets, classes=["a", "b", "c", "d"])
    dataset = dataset_from_torch("mine", items)
    assert dataset.training.labels.tolist() == LABELS
    assert dataset.classes == ("a", "b", "c", "d")
    assert items.asked == 1  # for the shape


@pytest.mark.parametrize(
    "attributes",
    [{}, {"targets": [9] * 4, "target_transform": abs}, {"targets": ["a"] * 4}, {"targets": [0]}],
)
def test_else_every_item_is_asked_once(attributes: dict[str, Any]) -> None:
    items = Counted(**attributes)
    dataset = dataset_from_torch("mine", items, shape=TensorShape(3, 6, 6), classes=["a", "b", "c"])
    assert dataset.training.labels.tolist() == LABELS
    assert items.asked == 4


COLOUR = PIXELS[0]


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (Image.fromarray(COLOUR.transpose(1, 2, 0)), COLOUR),
        (Image.fromarray(COLOUR[0]), COLOUR[:1]),
        (COLOUR.transpose(1, 2, 0), COLOUR),
        (COLOUR[0], COLOUR[:1]),
        (torch.from_numpy(COLOUR), COLOUR),
        (torch.from_numpy(COLOUR) / 255, COLOUR),
        ((torch.from_numpy(COLOUR) / 255).double().requires_grad_(), COLOUR),
        (torch.ones((1, 2, 2), dtype=torch.bfloat16), np.full((1, 2, 2), 255)),
    ],
    ids=["PIL colour", "PIL grey", "array", "grey array", "tensor", "float", "double", "bfloat16"],
)
def test_every_accepted_image_gives_its_pixels(image: Any, wanted: Any) -> None:
    images = DatasetImages([(image, 0)])
    assert images.shape == TensorShape(*wanted.shape)
    np.testing.assert_array_equal(images.batch(np.array([0, 0])), [wanted, wanted])


def test_a_pil_image_gets_the_channels_that_are_wanted() -> None:
    items = [(Image.fromarray(COLOUR[0]), 0)]
    np.testing.assert_array_equal(
        DatasetImages(items, TensorShape(3, 6, 6)).batch(np.array([0]))[0], np.repeat(COLOUR[:1], 3, 0)
    )


@pytest.mark.parametrize(
    "image",
    ["a text", [[1, 2]], np.zeros((2, 2)), np.zeros((1, 2, 2, 3), np.uint8), torch.zeros((2, 2)), None],
)
def test_other_images_are_refused_with_what_is_accepted(image: Any) -> None:
    with pytest.raises(DatasetError, match=r"image 0 is .*; accepted is a PIL image, a numpy array"):
        DatasetImages([(image, 0)])


def test_images_that_were_normalised_are_refused() -> None:
    with pytest.raises(DatasetError, match="leave out any normalisation"):
        DatasetImages([(torch.full((3, 2, 2), -1.0), 0)])


def test_images_of_several_sizes_are_refused() -> None:
    images = DatasetImages([(np.zeros((2, 2), np.uint8), 0), (np.zeros((2, 3), np.uint8), 0)])
    with pytest.raises(
        DatasetError, match="image 1 is 1x2x3, not 1x2x2: let the data set's transform resize"
    ):
        images.batch(np.array([0, 1]))


@pytest.mark.parametrize("label", ["cat", 0.5, [1, 0], torch.tensor([0.0, 1.0]), None])
def test_labels_are_whole_numbers(label: Any) -> None:
    with pytest.raises(DatasetError, match=r"item 0 has the label .*whole numbers"):
        dataset_from_torch("mine", [(COLOUR, label)], shape=TensorShape(3, 6, 6))


def test_an_item_is_a_pair() -> None:
    with pytest.raises(DatasetError, match=r"an item is \(image, label\), not Image"):
        dataset_from_torch("mine", [Image.fromarray(COLOUR[0])])


def test_a_loader_is_refused() -> None:
    loader: Any = torch.utils.data.DataLoader([(0, 0)])
    with pytest.raises(DatasetError, match="DataLoader gives no image by its number"):
        dataset_from_torch("mine", loader)


def test_the_digest_is_of_the_labels() -> None:
    digests = [
        dataset_from_torch("mine", Counted(targets=labels)).digest for labels in (LABELS, LABELS, [0] * 4)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_reading_needs_neither_torch_nor_pillow_nor_scikit_learn() -> None:
    program = (
        "import sys, ponas_core.datasets.catalog\n"
        "print(sorted({'torch', 'PIL', 'sklearn'} & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
