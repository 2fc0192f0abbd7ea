"""A real SSH server of the tests' own: own keys, own port, own configuration on both sides."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from devices.links.ssh import SshLink

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
SEPARATION_FOLDER = Path("/run/sshd")


def unavailable(reason: str) -> None:
    """Skip a test that a machine cannot run; the one that must run all of them fails instead."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class SshServer:
    """`sshd` in the foreground.

    Attributes:
        folder: its keys and configuration, and those of its clients.
        address: where it listens.
        port: its port.
        prefix: what its command begins with, such as a network of its own.
        settings: further lines of its configuration.

    Sessions have a home folder of their own, so that no start-up file of the user runs.
    """

    folder: Path
    address: str = "127.0.0.1"
    port: int = 0
    prefix: Sequence[str] = ()
    settings: Sequence[str] = ()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The process that listens."""
        assert self._process is not None
        return self._process.pid

    @property
    def known_hosts(self) -> Path:
        """The host keys that clients know."""
        return self.folder / "known_hosts"

    def link(self, **changes: Any) -> SshLink:
        """A link to this server, under this interpreter."""
        fields = {"alias": "board", "host": "board.test", "python": sys.executable, "config": self.config}
        return SshLink(**{**fields, **changes})

    @property
    def home(self) -> Path:
        """Home folder of the sessions."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The clients' configuration."""
        return self.folder / "client_config"

    def start(self) -> None:
        """Make keys and files, and listen."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = self.port or _free_port(self.address)
        for name in ("host_key", "user_key"):
            make_key(self.folder / name)
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        self.know((self.folder / "host_key.pub").read_text())
        self._write_configurations()
        self.listen()

    def listen(self) -> None:
        """Start the server with the files that are there."""
        if os.geteuid() == 0:
            SEPARATION_FOLDER.mkdir(mode=0o755, exist_ok=True)
        assert SSHD is not None
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self.prefix, SSHD, "-D", "-e", "-f", str(self.folder / "server_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_listens()

    def stop(self) -> None:
        """End the server and every session of it."""
        if self._process is not None:
            for pid in self.sessions():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            self._process = None

    def sessions(self) -> list[int]:
        """The processes of the server that serve a connection."""
        names = {pid: name for pid, (_, name) in processes().items()}
        return [pid for pid in descendants(self.pid) if names.get(pid, "").startswith("sshd")]

    def agents(self) -> list[int]:
        """The processes that run below the server and are no part of it."""
        names = {pid: name for pid, (_, name) in processes().items()}
        return [pid for pid in descendants(self.pid) if not names.get(pid, "sshd").startswith("sshd")]

    def know(self, public_key: str, name: str = "") -> None:
        """Make this the one host key that clients know, under a name, or else the server's address."""
        kind, key, *_ = public_key.split()
        place = name or f"[{self.address}]:{self.port}"
        self.known_hosts.write_text(f"{place} {kind} {key}\n")

    def known_as(self, name: str) -> None:
        """Let clients know this server's host key under this name only."""
        self.know((self.folder / "host_key.pub").read_text(), name)

    def _write_configurations(self) -> None:
        server = [
            f"ListenAddress {self.address}",
            f"Port {self.port}",
            f"HostKey {self.folder}/host_key",
            f"PidFile {self.folder}/pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "PrintMotd no",
            "UseDNS no",
            "MaxStartups 100",
            "LogLevel INFO",
            f"SetEnv HOME={self.home}",
            *self.settings,
        ]
        client = [
            f"Host board.test gate.test {self.address}",
            f"  HostName {self.address}",
            f"  Port {self.port}",
            f"  User {getpass.getuser()}",
            f"  IdentityFile {self.folder}/user_key",
            "  IdentitiesOnly yes",
            "  IdentityAgent none",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
        ]
        (self.folder / "server_config").write_text("\n".join([*server, ""]))
        self.config.write_text("\n".join([*client, ""]))

    def _wait_until_it_listens(self) -> None:
        log = self.folder / "log"
        assert self._process is not None
        assert wait_until(lambda: "listening on" in log.read_text() or self._process.poll() is not None)
        if self._process.poll() is not None:
            unavailable(f"sshd does not start here: {log.read_text()[-500:]}")


@contextlib.contextmanager
def ssh_server(folder: Path, *settings: str, **fields: Any) -> Iterator[SshServer]:
    """A server that listens while the block runs; skips where there is none to start."""
    if SSHD is None:
        unavailable("no sshd on this machine")
    server = SshServer(folder, settings=settings, **fields)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True)
class Cable:
    """What joins the networks of a client and a server; `cut` is what pulling it out is."""

    client: str
    port: str

    def cut(self) -> None:
        """Nothing goes through any more, and neither side is told."""
        _ip("-n", self.client, "link", "set", self.port, "down")

    def mend(self) -> None:
        """Packets go through again."""
        _ip("-n", self.client, "link", "set", self.port, "up")


@contextlib.contextmanager
def ssh_server_on_a_cable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *settings: str
) -> Iterator[tuple[SshServer, Cable]]:
    """A server in a network of its own, and an `ssh` on PATH in another, while the block runs.

    Nothing changes in the network of this machine. Skips where networks cannot be made: many a container
    forbids it to root too.
    """
    client, server = (f"hwp{end}{os.getpid()}" for end in "cs")
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("networks of one's own need root and iproute2")
    try:
        try:
            _ip("netns", "add", client)
            _ip("netns", "add", server)
            _ip("-n", client, "link", "add", "one", "type", "veth", "peer", "name", "two", "netns", server)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network can be made here: {error.stderr.decode()}")
        for network, port, address in ((client, "one", "10.77.0.1"), (server, "two", "10.77.0.2")):
            _ip("-n", network, "address", "add", f"{address}/30", "dev", port)
            _ip("-n", network, "link", "set", port, "up")
        _put_on_path(folder / "programs", client, monkeypatch)
        prefix = ["ip", "netns", "exec", server]
        with ssh_server(folder, *settings, address="10.77.0.2", port=2222, prefix=prefix) as running:
            yield running, Cable(client, "one")
    finally:
        for network in (client, server):
            subprocess.run(["ip", "netns", "delete", network], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _put_on_path(folder: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `ssh` that goes out through another network."""
    folder.mkdir(parents=True)
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec ip netns exec {network} {shutil.which("ssh")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def make_key(path: Path) -> None:
    """A pair of keys, in place of one that is there."""
    path.unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address if address.startswith("127.") else "127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes() -> dict[int, tuple[int, str]]:
    """Parent and name of every process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name, _, rest = (folder / "stat").read_text().partition(" (")[2].rpartition(") ")
            found[int(folder.name)] = (int(rest.split()[1]), name)
    return found


def descendants(ancestor: int) -> list[int]:
    """Processes below one, in no order."""
    parents = {pid: parent for pid, (parent, _) in processes().items()}
    found, rest = [], [ancestor]
    while rest:
        at = rest.pop()
        below = [pid for pid, parent in parents.items() if parent == at]
        found += below
        rest += below
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def wait_until(condition: Any, seconds: float = 30.0) -> bool:
    """Whether something becomes true soon."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())
