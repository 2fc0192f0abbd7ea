"""Small data sets written in every format that is read, for tests."""

from __future__ import annotations

import pickle
import struct
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Part = tuple[NDArray[np.uint8], list[int]]
NAMES = ("aeroplane", "bird", "cat")


def images(count: int, channels: int = 3, size: int = 32, seed: int = 0) -> NDArray[np.uint8]:
    """Random pixels (N, C, H, W)."""
    return np.random.default_rng(seed).integers(0, 256, (count, channels, size, size), np.uint8)


def cifar_parts(per_file: int = 4, seed: int = 0) -> list[Part]:
    """Five batches and a test batch of labelled images of three classes."""
    return [(images(per_file, seed=seed + part), [i % 3 for i in range(per_file)]) for part in range(6)]


def binary10(folder: Path, parts: Sequence[Part]) -> Path:
    """The binary version of CIFAR-10."""
    folder.mkdir(exist_ok=True)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    for name, (pixels, labels) in zip(names, parts, strict=True):
        records = (bytes([label]) + image.tobytes() for label, image in zip(labels, pixels, strict=True))
        (folder / name).write_bytes(b"".join(records))
    (folder / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n", "utf-8")
    return folder


def binary100(folder: Path, training: Part, test: Part) -> Path:
    """The binary version of CIFAR-100; coarse labels are all 9."""
    folder.mkdir(exist_ok=True)
    for name, (pixels, labels) in {"train.bin": training, "test.bin": test}.items():
        records = (bytes([9, label]) + image.tobytes() for label, image in zip(labels, pixels, strict=True))
        (folder / name).write_bytes(b"".join(records))
    (folder / "fine_label_names.txt").write_text("\n".join(NAMES) + "\n", "utf-8")
    return folder


def python10(folder: Path, parts: Sequence[Part]) -> Path:
    """The Python version of CIFAR-10, as Python 2 wrote it."""
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    files = {
        name: {"batch_label": f"batch {name}", "labels": labels, "data": flat(pixels), "filenames": ["a.png"]}
        for name, (pixels, labels) in zip(names, parts, strict=True)
    }
    meta = {"num_cases_per_batch": 10000, "label_names": list(NAMES), "num_vis": 3072}
    return _write(
        folder, {name: python2_pickle(value) for name, value in {**files, "batches.meta": meta}.items()}
    )


def python100(folder: Path, training: Part, test: Part) -> Path:
    """The Python version of CIFAR-100, with the keys of Python 3 (bytes)."""
    files = {
        name: {b"data": flat(pixels), b"fine_labels": labels, b"coarse_labels": [9] * len(labels)}
        for name, (pixels, labels) in {"train": training, "test": test}.items()
    }
    meta = {b"fine_label_names": [name.encode() for name in NAMES]}
    return _write(folder, {name: pickle.dumps(value, 2) for name, value in {**files, "meta": meta}.items()})


def archive(folder: Path, file: Path) -> Path:
    """A folder as a packed archive."""
    with tarfile.open(file, "w:gz") as packed:
        packed.add(folder, "cifar-batches")
    return file


def folder_of_images(folder: Path, pixels: NDArray[np.uint8], names: Sequence[str] = NAMES) -> Path:
    """One folder for each class; images take turns."""
    for number, image in enumerate(pixels):
        place = folder / names[number % len(names)]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{number:03}.png")
    return folder


def flat(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One row for each image."""
    return pixels.reshape(len(pixels), -1)


def python2_pickle(value: Any) -> bytes:
    """What Python 2's cPickle writes in protocol 2; Python 3 writes texts otherwise."""
    return b"\x80\x02" + _python2(value) + b"."


def _python2(value: Any) -> bytes:
    match value:
        case int():
            return b"J" + struct.pack("<i", value)
        case str():
            return b"U" + bytes([len(value)]) + value.encode() + b"q\x01"
        case list():
            return b"]r\x01\x00\x00\x00(" + b"".join(map(_python2, value)) + b"e"
        case dict():
            pairs = [_python2(key) + _python2(item) for key, item in value.items()]
            return b"}q\x00(" + b"".join(pairs) + b"u"
        case _:
            return _python2_array(value)


def _python2_array(array: NDArray[np.uint8]) -> bytes:
    empty = b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"".join(map(_python2, array.shape)) + b"\x86"
    return (
        empty
        + b"(K\x01"
        + shape
        + dtype
        + b"\x89T"
        + struct.pack("<i", array.nbytes)
        + array.tobytes()
        + b"tb"
    )


def _write(folder: Path, files: Mapping[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder
