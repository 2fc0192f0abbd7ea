"""What an SSH link is made of: names, the command for the login shell, and words taken out of texts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.archive import ONE_LINER, agent_arguments
from devices.connection import AgentDied, Connection
from devices.links import ssh_masters, ssh_words
from devices.links.local import LocalLink, started
from devices.links.ssh import SshLink

BOARD = SshLink("board", "board.test", config=Path("/dev/null"))
KNOWN = ssh_words.Names(frozenset({"board.local", "10.1.2.3", "kitchen"}), frozenset({"alice", "pi"}))


def changed(field: str, value: Any) -> SshLink:
    return replace(BOARD, **{field: value})


# --- values


@pytest.mark.parametrize(
    "host", ["pi", "pi.local", "10.0.0.7", "fe80::1", "fe80::1%eth0", "2001:db8::a", "a_b"]
)
@pytest.mark.parametrize("jump", [None, "gate", "bob@gate:2222", "[2001:db8::1]:22", "a,b@c"])
def test_names_and_addresses_are_taken(host: str, jump: str | None) -> None:
    link = SshLink("board", host, "alice", 22, jump, "~/venv/bin/python3.11")
    assert link._ssh()[-2:] == ["--", host]


@pytest.mark.parametrize("field", ["alias", "host", "user", "jump", "python"])
@pytest.mark.parametrize(
    "value",
    [
        "-oProxyCommand=x",
        "a b",
        "a;b",
        "$(a)",
        "`a`",
        "a\n",
        "",
        "'",
        '"',
        "a|b",
        "a&b",
        "é",
        "~a",
        "a*",
        "{a}",
    ],
)
def test_what_is_no_name_is_refused(field: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{field} {re.escape(repr(value))}: give "):
        changed(field, value)


@pytest.mark.parametrize("port", [0, 65536, -22])
def test_what_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(ValueError, match=f"port {port}: give one from 1 to 65535"):
        replace(BOARD, port=port)


@given(st.text(max_size=20), st.sampled_from(["host", "user", "jump"]))
def test_no_value_becomes_an_option_or_a_second_word(text: str, field: str) -> None:
    try:
        link = changed(field, text)
    except ValueError:
        return
    words = link._where()
    assert len(words) == 4 + 2 * (field != "host")
    assert not text.startswith("-")
    assert not set(text) & set(" \t\n;|&$`'\"\\!*?<>(){}#")


def test_the_command_checks_host_keys_and_asks_nobody() -> None:
    command = " ".join(BOARD._ssh())
    for option in (
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
        "ClearAllForwardings=yes",
        "ConnectTimeout=",
    ):
        assert f"-o {option}" in command


# --- the login shell


SHELLS = ["sh", "dash", "bash", "zsh", "fish", "csh", "tcsh"]


class ShellLink(LocalLink):
    """This computer, through a login shell that is given what SSH would give it."""

    def __init__(self, shell: str, link: SshLink) -> None:
        self.shell = shell
        self.link = link

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return started([self.shell, "-c", self.link.remote_command(arguments)], stderr)


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} on this machine")
    return str(request.param)


def test_every_login_shell_starts_the_agent(shell: str) -> None:
    with Connection(ShellLink(shell, replace(BOARD, python=sys.executable))) as connection:
        assert "conditions" in connection.request("conditions")


def test_a_death_by_signal_is_told_through_every_login_shell(shell: str) -> None:
    link = ShellLink(shell, replace(BOARD, python=sys.executable))
    process = link.start(["-c", "import os; os.kill(os.getpid(), 9)"], subprocess.DEVNULL)  # type: ignore[arg-type] # a descriptor will do
    with process:
        assert process.wait() == 128 + 9


def test_what_travels_through_the_login_shell_holds_nothing_that_one_interprets() -> None:
    assert not set(ONE_LINER) & set("'!\\\n`$~")
    assert len(agent_arguments("TOKEN", b"program")) == 5


# --- words


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("alice@board.local: Permission denied (publickey).", "board: Permission denied (publickey)."),
        ("ssh: connect to host 10.1.2.3 port 22: timed out", "ssh: connect to host board port 22: timed out"),
        ("Connection closed by 192.168.7.9 port 22", "Connection closed by board port 22"),
        ("connect to host fe80::1%eth0 port 22", "connect to host board port 22"),
        ("bob@192.168.7.9: no", "bob@board: no"),
        ("TensorRT 10.3.0.26, at 12:30:59", "TensorRT 10.3.0.26, at 12:30:59"),
        ("File /home/alice/x.py, /Users/bob/y, /root/z", "File ~/x.py, ~/y, ~/z"),
        ("pipeline of pi, kitchen-sink, kitchen", "pipeline of (user), kitchen-sink, board"),
        ("a::b 3::4", "a::b 3::4"),
    ],
)
def test_nobody_is_named(text: str, kept: str) -> None:
    without_homes = LocalLink().redacted(text)
    assert ssh_words.redacted(without_homes, KNOWN, "board") == kept


@given(st.text(), st.sampled_from(sorted(KNOWN.hosts | KNOWN.users)), st.text())
def test_no_name_survives_as_a_word(before: str, name: str, after: str) -> None:
    redacted = ssh_words.redacted(f"{before} {name} {after}", KNOWN, "board")
    assert f" {name} " not in redacted


def test_names_are_learnt_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host kitchen\n  HostName 10.9.8.7\n  User carol\n  ProxyJump dave@gate:2222\n")
    link = SshLink("board", "kitchen", config=config)
    text = "carol@10.9.8.7 through dave at gate, kitchen"
    assert link.redacted(text) == "board through (user) at board, board"


LOST = "the agent did not start (exit status 255); its last words: "


@pytest.mark.parametrize(
    ("text", "helps"),
    [
        (LOST + "Host key verification failed.", "connect once by hand with `ssh .*board.test` and compare"),
        (LOST + "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "forget the old one"),
        (LOST + "a@b: Permission denied (publickey).", "none of your keys"),
        (LOST + "ssh: Could not resolve hostname x: Name or service not known", "check its name"),
        (LOST + "ssh: connect to host x port 22: Connection timed out", "switched on"),
        (LOST + "ssh: connect to host x port 22: No route to host", "switched on"),
        (LOST + "ssh: connect to host x port 22: Connection refused", "no SSH server"),
        (
            "the agent did not start (exit status 127); its last words: sh: 1: python3: not found",
            "no python3",
        ),
        ("the target's Python is 3.6, and the agent needs 3.8 or newer", "a newer Python"),
        ("OSError: [Errno 28] No space left on device", "make room"),
        ("ModuleNotFoundError: No module named 'numpy'", "python3 -m pip install numpy"),
        ("Segmentation fault", "^$"),
        ("the session timed out: Connection refused", "^$"),
    ],
)
def test_what_helps(text: str, helps: str) -> None:
    assert re.search(helps, BOARD.advice(text))


def test_without_ssh_here_it_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        AgentDied, match=r"cannot be started: .*'ssh'; OpenSSH's client is not installed here"
    ):
        Connection(BOARD).__enter__()
    assert BOARD.redacted("board.test") == "board"


# --- sockets


def test_sockets_have_short_paths_in_a_private_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ssh_masters.end_all()
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    socket = Path(ssh_masters.socket_of("a link"))
    assert len(str(socket)) < 80
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert ssh_masters.socket_of("a link") == str(socket) != ssh_masters.socket_of("another")
    ssh_masters.end_all()
    assert not socket.parent.exists()
