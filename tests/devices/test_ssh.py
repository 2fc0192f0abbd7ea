"""A real SSH server: who is trusted, what goes wrong on the way, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices import archive as archive_module
from devices import connection as connection_module
from devices.connection import AgentDied, Connection, LinkLost, NoAnswer, RequestFailed
from devices.links import ssh, ssh_masters
from devices.links.ssh import SshLink
from tests.devices.ssh_server import (
    Cable,
    SshServer,
    descendants,
    is_alive,
    make_key,
    ssh_server,
    ssh_server_on_a_cable,
    wait_until,
)


@pytest.fixture(autouse=True)
def no_connection_is_left() -> Iterator[None]:
    """Shared connections begin and end with each test."""
    ssh_masters.end_all()
    yield
    ssh_masters.end_all()


@pytest.fixture
def link(board_server: SshServer) -> SshLink:
    assert wait_until(lambda: board_server.sessions() == [])
    return board_server.link()


def socket_of(link: SshLink) -> Path:
    return Path(ssh_masters.socket_of(repr(link)))


def master_of(link: SshLink) -> int:
    """The process that holds the shared connection."""
    command = [*link._ssh()[:-2], "-O", "check", "--", link.host]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return int(told.partition("pid=")[2].partition(")")[0])


def client() -> int:
    """The `ssh` of this process that runs an agent."""
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in descendants(os.getpid())}
    return next(pid for pid, name in names.items() if name == "ssh" and is_alive(pid))


def assert_works(link: SshLink) -> None:
    with Connection(link) as connection:
        assert "conditions" in connection.request("conditions")


# --- who is trusted


@pytest.fixture
def trusting(board_server: SshServer) -> Iterator[SshServer]:
    """The server, whose known keys may be changed."""
    known = board_server.known_hosts.read_text()
    yield board_server
    board_server.known_hosts.write_text(known)


def test_an_unknown_host_key_is_refused_with_what_to_do(trusting: SshServer, link: SshLink) -> None:
    trusting.known_hosts.write_text("")
    with pytest.raises(
        LinkLost, match=r"connect once by hand with `ssh .*board\.test` and compare the finger"
    ):
        Connection(link).__enter__()
    assert trusting.known_hosts.read_text() == ""


def test_a_changed_host_key_is_refused_with_what_to_do(
    trusting: SshServer, link: SshLink, tmp_path: Path
) -> None:
    make_key(tmp_path / "other")
    trusting.know((tmp_path / "other.pub").read_text())
    with pytest.raises(LinkLost, match=r"its host key is not the one that is known: .*ssh-keygen -R"):
        Connection(link).__enter__()


@pytest.mark.parametrize("setting", ["StrictHostKeyChecking no", "NoHostAuthenticationForLocalhost yes"])
def test_no_configuration_turns_the_check_off(
    trusting: SshServer, link: SshLink, tmp_path: Path, setting: str
) -> None:
    trusting.known_hosts.write_text("")
    config = tmp_path / "config"
    config.write_text(f"{setting}\n{trusting.config.read_text()}")
    with pytest.raises(LinkLost, match="its host key is not known here"):
        Connection(trusting.link(config=config)).__enter__()


def test_a_key_that_is_not_accepted_is_told(board_server: SshServer, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    config = tmp_path / "config"
    text = board_server.config.read_text()
    config.write_text(text.replace(str(board_server.folder / "user_key"), str(tmp_path / "stranger")))
    with pytest.raises(LinkLost, match="it accepts none of your keys"):
        Connection(board_server.link(config=config)).__enter__()


def test_a_port_where_nobody_listens_is_told(board_server: SshServer) -> None:
    with pytest.raises(LinkLost, match="no SSH server listens"):
        Connection(board_server.link(port=1)).__enter__()


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(LinkLost, match="check its name"):
        Connection(SshLink("board", "board.invalid", config=Path("/dev/null"))).__enter__()


# --- what prints on the way


def test_what_start_up_files_and_runtimes_print_does_no_harm(tmp_path: Path) -> None:
    script = tmp_path / "chatty"
    script.write_text('#!/bin/sh\necho Welcome\necho trouble >&2\neval "$SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    with ssh_server(tmp_path / "sshd", f"ForceCommand {script}") as server:
        (server.home / ".bashrc").write_text("echo hello; echo hello >&2\n")
        assert_works(server.link())


def test_what_a_user_configures_for_shells_of_their_own_is_not_done(
    board_server: SshServer, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    user = "RemoteCommand touch {0}\nLocalCommand touch {0}\nPermitLocalCommand yes\nRequestTTY yes\n"
    made = tmp_path / "made"
    config.write_text(user.format(made) + board_server.config.read_text())
    link = board_server.link(config=config)
    assert_works(link)
    assert not made.exists()


# --- what the target lacks


def python_of(version: str) -> str:
    found = sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python"))
    if not found:
        pytest.skip(f"no Python {version} in ~/.pyenv")
    return str(found[-1])


@pytest.mark.parametrize("version", ["2.7", "3.6"])
def test_an_old_python_says_so_in_a_sentence(board_server: SshServer, version: str) -> None:
    message = (
        rf"the target's Python is {version}, and the agent needs 3\.8 or newer; install a newer Python there"
    )
    with pytest.raises(AgentDied, match=message):
        Connection(board_server.link(python=python_of(version))).__enter__()


def test_the_oldest_python_that_will_do_does(board_server: SshServer) -> None:
    assert_works(board_server.link(python=python_of("3.8")))


@pytest.mark.parametrize("python", ["python-that-is-not-there", "/nowhere/python", "/dev/null"])
def test_a_python_that_cannot_be_run_is_told(board_server: SshServer, python: str) -> None:
    with pytest.raises(AgentDied, match=f"there is no {python} there that can be run") as caught:
        Connection(board_server.link(python=python)).__enter__()
    assert not isinstance(caught.value, LinkLost)


def test_a_missing_numpy_is_told(board_server: SshServer) -> None:
    python = board_server.home / "python-without-numpy"
    blocked = "import sys; sys.modules['numpy'] = None; "
    python.write_text(f'#!/bin/sh\nprogram=$2\nshift 2\nexec {sys.executable} -c "{blocked}$program" "$@"\n')
    python.chmod(0o755)
    with (
        Connection(board_server.link(python=f"~/{python.name}")) as connection,
        pytest.raises(RequestFailed, match="numpy is not installed; run: pip install numpy"),
    ):
        connection.request("describe", runtime="onnxruntime", threads=1)


# --- deaths and losses


def hang(connection: Connection, timeout_s: float) -> None:
    connection.request("busy_processes", timeout_s=timeout_s, seconds=60)


@pytest.mark.parametrize(
    "victim",
    [
        "session",
        pytest.param("client", marks=pytest.mark.slow),
        pytest.param("master", marks=pytest.mark.slow),
    ],
)
def test_a_connection_that_breaks_is_a_lost_link_and_the_next_one_works(
    board_server: SshServer, link: SshLink, victim: str
) -> None:
    with Connection(link) as connection:
        agents = board_server.agents()
        pids = {"client": [client()], "master": [master_of(link)], "session": board_server.sessions()}
        for pid in pids[victim]:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(LinkLost, match="the link was lost"):
            connection.request("conditions")
    assert wait_until(lambda: not any(map(is_alive, agents)))
    assert_works(link)


def test_an_agent_that_is_killed_is_no_lost_link(board_server: SshServer, link: SshLink) -> None:
    with Connection(link) as connection:
        os.kill(max(board_server.agents()), signal.SIGKILL)
        with pytest.raises(AgentDied, match="exit status 137: killed by SIGKILL") as caught:
            connection.request("conditions")
    assert not isinstance(caught.value, LinkLost)


def test_a_socket_without_a_master_does_not_stand_in_the_way(link: SshLink) -> None:
    assert_works(link)
    os.kill(master_of(link), signal.SIGKILL)
    assert socket_of(link).exists()
    assert_works(link)


@pytest.mark.slow
def test_a_master_that_hangs_is_given_up(link: SshLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT_S", 1)
    monkeypatch.setattr(ssh, "ALIVE_INTERVAL_S", 0)
    monkeypatch.setattr(connection_module, "START_TIMEOUT_S", 1.0)
    assert_works(link)
    master = master_of(link)
    os.kill(master, signal.SIGSTOP)
    try:
        with pytest.raises(LinkLost):
            Connection(link).__enter__()
        monkeypatch.undo()
        assert_works(link)
        assert master_of(link) != master
    finally:
        os.kill(master, signal.SIGKILL)


def test_a_graph_that_hangs_over_a_link_that_answers_is_no_lost_link(link: SshLink) -> None:
    with Connection(link) as connection, pytest.raises(NoAnswer, match=r"no answer within 0\.5 s"):
        hang(connection, 0.5)


def test_a_jump_host_is_gone_through(board_server: SshServer, link: SshLink) -> None:
    assert_works(board_server.link(jump="gate.test"))


def test_all_processes_share_one_connection(board_server: SshServer, link: SshLink) -> None:
    for _ in range(3):
        assert_works(link)
    assert len(board_server.sessions()) == 1


# --- nothing is left behind


@pytest.mark.usefixtures("link")
def test_nothing_is_left_on_either_side(board_server: SshServer) -> None:
    program = (
        "import sys, tempfile; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from devices.connection import Connection\n"
        "from devices.links.ssh import SshLink\n"
        "link = SshLink('board', 'board.test', python=sys.executable, config=Path(sys.argv[2]))\n"
        "with Connection(link) as connection: connection.request('conditions')\n"
    )
    scratch = board_server.folder / "scratch"
    scratch.mkdir()
    before = sorted(board_server.home.rglob("*"))
    subprocess.run(
        [sys.executable, "-c", program, os.getcwd(), str(board_server.config)],
        check=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    assert wait_until(lambda: board_server.agents() == board_server.sessions() == [])
    assert list(scratch.iterdir()) == []
    assert sorted(board_server.home.rglob("*")) == before


def test_a_host_that_is_killed_takes_its_agent_with_it(board_server: SshServer, link: SshLink) -> None:
    with Connection(link) as connection, contextlib.suppress(AgentDied):
        agents = board_server.agents()
        os.kill(client(), signal.SIGKILL)
        connection.request("conditions")
    assert agents
    assert wait_until(lambda: not any(map(is_alive, agents)))


# --- a cable that is cut


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ssh` that notices within seconds that nobody answers."""
    for name, value in {"CONNECT_TIMEOUT_S": 2, "ALIVE_INTERVAL_S": 1, "ALIVE_COUNT": 2}.items():
        monkeypatch.setattr(ssh, name, value)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents that end after seconds without a word of their host."""
    bootstrap = archive_module.BOOTSTRAP.replace(
        "from devices.agent.main import main",
        "from devices.agent import watchdog; watchdog.SILENCE_S = 1.0\nfrom devices.agent.main import main",
    )
    assert "SILENCE_S" in bootstrap
    monkeypatch.setattr(archive_module, "BOOTSTRAP", bootstrap)


@pytest.fixture
def on_a_cable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> Iterator[tuple[SshServer, Cable]]:
    with ssh_server_on_a_cable(tmp_path / "sshd", monkeypatch) as found:
        yield found
        found[1].mend()


def test_a_cable_that_is_cut_is_a_lost_link_and_leaves_no_agent(
    on_a_cable: tuple[SshServer, Cable], forgetful: None
) -> None:
    server, cable = on_a_cable
    link = server.link()
    with Connection(link) as connection:
        agents = server.agents()
        cable.cut()
        with pytest.raises(LinkLost, match="the link was lost"):
            hang(connection, 60.0)
        with pytest.raises(LinkLost):
            Connection(link).__enter__()
    cable.mend()
    assert_works(link)
    idle = [pid for pid in agents if is_alive(pid)]
    for pid in idle:  # the request would have gone on for ten minutes
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_an_agent_without_a_request_ends_on_its_own_side_of_a_cut_cable(
    on_a_cable: tuple[SshServer, Cable], forgetful: None
) -> None:
    server, cable = on_a_cable
    with Connection(server.link()) as connection:
        connection.request("conditions")
        agents = server.agents()
        cable.cut()
        assert agents
        assert wait_until(lambda: not any(map(is_alive, agents)))


@pytest.mark.slow
def test_a_time_limit_shorter_than_the_links_blames_no_graph(on_a_cable: tuple[SshServer, Cable]) -> None:
    server, cable = on_a_cable
    with Connection(server.link()) as connection:
        cable.cut()
        with pytest.raises(LinkLost):
            connection.request("conditions", timeout_s=0.2)
