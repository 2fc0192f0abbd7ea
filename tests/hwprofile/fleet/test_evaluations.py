"""Networks evaluated by workers of a fleet: the same answers, whatever becomes of the workers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hwprofile.errors import BadInput, DeviceUnreachable, UserError
from hwprofile.fleet.evaluations import FleetEvaluator
from hwprofile.fleet.members import EVALUATION
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.fleet.worker import Network, Work
from ponas_core.evaluation import Ledger
from ponas_core.searches.evolution import RegularizedEvolution, SposEvolution
from ponas_core.searches.interface import Search
from tests.hwprofile.fleet.dask_cluster import DaskCluster, free_port
from tests.hwprofile.fleet.worlds import HERE, Answering, Counting, Failing, Slow, Unmakeable
from tests.ponas_core.additive import MACRO
from tests.ponas_core.searches.worlds import listed

EVALUATING = {EVALUATION: 1}
NETWORKS = [Network((0, place, 2, 0, 1, 2, 0, 1)) for place in range(3)]
FATAL = Network((1, 0, 0, 0, 0, 0, 0, 0))

Evaluating = Callable[..., FleetEvaluator]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler and two workers, which no test may end."""
    with DaskCluster(tmp_path_factory.mktemp("cluster"), env=HERE) as cluster:
        cluster.add_worker("ann", EVALUATING)
        cluster.add_worker("ben", EVALUATING)
        cluster.ready()
        yield cluster


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def evaluating(cluster: DaskCluster, told: list[str]) -> Evaluating:
    def made(work: Work, on: DaskCluster = cluster, **options: object) -> FleetEvaluator:
        return FleetEvaluator(Scheduler(on.address, told.append), work, "slow", told.append, **options)  # type: ignore[arg-type]  # options of many types

    return made


def searched(search: Search, evaluator: object, most: int = 60) -> tuple[object, ...]:
    """What a search finds and looks at."""
    ledger = Ledger(evaluator, most=most)  # type: ignore[arg-type]  # of several kinds
    found = search.run(listed(MACRO), ledger, np.random.default_rng(0))
    return found.ops, *((network.ops, accuracy) for network, accuracy in ledger.history)


@pytest.mark.parametrize(
    "search", [SposEvolution(), RegularizedEvolution(ahead=3)], ids=["spos", "evolution"]
)
def test_a_search_is_the_same_with_workers_and_each_does_its_share(
    evaluating: Evaluating, search: Search, tmp_path: Path
) -> None:
    with evaluating(Counting(tmp_path, bytes(1000))) as fleet:
        assert searched(search, fleet) == searched(search, Slow())
    made = sorted(tmp_path.glob("made-*"))
    asked = {file.name: file.read_text().split() for file in tmp_path.glob("[0-9]*")}
    assert [file.read_text() for file in made] == ["made\n"] * 2
    assert sum(map(len, asked.values())) == 60
    assert len(asked) == 2


def test_who_is_there_and_computes_otherwise_is_told(
    evaluating: Evaluating, cluster: DaskCluster, told: list[str], tmp_path: Path
) -> None:
    with evaluating(Counting(tmp_path, b""), means="other arithmetic") as fleet:
        assert fleet.accuracy(NETWORKS[0]) == Slow().accuracy(NETWORKS[0])
    assert told[0] == f"{cluster.address}: 2 evaluating: ann, ben"
    (differs,) = [text for text in told if "computes with" in text]
    assert "this computer's arithmetic, this computer with other arithmetic" in differs


def test_an_evaluation_fails_with_its_own_error_which_tells_the_worker(evaluating: Evaluating) -> None:
    with evaluating(Failing()) as fleet:
        fleet.expect([FATAL, *NETWORKS])
        assert [fleet.accuracy(network) for network in NETWORKS] == [50.0] * 3
        with pytest.raises(KeyError, match="nothing is known of 1,0,0") as caught:
            fleet.accuracy(FATAL)
        (note,) = caught.value.__notes__
        assert note.startswith(("on worker ann, which evaluated 1,0", "on worker ben, which evaluated 1,0"))
        assert "worlds.py" in note
        assert note.count("File ") <= 2
        assert fleet.accuracy(NETWORKS[0]) == 50.0


@pytest.mark.parametrize("answer", [math.nan, -0.1, 100.5, math.inf])
def test_an_answer_that_is_no_accuracy_is_refused(evaluating: Evaluating, answer: float) -> None:
    with evaluating(Answering(answer)) as fleet, pytest.raises(UserError, match="no accuracy in per cent"):
        fleet.accuracy(NETWORKS[0])


def test_a_worker_that_lacks_something_is_named_before_anything_is_sent(evaluating: Evaluating) -> None:
    with pytest.raises(UserError, match=r"^worker (ann|ben): there is no data set of that name$"):
        evaluating(Unmakeable()).__enter__()


def test_where_nobody_evaluates_it_is_said_what_to_type(tmp_path: Path, evaluating: Evaluating) -> None:
    nobody = Scheduler(f"tcp://127.0.0.1:{free_port()}", print)
    with pytest.raises(DeviceUnreachable, match=r"no scheduler answers at tcp://127\.0\.0\.1"):
        FleetEvaluator(nobody, Slow(), "slow", print).__enter__()
    with pytest.raises(BadInput, match="--fleet takes the address"):
        Scheduler("tcp://host", print)
    with DaskCluster(tmp_path) as cluster:
        cluster.add_worker("board", {"hwprofile-jetson": 1})
        cluster.ready()
        wanted = rf'dask worker {cluster.address} --nthreads 1 --resources "hwprofile-evaluation=1"$'
        with pytest.raises(DeviceUnreachable, match=wanted):
            evaluating(Slow(), cluster).__enter__()
        cluster.add_worker("both", {"hwprofile-jetson": 1, **EVALUATING})
        cluster.ready()
        with pytest.raises(UserError, match="worker both offers hwprofile-evaluation and hwprofile-jetson"):
            evaluating(Slow(), cluster).__enter__()
