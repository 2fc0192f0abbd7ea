"""Reaching a scheduler: what is no address, what does not answer, what answers something else, and TLS."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from hwprofile.errors import BadInput, DeviceUnreachable, UserError
from hwprofile.fleet.scheduler import Scheduler
from tests.hwprofile.benching import Listening
from tests.hwprofile.fleet.dask_cluster import DaskCluster, free_port


@pytest.mark.parametrize(
    "address",
    [
        "",
        "host",
        "host:8786",
        "tcp://host",
        "ucx://host:1",
        "tcp://host:8786/x",
        "tcp://-x y:1",
        "tcp://h:123456",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(BadInput, match=r"the address of a Dask scheduler, such as tcp://host:8786"):
        Scheduler(address, print)


def test_nobody_is_there() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with (
        pytest.raises(DeviceUnreachable, match=rf"no scheduler answers at {address} \(.*refused"),
        Scheduler(address, print),
    ):
        pass


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64])
def test_somebody_else_is_there(says: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        held = []

        def answer() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                connection.sendall(says)
                held.append(connection)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with (
            pytest.raises(DeviceUnreachable, match=f"no scheduler answers at {address}"),
            Scheduler(address, print, connect_s=1.0),
        ):
            pass
        for connection in held:
            connection.close()


def test_what_is_not_encrypted_is_said_beyond_this_computer() -> None:
    listening = Listening()
    with (
        pytest.raises(DeviceUnreachable),
        Scheduler("tcp://fleet.invalid:8786", listening.notice, connect_s=1.0),
    ):
        pass
    assert ["is not encrypted" in note for note in listening.notices] == [True]


def test_tls_needs_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(UserError, match=r"tls:// needs certificates .*docs/fleet\.md"),
        Scheduler("tls://127.0.0.1:8786", print),
    ):
        pass


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, str]:
    """An authority of the fleet's own, and one certificate of it, as docs/fleet.md makes them."""
    if shutil.which("openssl") is None:
        pytest.skip("certificates are made with openssl")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=fleet -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=fleet-member -keyout member.key -out member.csr",
        "x509 -req -in member.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out member.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    places = {"CA_FILE": "ca.pem"}
    places |= {f"{who}__CERT": "member.pem" for who in ("SCHEDULER", "WORKER", "CLIENT")}
    places |= {f"{who}__KEY": "member.key" for who in ("SCHEDULER", "WORKER", "CLIENT")}
    return {f"DASK_DISTRIBUTED__COMM__TLS__{key}": str(tmp_path / name) for key, name in places.items()}


def devices(address: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The members of a fleet, as a user sees them."""
    command = [sys.executable, "-m", "hwprofile", "devices", "--fleet", address, "--json"]
    return subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.slow
def test_a_fleet_with_tls_takes_nobody_without_a_certificate(
    tmp_path: Path, certificates: dict[str, str]
) -> None:
    with DaskCluster(tmp_path, env=certificates, protocol="tls") as cluster:
        cluster.add_worker("kitchen", {"hwprofile-pi": 1})
        until = time.monotonic() + 30
        while '"kitchen"' not in (told := devices(cluster.address, certificates)).stdout:
            assert time.monotonic() < until, told.stderr + cluster.log("kitchen")
        assert told.stderr == ""
        without = devices(cluster.address, {})
        assert (without.returncode, without.stdout) == (1, "")
        assert "tls:// needs certificates" in without.stderr
        plain = devices(cluster.address.replace("tls:", "tcp:"), certificates)
        assert (plain.returncode, plain.stdout) == (6, "")
        assert "no scheduler answers at tcp://" in plain.stderr
