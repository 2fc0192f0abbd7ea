"""Data sets by name or path: what there is decides how it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ponas_core.datasets import cifar, folders, npz
from ponas_core.datasets.digits import digits
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.images import Dataset
from ponas_core.datasets.torch_datasets import dataset_from_torch
from ponas_core.operators import TensorShape

__all__ = ["dataset_from_torch", "load_dataset"]


@dataclass(frozen=True)
class _Reader:
    """One way to read a path.

    Attributes:
        accepts: what it reads, for people.
        recognises: whether it reads what lies there.
        read: the data set; the shape is that of the network's input.
    """

    accepts: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, TensorShape], Dataset]


_NAMED: dict[str, Callable[[], Dataset]] = {"digits": digits}
_READERS = (  # the first that recognises a path reads it
    _Reader("a folder of CIFAR-10 or CIFAR-100", cifar.is_cifar_folder, cifar.read_cifar_folder),
    _Reader("its archive (.tar.gz)", cifar.is_archive, cifar.read_cifar_archive),
    _Reader("an .npz file", npz.is_npz, npz.read_npz),
    _Reader("a folder with a folder of images for each class", Path.is_dir, folders.read_folder),
)


def load_dataset(name: str, shape: TensorShape) -> Dataset:
    """Read a data set.

    Args:
        name: `digits`, or the path of a file or folder.
        shape: what the networks read; images in files are brought to it, arrays stay as they are.

    Raises:
        DatasetError: there is no such data set, or it cannot be read.
    """
    if name in _NAMED:
        return _NAMED[name]()
    path = Path(name).expanduser()
    try:
        reader = next((reader for reader in _READERS if reader.recognises(path)), None)
        if reader is not None:
            return reader.read(path, shape)
    except OSError as error:
        raise DatasetError(f"cannot read the data set {name}: {error}") from error
    accepted = ", ".join([*_NAMED, *(reader.accepts for reader in _READERS)])
    problem = "is no data set that can be read" if path.exists() else "does not exist"
    raise DatasetError(f"{name} {problem}; accepted are {accepted} (docs/datasets.md)")
