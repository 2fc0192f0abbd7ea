"""Several processes train one network: started by the real `torchrun`, on this computer's processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ponas_core.network_weights import Arrays, WeightsFile
from ponas_core.proxyless import Gradient
from ponas_core.training import processes
from ponas_core.training.modules import arrays
from tests.ponas_core.training import joint_training
from tests.ponas_core.training.toys import CPU, relative_error, trainer

ROOT = Path(__file__).parents[3]


def test_a_process_alone_is_the_first_of_one_and_averages_nothing() -> None:
    tensor = torch.tensor([1.0, 2.0])
    processes.average([tensor])
    processes.leave()
    assert (processes.rank(), processes.world()) == (0, 1)
    assert tensor.tolist() == [1, 2]
    assert processes.together(True, CPU)
    assert not processes.together(False, CPU)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("joint")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*run, "-m", joint_training.__name__, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return folder


def read(path: Path) -> Arrays:
    return WeightsFile.load(path).arrays


def same_bits(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_both_processes_end_with_equal_weights_and_the_first_writes_them(joint: Path) -> None:
    first, second = (read(joint / f"weights{rank}.npz") for rank in (0, 1))
    assert same_bits(first, second)
    file = WeightsFile.load(joint / "joint.npz")
    assert same_bits(file.arrays, first)
    assert file.about["step"] == file.about["steps"] == 48
    assert not list(joint.glob(".*"))


def test_a_joint_training_goes_on_from_its_file(joint: Path) -> None:
    stopped, whole = (WeightsFile.load(joint / f"{name}.npz") for name in ("stopped", "joint"))
    assert same_bits(stopped.arrays, whole.arrays)


def test_processes_see_images_of_their_own(joint: Path) -> None:
    alone = trainer(**joint_training.SUPERNET)
    list(alone.run())
    assert not same_bits(arrays(alone.model), read(joint / "weights0.npz"))


@pytest.mark.parametrize("name", ["bare", "frozen"])
def test_the_averaged_gradient_is_that_of_the_whole_batch(joint: Path, name: str) -> None:
    """Of 15 images, eight here and seven there; no statistics of a batch enter."""
    wanted = joint_training.one_step(name)
    for rank in (0, 1):
        found = read(joint / f"{name}{rank}.npz")
        assert found.keys() == wanted.keys()
        for part in wanted:
            assert relative_error(found[part], wanted[part]) < 1e-5, part


@pytest.mark.parametrize("gradient", joint_training.GRADIENTS)
def test_the_architecture_learns_from_the_whole_validation_batch(joint: Path, gradient: Gradient) -> None:
    """What Adam remembers are squared gradients, averaged before they are squared."""
    wanted = joint_training.one_architecture_step(gradient)
    for rank in (0, 1):
        found = read(joint / f"{gradient}{rank}.npz")
        assert found.keys() == wanted.keys()
        for part in wanted:
            assert relative_error(found[part], wanted[part]) < 1e-4, part


def test_both_processes_search_alike_to_the_last_bit(joint: Path) -> None:
    assert same_bits(read(joint / "logits0.npz"), read(joint / "logits1.npz"))


def test_more_processes_than_images_of_a_step_are_refused(joint: Path) -> None:
    for rank in (0, 1):
        assert (joint / f"world{rank}").read_text() == (
            f"{rank} of 2: 2 processes cannot share steps of 1 images: "
            "start fewer or give a larger --batch-size"
        )
