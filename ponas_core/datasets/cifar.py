"""CIFAR-10 and CIFAR-100 as they are published: folders or archives of the binary or the Python version."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset
from ponas_core.datasets.in_memory import in_memory, whole_labels
from ponas_core.datasets.pickled_arrays import read_pickled
from ponas_core.operators import TensorShape

_SHAPE = (3, 32, 32)
_PIXEL_BYTES = 3 * 32 * 32
_LARGEST_FILE_BYTES = 256_000_000  # CIFAR-100's training images are 155 MB
_LARGEST_ARCHIVE_BYTES = 400_000_000  # unpacked; theirs are 187 MB
_MOST_MEMBERS = 1000

Pixels = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class _Version:
    """One of the forms in which the data are published.

    Attributes:
        title: as people call the data.
        training, test: names of files.
        names: the file with the names of classes.
        read: pixels and labels of a file; the second argument names it in errors.
        read_names: names of classes, likewise.
    """

    title: str
    training: tuple[str, ...]
    test: str
    names: str
    read: Callable[[bytes, str], tuple[Pixels, Labels]]
    read_names: Callable[[bytes, str], tuple[str, ...]]

    @property
    def files(self) -> tuple[str, ...]:
        """All that are needed."""
        return (*self.training, self.test, self.names)


def is_cifar_folder(path: Path) -> bool:
    """Whether a folder holds the first file of a version of CIFAR."""
    return path.is_dir() and _version(file.name for file in path.iterdir() if file.is_file()) is not None


def is_archive(path: Path) -> bool:
    """Whether a file is an archive by its name."""
    return path.name.endswith((".tar.gz", ".tgz")) and path.is_file()


def read_cifar_folder(path: Path, _: TensorShape) -> Dataset:
    """Read a folder for which `is_cifar_folder` holds; DatasetError where files are missing or damaged."""
    names = {file.name for file in path.iterdir() if file.is_file()}
    version = _version(names)
    assert version is not None
    return _dataset(version, {name: _bounded(path / name) for name in version.files if name in names}, path)


def read_cifar_archive(path: Path, _: TensorShape) -> Dataset:
    """Read an archive as it was downloaded, unpacked in memory only.

    Raises:
        DatasetError: it is damaged, or holds no complete version of CIFAR.
    """
    wanted = {name for version in _VERSIONS for name in version.files}
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = dict(_members(archive, wanted, path))
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise DatasetError(f"cannot unpack {path} ({error}): download it anew") from error
    version = _version(files)
    if version is None:
        raise DatasetError(
            f"{path} holds no files of CIFAR-10 or CIFAR-100; other archives are not read: unpack it"
        )
    return _dataset(version, files, path)


def _version(names: Collection[str] | Iterator[str]) -> _Version | None:
    present = set(names)
    return next((version for version in _VERSIONS if version.training[0] in present), None)


def _dataset(version: _Version, files: Mapping[str, bytes], path: Path) -> Dataset:
    missing = [name for name in version.files if name not in files]
    if missing:
        raise DatasetError(f"{path} lacks {', '.join(missing)} of {version.title}: download it anew")
    parts = [version.read(files[name], f"{path}: {name}") for name in version.training]
    return in_memory(
        version.title,
        version.read_names(files[version.names], f"{path}: {version.names}"),
        (np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])),
        version.read(files[version.test], f"{path}: {version.test}"),
    )


def _bounded(file: Path) -> bytes:
    with file.open("rb") as stream:
        data = stream.read(_LARGEST_FILE_BYTES + 1)
    if len(data) > _LARGEST_FILE_BYTES:
        raise _too_large(file)
    return data


def _members(archive: tarfile.TarFile, wanted: set[str], path: Path) -> Iterator[tuple[str, bytes]]:
    """Wanted files of an archive, in whatever folder they lie."""
    found: set[str] = set()
    unpacked_bytes = 0
    for number, member in enumerate(archive):
        name = PurePosixPath(member.name).name
        # what is skipped is decompressed too
        unpacked_bytes += member.size
        if number >= _MOST_MEMBERS or unpacked_bytes > _LARGEST_ARCHIVE_BYTES:
            raise _too_large(path)
        if not member.isfile() or name not in wanted:
            continue
        if name in found:
            raise DatasetError(f"{path} holds {name} twice: pack one data set only")
        found.add(name)
        stream = archive.extractfile(member)
        assert stream is not None
        with stream:
            yield name, stream.read()


def _too_large(path: Path) -> DatasetError:
    return DatasetError(f"{path} is larger than CIFAR-10 or CIFAR-100 can be: download it anew")


def _binary(label_bytes: int) -> Callable[[bytes, str], tuple[Pixels, Labels]]:
    """Reader of records: labels of a byte each, the last of them the finest, and the pixels."""
    record = label_bytes + _PIXEL_BYTES

    def read(data: bytes, where: str) -> tuple[Pixels, Labels]:
        if not data or len(data) % record:
            raise DatasetError(f"{where} is no whole number of records of {record} bytes: download it anew")
        records = np.frombuffer(data, np.uint8).reshape(-1, record)
        return records[:, label_bytes:].reshape(-1, *_SHAPE), records[:, label_bytes - 1].astype(np.int64)

    return read


def _lines(data: bytes, _: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in data.decode("utf-8", "replace").splitlines() if line.strip())


def _are_pixels(values: object) -> TypeGuard[Pixels]:
    return isinstance(values, np.ndarray) and values.dtype == np.uint8 and values.shape[1:] == (_PIXEL_BYTES,)


def _pickled(label_key: str) -> Callable[[bytes, str], tuple[Pixels, Labels]]:
    """Reader of the Python version, whose labels have this name."""

    def read(data: bytes, where: str) -> tuple[Pixels, Labels]:
        values = read_pickled(data, where)
        pixels, labels = values.get("data"), values.get(label_key)
        if not _are_pixels(pixels):
            raise DatasetError(f"{where} has no `data` of {_PIXEL_BYTES} bytes an image: download it anew")
        if isinstance(labels, list) and all(type(label) is int and 0 <= label < 100 for label in labels):
            labels = np.array(labels, np.int64)
        if not isinstance(labels, np.ndarray):
            raise DatasetError(f"{where} has no list of numbers `{label_key}`: download it anew")
        return pixels.reshape(-1, *_SHAPE), whole_labels(labels, where)

    return read


def _pickled_names(key: str) -> Callable[[bytes, str], tuple[str, ...]]:
    """Reader of the names of classes of the Python version."""

    def read(data: bytes, where: str) -> tuple[str, ...]:
        names = read_pickled(data, where).get(key)
        if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
            raise DatasetError(f"{where} has no list of texts `{key}`: download it anew")
        return tuple(name.decode("latin-1") if isinstance(name, bytes) else name for name in names)

    return read


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_VERSIONS = (
    _Version(
        "CIFAR-10",
        tuple(f"{name}.bin" for name in _BATCHES),
        "test_batch.bin",
        "batches.meta.txt",
        _binary(label_bytes=1),
        _lines,
    ),
    _Version("CIFAR-100", ("train.bin",), "test.bin", "fine_label_names.txt", _binary(label_bytes=2), _lines),
    _Version(
        "CIFAR-10", _BATCHES, "test_batch", "batches.meta", _pickled("labels"), _pickled_names("label_names")
    ),
    _Version(
        "CIFAR-100", ("train",), "test", "meta", _pickled("fine_labels"), _pickled_names("fine_label_names")
    ),
)
