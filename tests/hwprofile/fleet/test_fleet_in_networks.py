"""A fleet whose boards are in networks of their own: cables are pulled, boards die and hang."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devices.schedule import Goal
from hwprofile.profile import Profile
from tests.hwprofile.benching import assert_complete, rows, trouble
from tests.hwprofile.fleet.dask_cluster import DaskCluster
from tests.hwprofile.fleet.networks import Networks, networks
from tests.hwprofile.fleet.test_fleet_bench import BOARD, other_kind

pytestmark = pytest.mark.slow

SOON = {
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
}
"""Boards that do not answer are given up after seconds, not minutes."""
ALIKE, OTHERS = ("one", "two"), ("three", "four")


@contextmanager
def fleet(folder: Path, boards: tuple[str, ...]) -> Iterator[tuple[DaskCluster, Networks]]:
    """A scheduler at a hub, and a board in each network; `three` and `four` are of another kind."""
    logs = folder / "cluster"
    logs.mkdir()
    env = {**SOON, "HWPROFILE_HOME": str(logs / "home")}
    with (
        networks(boards) as made,
        DaskCluster(logs, host=made.address, env=env, prefix=made.at_hub) as cluster,
    ):
        for board in boards:
            join(cluster, made, board, folder)
        yield cluster, made


def join(cluster: DaskCluster, made: Networks, board: str, folder: Path) -> None:
    """Start a board's worker, on a processor of its own as far as there are enough."""
    kind = other_kind(folder) if board in OTHERS else ()
    processor = str((*ALIKE, *OTHERS).index(board) % 2)
    cluster.add_worker(board, BOARD, prefix=(*made.on(board), "taskset", "-c", processor, *kind))


def bench(cluster: DaskCluster, made: Networks, out: Path, goal: Goal, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hwprofile", "bench", "--fleet", cluster.address, "--device", "pi"]
    command += ["--rounds", str(goal.rounds), "--precision", str(100 * goal.precision), "--out", str(out)]
    return subprocess.Popen(
        [*made.at_hub, *command, *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(bench: subprocess.Popen[str], out: Path, goal: Goal) -> tuple[Profile, str]:
    _, told = bench.communicate(timeout=600)
    assert bench.returncode == 0, told
    profile = Profile.load(out)
    assert_complete(profile, goal)
    return profile, told


def wait_for(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.1)


def has_round(out: Path) -> bool:
    return out.exists() and any(row.get("row") == "round" for row in rows(out))


def test_two_kinds_of_boards_and_one_killed_every_ten_seconds(tmp_path: Path) -> None:
    out, goal = tmp_path / "out.jsonl", Goal(precision=0.9, rounds=4, most_rounds=7)
    with fleet(tmp_path, (*ALIKE, *OTHERS)) as (cluster, made):
        time.sleep(5)
        victims = iter(ALIKE * 50)

        def kill() -> bool:
            board = next(victims)
            cluster.kill(board)
            join(cluster, made, board, tmp_path)
            return True

        running = bench(
            cluster, made, out, goal, "--space", "proxyless", *(w for b in ALIKE for w in ("--board", b))
        )
        with trouble(kill, 50, out, 15.0) as happened:  # between 5 and 15 seconds apart
            profile, _ = ended(running, out, goal)
    assert len(happened) >= 3
    assert profile.boards == ALIKE
    assert profile.header.identity["cpu_model"] != "Another Processor"


def test_a_board_whose_cable_is_pulled_in_a_round_comes_back(tmp_path: Path, tiny_toml: Path) -> None:
    out, goal = tmp_path / "out.jsonl", Goal(precision=0.9, rounds=10, most_rounds=13)
    with fleet(tmp_path, ALIKE) as (cluster, made):
        time.sleep(5)
        running = bench(cluster, made, out, goal, "--space", str(tiny_toml))
        wait_for(lambda: has_round(out))
        made.cut("one")
        wait_for(lambda: not cluster.is_running("one"))  # a worker that lost its scheduler ends
        made.mend("one")
        cluster.kill("one")
        join(cluster, made, "one", tmp_path)  # as systemd does
        profile, _ = ended(running, out, goal)
    assert "two" in profile.boards


def test_a_board_that_hangs_loses_its_round_to_another_and_is_told_apart_later(
    tmp_path: Path, tiny_toml: Path
) -> None:
    out, goal = tmp_path / "out.jsonl", Goal(precision=0.9, rounds=10, most_rounds=13)
    with fleet(tmp_path, ALIKE) as (cluster, made):
        time.sleep(5)
        running = bench(cluster, made, out, goal, "--space", str(tiny_toml))
        wait_for(lambda: has_round(out))
        cluster.stop("one")
        profile, _ = ended(running, out, goal)
        cluster.resume("one")
    ends = [row["board"] for row in rows(out) if row.get("row") == "round"]
    assert ends.count("two") >= len(ends) // 2
    assert set(profile.boards) <= set(ALIKE)
