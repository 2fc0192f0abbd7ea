"""A training that lives in a file: resumed, found finished, refused; crashes and full disks."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ponas_core.network_weights import WeightsFile
from ponas_core.training.loss_log import loss_path
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.trainer import CHECK_EVERY, MOMENTUM, Progress, Trainer, TrainingError
from ponas_core.training.training_file import TrainingFile
from tests.ponas_core.training import killed_training
from tests.ponas_core.training.toys import TOY, DrawnWeights, network, read_losses, supernet, trainer

ROOT = Path(__file__).parents[3]
ABOUT = {"data": "made up", "digest": {"of": "0123", "counts": (64, 4)}}
LONG: dict[str, Any] = {"epochs": 12, "shared_epochs": 2}  # 48 steps: states after 20 and 40


class Stopped(Exception):
    """Raised in place of a crash."""


def train(
    path: Path, training: Trainer | None = None, *, stop: int | None = None, every_s: float = 0
) -> WeightsFile:
    """Train to a file; crash after step `stop`."""

    def tell(progress: Progress) -> None:
        if progress.step == stop:
            raise Stopped

    return TrainingFile(training or trainer(**LONG), path, "toy", ABOUT, tell=tell, every_s=every_s).train()


def assert_equal(found: Mapping[str, NDArray[Any]], wanted: Mapping[str, NDArray[Any]]) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].tobytes() == wanted[name].tobytes(), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    """The same training without a crash."""
    return train(tmp_path_factory.mktemp("whole") / "toy.npz", every_s=1000)


def test_a_finished_training_leaves_its_weights_and_what_they_rest_on(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    returned = train(path)
    file = WeightsFile.load(path)
    assert_equal(file.arrays, returned.arrays)
    assert set(file.arrays) == set(Supernet(TOY).state_dict())
    assert (file.space, file.about["step"], file.about["steps"]) == ("toy", 48, 48)
    assert file.about["data"] == "made up"
    assert file.about["recipe"]["seed"] == 3
    assert sorted(tmp_path.iterdir()) == [loss_path(path), path]


@pytest.mark.parametrize("stop", [5, 20])
def test_a_training_without_a_state_yet_begins_anew(tmp_path: Path, whole: WeightsFile, stop: int) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=stop)
    assert not path.exists()
    assert_equal(train(path).arrays, whole.arrays)


@pytest.mark.parametrize(("stop", "kept"), [(21, 20), (39, 20), (41, 40), (47, 40), (48, 40)])
def test_a_training_goes_on_from_its_file(tmp_path: Path, whole: WeightsFile, stop: int, kept: int) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=stop)
    state = WeightsFile.load(path)
    assert state.about["step"] == kept
    assert any(name.startswith(MOMENTUM) for name in state.arrays)
    told: list[int] = []
    again = TrainingFile(
        trainer(supernet(9), **LONG), path, "toy", ABOUT, tell=lambda progress: told.append(progress.step)
    ).train()
    assert told == list(range(kept + 1, 49))
    assert_equal(again.arrays, whole.arrays)


def test_states_are_written_now_and_then_and_not_at_every_look(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=47, every_s=1000)
    assert not path.exists()


def test_a_finished_file_is_returned_untouched(tmp_path: Path, whole: WeightsFile) -> None:
    path = tmp_path / "toy.npz"
    whole.save(path)
    before, times = path.read_bytes(), path.stat()
    training = trainer(supernet(9), **LONG)
    found = train(path, training)
    assert_equal(found.arrays, whole.arrays)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, times.st_mtime_ns)
    # and the model holds them
    assert training.step == training.steps
    assert_equal(arrays(training.model), whole.arrays)


def test_a_network_is_trained_to_a_file_too(tmp_path: Path) -> None:
    wanted = train(tmp_path / "a.npz", trainer(network(), **LONG))
    with pytest.raises(Stopped):
        train(tmp_path / "b.npz", trainer(network(), **LONG), stop=30)
    assert_equal(train(tmp_path / "b.npz", trainer(network(seed=8), **LONG)).arrays, wanted.arrays)


def test_what_is_known_may_have_any_name(tmp_path: Path) -> None:
    path, about = tmp_path / "toy.npz", {"space": "digest", "file": "x", "schema_version": 9, "about": None}
    for _ in range(2):
        TrainingFile(trainer(), path, "toy", about).train()
    assert WeightsFile.load(path).space == "toy"


# --- losses


def test_the_loss_of_every_step_stands_beside_the_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    training = trainer(**LONG)
    train(path, training)
    losses = read_losses(loss_path(path))
    assert [step for step, _ in losses] == list(range(1, 49))
    assert losses == training.losses


@pytest.mark.parametrize(("stop", "kept", "torn"), [(5, 0, ""), (41, 40, ""), (47, 40, '{"step": 41, "lo')])
def test_losses_go_on_where_the_training_does(tmp_path: Path, stop: int, kept: int, torn: str) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "toy.npz"
    train(whole)
    with pytest.raises(Stopped):
        train(path, stop=stop)
    if kept:
        assert [step for step, _ in read_losses(loss_path(path))] == list(range(1, kept + 1))
    with loss_path(path).open("a") as file:
        file.write(torn)
    train(path)
    assert loss_path(path).read_bytes() == loss_path(whole).read_bytes()


def test_losses_without_their_training_make_room_for_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    train(path)
    wanted = loss_path(path).read_bytes()
    path.unlink()
    train(path)
    assert loss_path(path).read_bytes() == wanted


def test_losses_that_cannot_be_written_end_a_training(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    loss_path(path).mkdir()
    with pytest.raises(TrainingError, match=r"cannot write .*toy\.losses\.jsonl: Is a directory; the last"):
        train(path)


# --- another training's file


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"seed": 4}, "seed 3, not 4"),
        ({"learning_rate": 0.5}, "learning_rate 0.1, not 0.5"),
        ({"sampling": "uniform"}, "sampling fair, not uniform"),
        ({"epochs": 13}, "epochs 12, not 13"),
    ],
)
def test_another_recipe_is_refused_with_what_differs(
    tmp_path: Path, whole: WeightsFile, change: dict[str, Any], difference: str
) -> None:
    path = tmp_path / "toy.npz"
    whole.save(path)
    with pytest.raises(TrainingError, match=rf"another training \({difference}\): choose another place"):
        train(path, trainer(**(LONG | change)))
    assert_equal(WeightsFile.load(path).arrays, whole.arrays)


def test_another_augmentation_is_refused_with_what_differs(tmp_path: Path, whole: WeightsFile) -> None:
    path = tmp_path / "toy.npz"
    whole.save(path)
    other = dataclasses.replace(trainer(**LONG).recipe.augmentation, cutout=5)
    with pytest.raises(TrainingError, match=r"\(cutout 2, not 5\)"):
        train(path, trainer(**LONG, augmentation=other))


@pytest.mark.parametrize(
    ("about", "difference"),
    [
        ({**ABOUT, "data": "cifar10"}, "data made up, not cifar10"),
        ({**ABOUT, "digest": {"of": "4567", "counts": (64, 4)}}, "of 0123, not 4567"),
        ({**ABOUT, "version": 2}, "version None, not 2"),
    ],
)
def test_other_data_are_refused_with_what_differs(
    tmp_path: Path, whole: WeightsFile, about: dict[str, Any], difference: str
) -> None:
    path = tmp_path / "toy.npz"
    whole.save(path)
    with pytest.raises(TrainingError, match=rf"another training \({difference}\)"):
        TrainingFile(trainer(**LONG), path, "toy", about).train()


def test_another_space_is_refused_by_name(tmp_path: Path, whole: WeightsFile) -> None:
    path = tmp_path / "toy.npz"
    whole.save(path)
    with pytest.raises(TrainingError, match=r"another training \(space toy\)"):
        TrainingFile(trainer(**LONG), path, "digits", ABOUT).train()


def test_a_space_of_the_same_name_with_other_blocks_is_refused_by_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=30)
    other = Network(TOY.architecture((3, 0, 0)), DrawnWeights())
    with pytest.raises(TrainingError, match=r"another training \(the weights have no 'stem0\.0\.weight'"):
        train(path, trainer(other, **LONG))


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04"])
def test_a_file_that_is_no_training_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "toy.npz"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"no usable file of weights.*; move it away to train anew"):
        train(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("step", ["3", None, -1, 49, 2.0, True])
def test_a_step_that_no_training_has_is_refused(tmp_path: Path, whole: WeightsFile, step: object) -> None:
    path = tmp_path / "toy.npz"
    WeightsFile("toy", whole.arrays, {**whole.about, "step": step}).save(path)
    with pytest.raises(TrainingError, match="holds another training"):
        train(path)


# --- what goes wrong


def test_a_loss_that_is_not_finite_leaves_the_last_state(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    spoilt = trainer(**LONG)
    wanted: dict[str, NDArray[np.float32]] = {}

    def spoil(progress: Progress) -> None:
        if progress.step == CHECK_EVERY + 1:
            wanted.update(WeightsFile.load(path).arrays)
            for parameter in spoilt.model.parameters():
                parameter.data.mul_(1e30)

    with pytest.raises(TrainingError, match=r"loss is not finite at step 40 of 48: .* is intact"):
        TrainingFile(spoilt, path, "toy", ABOUT, tell=spoil, every_s=0).train()
    found = WeightsFile.load(path)
    assert found.about["step"] == CHECK_EVERY
    assert_equal(found.arrays, wanted)


def test_a_rate_that_is_far_too_high_ends_without_a_file(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(TrainingError, match=r"not finite at step 20 of 48: .*it was 1e\+30"):
        train(path, trainer(**LONG, learning_rate=1e30))
    assert not list(tmp_path.iterdir())


def test_weights_that_the_last_step_broke_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "toy.npz"
    spoilt = trainer(**LONG)

    def spoil(progress: Progress) -> None:
        if progress.step == progress.steps:  # its loss was that of the weights before
            next(iter(spoilt.model.parameters())).data.fill_(float("inf"))

    with pytest.raises(TrainingError, match="weights are not finite at step 48 of 48: give a lower"):
        TrainingFile(spoilt, path, "toy", ABOUT, tell=spoil, every_s=0).train()
    assert WeightsFile.load(path).about["step"] == 40


@pytest.mark.parametrize("place", ["replace", "fsync"])
def test_a_full_disk_ends_a_training_and_leaves_the_last_state(
    tmp_path: Path, whole: WeightsFile, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=21)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, place, full)
        with pytest.raises(TrainingError, match=r"cannot write .*toy\.npz: No space left on device"):
            train(path)
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [loss_path(path), path]
    assert_equal(train(path).arrays, whole.arrays)


def test_a_limit_on_the_size_of_files_ends_a_training_and_leaves_the_last_state(
    tmp_path: Path, whole: WeightsFile
) -> None:
    """The same with a real file that cannot grow: the weights are cut off in the middle."""
    path = tmp_path / "toy.npz"
    with pytest.raises(Stopped):
        train(path, stop=21)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(TrainingError, match="File too large"):
            train(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [loss_path(path), path]
    assert_equal(train(path).arrays, whole.arrays)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"cannot write .*: No such file or directory"):
        train(tmp_path / "absent" / "toy.npz", trainer(epochs=1))


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(TrainingError, match=r"cannot write .*: Permission denied"):
            train(tmp_path / "toy.npz", trainer(epochs=1))
    finally:
        tmp_path.chmod(0o700)


# --- killed at any moment


def kill_and_go_on(folder: Path, kills: int, seed: int) -> WeightsFile:
    """Start a training again and again, kill it at random moments, then let it end."""
    path = folder / "toy.npz"
    command = [sys.executable, "-m", killed_training.__name__, str(path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    rng = random.Random(seed)
    for _ in range(kills):
        with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
            for _ in range(rng.randint(1, 2)):
                until(partial(ended_or_wrote, process, path, written(path)))
            time.sleep(rng.uniform(0, 0.05))  # what a killed process was just doing is left to chance
            process.send_signal(signal.SIGKILL)
        assert WeightsFile.load(path).about["step"] > 0
    (folder / ".toy.npz.abcdefgh").write_bytes(path.read_bytes()[:1000])
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert sorted(folder.iterdir()) == [loss_path(path), path]
    return WeightsFile.load(path)


def written(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def ended_or_wrote(process: subprocess.Popen[bytes], path: Path, before: int) -> bool:
    return process.poll() is not None or written(path) > before


def until(condition: Callable[[], bool], at_most_s: float = 120) -> None:
    end = time.monotonic() + at_most_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def unkilled(folder: Path) -> WeightsFile:
    return TrainingFile(
        trainer(**killed_training.CHANGES), folder / "whole.npz", "toy", {"data": "made up"}
    ).train()


@pytest.mark.slow
def test_a_training_that_is_killed_at_random_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    (tmp_path / "killed").mkdir()
    assert_equal(kill_and_go_on(tmp_path / "killed", 3, 0).arrays, unkilled(tmp_path).arrays)


@pytest.mark.slow
def test_a_training_that_is_killed_twenty_times_ends_with_the_same_bits(tmp_path: Path) -> None:
    wanted = unkilled(tmp_path).arrays
    for seed in range(1, 6):
        (tmp_path / str(seed)).mkdir()
        assert_equal(kill_and_go_on(tmp_path / str(seed), 4, seed).arrays, wanted)
