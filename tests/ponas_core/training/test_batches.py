"""Images in seeded order on a device, normalised and augmented."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponas_core.datasets.images import ArrayImages, DatasetImages, LabelledImages
from ponas_core.datasets.normalization import Normalization
from ponas_core.training.batches import Augmentation, DeviceImages, Epochs, augment
from tests.ponas_core.training.toys import CPU, on_cpu, toy_images


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(batch: int, channels: int = 2, height: int = 6, width: int = 5) -> torch.Tensor:
    """Images in which every pixel of every image has a number of its own, from 1 on."""
    count = batch * channels * height * width
    return torch.arange(1, count + 1, dtype=torch.float32).view(batch, channels, height, width)


# --- order


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**40))
def test_an_epoch_holds_no_image_twice_and_leaves_out_less_than_a_batch(
    images: int, batch: int, seed: int
) -> None:
    batch = min(batch, images)
    order = Epochs(images, batch, seed)
    assert order.steps == images // batch
    for epoch in range(3):
        steps = [order(epoch * order.steps + step) for step in range(order.steps)]
        assert {len(step) for step in steps} == {batch}
        found = np.concatenate(steps)
        assert len(set(found.tolist())) == len(found) > images - batch
        assert set(found.tolist()) <= set(range(images))


def test_every_epoch_and_seed_has_an_order_of_its_own_and_any_step_can_be_asked_first() -> None:
    order = Epochs(30, 10, 5)
    orders = [[order(step).tolist() for step in range(3 * epoch, 3 * epoch + 3)] for epoch in range(4)]
    assert all(sorted(np.ravel(steps)) == list(range(30)) for steps in orders)
    assert len({str(steps) for steps in orders}) == 4
    assert Epochs(30, 10, 5)(11).tolist() == orders[3][2]
    assert Epochs(30, 10, 6)(0).tolist() != orders[0][0]


# --- augmentation


def test_equal_seeds_augment_alike_and_others_otherwise() -> None:
    x, how = numbered(8), Augmentation(2, True, 3)
    first = augment(x, how, generator(1))
    assert first.shape == x.shape
    assert torch.equal(first, augment(x, how, generator(1)))
    assert not torch.equal(first, augment(x, how, generator(2)))


@pytest.mark.parametrize("how", [Augmentation(2), Augmentation(1, True), Augmentation(cutout=3)])
@pytest.mark.parametrize(("first", "step"), [(0, 2), (1, 2), (2, 3), (0, 1)])
def test_a_part_of_a_batch_is_augmented_as_in_the_whole(how: Augmentation, first: int, step: int) -> None:
    x, places = numbered(9), np.arange(first, 9, step, dtype=np.intp)
    found = augment(x[places], how, generator(1), (9, places))
    assert torch.equal(found, augment(x, how, generator(1))[places])


@pytest.mark.parametrize("how", [Augmentation(), Augmentation(shift=0, flip=False)])
def test_no_augmentation_is_the_identity(how: Augmentation) -> None:
    x = numbered(4)
    assert torch.equal(augment(x, how, generator(0)), x)


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6)),
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 2**40),
)
def test_each_image_is_moved_or_mirrored_as_a_whole_and_zeros_come_in(
    size: tuple[int, int, int, int], shift: int, flip: bool, seed: int
) -> None:
    x = numbered(*size)
    found = augment(x, Augmentation(shift, flip), generator(seed))
    for image, moved in zip(x, found, strict=True):
        sources = [image, image.flip(2)] if flip else [image]
        assert any(
            torch.equal(moved, at(source, down, right))
            for source in sources
            for down in range(-shift, shift + 1)
            for right in range(-shift, shift + 1)
        )


def at(image: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """The image moved, zeros where nothing is left."""
    _, height, width = image.shape
    room = max(height, width, abs(down), abs(right))
    padded = torch.nn.functional.pad(image, [room] * 4)
    top, left = room - down, room - right
    return padded[:, top : top + height, left : left + width]


def test_half_of_the_images_are_mirrored() -> None:
    x = numbered(2000, 1, 1, 2)
    mirrored = int((augment(x, Augmentation(flip=True), generator(4))[:, 0, 0, 0] != x[:, 0, 0, 0]).sum())
    # of 2,000 fair coins 1,000 +- 22: 150 off has a chance below 1e-10
    assert 850 < mirrored < 1150


def test_every_shift_comes_about_equally_often() -> None:
    x = torch.zeros(5000, 1, 5, 5)
    x[:, 0, 2, 2] = 1
    found = augment(x, Augmentation(shift=2), generator(4)).sum((0, 1))
    # 25 places with 200 +- 14 each: one that is 100 off has a chance below 1e-9
    assert found.sum() == 5000
    assert found.min() > 100
    assert found.max() < 300


@given(st.integers(1, 9), st.integers(0, 2**40))
def test_a_square_of_the_wanted_side_is_cut_out_the_rest_stays(side: int, seed: int) -> None:
    x = numbered(6, 2, 7, 8)
    found = augment(x, Augmentation(cutout=side), generator(seed))
    for image, cut in zip(x, found, strict=True):
        gone = cut[0] == 0
        assert torch.equal(gone, cut[1] == 0)
        assert torch.equal(cut[:, ~gone], image[:, ~gone])
        rows, columns = gone.any(1).nonzero().flatten(), gone.any(0).nonzero().flatten()
        assert int(gone.sum()) == len(rows) * len(columns) > 0
        assert max(len(rows), len(columns)) <= side


def test_a_square_in_the_middle_has_the_wanted_side() -> None:
    for side in (1, 2, 3, 4):
        gone = augment(numbered(400, 1, 8, 8), Augmentation(cutout=side), generator(0)) == 0
        assert int(gone.sum((1, 2, 3)).max()) == side**2


def test_grey_images_are_not_mirrored_by_default() -> None:
    assert Augmentation.usual(1, 8) == Augmentation(shift=1)
    assert Augmentation.usual(3, 32) == Augmentation(shift=4, flip=True)
    assert Augmentation.usual(3, 4).shift == 1


# --- normalisation and devices


def test_normalised_images_have_mean_0_and_spread_1() -> None:
    x, _ = next(on_cpu(toy_images(40)).in_order(40))
    torch.testing.assert_close(x.mean((0, 2, 3)), torch.zeros(2), rtol=0, atol=1e-5)
    torch.testing.assert_close(x.std((0, 2, 3), correction=0), torch.ones(2), rtol=1e-5, atol=0)


def test_a_network_reads_pixels_from_0_to_1_less_mean_by_spread() -> None:
    images = toy_images(4)
    data = DeviceImages(images, Normalization((0.5, 0.25), (0.5, 2.0)), CPU)
    x, labels = data.batch(np.array([2, 0]))
    assert isinstance(images.images, ArrayImages)
    wanted = images.images.pixels[[2, 0]] / 255
    np.testing.assert_allclose(x[:, 0], (wanted[:, 0] - 0.5) / 0.5, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(x[:, 1], (wanted[:, 1] - 0.25) / 2, rtol=1e-5, atol=1e-6)
    assert labels.tolist() == [2, 0]


def test_a_channel_that_is_always_the_same_stays_finite() -> None:
    images = LabelledImages(ArrayImages(np.full((3, 1, 4, 4), 9, np.uint8)), np.zeros(3, np.int64))
    x, _ = on_cpu(images).batch(np.arange(3))
    assert torch.isfinite(x).all()
    assert x.abs().max() < 1e-3


class Items:
    """A data set that gives one image at a time."""

    def __init__(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        return self.pixels[index].transpose(1, 2, 0), int(self.labels[index])


def test_images_in_memory_and_images_that_are_loaded_when_needed_agree() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (23, 3, 5, 4), dtype=np.uint8)
    labels = np.arange(23, dtype=np.int64) % 7
    lazy = LabelledImages(DatasetImages(Items(pixels, labels)), labels)
    held = LabelledImages(ArrayImages(pixels), labels)
    assert Normalization.of(lazy) == Normalization.of(held)
    first, second = on_cpu(lazy), on_cpu(held)
    assert first.pixels is None
    assert second.pixels is not None
    assert len(first) == len(second) == 23
    for (x, x_labels), (y, y_labels) in zip(first.in_order(10), second.in_order(10), strict=True):
        assert torch.equal(x, y)
        assert torch.equal(x_labels, y_labels)
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert y.is_contiguous(memory_format=torch.channels_last)


def test_in_order_gives_every_image_once_the_last_batch_may_be_short() -> None:
    images = toy_images(23)
    batches = [labels for _, labels in on_cpu(images).in_order(10)]
    assert [len(labels) for labels in batches] == [10, 10, 3]
    assert torch.cat(batches).tolist() == images.labels.tolist()


def test_images_that_may_not_be_written_to_are_read_without_a_warning() -> None:
    images = toy_images(8)
    assert isinstance(images.images, ArrayImages)
    images.images.pixels.flags.writeable = False
    images.labels.flags.writeable = False
    x, labels = on_cpu(images).batch(np.arange(8))
    assert torch.isfinite(x).all()
    assert labels.tolist() == images.labels.tolist()
