"""Who is in a fleet: names that tell nothing of the network; boards that are free, busy, silent or lost."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import Client
from hypothesis import given
from hypothesis import strategies as st

from devices.registry import check_alias, is_alias
from hwprofile.cli import main
from hwprofile.fleet.members import SILENT_S, Member, alias, lost_members, members
from tests.hwprofile.fleet.dask_cluster import DaskCluster

ADDRESS = "tcp://10.0.0.7:35663"


@given(st.one_of(st.text(max_size=80), st.integers(), st.none(), st.just(ADDRESS)))
def test_a_board_has_a_name_that_profiles_take_and_that_tells_no_address(name: object) -> None:
    found = alias(name, ADDRESS)
    check_alias(found)
    assert is_alias(found)
    assert "10.0.0.7" not in found or name == found


def test_a_name_that_its_user_gave_is_kept() -> None:
    assert alias("kitchen-2", ADDRESS) == "kitchen-2"
    assert (
        alias(ADDRESS, ADDRESS)
        == alias(None, ADDRESS)
        == "board-" + alias("", ADDRESS).removeprefix("board-")
    )


class Told:
    """A scheduler's answers, as they are written down here."""

    def __init__(self, workers: dict[str, Any], busy: dict[str, list[str]], events: list[Any]) -> None:
        self.workers, self.busy, self.events, self.logged = workers, busy, events, list[Any]()

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": self.workers}

    def processing(self) -> dict[str, list[str]]:
        return self.busy

    def get_events(self, topic: str) -> list[Any]:
        return self.events if topic == "all" else [(0.0, note) for note in self.logged]

    def log_event(self, topic: str, note: object) -> None:
        self.logged.append(note)


def worker(name: str, resources: dict[str, float], quiet_s: float = 0.0) -> dict[str, Any]:
    return {"name": name, "resources": resources, "last_seen": time.time() - quiet_s}


def test_workers_are_told_by_what_they_offer() -> None:
    told: Any = Told(
        {
            "tcp://a": worker("b1", {"hwprofile-pi": 1}),
            "tcp://b": worker("a1", {"hwprofile-jetson": 1, "hwprofile-evaluation": 2, "GPU": 1}),
            "tcp://c": worker("gone-quiet", {"hwprofile-pi": 1}, SILENT_S + 5),
            "tcp://d": worker("of-others", {"GPU": 1}),
            "tcp://e": worker("of-others-too", {}),
        },
        {"tcp://a": ["hwprofile-round-1", "hwprofile-round-2"]},
        [],
    )
    found = members(told)
    assert [(one.name, one.offers, one.state, len(one.tasks)) for one in found] == [
        ("a1", ("evaluation", "jetson"), "free", 0),
        ("b1", ("pi",), "busy", 2),
        ("gone-quiet", ("pi",), "silent", 0),
    ]


def test_who_was_seen_and_vanished_is_lost_until_back() -> None:
    workers = {f"tcp://{n}": worker(n, {"hwprofile-pi": 1}) for n in ("one", "two", "three")}
    told: Any = Told(workers, {}, [])
    assert lost_members(told, members(told)) == []
    del workers["tcp://one"], workers["tcp://two"], workers["tcp://three"]
    now = time.time()
    told.events += [
        (now - 9, {"action": "remove-worker", "worker": "tcp://one", "expected": False}),
        (now - 9, {"action": "remove-worker", "worker": "tcp://two", "expected": True}),
        (now - 9, {"action": "remove-worker", "worker": "tcp://three", "expected": False}),
        (now - 9, {"action": "remove-worker", "worker": "tcp://never-seen", "expected": False}),
    ]
    workers["tcp://other"] = worker("three", {"hwprofile-pi": 1})
    (lost,) = lost_members(told, members(told))
    assert lost == Member("one", "tcp://one", ("pi",), "lost", (), lost.quiet_s)
    assert lost.quiet_s == pytest.approx(9, abs=1)


def busy(seconds: float) -> None:
    time.sleep(seconds)


def test_devices_shows_a_real_fleet(tmp_path: Path) -> None:
    def shown(*more: str) -> str:
        done = CliRunner().invoke(main, ["devices", "--fleet", cluster.address, *more])
        assert done.exit_code == 0, done.output
        return done.stdout

    with DaskCluster(tmp_path) as cluster:
        cluster.add_worker("kitchen", {"hwprofile-pi": 1})
        cluster.add_worker("garage", {"hwprofile-pi": 1})
        cluster.ready()
        with Client(cluster.address, set_as_default=False) as client:
            future = client.submit(busy, 30, workers=["garage"], pure=False)
            while "busy" not in (table := shown()):
                time.sleep(0.1)
            assert [line.split()[:4] for line in table.splitlines()[2:]] == [
                ["garage", "pi", "busy", "1"],
                ["kitchen", "pi", "free", "-"],
            ]
            cluster.kill("kitchen")
            while "lost" not in (text := shown("--json")):
                time.sleep(0.1)
            found = {one["name"]: one["state"] for one in json.loads(text)["members"]}
            assert found == {"garage": "busy", "kitchen": "lost"}
            future.cancel(force=True)


def test_a_fleet_without_members_says_what_to_type(tmp_path: Path) -> None:
    with DaskCluster(tmp_path) as cluster:
        cluster.ready()
        done = CliRunner().invoke(main, ["devices", "list", "--fleet", cluster.address])
    assert f"dask worker {cluster.address} --name NAME" in done.stdout
