"""Workers that die, hang, come late or stay away while a search is under way; its answers stay the same."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hwprofile.errors import DeviceUnreachable, UserError
from hwprofile.fleet.evaluations import FleetEvaluator
from hwprofile.fleet.members import EVALUATION
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.fleet.worker import Network, Work
from tests.hwprofile.fleet.dask_cluster import DaskCluster, free_port
from tests.hwprofile.fleet.worlds import HERE, Counting, Deadly, Slow

EVALUATING = {EVALUATION: 1}
NETWORKS = [Network((0, place, 2, 0, 1, other, 0, 1)) for place in range(3) for other in range(12)]
ANSWERS = [Slow().accuracy(network) for network in NETWORKS]

slow = pytest.mark.slow


class Fleet:
    """A cluster, and what was told of it."""

    def __init__(self, cluster: DaskCluster) -> None:
        self.cluster = cluster
        self.told: list[str] = []

    def workers(self, *names: str) -> None:
        for name in names:
            self.cluster.add_worker(name, EVALUATING)
        self.cluster.ready()

    def evaluator(self, work: Work, patience_s: float = 60.0) -> FleetEvaluator:
        scheduler = Scheduler(self.cluster.address, self.told.append)
        return FleetEvaluator(
            scheduler, work, "", self.told.append, patience_s=patience_s, kept=Path("journal")
        )

    def answers(self, work: Work, at: int, happens: Callable[[], object]) -> list[float]:
        """Accuracies of all networks; before that of number `at` is asked for, something happens."""
        found = []
        with self.evaluator(work) as evaluator:
            evaluator.expect(NETWORKS)
            for number, network in enumerate(NETWORKS):
                if number == at:
                    happens()
                found.append(evaluator.accuracy(network))
        return found


def with_settings(tmp_path: Path, **settings: str) -> DaskCluster:
    return DaskCluster(tmp_path, env={**HERE, **settings})


def test_a_worker_is_killed_and_another_joins(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann", "ben")

        def happens() -> None:
            cluster.kill("ann")
            cluster.add_worker("cid", EVALUATING)

        assert fleet.answers(Counting(tmp_path, bytes(1000), 0.1), 3, happens) == ANSWERS
        # the one that joined had its part in it
        assert (tmp_path / str(cluster.pid("cid"))).exists()
        assert any("2 evaluating: ben, cid" in text for text in fleet.told)


@slow
def test_a_worker_that_hangs_is_left_alone_after_its_time_to_live(tmp_path: Path) -> None:
    with with_settings(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="4s") as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann", "ben")
        assert fleet.answers(Slow(0.1), 3, lambda: cluster.stop("ben")) == ANSWERS


@slow
def test_a_nanny_starts_its_worker_anew(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        # another process at the same address
        cluster.add_worker("ann", EVALUATING, options=("--worker-port", str(free_port())))
        cluster.ready()
        (tmp_path / "notes").mkdir()

        def happens() -> None:
            (made,) = (tmp_path / "notes").glob("made-*")
            os.kill(int(made.name.removeprefix("made-")), signal.SIGKILL)

        assert fleet.answers(Counting(tmp_path / "notes", b"", 0.1), 3, happens) == ANSWERS
        assert len(list((tmp_path / "notes").glob("made-*"))) == 2


@slow
def test_the_scheduler_is_started_anew(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann", "ben")

        def happens() -> None:
            cluster.restart_scheduler()
            cluster.kill("ann")
            cluster.kill("ben")
            fleet.workers("ann", "ben")

        assert fleet.answers(Slow(0.1), 3, happens) == ANSWERS


@slow
def test_the_scheduler_is_away_for_longer_than_a_connection_is_held(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann")

        def back() -> None:
            time.sleep(15)
            cluster._start_scheduler()
            cluster.kill("ann")
            fleet.workers("ann")

        coming = threading.Thread(target=back)

        def happens() -> None:
            cluster.kill("scheduler")
            coming.start()

        assert fleet.answers(Slow(0.05), 3, happens) == ANSWERS
        coming.join()
        assert any("waiting up to 60 s" in text for text in fleet.told)


@slow
def test_all_workers_go_and_one_comes_back(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann")

        def back() -> None:
            time.sleep(3)
            fleet.workers("ann")

        coming = threading.Thread(target=back)

        def happens() -> None:
            cluster.kill("ann")
            coming.start()

        assert fleet.answers(Slow(0.05), 3, happens) == ANSWERS
        coming.join()
        waited = [text for text in fleet.told if "waiting up to 60 s" in text]
        assert len(waited) == 1


@slow
def test_workers_that_stay_away_are_given_up(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann")
        with fleet.evaluator(Slow(), patience_s=2.0) as evaluator:
            evaluator.accuracy(NETWORKS[0])
            cluster.kill("ann")
            with pytest.raises(DeviceUnreachable, match=r"no worker at .* evaluates networks") as caught:
                evaluator.accuracy(NETWORKS[1])
        assert caught.value.kept == Path("journal")


@slow
def test_a_network_that_ends_every_worker_is_named(tmp_path: Path) -> None:
    with with_settings(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0") as cluster:
        fleet = Fleet(cluster)
        # a nanny, so that there is always another process
        cluster.add_worker("ann", EVALUATING, options=())
        cluster.ready()
        with fleet.evaluator(Deadly()) as evaluator:
            assert evaluator.accuracy(NETWORKS[0]) == 50.0
            with pytest.raises(UserError, match="workers die while they evaluate 1,0,0,0,0,0,0,0"):
                evaluator.accuracy(Network((1, 0, 0, 0, 0, 0, 0, 0)))


@slow
def test_a_search_that_ends_early_leaves_nothing_to_do(tmp_path: Path) -> None:
    with with_settings(tmp_path) as cluster:
        fleet = Fleet(cluster)
        fleet.workers("ann")
        with fleet.evaluator(Slow(0.5)) as evaluator:
            evaluator.expect(NETWORKS)
            evaluator.accuracy(NETWORKS[0])
        with cluster.client() as client:
            until = time.monotonic() + 5
            while client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
                assert time.monotonic() < until
                time.sleep(0.1)
