"""Folders of image files."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ponas_core.datasets.catalog import load_dataset
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset, FileImages
from ponas_core.operators import TensorShape
from tests.ponas_core.datasets import written

SHAPE = TensorShape(3, 8, 8)


def read(path: Path, shape: TensorShape = SHAPE) -> Dataset:
    return load_dataset(str(path), shape)


def pictures(folder: Path, count: int = 12) -> Path:
    return written.folder_of_images(folder, written.images(count, size=8))


def test_a_fixed_fifth_is_set_apart_and_said(tmp_path: Path) -> None:
    dataset, again = (read(pictures(tmp_path / "pets", 30)) for _ in range(2))
    assert dataset.name == "pets"
    assert dataset.classes == written.NAMES
    assert (
        dataset.notice == "pets has no test images of its own: 20% of every class, 6 images, were set apart"
    )
    assert dataset.test is not None
    assert again.test is not None
    assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
    images = dataset.test.images
    np.testing.assert_array_equal(images.batch(np.arange(6)), again.test.images.batch(np.arange(6)))
    assert dataset.digest == again.digest


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_of_training_and_test_images(test: str, tmp_path: Path) -> None:
    pictures(tmp_path / "train", 6)
    pictures(tmp_path / test, 3)
    dataset = read(tmp_path)
    assert dataset.notice is None
    assert dataset.training.labels.tolist() == [0, 0, 1, 1, 2, 2]
    pixels = written.images(6, size=8)[[0, 3, 1, 4, 2, 5]]
    np.testing.assert_array_equal(dataset.training.images.batch(np.arange(6)), pixels)
    assert dataset.test is not None
    assert dataset.test.labels.tolist() == [0, 1, 2]


def test_val_is_not_used_beside_test_and_that_is_said(tmp_path: Path) -> None:
    for part in ("train", "test", "val"):
        pictures(tmp_path / "pets" / part, 3)
    assert read(tmp_path / "pets").notice == "pets/val is not used: test is the test"


def test_training_images_alone_give_the_test_images(tmp_path: Path) -> None:
    pictures(tmp_path / "train")
    assert "set apart" in (read(tmp_path).notice or "")


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    written.folder_of_images(tmp_path, written.images(6, size=8), ("bus", "train"))
    assert read(tmp_path).classes == ("bus", "train")


def test_a_class_without_training_images_is_named(tmp_path: Path) -> None:
    pictures(tmp_path / "train")
    written.folder_of_images(tmp_path / "test", written.images(2, size=8), ("bird", "dog"))
    with pytest.raises(DatasetError, match="dog is a class without training images"):
        read(tmp_path)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    (pictures(tmp_path) / "zebra").mkdir()
    (tmp_path / "zebra" / "notes.txt").touch()
    with pytest.raises(DatasetError, match="zebra holds no images"):
        read(tmp_path)


def test_a_class_too_small_to_set_an_image_apart_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="class 'cat' has 1"):
        read(pictures(tmp_path, 5))


def test_a_folder_without_classes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a folder of images \(\.png"):
        read(tmp_path)


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    pictures(tmp_path)
    (tmp_path / ".checkpoints").mkdir()
    (tmp_path / "cat" / "._000.png").touch()
    assert read(tmp_path).classes == written.NAMES


def test_an_unreadable_image_is_named_when_it_is_decoded(tmp_path: Path) -> None:
    pictures(tmp_path / "test", 3)
    (pictures(tmp_path / "train") / "bird" / "001.png").write_bytes(b"not an image")
    dataset = read(tmp_path)
    with pytest.raises(DatasetError, match=r"cannot decode .*001\.png.*replace or remove it"):
        dataset.training.images.batch(np.arange(len(dataset.training)))


def test_an_image_that_was_cut_off_is_named(tmp_path: Path) -> None:
    file = pictures(tmp_path) / "bird" / "001.png"
    file.write_bytes(file.read_bytes()[:-60])
    with pytest.raises(DatasetError, match=r"cannot decode .*001\.png"):
        FileImages([file], SHAPE).batch(np.array([0]))


def test_the_shorter_side_is_resized_and_the_middle_taken(tmp_path: Path) -> None:
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, 24:40] = [10, 200, 30]  # what is left of the middle
    Image.fromarray(wide).save(tmp_path / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(tmp_path / "high.png")
    images = FileImages([tmp_path / "wide.png", tmp_path / "high.png"], SHAPE)
    for pixels in images.batch(np.array([0, 1])):
        assert pixels[:, 1:-1, 1:-1].reshape(3, -1).T.tolist() == [[10, 200, 30]] * 36


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_grey_or_colour(mode: str, channels: int, tmp_path: Path) -> None:
    file = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    Image.new("RGB", (8, 8), (255, 255, 255)).convert(mode).save(file)
    pixels = FileImages([file], TensorShape(channels, 4, 4)).batch(np.array([0]))
    assert pixels.shape == (1, channels, 4, 4)
    assert pixels.min() >= 254


def test_a_palette_with_transparency_is_read_without_a_warning(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 8))
    palette.putpalette([9, 8, 7] * 256)
    palette.save(tmp_path / "image.png", transparency=bytes([0, 128]))
    pixels = FileImages([tmp_path / "image.png"], SHAPE).batch(np.array([0]))
    assert pixels[0, :, 0, 0].tolist() == [9, 8, 7]


def test_images_of_16_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DatasetError, match=r"deep\.png.*more than 8 bits"):
        FileImages([tmp_path / "deep.png"], SHAPE).batch(np.array([0]))


def test_other_numbers_of_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="1 or 3 channels, the space reads 4"):
        read(pictures(tmp_path), TensorShape(4, 8, 8))


def test_image_files_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(DatasetError, match=r"pip install 'hwprofile\[search\]'"):
        read(tmp_path)


def test_the_digest_does_not_depend_on_the_place(tmp_path: Path) -> None:
    here = read(pictures(tmp_path / "here")).digest
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert read(tmp_path / "there").digest == here
    (tmp_path / "there" / "cat" / "002.png").rename(tmp_path / "there" / "cat" / "other.png")
    assert read(tmp_path / "there").digest != here
