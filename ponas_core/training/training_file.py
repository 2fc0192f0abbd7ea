"""A training that lives in a file: begun, gone on with after a crash, or found finished."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ponas_core.network_weights import WeightsError, WeightsFile, remove_leftovers
from ponas_core.training import processes
from ponas_core.training.loss_log import append_losses, cut_losses, loss_path
from ponas_core.training.trainer import CHECK_EVERY, MOMENTUM, Progress, Trainer, TrainingError

CHECKPOINT_EVERY_S = 20.0


class TrainingFile:
    """A training and the file that it lives in.

    The state is written every so many seconds and wherever the training halts, each time as a whole: a file
    that is there is never half written, and a killed training loses at most that much. Beside it stands the
    loss of every step (`loss_log`), up to the state.

    Args:
        trainer: fresh; the file's state is restored into it.
        path: the file; of several processes only the first one reads and writes it.
        space: name of the space.
        about: what the training rests on (data, space); with what the trainer says of itself (its recipe) it
            must be equal to the file's.
        tell: called after each step.
        every_s: seconds between two states.

    Raises:
        TrainingError: the file holds another training, or cannot be used; the processes differ, or the first
            one is not the one that has the file.
    """

    def __init__(
        self,
        trainer: Trainer,
        path: Path,
        space: str,
        about: Mapping[str, Any],
        *,
        tell: Callable[[Progress], None] = lambda progress: None,
        every_s: float = CHECKPOINT_EVERY_S,
    ) -> None:
        self.trainer, self._path, self._space = trainer, path, space
        self._about = {**about, **trainer.about}
        self._tell, self._every_s, self._logged = tell, every_s, 0
        device = trainer.data.device
        if not processes.agree(json.dumps([space, _as_json(self._about)], sort_keys=True), device):
            raise TrainingError("the processes differ in data or options: start all with the same ones")
        first = processes.rank() == 0
        if first:
            remove_leftovers(path)
        content = processes.from_first(_content(path) if first else None, device)
        if processes.together(content is None and path.exists(), device):
            raise TrainingError(
                f"the first process has no {path}, another one has: start that as --node-rank 0"
            )
        self._written = None if content is None else _usable(content, path, space, self._about)
        if self._written is not None:
            _restore(trainer, path, self._written)
        if first:
            with _writing(loss_path(path)):
                cut_losses(loss_path(path), trainer.step)

    def train(self, stop: int | None = None) -> WeightsFile:
        """Train up to a step (default: the last) and leave the state there; the file as it is then.

        A step that lies behind asks for nothing.

        Raises:
            TrainingError: the file cannot be written, or the loss is not finite.
        """
        due = time.monotonic() + self._every_s
        for progress in self.trainer.run(stop):
            self._tell(progress)
            at_check = progress.step % CHECK_EVERY == 0 and progress.step < progress.steps
            if at_check and processes.together(time.monotonic() >= due, self.trainer.data.device):
                self._save()
                due = time.monotonic() + self._every_s
        if self._written is None or self._written.about["step"] != self.trainer.step:
            self._save()
        assert self._written is not None
        return self._written

    def _save(self) -> None:
        self.trainer.check()  # a state with broken weights never replaces a good one
        if processes.rank() == 0:
            with _writing(loss_path(self._path)):
                append_losses(loss_path(self._path), self.trainer.losses[self._logged :])
        self._logged = len(self.trainer.losses)
        self._written = _save(self.trainer, self._path, self._space, self._about)


def _save(trainer: Trainer, path: Path, space: str, about: Mapping[str, Any]) -> WeightsFile:
    arrays = trainer.state()
    if not all(np.isfinite(array).all() for array in arrays.values()):  # the last step's doing, not its loss
        raise trainer.diverged("weights are")
    if trainer.step == trainer.steps:
        arrays = {name: array for name, array in arrays.items() if not name.startswith(MOMENTUM)}
    file = WeightsFile(space, arrays, {**about, "step": trainer.step})
    if processes.rank() == 0:
        with _writing(path):
            file.save(path)
    return file


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """TrainingError where a file cannot be written."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"cannot write {path}: {error.strerror or error}; the last checkpoint is intact: make room "
            "or let the folder be written to, and the same command goes on"
        ) from error


def _restore(trainer: Trainer, path: Path, file: WeightsFile) -> None:
    try:
        trainer.restore(file.arrays, file.about["step"])
    except (KeyError, ValueError) as error:
        raise _another(path, error.args[0]) from error


def _another(path: Path, difference: str) -> TrainingError:
    return TrainingError(
        f"{path} holds another training ({difference}): choose another place, or move it away to train anew"
    )


def _content(path: Path) -> bytes | None:
    """What the file holds; None where there is none."""
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        raise TrainingError(f"cannot read {path}: {error.strerror}; move it away to train anew") from error


def _usable(content: bytes, path: Path, space: str, wanted: Mapping[str, Any]) -> WeightsFile:
    try:
        file = WeightsFile.read(io.BytesIO(content), path)
        step = file.about["step"]
    except (WeightsError, KeyError) as error:
        raise TrainingError(f"{error}; move it away to train anew") from error
    others = [key for key in _different(file.about, wanted) if key != "step"]
    if file.space != space or others or type(step) is not int:
        what = _difference(file.about, wanted, others) if file.space == space else f"space {file.space}"
        raise _another(path, what)
    return file


def _as_json(value: Any) -> Any:
    """A value as it comes back from JSON: tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _different(about: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """In what two trainings differ, what is told by one of them only included; the kind of search first."""
    keys = [key for key in {**wanted, **about} if about.get(key) != _as_json(wanted.get(key))]
    return sorted(keys, key=lambda key: key != "search")


def _difference(about: Mapping[str, Any], wanted: Mapping[str, Any], keys: list[str]) -> str:
    """The first thing in which two trainings differ."""
    for key in keys:
        here, there = _as_json(wanted.get(key)), about.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            return _difference(there, here, _different(there, here))
        if key == "search" and None in (here, there):
            return f"of search {there}" if here is None else f"not of search {here}"
        return f"{key} {there}, not {here}"
    return "no step"
