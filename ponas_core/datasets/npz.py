"""Data sets in one `.npz` file: arrays of images, or images packed as JPEG."""

from __future__ import annotations

import itertools
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset
from ponas_core.datasets.in_memory import in_memory, numbered, whole_labels
from ponas_core.datasets.pictures import decoded, require_pillow
from ponas_core.datasets.pixels import channels_first, to_bytes
from ponas_core.operators import TensorShape

ARRANGEMENTS = (
    "x_train, y_train[, x_test, y_test] or images, labels[, is_train] or jpeg, offsets, label[, is_train]"
)

_LOSSY = "the images were packed as JPEG, which is lossy: accuracies are not those of the original images"

Arrays = Mapping[str, NDArray[Any]]
Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


def is_npz(path: Path) -> bool:
    """Whether a file holds arrays by its name."""
    return path.suffix == ".npz" and path.is_file()


def read_npz(path: Path, _: TensorShape) -> Dataset:
    """Read a file of arrays; `classes`, an array of texts, names the classes.

    Raises:
        DatasetError: the file is damaged, or its arrays are not arranged as `ARRANGEMENTS` says.
    """
    arrays = _load(path)
    arrangement = next((names for names in _READERS if set(names) <= set(arrays)), None)
    if arrangement is None:
        raise DatasetError(f"{path} has the arrays {', '.join(arrays)}; wanted are {ARRANGEMENTS}")
    training, test = _READERS[arrangement](arrays, str(path))
    labels = [part[1] for part in (training, test) if part is not None]
    classes = map(str, arrays["classes"].ravel()) if "classes" in arrays else numbered(*labels)
    return in_memory(path.stem, tuple(classes), training, test, _LOSSY if "jpeg" in arrangement else None)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                raise DatasetError(f"{path} is one array, not an .npz file: save it with numpy.savez")
            with loaded:
                return {name: loaded[name] for name in loaded.files}
    except DatasetError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"cannot read {path} ({error}): save plain arrays with numpy.savez") from error


def _keras(arrays: Arrays, where: str) -> tuple[Part, Part | None]:
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise DatasetError(f"{where} has one of x_test and y_test: save both or none")
    test = _part(arrays, "x_test", "y_test", where) if "x_test" in arrays else None
    return _part(arrays, "x_train", "y_train", where), test


def _arrays(arrays: Arrays, where: str) -> tuple[Part, Part | None]:
    return _divided(*_part(arrays, "images", "labels", where), arrays, where)


def _packed(arrays: Arrays, where: str) -> tuple[Part, Part | None]:
    labels, jpeg = whole_labels(arrays["label"], where), arrays["jpeg"]
    if jpeg.dtype != np.uint8 or jpeg.ndim != 1:
        raise DatasetError(f"{where}: jpeg is all files one behind the other, uint8")
    bounds = _bounds(arrays["offsets"], len(labels), len(jpeg), where)
    require_pillow()
    files = (jpeg[start:end].tobytes() for start, end in itertools.pairwise(bounds))
    return _divided(decoded(files, len(labels), where), labels, arrays, where)


def _bounds(offsets: NDArray[Any], count: int, total_bytes: int, where: str) -> list[int]:
    """Where each packed file starts, and where the last ends (which the offsets may leave out)."""
    bounds = offsets.ravel().tolist() if offsets.dtype.kind in "iu" else []
    if len(bounds) == count:
        bounds.append(total_bytes)
    ascending = all(start < end for start, end in itertools.pairwise([-1, *bounds]))
    if len(bounds) != count + 1 or not ascending or bounds[-1] > total_bytes:
        raise DatasetError(
            f"{where}: offsets are {count + 1} ascending whole numbers, from the start of the first file "
            f"to the end of the last, within {total_bytes} bytes; these are not"
        )
    return bounds


def _part(arrays: Arrays, images: str, labels: str, where: str) -> Part:
    pixels = channels_first(to_bytes(arrays[images], f"{where}: {images}"), f"{where}: {images}")
    return pixels, whole_labels(arrays[labels], f"{where}: {labels}")


def _divided(
    pixels: NDArray[np.uint8], labels: NDArray[np.int64], arrays: Arrays, where: str
) -> tuple[Part, Part | None]:
    """Training and test images, as the array `is_train` says if there is one."""
    if "is_train" not in arrays:
        return (pixels, labels), None
    learned = arrays["is_train"]
    if learned.dtype != np.bool_ or learned.shape != (len(pixels),) or len(labels) != len(pixels):
        raise DatasetError(f"{where}: is_train is one truth value for each of {len(pixels)} labelled images")
    test = (pixels[~learned], labels[~learned]) if not learned.all() else None
    return (pixels[learned], labels[learned]), test


_READERS: Mapping[tuple[str, ...], Callable[[Arrays, str], tuple[Part, Part | None]]] = {
    ("x_train", "y_train"): _keras,
    ("images", "labels"): _arrays,
    ("jpeg", "offsets", "label"): _packed,
}
