"""`hwprofile evaluate`: how accurate an ONNX file is, as it is, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices.inference import Classifier, InferenceError
from hwprofile import display
from hwprofile.errors import UserError
from hwprofile.learning.data import Split, batches, dataset_named, split_named
from ponas_core.accuracies import CountedAccuracy
from ponas_core.datasets.images import Dataset, LabelledImages
from ponas_core.datasets.normalization import Normalization
from ponas_core.operators import TensorShape


@dataclass(frozen=True)
class Evaluation:
    """How accurate a file is on a part of a data set.

    Attributes:
        onnx: the file.
        counted: how many images it was right on.
        data: name of the data set.
        split: which part of it.
        notice: what people ought to know about the data.
    """

    onnx: Path
    counted: CountedAccuracy
    data: str
    split: Split
    notice: str | None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; accuracies in per cent."""
        names = {"onnx": str(self.onnx), "data": self.data, "split": self.split}
        return {**names, **accuracy_json(self.counted), "notice": self.notice}

    def for_people(self) -> str:
        """One line."""
        where = f"{self.counted.images} {self.split} images of {self.data}"
        return f"{self.onnx}: {accuracy_words(self.counted)} of {where}"


def accuracy_json(counted: CountedAccuracy) -> dict[str, float]:
    """An accuracy with its 95 % interval, in per cent, and its images, as JSON values."""
    low, high = counted.interval()
    return {
        "images": counted.images,
        "accuracy": counted.percent,
        "accuracy_low": low,
        "accuracy_high": high,
    }


def accuracy_words(counted: CountedAccuracy) -> str:
    """An accuracy with its 95 % interval."""
    low, high = counted.interval()
    return f"{counted.percent:.2f} % right ({low:.2f} to {high:.2f})"


def evaluate_file(
    path: Path, data: str, split: Split, *, quiet: bool, tell: Callable[[str | None], None]
) -> Evaluation:
    """Count on how many images of a part of a data set a file is right.

    Raises:
        UserError: the file or the data set is unusable, or they do not fit each other.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    classifier = Classifier(content)
    try:
        _, *size = classifier.shape_in
        dataset = dataset_named(data, TensorShape(*size), classifier.classes, tell)
    except InferenceError as error:
        raise UserError(f"{path}: {error}") from error
    return evaluate(path, classifier, dataset, split, quiet=quiet, tell=tell)


def evaluate_exported(path: Path, dataset: Dataset, *, quiet: bool) -> Evaluation:
    """How accurate a file is on test images; on verification images where there are none."""
    split: Split = "test" if dataset.test is not None else "verification"
    return evaluate(path, Classifier(path.read_bytes()), dataset, split, quiet=quiet)


def evaluate(
    path: Path,
    classifier: Classifier,
    dataset: Dataset,
    split: Split,
    *,
    quiet: bool,
    tell: Callable[[str | None], None] = lambda text: None,
) -> Evaluation:
    """Count on how many images of a part of a data set a graph is right.

    Raises:
        UserError: the data set lacks this part, or the file's normalisation is garbled.
    """
    images = split_named(dataset, split)
    try:
        normalization = Normalization.from_notes(classifier.notes)
    except ValueError as error:
        raise UserError(f"{path}: its metadata tell no normalisation: {error}") from error
    if normalization is None:
        channels = images.images.shape.channels
        normalization = Normalization((0.0,) * channels, (1.0,) * channels)
        tell(f"{path} does not say what it reads: it gets pixels divided by 255")
    with display.progress("evaluate", quiet=quiet) as progress:
        counted = count_right(classifier, images, normalization, progress)
    return Evaluation(path, counted, dataset.name, split, dataset.notice)


def count_right(
    classifier: Classifier,
    images: LabelledImages,
    normalization: Normalization | None = None,
    progress: display.SilentProgress | display.BarProgress | None = None,
) -> CountedAccuracy:
    """On how many images a graph is right.

    Args:
        classifier: the graph.
        images: of the shape that it reads.
        normalization: what it reads; None for what its metadata say.
        progress: told after every batch.
    """
    normalization = normalization or Normalization.from_notes(classifier.notes)
    assert normalization is not None
    right, done = 0, 0
    for found in classifier.predicted(map(normalization.apply, batches(images))):
        right += int(np.count_nonzero(found == images.labels[done : done + len(found)]))
        done += len(found)
        if progress is not None:
            progress.advance(done, len(images), f"{done} images")
    return CountedAccuracy(right, len(images))
