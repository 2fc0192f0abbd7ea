"""Training as commands ask for it: data, device, processes and progress around `ponas_core.training`.

Everything here imports torch, so commands import this when they train.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from hwprofile import display
from hwprofile.errors import UserError
from hwprofile.learning.data import dataset_for, splits_of
from hwprofile.learning.search_folder import SearchFolder
from ponas_core.datasets.images import Dataset, LabelledImages, SearchSplits
from ponas_core.datasets.normalization import Normalization
from ponas_core.network_weights import WeightsError, WeightsFile, block_names
from ponas_core.space import SearchSpace
from ponas_core.training import processes
from ponas_core.training.batches import DeviceImages
from ponas_core.training.fine_tuning import BlockTuner
from ponas_core.training.modules import arrays, set_weights
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import Progress, Trainer, TrainingError
from ponas_core.training.training_file import TrainingFile
from ponas_core.weights import GivenWeights

RATE_EVERY_S = 1.0


@dataclass(frozen=True)
class TrainingData:
    """A data set divided, normalised, and on the device that trains.

    Attributes:
        dataset: what was named.
        device: where networks learn.
        typed: how a person named it.
    """

    dataset: Dataset
    device: torch.device
    typed: str = ""

    @classmethod
    def named(
        cls, space: SearchSpace, name: str, device: torch.device, tell: Callable[[str | None], None]
    ) -> TrainingData:
        """The data set of this name, which must fit the networks of the space; UserError otherwise."""
        return cls(dataset_for(space, name, tell), device, name)

    @cached_property
    def splits(self) -> SearchSplits:
        """Training, validation, verification."""
        return splits_of(self.dataset)

    @cached_property
    def normalization(self) -> Normalization:
        """Of the training images."""
        return Normalization.of(self.splits.training)

    @cached_property
    def training(self) -> DeviceImages:
        """What is learned from."""
        return self.on_device(self.splits.training)

    @cached_property
    def validation(self) -> DeviceImages:
        """What fills score tables."""
        return self.on_device(self.splits.validation)

    def on_device(self, images: LabelledImages) -> DeviceImages:
        """Images as the networks read them."""
        return DeviceImages(images, self.normalization, self.device)

    def about(self, space: SearchSpace) -> dict[str, Any]:
        """What a training on it rests on, for its file."""
        return {
            "data": {"name": self.dataset.name, "digest": self.dataset.digest, "notice": self.dataset.notice},
            "normalization": self.normalization.notes(),
            "classes": list(self.dataset.classes),
            "blocks": block_names(space),
        }


def accelerator(name: str, threads: int) -> torch.device:
    """`cpu`, `cuda`, or `auto`: a GPU where there is one; exact repetition is asked for on a processor.

    Args:
        name: of the device.
        threads: of the processor.

    Raises:
        UserError: there is no such device.
    """
    torch.set_num_threads(threads)
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise UserError(
            "there is no GPU that torch can use: leave --accelerator away, or install torch for it"
        )
    if name == "cuda" or (name == "auto" and found):
        # several processes: each takes the GPU of its number
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.use_deterministic_algorithms(True)
    # only what reads memory before it writes it would need this, and it takes a quarter of the time
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a property of torch
    return torch.device("cpu")


def means_of(device: torch.device) -> str:
    """What computes: two computers with the same count alike, to the last image."""
    if device.type == "cuda":
        return f"torch {torch.__version__} on {torch.cuda.get_device_name(device)}"
    return f"torch {torch.__version__} with {torch.backends.cpu.get_cpu_capability()}"


def join_processes(device: torch.device) -> None:
    """Join the processes that `torchrun` started, where it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        processes.join(device)
        atexit.register(processes.leave)


def is_first() -> bool:
    """Whether this process is the one that evaluates and writes."""
    return processes.rank() == 0


@dataclass(frozen=True)
class Learning:
    """What a command learns, and how.

    Attributes:
        data: what.
        recipe: how.
        checkpoint_every_s: seconds between two states of a training in its file.
        quiet: no progress.
        fleet: address of a Dask scheduler whose workers evaluate networks; None for this process.
    """

    data: TrainingData
    recipe: TrainingRecipe
    checkpoint_every_s: float
    quiet: bool
    fleet: str | None = None


def train(
    model: Network | Supernet, space: SearchSpace, learning: Learning, path: Path, about: dict[str, Any]
) -> WeightsFile:
    """Train to the end, from where the file stands; the model holds the finished weights then.

    Raises:
        UserError: the file is of another training, or cannot be written, or the training went astray.
    """
    trainer = Trainer(model, learning.data.training, learning.recipe)
    with training_file(trainer, space, learning, path, about) as file:
        return file.train()


@contextmanager
def training_file(
    trainer: Trainer, space: SearchSpace, learning: Learning, path: Path, about: dict[str, Any]
) -> Iterator[TrainingFile]:
    """A training in its file, from where that stands, with progress.

    Raises:
        UserError: the file is of another training, or cannot be written, or the training went astray.
    """
    wanted = {**learning.data.about(space), **about}
    with display.progress("train", quiet=learning.quiet or not is_first()) as bar:
        rate = _Rate(learning.recipe.batch)

        def tell(progress: Progress) -> None:
            bar.advance(progress.step, progress.steps, rate.words(progress))

        try:
            yield TrainingFile(
                trainer, path, space.name, wanted, tell=tell, every_s=learning.checkpoint_every_s
            )
        except TrainingError as error:
            raise UserError(str(error)) from error


class _Rate:
    """Images a second and the loss, in words, read anew once a second."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._since: tuple[float, int] | None = None
        self._words = ""

    def words(self, progress: Progress) -> str:
        """What stands beside the bar."""
        now = time.monotonic()
        if self._since is None:
            self._since = (now, progress.step)
        before, step = self._since
        if now - before >= RATE_EVERY_S:
            images = (progress.step - step) * self._batch / (now - before)
            loss = "" if progress.loss is None else f", loss {progress.loss:.3f}"
            self._words, self._since = f"{images:,.0f} images/s{loss}", (now, progress.step)
        return self._words


class BlockTuning:
    """Blocks fine-tuned one by one; weights and cells are kept in a file after each of them.

    Args:
        supernet: trained; its weights change.
        data: what is learned.
        recipe: that of the training.
        steps: batches a candidate learns from.
        folder: where the file is; one of the same weights is gone on with.
        weights: what the training left.
    """

    def __init__(
        self,
        supernet: Supernet,
        data: TrainingData,
        recipe: TrainingRecipe,
        steps: int,
        folder: SearchFolder,
        weights: WeightsFile,
    ) -> None:
        self.tune = BlockTuner(supernet, data.training, recipe, steps)
        self._path, self._supernet = folder.tuned, supernet
        self._about = {**weights.about, "tuned_from": weights.digest, "fine_tune_steps": steps}
        self._space = weights.space
        self._cells: list[float] = []
        self._settled = 0
        if self._path.exists():
            self._go_on()

    def _go_on(self) -> None:
        try:
            found = WeightsFile.load(self._path)
            cells = found.about.get("cells", [])
            if {**found.about, "cells": None} == {**self._about, "cells": None}:
                set_weights(self._supernet, GivenWeights(found.arrays))
                self._cells = [float(cell) for cell in cells]
        except (WeightsError, KeyError, ValueError, TypeError) as error:
            raise UserError(f"{error}; move it away to fine-tune anew") from error

    def settle(self, layer: int, op: int, evaluate: Callable[[], float]) -> float:
        """A cell's accuracy: the kept one, else one evaluated now and kept with the weights."""
        if self._settled == len(self._cells):
            self._cells.append(evaluate())
            about = {**self._about, "cells": self._cells}
            try:
                WeightsFile(self._space, arrays(self._supernet), about).save(self._path)
            except OSError as error:
                raise UserError(f"cannot write {self._path}: {error.strerror}") from error
        self._settled += 1
        return self._cells[self._settled - 1]
