"""A real `sshd` on loopback, with keys of its own and a client's configuration that knows them."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


@dataclass(frozen=True)
class LoopbackSshd:
    """A running server: its port, its user, its host key, and a client's configuration."""

    port: int
    user: str
    host_key: str
    known_hosts: Path
    config: Path

    def known_as(self, name: str) -> None:
        """Let the client know the host key under this name only."""
        self.known_hosts.write_text(f"{name} {self.host_key}\n")


def is_possible() -> bool:
    """Whether OpenSSH's server and client are installed."""
    return Path(SSHD).exists() and all(shutil.which(name) for name in ("ssh", "ssh-keygen"))


@contextmanager
def loopback_sshd(folder: Path) -> Iterator[LoopbackSshd]:
    """Run `sshd` with files in a folder."""
    for name in ("host", "client"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "client.pub").chmod(0o600)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder / 'host'}\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder / 'client.pub'}\nStrictModes no\nPasswordAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
    )
    known, config = folder / "known_hosts", folder / "ssh_config"
    known.touch()
    config.write_text(f"IdentityFile {folder / 'client'}\nIdentitiesOnly yes\nUserKnownHostsFile {known}\n")
    Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd wants it
    with (folder / "sshd.log").open("wb") as log:
        command = [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")]
        server = subprocess.Popen(command, stderr=log, start_new_session=True)
    try:
        _until_open(port)
        key = " ".join((folder / "host.pub").read_text().split()[:2])
        yield LoopbackSshd(port, getpass.getuser(), key, known, config)
    finally:
        server.terminate()
        server.wait()


def _until_open(port: int) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("sshd did not start")
