"""Known accuracies of whole networks: published ones, or a user's own, from a CSV file."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

from ponas_core.space import Architecture, SearchSpace


class Encoded(Protocol):
    """A network as op indexes, one a place: an `Architecture` of a chain, or a `Cell`."""

    @property
    def ops(self) -> tuple[int, ...]:
        """Op indexes."""
        ...


@dataclass(frozen=True)
class KnownAccuracies:
    """Accuracies in per cent of some or all networks of a space.

    Attributes:
        values: op indexes to accuracy in per cent.
        source: where they come from, one sentence.
    """

    values: Mapping[tuple[int, ...], float]
    source: str

    def get(self, architecture: Encoded) -> float | None:
        """Accuracy of a network in per cent; None when it is not known."""
        return self.values.get(architecture.ops)


@dataclass(frozen=True, slots=True)
class CountedAccuracy:
    """An accuracy that was counted on images.

    Attributes:
        right: images whose class was told rightly.
        images: all of them, at least one.
    """

    right: int
    images: int

    @property
    def percent(self) -> float:
        """Share that is right, per cent."""
        return 100 * self.right / self.images

    def interval(self) -> tuple[float, float]:
        """95 % interval in per cent (Wilson, 1927): what another draw of images would change."""
        share, count, z = self.right / self.images, self.images, 1.959964
        centre = (share + z * z / (2 * count)) / (1 + z * z / count)
        half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
        return 100 * max(0.0, centre - half), 100 * min(1.0, centre + half)


@dataclass(frozen=True, slots=True)
class _Published:
    file: str
    column: str
    source: str
    test_images: int = 0  # behind the column `test`, where weights come along


_PUBLISHED = {
    "cifar-tiny": _Published(
        "cifar-tiny.csv.gz",
        "score",
        "validation accuracy with the weights that come along, shrunk towards a table; CIFAR-10 as JPEG",
        test_images=2500,
    ),
    "nasbench-macro": _Published(
        "nasbench-macro.csv.gz",
        "acc_mean",
        "NAS-Bench-Macro: CIFAR-10 test accuracy, mean of 3 seeds, best epoch",
    ),
}


def published_accuracies(space: SearchSpace) -> KnownAccuracies | None:
    """The accuracies that come with this package for a shipped space; None when there are none."""
    published = _PUBLISHED.get(space.name)
    if published is None:
        return None
    return accuracies_from_csv(space, _text(published), published.column, published.source)


def _text(published: _Published) -> str:
    data = resources.files("ponas_core.data").joinpath(published.file).read_bytes()
    return gzip.decompress(data).decode("utf-8")


def published_test_accuracy(architecture: Architecture) -> CountedAccuracy | None:
    """Accuracy on test images, which chose nothing, of a network with the weights that come with its space.

    None where no weights come with the space, or it is another one of its name.
    """
    published = _PUBLISHED.get(architecture.space.name)
    if published is None or not published.test_images:
        return None
    try:
        known = accuracies_from_csv(architecture.space, _text(published), "test", published.source)
    except ValueError:
        return None
    percent, images = known.get(architecture), published.test_images
    return None if percent is None else CountedAccuracy(round(percent * images / 100), images)


def has_published_accuracies(space_name: str) -> bool:
    """Whether accuracies of a space come with this package."""
    return space_name in _PUBLISHED


def accuracies_from_csv(space: SearchSpace, text: str, column: str, source: str) -> KnownAccuracies:
    """Read `arch` and an accuracy column in per cent.

    Raises:
        ValueError: a column is missing, or a row names no network of the space or no accuracy.
    """
    reader = csv.DictReader(io.StringIO(text))
    if not {"arch", column} <= set(reader.fieldnames or ()):
        raise ValueError(f"accuracies need the columns arch,{column}; found {reader.fieldnames}")
    return KnownAccuracies(dict(_rows(space, reader, column)), source)


def _rows(
    space: SearchSpace, reader: Iterable[Mapping[str, str]], column: str
) -> Iterable[tuple[tuple[int, ...], float]]:
    for number, row in enumerate(reader, start=2):
        try:
            ops = space.parse(row["arch"] or "").ops
            accuracy = float(row[column])
        except (TypeError, ValueError) as error:
            raise ValueError(f"line {number}: {error}") from error
        if not (math.isfinite(accuracy) and 0 <= accuracy <= 100):
            raise ValueError(f"line {number}: accuracy {accuracy} is not a percentage")
        yield ops, accuracy
