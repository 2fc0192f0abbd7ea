"""Benches on real Dask workers: spread over boards that die, hang, lie, or are of another kind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from devices.patience import Patience
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import BenchOptions, bench
from hwprofile.catalog import default_table
from hwprofile.errors import DeviceUnreachable
from hwprofile.fleet.board import Wanted
from hwprofile.fleet.boards import Boards
from hwprofile.fleet.device import FleetDevice
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.profile import Profile
from hwprofile.subjects import SpaceSubject
from ponas_core.space_file import load_space
from tests.hwprofile.benching import Listening, assert_complete, rows, trouble
from tests.hwprofile.fleet.dask_cluster import DaskCluster, free_port

QUICK = Goal(precision=0.9, rounds=3, most_rounds=4)
BOARD = {"hwprofile-pi": 1.0}
IMPATIENT = Patience(lost_s=(6.0,))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    folder = tmp_path / "cluster"
    folder.mkdir()
    with DaskCluster(folder, env={"HWPROFILE_HOME": str(folder / "home")}) as running:
        yield running


@pytest.fixture
def subject(tiny_toml: Path) -> SpaceSubject:
    space = load_space(tiny_toml)
    return SpaceSubject(space, default_table(space), str(tiny_toml), 1, 3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "pi.profile.jsonl"


@contextmanager
def boards_of(cluster: DaskCluster, listening: Listening, only: Sequence[str] = ()) -> Iterator[FleetDevice]:
    with Scheduler(cluster.address, listening.notice) as scheduler:
        yield FleetDevice(Boards(scheduler, Wanted("pi", Settings()), listening.notice, only=only))


def benched(
    cluster: DaskCluster,
    subject: SpaceSubject,
    out: Path,
    listening: Listening,
    goal: Goal = QUICK,
    only: Sequence[str] = (),
    patience: Patience = IMPATIENT,
) -> Profile:
    with boards_of(cluster, listening, only) as device:
        profile = bench(device, subject, out, goal, listening, BenchOptions(patience=patience)).profile
    assert_complete(profile, goal)
    return Profile.load(out)


def typed(cluster: DaskCluster, rounds: int, *more: object) -> list[str]:
    """A bench as a user types it."""
    command = [sys.executable, "-m", "hwprofile", "bench", "--fleet", cluster.address, "--device", "pi"]
    return [*command, "--rounds", str(rounds), "--precision", "90", *map(str, more)]


def other_kind(folder: Path) -> tuple[str, ...]:
    """What a command begins with to run on a computer with another processor, as far as it can tell."""
    if os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a file system of one's own needs root")
    told = folder / "cpuinfo"
    told.write_text("processor\t: 0\nvendor_id\t: Other\nmodel name\t: Another Processor\nflags\t\t: fpu\n\n")
    return ("unshare", "-m", "sh", "-c", f'mount --bind {told} /proc/cpuinfo && exec "$@"', "sh")


def test_rounds_are_spread_over_boards_and_the_profile_knows_them_by_name(
    cluster: DaskCluster, subject: SpaceSubject, out: Path
) -> None:
    listening = Listening()
    for name in ("kitchen", "garage"):
        cluster.add_worker(name, BOARD)
    cluster.ready()
    profile = benched(cluster, subject, out, listening)
    assert set(profile.boards) == {"kitchen", "garage"}
    assert set(profile.board_spread.levels) == {"kitchen", "garage"}
    assert profile.header.device == "pi"
    assert profile.chosen is not None
    text = out.read_text()
    assert "127.0.0.1" not in text
    assert "tcp:" not in text
    # no two rounds of one board overlap, and no process has the number of another
    processes: dict[int, set[int]] = {}
    for row in rows(out):
        if row.get("row") in ("block", "network", "reference"):
            processes.setdefault(row["process"], set()).add(row["round"])
    assert all(len(found) == 1 for found in processes.values())
    assert benched(cluster, subject, out, listening).path == out  # finished: given back as it is
    assert listening.notices == []


@pytest.mark.slow
def test_a_board_of_another_kind_is_named_and_never_mixed_in(
    cluster: DaskCluster, subject: SpaceSubject, out: Path, tmp_path: Path
) -> None:
    listening = Listening()
    cluster.add_worker("other", BOARD, prefix=other_kind(tmp_path))
    for name in ("kitchen", "garage"):
        cluster.add_worker(name, BOARD)
    cluster.ready()
    profile = benched(cluster, subject, out, listening)
    assert set(profile.boards) <= {"kitchen", "garage"}
    assert profile.header.identity["cpu_model"] != "Another Processor"
    assert any(
        note.startswith("board other is of another kind than most and is not used (cpu_model: ")
        for note in listening.notices
    )
    # asked for by name, it is measured, into a profile of its own
    alone = benched(cluster, subject, tmp_path / "other.jsonl", Listening(), only=["other"])
    assert alone.header.identity["cpu_model"] == "Another Processor"
    assert alone.boards == ("other",)


@pytest.mark.slow
def test_as_many_of_one_kind_as_of_another_is_a_question(
    cluster: DaskCluster, subject: SpaceSubject, out: Path, tmp_path: Path
) -> None:
    cluster.add_worker("other", BOARD, prefix=other_kind(tmp_path))
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()
    with pytest.raises(DeviceUnreachable, match=r"two kinds are there \(cpu_model: .*--board NAME"):
        benched(cluster, subject, out, Listening())
    assert not out.exists()


def test_nobody_offers_the_device(cluster: DaskCluster, subject: SpaceSubject, out: Path) -> None:
    cluster.add_worker("kitchen", {"hwprofile-jetson": 1.0})
    cluster.ready()
    with pytest.raises(
        DeviceUnreachable, match=r'offers pi; on each board type: dask worker .* --resources "hwprofile-pi=1"'
    ):
        benched(cluster, subject, out, Listening())


LIAR = """
import hwprofile.fleet.board as board

measured = getattr(board, "honest", board.measured)  # a preload is run twice
board.honest = measured
def lying(wanted, carried, order):
    return measured(wanted, carried, order).replace({what!r}, {instead!r})
board.measured = lying
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "instead", "message"),
    [
        ('"cpu_count": ', '"cpu_count": 10', r"it is another device \(cpu_count: "),
        ('"sort": "visit"', '"sort": "reference"', "another thermometer"),
        ('"readings": [', '"readings": [7, ', "no list of objects"),
        ('"wall_ns": [', '"wall_ns": [-', "refused"),
    ],
)
def test_a_board_that_lies_is_left_out_and_named(
    cluster: DaskCluster,
    subject: SpaceSubject,
    out: Path,
    tmp_path: Path,
    what: str,
    instead: str,
    message: str,
) -> None:
    listening = Listening()
    preload = tmp_path / "liar.py"
    preload.write_text(LIAR.format(what=what, instead=instead))
    cluster.add_worker("liar", BOARD, options=("--no-nanny", "--preload", str(preload)))
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()
    profile = benched(cluster, subject, out, listening)
    assert profile.boards == ("kitchen",)
    assert len(listening.notices) == 1
    assert listening.notices[0].startswith("board liar is left out: its answer is refused: ")
    assert re.search(message, listening.notices[0])


def test_a_board_whose_hwprofile_is_another_one_is_left_out(
    cluster: DaskCluster, subject: SpaceSubject, out: Path, tmp_path: Path
) -> None:
    preload = tmp_path / "older.py"
    preload.write_text("import hwprofile.fleet.board as board\nboard.VERSION = '0.0.1'\n")
    cluster.add_worker("old", BOARD, options=("--no-nanny", "--preload", str(preload)))
    cluster.ready()
    with pytest.raises(DeviceUnreachable, match=r"old: hwprofile there is 0\.0\.1, here .* install the same"):
        benched(cluster, subject, out, Listening())


@pytest.mark.slow
def test_a_board_that_dies_in_a_round_loses_that_round_alone(
    cluster: DaskCluster, subject: SpaceSubject, out: Path
) -> None:
    for name in ("kitchen", "garage"):
        cluster.add_worker(name, BOARD)
    cluster.ready()
    goal = Goal(precision=0.9, rounds=6, most_rounds=7)

    def kill() -> bool:
        cluster.kill("kitchen")
        cluster.add_worker("kitchen", BOARD)
        return True

    with trouble(kill, 2, out, 1.5) as happened:
        profile = benched(cluster, subject, out, Listening(), goal)
    assert len(happened) == 2
    assert "garage" in profile.boards


DEADLY = """
import os
from pathlib import Path

import hwprofile.fleet.board as board

measured = getattr(board, "harmless", board.measured)  # a preload is run twice
board.harmless = measured
def deadly(wanted, carried, order):
    first = Path({first!r})
    if first.exists():
        os._exit(1)
    first.touch()
    return measured(wanted, carried, order)
board.measured = deadly
"""
"""One round goes well."""


@pytest.mark.slow
def test_rounds_that_take_every_board_down_are_given_up_and_gone_on_with(
    cluster: DaskCluster, subject: SpaceSubject, out: Path, tmp_path: Path
) -> None:
    preload, listening = tmp_path / "deadly.py", Listening()
    preload.write_text(DEADLY.format(first=str(tmp_path / "first")))
    cluster.add_worker("kitchen", BOARD, options=("--preload", str(preload)))
    cluster.ready()
    with pytest.raises(
        DeviceUnreachable, match=r"1\d boards in a row went down .* what was measured is kept"
    ):
        benched(cluster, subject, out, listening, patience=Patience(lost_s=(60.0,)))
    kept = rows(out)
    assert len(Profile.load(out).ends) == 1
    assert any("a round was lost with its board" in notice for notice in listening.notices)
    cluster.kill("kitchen")
    cluster.add_worker("garage", BOARD)
    cluster.ready()
    assert benched(cluster, subject, out, Listening()).boards == ("garage", "kitchen")
    assert rows(out)[: len(kept)] == kept


@pytest.mark.slow
def test_all_boards_are_lost_and_one_comes_back(
    cluster: DaskCluster, subject: SpaceSubject, out: Path
) -> None:
    listening = Listening()
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()

    def kill() -> bool:
        cluster.kill("kitchen")
        time.sleep(1.0)
        cluster.add_worker("kitchen", BOARD)
        return True

    with trouble(kill, 1, out, 1.0):
        profile = benched(cluster, subject, out, listening)
    assert profile.boards == ("kitchen",)
    assert any("waiting up to 6 s for one" in note for note in listening.notices)


@pytest.mark.slow
def test_a_fleet_without_boards_is_given_up_and_gone_on_with(
    cluster: DaskCluster, subject: SpaceSubject, out: Path
) -> None:
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()

    def kill() -> bool:
        cluster.kill("kitchen")
        return True

    with trouble(kill, 1, out, 1.0), pytest.raises(DeviceUnreachable, match="what was measured is kept"):
        benched(cluster, subject, out, Listening())
    before = rows(out)
    cluster.add_worker("garage", BOARD)
    cluster.ready()
    profile = benched(cluster, subject, out, Listening())
    assert rows(out)[: len(before)] == before
    assert "garage" in profile.boards


@pytest.mark.slow
def test_the_scheduler_is_started_anew(cluster: DaskCluster, subject: SpaceSubject, out: Path) -> None:
    listening = Listening()
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()

    def restart() -> bool:
        cluster.restart_scheduler()
        cluster.kill("kitchen")
        cluster.add_worker("kitchen", BOARD)
        return True

    with trouble(restart, 1, out, 1.0) as happened:
        profile = benched(cluster, subject, out, listening)
    assert len(happened) == 1
    assert profile.boards == ("kitchen",)


@pytest.mark.slow
def test_two_users_share_a_board_and_never_measure_at_the_same_time(
    cluster: DaskCluster, subject: SpaceSubject, tmp_path: Path
) -> None:
    cluster.add_worker("kitchen", BOARD, nthreads=4)
    cluster.ready()
    command = typed(cluster, 3, "--space", tmp_path / "tiny.toml", "--calibrate", 2, "--json")
    outs = [tmp_path / f"{user}.jsonl" for user in ("one", "two")]
    users = [subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.PIPE) for out in outs]
    told = [json.loads(user.communicate(timeout=120)[0]) for user in users]
    assert [user.returncode for user in users] == [0, 0]
    spans = []
    for facts in told:
        profile = Profile.load(Path(facts["profile"]))
        assert profile.finished
        for end in profile.ends.values():
            clocks = [state["clock_s"] for state in end.conditions]
            spans.append((min(clocks), max(clocks)))
    spans.sort()
    assert len(spans) >= 6
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@pytest.mark.slow
def test_files_of_the_users_own_are_brought_to_the_boards(
    cluster: DaskCluster, subject: SpaceSubject, tmp_path: Path
) -> None:
    for name in ("kitchen", "garage"):
        cluster.add_worker(name, BOARD)
    cluster.ready()
    folder, out = tmp_path / "models", tmp_path / "out.jsonl"
    folder.mkdir()
    for number, name in enumerate(subject.first()):
        (folder / f"{number}.onnx").write_bytes(subject.graph(name, subject.first()[name]).onnx())
    command = typed(cluster, 3, "--out", out, "--onnx", folder)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    profile = Profile.load(out)
    assert set(profile.of_kind("model")) == {file.name for file in folder.iterdir()}
    assert profile.errors == {}
    assert profile.finished


@pytest.mark.slow
def test_the_boards_own_device_of_that_name_is_the_one_that_is_meant(
    cluster: DaskCluster, subject: SpaceSubject, out: Path, tmp_path: Path
) -> None:
    home = tmp_path / "own"
    home.mkdir()
    port = free_port()  # where nobody listens
    (home / "devices.toml").write_text(
        f'schema_version = 1\n[devices.pi]\nlink = "ssh"\nhost = "127.0.0.1"\nport = {port}\n'
    )
    cluster.add_worker("kitchen", BOARD, env={"HWPROFILE_HOME": str(home)})
    cluster.ready()
    with pytest.raises(DeviceUnreachable, match=r"no board .* can be used as pi: kitchen: .*refused"):
        benched(cluster, subject, out, Listening())


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_measured_and_the_same_command_goes_on(
    cluster: DaskCluster, tiny_toml: Path, out: Path
) -> None:
    cluster.add_worker("kitchen", BOARD)
    cluster.ready()
    command = typed(cluster, 4, "--space", tiny_toml, "--out", out)
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not out.exists() or '"row":"round"' not in out.read_text():
        assert first.poll() is None
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    told = first.communicate(timeout=60)[1]
    assert first.returncode == 130
    assert f"go on with: python -m hwprofile bench --fleet {cluster.address} --device pi" in told
    before = rows(out)
    again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert again.returncode == 0, again.stderr
    assert rows(out)[: len(before)] == before
    assert_complete(Profile.load(out), Goal(precision=0.9, rounds=4, most_rounds=7))
