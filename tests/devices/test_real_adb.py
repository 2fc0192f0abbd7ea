"""The real `adb`, connected to a stand-in for a phone: its quoting, statuses, files and forwards are real."""

from __future__ import annotations

import getpass
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices import adb as adb_module
from devices.adb import Adb
from devices.agent_device import AgentDevice
from devices.connection import LinkLost, RequestFailed
from devices.links.adb import AdbLink
from devices.perf_test.device import PerfTestDevice
from devices.settings import Settings
from tests.devices.made_up_phone import MadeUpPhone, made_up_phone
from tests.devices.ssh_server import ssh_server
from tests.devices.stand_in_adbd import stand_in_adbd
from tests.devices.test_perf_test import named

pytestmark = pytest.mark.skipif(shutil.which("adb") is None, reason="adb is not installed")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An adb server of its own, with a port and a home of its own."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_module._free_port()))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    yield
    subprocess.run(["adb", "kill-server"], check=True)


@pytest.fixture
def phone(server: None, tmp_path: Path) -> Iterator[MadeUpPhone]:
    with made_up_phone(tmp_path, stand_in=False) as made, stand_in_adbd(made.folder) as port:
        assert "connected to" in Adb().run("connect", f"127.0.0.1:{port}")
        yield made


def test_without_a_phone(server: None, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for act in (
        lambda: Adb().shell("true"),
        lambda: Adb().push(tmp_path / "file", "/data/local/tmp/file"),
        lambda: AdbLink("slate").start(["-c", "0"], sys.stderr.buffer),
    ):
        with pytest.raises(LinkLost, match="switch on USB debugging"):
            act()
    with pytest.raises(LinkLost, match="no attached device has this serial"):
        Adb("R58M0").shell("true")
    assert not Adb().forwards(1, 2)


@pytest.mark.parametrize("status", [0, 255])
def test_lines_and_exit_statuses_pass_through(phone: MadeUpPhone, status: int) -> None:
    answer = Adb().shell(f"printf '%s|' \"a  b\" 'c\"d' '$x' \\*\nexit {status}")
    assert (answer.text, answer.status) == ('a  b|c"d|$x|*|', status)


@pytest.mark.slow
def test_a_graph_is_timed_and_nothing_stays(phone: MadeUpPhone, make_graph: Callable[..., bytes]) -> None:
    with PerfTestDevice("slate", phone.shell(), Settings()).process() as process:
        process.load("graph", make_graph())
        assert process.time("graph", 3).wall_ns
        with pytest.raises(RequestFailed, match="SIGSEGV"):
            process.load("bad", named(make_graph(), "crash"))
        assert process.identity["cpu_model"] == "Acme Slate 3 / Chips C900"
        assert process.conditions()["busy_s"] > 0
        assert process.time("graph", 1).wall_ns
    assert phone.left() == []


@pytest.mark.slow
def test_a_file_that_cannot_be_pushed_is_no_lost_phone(phone: MadeUpPhone, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestFailed, match="No such file or directory"):
        Adb().push(tmp_path / "file", "/data/local/tmp/none/file")


def test_a_phone_that_vanishes_is_lost(phone: MadeUpPhone) -> None:
    assert Adb().shell("true").status == 0
    phone.vanishes()
    with pytest.raises(LinkLost) as found:
        Adb().shell("echo half")
    assert "127.0.0.1" not in str(found.value)


def test_a_forward_leads_to_a_real_sshd(phone: MadeUpPhone, tmp_path: Path, tiny: bytes) -> None:
    with ssh_server(tmp_path / "sshd") as sshd:
        (phone.folder / "ports" / "8022").write_text(str(sshd.port))
        sshd.known_as("hwprofile-slate")
        link = AdbLink("slate", user=getpass.getuser(), python=sys.executable, config=sshd.config)
        with AgentDevice("slate", link, Settings()).process() as process:
            process.load("graph", tiny)
            assert process.time("graph", 2).wall_ns
        port = link.forwarded()
        assert Adb().forwards(port, 8022)
        link.close()
        assert not Adb().forwards(port, 8022)
