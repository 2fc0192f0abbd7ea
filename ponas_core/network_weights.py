"""Trained weights in a file, of one network or of a supernet: arrays by name, and where they come from.

An `.npz` without pickles, so that any program reads it; no torch is needed to export a network from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ponas_core.space import Architecture, SearchSpace

SCHEMA_VERSION = 1
_ABOUT = "about"  # no weight has this name: theirs have a dot
_KIND = "hwprofile-weights"

_UNREADABLE = (
    OSError, ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile,
    NotImplementedError, RuntimeError, MemoryError, OverflowError,
)  # fmt: skip
"""What numpy, zipfile and json raise for bytes that are something else."""

Arrays = Mapping[str, NDArray[Any]]


class WeightsError(ValueError):
    """A file of weights cannot be used; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class WeightsFile:
    """Arrays by name and what is known of them.

    Attributes:
        space: name of the space.
        arrays: by the names of `ponas_core.weights`; of a supernet with the block behind the layer:
            `layer3.mb_k5_e6.0.weight`.
        about: how they came about, for people and for going on with a training.
    """

    space: str
    arrays: Arrays
    about: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file so that whoever reads meanwhile, or is left with it after a crash, has old or new.

        Raises:
            OSError: the place cannot be written; an older file is left as it was.
            ValueError: an array holds objects, which are never pickled.
        """
        for name, array in self.arrays.items():
            if array.dtype.hasobject:
                raise ValueError(f"{name} holds objects, a file of weights numbers")
        document = {
            "file": _KIND,
            "schema_version": SCHEMA_VERSION,
            "space": self.space,
            "about": dict(self.about),
        }
        text = np.frombuffer(json.dumps(document).encode(), np.uint8)
        entries: dict[str, Any] = {_ABOUT: text, **self.arrays}
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                np.savez(file, **entries)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o666 & ~_umask())
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @cached_property
    def digest(self) -> str:
        """Of the arrays, 12 hexadecimal digits."""
        content = hashlib.sha256()
        for name in sorted(self.arrays):
            content.update(name.encode() + np.ascontiguousarray(self.arrays[name]).tobytes())
        return content.hexdigest()[:12]

    @classmethod
    def load(cls, path: Path) -> WeightsFile:
        """Read a file; WeightsError when it is missing, of another version or malformed."""
        try:
            # opened here: numpy does not close a broken archive
            opened = path.open("rb")
        except OSError as error:
            raise WeightsError(f"{path} is no usable file of weights: {error}") from error
        with opened:
            return cls.read(opened, path)

    @classmethod
    def read(cls, opened: BinaryIO, path: Path) -> WeightsFile:
        """Read what a file holds; WeightsError, which names the path, as in `load`."""
        try:
            with np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            document = json.loads(bytes(arrays.pop(_ABOUT)))
        except _UNREADABLE as error:
            raise WeightsError(f"{path} is no usable file of weights: {error}") from error
        if not isinstance(document, dict) or document.get("file") != _KIND:
            raise WeightsError(f'{path} is no file of weights: it lacks "file": "{_KIND}"')
        _check_version(path, document.get("schema_version"))
        space, about = document.get("space"), document.get("about")
        if not isinstance(space, str) or not isinstance(about, dict):
            raise WeightsError(f"{path} is no usable file of weights: it does not tell its space")
        return cls(space, arrays, about)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of this file have left beside it; no writer may be at work."""
    leftover = re.compile(re.escape(f".{path.name}.") + "[a-z0-9_]{8}")
    for entry in path.parent.glob(".*"):
        if leftover.fullmatch(entry.name):
            with contextlib.suppress(OSError):  # what cannot be removed does no harm
                entry.unlink()


def shipped_weights(space_name: str) -> WeightsFile | None:
    """The supernet that comes with a space; None where none does."""
    file = resources.files("ponas_core.data").joinpath(f"{space_name}.npz")
    if not file.is_file():
        return None
    with resources.as_file(file) as path:
        return WeightsFile.load(path)


def block_names(space: SearchSpace) -> list[list[str]]:
    """The candidates of every searchable layer, by which a file tells the space that its weights fit."""
    return [[str(block) for block in layer.blocks] for layer in space.layers]


def path_weights(arrays: Arrays, architecture: Architecture) -> dict[str, NDArray[Any]]:
    """Of a supernet's arrays those of one architecture, by the names that the network itself uses."""
    found = {}
    for layer, op in architecture.chain:
        prefix = f"{layer.name}.{layer.blocks[op]}."
        for name, array in arrays.items():
            if name.startswith(prefix):
                found[f"{layer.name}.{name.removeprefix(prefix)}"] = array
    return found


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _check_version(path: Path, version: object) -> None:
    if type(version) is not int or version < SCHEMA_VERSION:
        raise WeightsError(f"{path} has no version that is still read: train anew")
    if version > SCHEMA_VERSION:
        raise WeightsError(f"{path} has version {version}, newer than {SCHEMA_VERSION}: update hwprofile")
