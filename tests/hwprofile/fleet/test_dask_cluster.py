"""The helper that other tests of the fleet stand on: what it starts is there, and what it ends is gone."""

from pathlib import Path

import pytest

from tests.hwprofile.fleet.dask_cluster import DaskCluster


def test_workers_are_started_killed_and_ended(tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as cluster:
        cluster.add_worker("one", {"hwprofile-evaluation": 1})
        cluster.add_worker("two", nthreads=2, prefix=("nice", "-n", "1"))
        cluster.ready()
        with cluster.client() as client:
            known = cluster.workers(client)
            assert known["one"]["resources"] == {"hwprofile-evaluation": 1}
            assert known["two"]["nthreads"] == 2
            cluster.kill("two")
            assert not cluster.is_running("two")
        cluster.add_worker("two")
        cluster.ready()
        pids = [cluster.pid(name) for name in ("scheduler", "one", "two")]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
def test_another_scheduler_at_the_same_address(tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as cluster:
        cluster.add_worker("one")
        cluster.ready()
        address = cluster.address
        cluster.restart_scheduler()
        cluster.add_worker("two")
        cluster.kill("one")
        cluster.ready()
        assert cluster.address == address
        with cluster.client() as client:
            assert list(cluster.workers(client)) == ["two"]
