"""`hwprofile search --fleet`: the files that a search leaves are those that it leaves without a fleet."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from hwprofile.cli import main
from hwprofile.errors import UserError
from hwprofile.fleet.members import EVALUATION
from hwprofile.fleet.worker import Network
from hwprofile.learning.evaluators import SupernetRecipe
from hwprofile.learning.supernet_search import evaluator_of
from hwprofile.learning.training import TrainingData, accelerator
from ponas_core.network_weights import WeightsFile
from ponas_core.searches.methods import METHODS
from ponas_core.space_file import shipped_space
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Supernet
from ponas_core.weights import RandomWeights
from tests.hwprofile.fleet.dask_cluster import DaskCluster, free_port

EVALUATING = {EVALUATION: 1}
LEFT = ("evaluations.jsonl", "result.json", "scores.json")
TABULAR = ("--space", "nasbench-macro", "--evaluator", "tabular", "--quiet", "--json")
DIGITS = ("--space", "digits", "--data", "digits", "--epochs", "2", "--quiet", "--json")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def left(folder: Path) -> dict[str, bytes]:
    """What a search has left, byte for byte."""
    return {name: (folder / name).read_bytes() for name in LEFT if (folder / name).exists()}


def searched(folder: Path, *arguments: str) -> tuple[str, dict[str, bytes]]:
    """What `hwprofile search` says and leaves in `out` in this folder."""
    folder.mkdir(exist_ok=True)
    with contextlib.chdir(folder):
        result = run("search", *arguments, "--out", "out")
    assert result.exit_code == 0, result.output
    return result.stdout, left(folder / "out")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers."""
    with DaskCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add_worker("ann", EVALUATING)
        cluster.add_worker("ben", EVALUATING)
        cluster.ready()
        yield cluster


def test_a_tabular_search_leaves_the_same_files(cluster: DaskCluster, tmp_path: Path) -> None:
    arguments = ("table-guided", *TABULAR, "--evaluations", "40", "--budget", "60MMACs")
    alone = searched(tmp_path / "alone", *arguments)
    assert len(alone[1]) == 3
    assert searched(tmp_path / "fleet", *arguments, "--fleet", cluster.address) == alone
    # what was written before is not asked for again
    assert searched(tmp_path / "fleet", *arguments, "--fleet", cluster.address) == alone


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ddpnas", *DIGITS), "ddpnas trains weights and chooses networks in turns"),
        (("padnas", *DIGITS), "padnas trains weights"),
        (("proxyless", *DIGITS), "proxyless trains weights"),
        (("ponas", *DIGITS, "--table", "progressive", "--fine-tune-steps", "2"), "--fine-tune-steps"),
    ],
)
def test_what_a_fleet_cannot_do_is_refused(arguments: Sequence[str], words: str, tmp_path: Path) -> None:
    result = run("search", *arguments, "--out", str(tmp_path / "out"), "--fleet", "tcp://127.0.0.1:1")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [("spos", *TABULAR), ("spos", *DIGITS)], ids=["tabular", "images"])
def test_a_fleet_that_is_not_there_ends_a_search_before_it_begins(
    arguments: Sequence[str], tmp_path: Path
) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    result = run("search", *arguments, "--out", str(tmp_path / "out"), "--fleet", address)
    assert result.exit_code == 6
    assert f"no scheduler answers at {address}" in result.stderr
    assert not (tmp_path / "out" / "supernet.npz").exists()


@pytest.fixture(scope="module")
def untrained() -> tuple[TrainingData, WeightsFile]:
    """Data, and a supernet that has learned nothing."""
    space = shipped_space("digits")
    data = TrainingData.named(space, "digits", accelerator("cpu", 1), lambda text: None)
    about = {**data.about(space), "recipe": {"shared_epochs": 0, "seed": 0}}
    return data, WeightsFile(space.name, arrays(Supernet(space, RandomWeights(1))), about)


def test_a_supernet_counts_the_same_where_its_recipe_has_travelled(
    untrained: tuple[TrainingData, WeightsFile],
) -> None:
    data, weights = untrained
    space = shipped_space("digits")
    networks = [Network(ops) for ops in ((0,) * 6, (1,) * 6, (2, 1) * 3)]
    here = evaluator_of(Supernet(space), weights, data)
    recipe = pickle.loads(pickle.dumps(SupernetRecipe.of(space, weights, data)))
    there = recipe.evaluator()
    threads: list[int] = []

    def counted() -> list[float]:
        torch.set_num_threads(2)  # of the thread that a worker's tasks run in
        accuracies = [there.accuracy(network) for network in networks]
        threads.append(torch.get_num_threads())
        return accuracies

    with ThreadPoolExecutor(1) as worker:
        assert worker.submit(counted).result() == [here.accuracy(network) for network in networks]
    assert threads == [1]
    assert there.means == recipe.means
    assert recipe.means.startswith("torch ")


def test_data_that_are_others_or_have_no_name_are_refused(
    untrained: tuple[TrainingData, WeightsFile],
) -> None:
    data, weights = untrained
    others = replace(weights, about={**weights.about, "data": {"name": "digits", "digest": "0"}})
    with pytest.raises(UserError, match="--data digits is other data there than where the search runs"):
        SupernetRecipe.of(data_space := shipped_space("digits"), others, data).evaluator()
    with pytest.raises(UserError, match="name it"):
        SupernetRecipe.of(data_space, weights, replace(data, typed=""))


@contextlib.contextmanager
def four_workers(folder: Path) -> Iterator[DaskCluster]:
    folder.mkdir()
    with DaskCluster(folder) as cluster:
        for name in ("ann", "ben", "cid", "dot"):
            cluster.add_worker(name, EVALUATING)
        cluster.ready()
        yield cluster


def once_written(journal: Path, lines: int, happens: Callable[[], object]) -> threading.Thread:
    """Let something happen once a journal has so many lines."""

    def watch() -> None:
        while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
            time.sleep(0.005)
        happens()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    return watching


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS))
def test_two_hundred_networks_are_looked_up_by_four_workers(method: str, tmp_path: Path) -> None:
    arguments = (method, *TABULAR, "--evaluations", "200")
    alone = searched(tmp_path / "alone", *arguments)
    with four_workers(tmp_path / "logs") as cluster:
        assert searched(tmp_path / "fleet", *arguments, "--fleet", cluster.address) == alone
    assert json.loads(alone[0])["evaluations"] > 100 or method in ("proxyless", "reinforce")


@pytest.mark.slow
def test_two_hundred_networks_are_looked_up_though_a_worker_dies_and_by_two(tmp_path: Path) -> None:
    arguments = ("spos", *TABULAR, "--evaluations", "200")
    alone = searched(tmp_path / "alone", *arguments)
    with four_workers(tmp_path / "logs") as cluster:
        journal = tmp_path / "killed" / "out" / "evaluations.jsonl"
        watching = once_written(journal, 30, lambda: cluster.kill("ben"))
        assert searched(tmp_path / "killed", *arguments, "--fleet", cluster.address) == alone
        watching.join()
        cluster.kill("dot")
        assert searched(tmp_path / "two", *arguments, "--fleet", cluster.address) == alone


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spos", "ponas"])
def test_a_supernet_is_asked_for_a_hundred_networks_by_workers(method: str, tmp_path: Path) -> None:
    arguments = (method, *DIGITS, "--shared-epochs", "1", "--evaluations", "100")
    alone = searched(tmp_path / "alone", *arguments)

    def on(cluster: DaskCluster, name: str) -> tuple[str, dict[str, bytes]]:
        (tmp_path / name / "out").mkdir(parents=True)
        shutil.copy(tmp_path / "alone" / "out" / "supernet.npz", tmp_path / name / "out")  # trained already
        return searched(tmp_path / name, *arguments, "--fleet", cluster.address)

    with four_workers(tmp_path / "logs") as cluster:
        assert on(cluster, "four") == alone
        journal = tmp_path / "killed" / "out" / "evaluations.jsonl"
        watching = once_written(journal, 20, lambda: cluster.kill("ben"))
        assert on(cluster, "killed") == alone
        watching.join()
        cluster.kill("dot")
        assert on(cluster, "two") == alone


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_search_that_is_interrupted_goes_on_and_pays_for_nothing_twice(
    how: signal.Signals, tmp_path: Path
) -> None:
    # networks with statistics of their own, which take some time
    arguments = ("table-guided", *DIGITS, "--shared-epochs", "0", "--evaluations", "40")
    alone = searched(tmp_path / "alone", *arguments)
    folder = tmp_path / "fleet"
    (folder / "out").mkdir(parents=True)
    shutil.copy(tmp_path / "alone" / "out" / "supernet.npz", folder / "out")
    with four_workers(tmp_path / "logs") as cluster:
        command = [sys.executable, "-m", "hwprofile", "search", *arguments, "--fleet", cluster.address]
        process = subprocess.Popen(
            [*command, "--out", "out"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        once_written(folder / "out" / "evaluations.jsonl", 10, lambda: process.send_signal(how)).join()
        _, said = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert "go on with: python -m hwprofile search table-guided" in said
        kept = (folder / "out" / "evaluations.jsonl").read_text().splitlines()
        assert 10 <= len(kept) < 64
        assert searched(folder, *arguments, "--fleet", cluster.address) == alone
