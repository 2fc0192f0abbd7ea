"""Commands that `torchrun` starts several times, killed on the way and gone on with by another number."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hwprofile.cli import main
from ponas_core.network_weights import WeightsFile
from tests.hwprofile.learning.test_search import QUICK, SPACE, TABLE
from tests.torchrun import END_S, TORCHRUN, begun, finish, kill_all, several, start, workers

HWPROFILE = "hwprofile"
PARTS = ["--accumulate", "2", "--checkpoint-every", "0"]
LONGER = ["--epochs", "16"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.toml"
    path.write_text(SPACE)
    return path


def one(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result


def search(space: Path, out: Path, *more: object) -> list[object]:
    return ["search", "ponas", "--space", space, *QUICK, *TABLE, *PARTS, *LONGER, "--out", out, *more]


def losses(path: Path) -> list[float]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]


@pytest.fixture(scope="module")
def whole(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search in one process, never interrupted."""
    out = tmp_path_factory.mktemp("whole") / "out"
    one(*search(space, out))
    return out


def assert_same(found: Path, wanted: Path) -> None:
    """To the last bit: each of two parts is computed by one process, and sums of two have no order."""
    for name in ("supernet.losses.jsonl", "scores.json"):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name
    assert WeightsFile.load(found / "supernet.npz").digest == WeightsFile.load(wanted / "supernet.npz").digest


@pytest.mark.slow
def test_one_process_goes_on_with_what_two_have_begun(space: Path, whole: Path, tmp_path: Path) -> None:
    with begun(several(2, HWPROFILE, *search(space, tmp_path)), tmp_path / "supernet.npz") as process:
        kill_all(process)
    one(*search(space, tmp_path))
    assert len(losses(tmp_path / "supernet.losses.jsonl")) == 16 * 17
    assert_same(tmp_path, whole)


@pytest.mark.slow
def test_two_processes_go_on_with_what_one_has_begun(space: Path, whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hwprofile", *map(str, search(space, tmp_path))]
    with begun(command, tmp_path / "supernet.npz") as process:
        kill_all(process)
    finish(start(several(2, HWPROFILE, *search(space, tmp_path))))
    assert_same(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_where_one_process_dies_all_end_and_the_file_goes_on(
    space: Path, whole: Path, tmp_path: Path, rank: int
) -> None:
    with begun(several(2, HWPROFILE, *search(space, tmp_path)), tmp_path / "supernet.npz") as process:
        started = workers(process.pid)
        os.kill(started[rank], signal.SIGKILL)
        _, errors = process.communicate(timeout=END_S)
        assert process.returncode == 1
        assert f"Signal 9 (SIGKILL) received by PID {started[rank]}" in errors
        assert not any(Path(f"/proc/{number}").exists() for number in started)
    finish(start(several(2, HWPROFILE, *search(space, tmp_path))))
    assert_same(tmp_path, whole)


@pytest.mark.slow
def test_two_processes_that_share_every_batch_lose_what_one_does(space: Path, tmp_path: Path) -> None:
    """In single precision, until roundings have grown: the curves in double precision agree to the end."""
    more = ["--accumulate", "1", "--distillation", "0.5"]
    one(*search(space, tmp_path / "one", *more))
    finish(start(several(2, HWPROFILE, *search(space, tmp_path / "two", *more))))
    alone, joint = (losses(tmp_path / name / "supernet.losses.jsonl") for name in ("one", "two"))
    apart = [abs(ours / theirs - 1) for ours, theirs in zip(joint, alone, strict=True)]
    print({steps: max(apart[:steps]) for steps in (1, 5, 10, 20, 50, 100, len(apart))})
    assert max(apart[:10]) < 1e-3
    assert joint[-1] == pytest.approx(alone[-1], rel=0.2)


@pytest.mark.slow
def test_a_network_is_trained_by_any_number(space: Path, tmp_path: Path) -> None:
    def train(out: Path) -> list[object]:
        return ["train", "--space", space, "--arch", "1,2,1", *QUICK, *PARTS, *LONGER, "--out", out]

    one(*train(tmp_path / "whole"))
    out = tmp_path / "killed"
    with begun(several(2, HWPROFILE, *train(out)), out / "weights.npz") as process:
        kill_all(process)
    one(*train(out))
    for name in ("weights.losses.jsonl", "network.onnx"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
@pytest.mark.parametrize("gradient", ["two", "reinforce"])
def test_proxyless_searches_alike_with_any_number(space: Path, tmp_path: Path, gradient: str) -> None:
    def proxyless(out: Path) -> list[object]:
        settings = ["--set", f"gradient={gradient}", "--set", "warmup_epochs=2"]
        options = ["--budget", "0.2MMACs", *QUICK, *PARTS, *LONGER, "--out", out]
        return ["search", "proxyless", "--space", space, *settings, *options]

    one(*proxyless(tmp_path / "whole"))
    out = tmp_path / "killed"
    with begun(several(2, HWPROFILE, *proxyless(out)), out / "supernet.npz") as process:
        kill_all(process)
    one(*proxyless(out))
    assert_same(out, tmp_path / "whole")
    for folder in (out, tmp_path / "whole"):
        assert json.loads((folder / "result.json").read_text())["method"] == "proxyless"


@pytest.mark.slow
def test_two_computers_share_no_disk(space: Path, whole: Path, tmp_path: Path) -> None:
    """Two `torchrun`, each with a folder of its own; what the first has kept is gone on with."""
    folders = [tmp_path / "first", tmp_path / "second"]
    command = [sys.executable, "-m", "hwprofile", *map(str, search(space, folders[0]))]
    with begun(command, folders[0] / "supernet.npz") as process:
        kill_all(process)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        end = f"localhost:{free.getsockname()[1]}"
    started = []
    for number, folder in enumerate(folders):
        where = ["--nnodes", "2", "--node-rank", str(number), "--rdzv-endpoint", end]
        command = [*TORCHRUN, *where, "-m", "hwprofile", *map(str, search(space, folder))]
        started.append(start(command))
    for process in started:
        finish(process)
    assert_same(folders[0], whole)
    assert not list(folders[1].iterdir())
