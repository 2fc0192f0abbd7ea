"""A bench over a real SSH server: connections that break, disks that fill up, devices that are exchanged."""

from __future__ import annotations

import contextlib
import getpass
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.agent_device import AgentDevice
from devices.device import Device
from devices.links import ssh, ssh_masters
from devices.patience import Patience
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import BenchOptions, bench
from hwprofile.catalog import default_table
from hwprofile.errors import DeviceUnreachable
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError
from hwprofile.subjects import SpaceSubject
from ponas_core.space_file import load_space
from tests.devices.ssh_server import SshServer, descendants, ssh_server, ssh_server_on_a_cable
from tests.hwprofile.benching import Listening, assert_complete, rows, trouble

QUICK = Goal(precision=0.5, rounds=2, most_rounds=3)
FIVE = Goal(precision=0.5, rounds=5, most_rounds=6)
LONG = Goal(precision=0.001, rounds=8, most_rounds=10)
AT_ONCE = Patience((0.2,) * 20, (0.2,) * 5)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running
        ssh_masters.end_all()


@pytest.fixture
def subject(tiny_toml: Path) -> SpaceSubject:
    space = load_space(tiny_toml)
    return SpaceSubject(space, default_table(space), str(tiny_toml), 1, 3)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "board.profile.jsonl"


def board(server: SshServer) -> Device:
    return AgentDevice("board", server.link(), Settings())


def kill_a_connection(server: SshServer) -> bool:
    """Kill the server's process of a session, the client, or the client's shared connection."""
    names = {pid: (Path("/proc") / str(pid) / "comm") for pid in descendants(os.getpid())}
    clients = [pid for pid, name in names.items() if name.exists() and name.read_text().strip() == "ssh"]
    folder = str(ssh_masters._folder(os.getpid()))
    masters = subprocess.run(["pgrep", "-f", f"^ssh: {folder}"], check=False, capture_output=True, text=True)
    victims = [pids for pids in (server.sessions(), clients, list(map(int, masters.stdout.split()))) if pids]
    if not victims:
        return False
    for pid in random.choice(victims):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return True


def bench_under_kills(
    server: SshServer, subject: SpaceSubject, out: Path, goal: Goal, kills: int
) -> tuple[Profile, Listening]:
    progress = Listening()
    with trouble(lambda: kill_a_connection(server), kills, out, 0.9) as happened:
        profile = bench(board(server), subject, out, goal, progress, BenchOptions(patience=AT_ONCE)).profile
    assert len(happened) == kills, "the bench was over before all kills"
    return Profile.load(profile.path), progress


def test_a_bench_over_ssh_survives_kills_and_names_nobody(
    server: SshServer, subject: SpaceSubject, out: Path
) -> None:
    profile, progress = bench_under_kills(server, subject, out, FIVE, 2)
    assert_complete(profile, FIVE)
    assert any("the next attempt is in" in notice for notice in progress.notices)
    text = out.read_text()
    for name in ("board.test", server.address, str(server.folder), socket.gethostname()):
        assert name not in text
    assert f'"{getpass.getuser()}' not in text


@pytest.mark.slow
def test_a_bench_over_ssh_survives_ten_kills(server: SshServer, subject: SpaceSubject, out: Path) -> None:
    profile, _ = bench_under_kills(server, subject, out, LONG, 10)
    assert_complete(profile, LONG)


@pytest.mark.slow
def test_a_bench_survives_cuts_of_its_cable(
    subject: SpaceSubject, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CONNECT_TIMEOUT_S": 1, "ALIVE_INTERVAL_S": 1, "ALIVE_COUNT": 1}.items():
        monkeypatch.setattr(ssh, name, value)
    progress = Listening()
    with ssh_server_on_a_cable(tmp_path / "sshd", monkeypatch) as (server, cable):

        def cut() -> bool:
            cable.cut()
            time.sleep(4.0)
            cable.mend()
            return True

        patient = Patience((0.5,) * 60, (0.5,) * 5)
        with trouble(cut, 4, out, 1.5) as happened:
            profile = bench(
                board(server), subject, out, LONG, progress, BenchOptions(patience=patient)
            ).profile
        ssh_masters.end_all()
    assert len(happened) == 4
    assert len(progress.notices) >= 4
    assert_complete(Profile.load(profile.path), LONG)


@pytest.mark.slow
def test_a_board_that_stays_away_is_given_up_and_the_same_command_goes_on(
    server: SshServer, subject: SpaceSubject, out: Path
) -> None:
    class Leaving(Listening):
        """The server ends once something is measured."""

        def advance(self, done: int, total: int, text: str) -> None:
            server.stop()

    slept: list[float] = []
    options = BenchOptions(patience=Patience((1, 2), (), slept.append))
    try:
        with pytest.raises(
            DeviceUnreachable, match=r"device board: it is not reached: .*what was measured is kept"
        ) as caught:
            bench(board(server), subject, out, QUICK, Leaving(), options)
    finally:
        server.listen()
    assert caught.value.exit_code == 6
    assert caught.value.kept == out  # the command line says how to go on with it
    assert slept == [1, 2]
    kept = rows(out)
    assert any("wall_ns" in row for row in kept)
    finished = bench(board(server), subject, out, QUICK, Listening()).profile
    assert rows(out)[: len(kept)] == kept
    assert_complete(finished, QUICK)


def test_a_device_that_changes_in_the_middle_is_not_mixed(
    server: SshServer, subject: SpaceSubject, out: Path
) -> None:
    device = board(server)

    class Exchanging(Listening):
        """Another board answers to the name once something is measured."""

        def advance(self, done: int, total: int, text: str) -> None:
            (server.home / "python").write_text(
                "#!/bin/sh\nprogram=$2\nshift 2\nexec "
                f"""{server.link().python} -c "import os; os.cpu_count = lambda: 77; $program" "$@"\n"""
            )

    (server.home / "python").write_text(f'#!/bin/sh\nexec {server.link().python} "$@"\n')
    (server.home / "python").chmod(0o755)
    device = AgentDevice("board", server.link(python="~/python"), Settings())
    with pytest.raises(
        ProfileError, match=r"cpu_count: \d+ / 77, before / now.*What was measured is kept in"
    ):
        bench(device, subject, out, QUICK, Exchanging())
    kept = rows(out)
    assert {row["round"] for row in kept if "wall_ns" in row} == {0}
    with pytest.raises(ProfileError, match="cpu_count"):
        bench(device, subject, out, QUICK, Listening())
    assert rows(out) == kept


# --- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds a part of a profile."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12k", "none", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_what_was_written_before_the_disk_was_full_is_kept(subject: SpaceSubject, small_disk: Path) -> None:
    from devices.catalog import device

    out, cpu = small_disk / "p.profile.jsonl", device("cpu", Settings())
    with pytest.raises(ProfileError, match="No space left on device; what was written is kept"):
        bench(cpu, subject, out, QUICK, Listening())
    kept = out.read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    assert kept.count(b"wall_ns") > 1
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    profile = bench(cpu, subject, out, QUICK, Listening()).profile
    assert out.read_bytes().startswith(kept)
    assert_complete(Profile.load(profile.path), QUICK)
