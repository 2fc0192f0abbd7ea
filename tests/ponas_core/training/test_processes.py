"""Several processes train one network: started by the real `torchrun`, on this computer's processor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ponas_core.network_weights import Arrays, WeightsFile
from ponas_core.proxyless import Gradient
from ponas_core.training import processes
from ponas_core.training.loss_log import loss_path
from tests.ponas_core.training import digit_curves, joint_training
from tests.ponas_core.training.toys import CPU, read_losses, relative_error
from tests.torchrun import begun, finish, kill_all, several, start

RANKS = (0, 1)


def test_a_process_alone_is_the_first_of_one_and_exchanges_nothing() -> None:
    tensor = torch.tensor([1.0, 2.0])
    processes.add_up([tensor])
    processes.average([tensor])
    processes.leave()
    assert (processes.rank(), processes.world()) == (0, 1)
    assert tensor.tolist() == [1, 2]
    assert processes.together(True, CPU)
    assert not processes.together(False, CPU)
    assert processes.agree("anything", CPU)
    assert processes.from_first(b"content", CPU) == b"content"


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind, one training having been begun by one."""
    folder = tmp_path_factory.mktemp("joint")
    digit_curves.train(digit_curves.GOES_ON, folder / "begun by one.npz", stop=21)
    finish(start(several(2, joint_training.__name__, folder)))
    return folder


def read(joint: Path, rank: int, name: str) -> Arrays:
    """What one of the two wrote."""
    return WeightsFile.load(joint / f"of {rank}" / f"{name}.npz").arrays


def same_bits(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


# --- files


@pytest.mark.slow
def test_both_processes_end_with_equal_weights_and_the_first_writes_them(joint: Path) -> None:
    first, second = (read(joint, rank, "weights") for rank in RANKS)
    assert same_bits(first, second)
    file = WeightsFile.load(joint / "joint.npz")
    assert same_bits(file.arrays, first)
    assert file.about["step"] == file.about["steps"] == 48
    assert not list(joint.glob(".*"))


@pytest.mark.slow
def test_a_joint_training_goes_on_from_the_file_of_the_first_process(joint: Path) -> None:
    """The other one looks for it in a folder where nothing is, as on another computer."""
    assert same_bits(read(joint, 0, "stopped"), WeightsFile.load(joint / "joint.npz").arrays)
    assert not (joint / "of 1" / "stopped.npz").exists()
    losses = [loss_path(path).read_bytes() for path in (joint / "of 0" / "stopped.npz", joint / "joint.npz")]
    assert losses[0] == losses[1]


# --- what a step computes


@pytest.mark.slow
@pytest.mark.parametrize("name", joint_training.STEPS)
def test_gradients_are_those_of_the_whole_batch(joint: Path, name: str) -> None:
    wanted = joint_training.one_step(name)
    largest = max(np.abs(part).max() for part in wanted.values())
    for rank in RANKS:
        found = read(joint, rank, name)
        assert found.keys() == wanted.keys()
        for part in wanted:
            # batch normalisation leaves nothing but roundings of some of them
            assert np.abs(found[part] - wanted[part]).max() < 1e-5 * largest, part


@pytest.mark.slow
@pytest.mark.parametrize("gradient", joint_training.GRADIENTS)
def test_the_architecture_learns_from_the_whole_validation_batch(joint: Path, gradient: Gradient) -> None:
    """What Adam remembers are squared gradients, added up before they are squared."""
    wanted = joint_training.one_architecture_step(gradient)
    for rank in RANKS:
        found = read(joint, rank, gradient)
        assert found.keys() == wanted.keys()
        for part in wanted:
            assert relative_error(found[part], wanted[part]) < 1e-4, part


@pytest.mark.slow
def test_both_processes_search_alike_to_the_last_bit(joint: Path) -> None:
    assert same_bits(read(joint, 0, "logits"), read(joint, 1, "logits"))


# --- curves of losses, in double precision


def difference(found: Path, wanted: Path) -> float:
    """The largest relative one between the losses of two trainings, step by step."""
    ours, theirs = (dict(read_losses(loss_path(path))) for path in (found, wanted))
    assert list(ours) == list(theirs) == list(range(1, len(theirs) + 1))
    assert ours[1] > ours[len(ours)]  # it learned
    return max(abs(ours[step] / theirs[step] - 1) for step in theirs)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trainings in one process."""
    folder = tmp_path_factory.mktemp("alone")
    for way in joint_training.CURVES:
        digit_curves.train(way, folder / f"{way}.npz")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("way", joint_training.CURVES)
def test_two_processes_lose_what_one_does_step_by_step(joint: Path, alone: Path, way: str) -> None:
    assert len(read_losses(loss_path(joint / f"{way}.npz"))) == digit_curves.STEPS
    assert difference(joint / f"{way}.npz", alone / f"{way}.npz") < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_any_training_in_several_processes_loses_what_it_does_in_one(tmp_path: Path, count: int) -> None:
    ways = [*digit_curves.WAYS, *(digit_curves.LARGE if count == 2 else ())]
    folders = [tmp_path / str(number) for number in (1, count)]
    for number, folder in zip((1, count), folders, strict=True):
        folder.mkdir()
        finish(start(several(number, digit_curves.__name__, folder, *ways)))
    found = {way: difference(*(folder / f"{way}.npz" for folder in folders)) for way in ways}
    print(found)
    assert max(found.values()) < 1e-11, found


@pytest.mark.slow
def test_two_processes_with_whole_parts_compute_the_same_bits_as_one(joint: Path, alone: Path) -> None:
    """Sums of two numbers have no order."""
    name = "a path for each of two parts.npz"
    assert loss_path(joint / name).read_bytes() == loss_path(alone / name).read_bytes()


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_has_begun(joint: Path, alone: Path) -> None:
    assert difference(joint / "begun by one.npz", alone / f"{digit_curves.GOES_ON}.npz") < 1e-12


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_have_begun(joint: Path) -> None:
    path = joint / "begun by two.npz"
    assert WeightsFile.load(path).about["step"] == 20
    digit_curves.train(digit_curves.GOES_ON, path)
    assert difference(path, joint / f"{digit_curves.GOES_ON}.npz") < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 1), (1, 2), (2, 3)])
def test_a_training_that_is_killed_is_gone_on_with_by_another_number(
    tmp_path: Path, first: int, then: int
) -> None:
    way = "digits, one path"
    whole, path = tmp_path / "whole", tmp_path / f"{way}.npz"
    whole.mkdir()
    finish(start(several(first, digit_curves.__name__, whole, way)))
    with begun(several(first, digit_curves.__name__, tmp_path, way), path) as process:
        kill_all(process)
    finish(start(several(then, digit_curves.__name__, tmp_path, way)))
    found = difference(path, whole / path.name)
    print(found)
    assert found < 1e-11


# --- what cannot be


@pytest.mark.slow
def test_more_processes_than_images_of_a_step_are_refused(joint: Path) -> None:
    for rank in RANKS:
        assert (joint / f"of {rank}" / "world").read_text() == f"{rank} of 2"
        assert (joint / f"of {rank}" / "too many").read_text() == (
            "2 processes cannot share steps of 1 images: start fewer or give a larger --batch-size"
        )


@pytest.mark.slow
def test_processes_that_were_started_with_other_options_are_refused(joint: Path) -> None:
    for rank in RANKS:
        assert (joint / f"of {rank}" / "differ").read_text() == (
            "the processes differ in data or options: start all with the same ones"
        )


@pytest.mark.slow
def test_a_file_that_the_first_process_has_not_is_not_trained_over(joint: Path) -> None:
    for rank in RANKS:
        path = joint / f"of {rank}" / "theirs.npz"
        assert (joint / f"of {rank}" / "elsewhere").read_text() == (
            f"the first process has no {path}, another one has: start that as --node-rank 0"
        )
