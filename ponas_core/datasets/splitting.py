"""Parts of labelled images in which every class keeps its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError

TEST_SHARE = 0.2
TEST_SEED = 0
"""Where a data set has no test images of its own; fixed, so that the test images stay the same ones."""


def held_out(
    labels: NDArray[np.int64], share: float, seed: int, fewest: int = 1
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indexes that stay, ascending, and indexes held out: by class, in random order within a class.

    Args:
        labels: one of each image.
        share: of each class to hold out, rounded; all but one image of it at most.
        seed: of the random choice.
        fewest: images of a class to hold out at least.
    """
    rng = np.random.default_rng(seed)
    by_class = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.unique(labels, return_counts=True)[1])
    kept, held = [], []
    for members in np.split(by_class, ends[:-1]):
        wanted = min(max(round(len(members) * share), fewest), len(members) - 1)
        shuffled = rng.permutation(members)
        held.append(shuffled[:wanted])
        kept.append(shuffled[wanted:])
    return np.sort(np.concatenate(kept)), np.concatenate(held)


def test_apart(
    labels: NDArray[np.int64], classes: Sequence[str], name: str
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indexes for training and test, ascending, where a data set has no test images of its own.

    Raises:
        DatasetError: a class has fewer than two images.
    """
    check_counts(labels, classes, 2, f"{name} has no test images, and to set some of every class apart")
    kept, held = held_out(labels, TEST_SHARE, TEST_SEED)
    return kept, np.sort(held)


def check_counts(labels: NDArray[np.int64], classes: Sequence[str], least: int, why: str) -> None:
    """Raise DatasetError unless every class has at least this many images; it names the smallest class."""
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(counts.argmin())
    if counts[smallest] < least:
        raise DatasetError(
            f"{why} each class needs at least {least} images; class {classes[smallest]!r} has "
            f"{counts[smallest]}: add images of it or leave the class out"
        )
