"""Running adb, and phones over forwarded SSH: a stand-in for adb, a real sshd, the real adb with no phone."""

from __future__ import annotations

import getpass
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices import adb as adb_module
from devices.adb import Adb, advice_for
from devices.agent_device import AgentDevice
from devices.connection import AgentDied, DeviceError, LinkLost, NoAnswer, RequestFailed
from devices.links.adb import AdbLink
from devices.settings import Settings
from tests.devices.made_up_phone import MadeUpPhone, made_up_phone
from tests.devices.ssh_server import SshServer, ssh_server
from tests.devices.stand_in_adb import SERIAL


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[MadeUpPhone]:
    with made_up_phone(tmp_path) as made:
        yield made


# --- faults


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        ("none", "switch on USB debugging"),
        ("two", "name one by its serial"),
        ("offline", "reconnect its cable"),
        ("unauthorized", "accept the debugging prompt"),
    ],
)
def test_a_phone_out_of_reach_is_lost_and_the_message_says_what_to_do(
    phone: MadeUpPhone, state: str, advice: str, tmp_path: Path
) -> None:
    phone.becomes(state)
    adb, file = Adb(), tmp_path / "file"
    file.touch()
    for act in (
        lambda: adb.run("get-state"),
        lambda: adb.shell("true"),
        lambda: adb.push(file, "/data/local/tmp/file"),
        lambda: adb.forward(8022),
    ):
        with pytest.raises(LinkLost, match=advice):
            act()


def test_a_serial_chooses_among_several(phone: MadeUpPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    phone.becomes("two")
    assert Adb(SERIAL).run("get-state") == "device\n"
    monkeypatch.setenv("ANDROID_SERIAL", SERIAL)
    assert Adb().run("get-state") == "device\n"


def test_a_serial_that_is_not_attached_is_not_told(
    phone: MadeUpPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LinkLost, match="no attached device has this serial") as found:
        Adb("SECRET123").run("get-state")
    assert "SECRET123" not in str(found.value)
    monkeypatch.setenv("ANDROID_SERIAL", "SECRET456")
    with pytest.raises(LinkLost) as found:
        Adb().shell("true")
    assert "SECRET456" not in str(found.value)


@pytest.mark.parametrize("words", sorted(adb_module.ADVICE))
def test_every_fault_has_its_advice_whatever_stands_before_it(words: str) -> None:
    assert (
        advice_for(f"adb: error: failed to get feature set: device 'x{words}\n") == adb_module.ADVICE[words]
    )
    assert advice_for("remote couldn't create file: No space left on device") == ""


def test_adb_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DeviceError, match="apt install adb") as found:
        Adb().run("get-state")
    assert not isinstance(found.value, AgentDied)


# --- lines for the phone's shell


@pytest.mark.parametrize("status", [0, 255])
def test_the_exit_status_of_a_line_comes_back(phone: MadeUpPhone, status: int) -> None:
    answer = Adb().shell(f"echo a; echo b >&2; exit {status}")
    assert (answer.status, sorted(answer.text.split())) == (status, ["a", "b"])


def test_output_without_an_end_of_line_is_kept(phone: MadeUpPhone) -> None:
    assert Adb().shell("printf 'x y'").text == "x y"
    assert Adb().shell("true").text == ""


def test_ends_of_lines_of_old_phones_are_read(phone: MadeUpPhone) -> None:
    (phone.program.parent / "adb").write_text(
        "#!/bin/sh\necho '* daemon started successfully'\nsh -c \"$2\" | sed 's/$/\\r/'\n"
    )
    answer = Adb().shell("echo one; exit 3")
    assert (answer.text, answer.status) == ("one\n", 3)


def test_a_line_that_is_too_long_for_a_phone_is_refused(phone: MadeUpPhone) -> None:
    with pytest.raises(ValueError, match="for the phone's shell"):
        Adb().shell("x" * 4100)


def test_a_phone_that_takes_too_long(phone: MadeUpPhone) -> None:
    with pytest.raises(NoAnswer, match=r"more than 0\.5 s"):
        Adb().shell("sleep 60", timeout_s=0.5)


def test_a_phone_that_prints_too_much(phone: MadeUpPhone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adb_module, "LARGEST_ANSWER_BYTES", 10_000)
    with pytest.raises(AgentDied, match="more than 10000 bytes"):
        Adb().shell("while true; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done")


def test_a_program_that_adb_leaves_behind_holds_nothing_up(phone: MadeUpPhone) -> None:
    (phone.program.parent / "adb").write_text("#!/bin/sh\nsleep 3 &\necho $!\n")
    started = time.monotonic()
    Adb().run("devices")
    assert time.monotonic() - started < 2.5


def test_a_phone_that_vanishes_with_status_0_is_lost(phone: MadeUpPhone) -> None:
    phone.vanishes()
    with pytest.raises(LinkLost, match="broke off"):
        Adb().shell("true")


def test_a_file_that_cannot_be_pushed_is_no_lost_phone(phone: MadeUpPhone, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestFailed, match=r"adb push failed: .*couldn't create file"):
        Adb().push(tmp_path / "file", "/data/local/tmp/none/file")


# --- forwarded SSH


@pytest.fixture
def sshd(tmp_path: Path, phone: MadeUpPhone) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "sshd") as server:
        (phone.folder / "ports" / "8022").write_text(str(server.port))
        server.known_as("hwprofile-slate")
        yield server


def link_to(server: SshServer, alias: str = "slate") -> AdbLink:
    return AdbLink(alias, user=getpass.getuser(), python=sys.executable, config=server.config)


def test_a_graph_is_timed_through_the_forward(phone: MadeUpPhone, sshd: SshServer, tiny: bytes) -> None:
    link = link_to(sshd)
    with AgentDevice("slate", link, Settings()).process() as process:
        process.load("graph", tiny)
        assert process.time("graph", 2).wall_ns
        assert process.identity["runtime"] == "onnxruntime"
    link.close()
    assert not list((phone.folder / "forwards").iterdir())


@pytest.mark.slow
def test_the_forward_is_kept_for_further_processes_and_made_anew_when_the_phone_was_away(
    phone: MadeUpPhone, sshd: SshServer
) -> None:
    link = link_to(sshd)
    first = link.forwarded()
    assert link.forwarded() == first
    Adb().remove_forward(first)  # as adb does when the phone goes
    phone.becomes("none")
    with pytest.raises(LinkLost, match="switch on USB debugging"):
        link.forwarded()
    phone.becomes("device")
    with AgentDevice("slate", link, Settings()).process() as process:
        assert process.identity["runtime"] == "onnxruntime"
    assert len(list((phone.folder / "forwards").iterdir())) == 1
    link.close()
    link.close()


def test_another_phone_behind_the_same_address_is_refused(phone: MadeUpPhone, sshd: SshServer) -> None:
    link = link_to(sshd, "other")
    with pytest.raises(AgentDied, match="Host key verification failed") as found:
        AgentDevice("other", link, Settings()).process().__enter__()
    assert "ssh -p 8022 -o HostKeyAlias=hwprofile-other" in link.advice(str(found.value))


@pytest.mark.slow
def test_a_phone_where_no_sshd_runs(phone: MadeUpPhone, sshd: SshServer) -> None:
    (phone.folder / "ports" / "8022").write_text("1")
    link = link_to(sshd)
    with pytest.raises(AgentDied) as found:
        AgentDevice("slate", link, Settings()).process().__enter__()
    assert "run `sshd` in Termux" in link.advice(str(found.value))


def test_the_forward_is_closed_at_the_end_of_the_program(phone: MadeUpPhone) -> None:
    (phone.folder / "ports" / "8022").write_text("1")
    program = (
        "from devices.links.adb import AdbLink\n"
        "link = AdbLink('slate')\nassert link.forwarded()\n"
        "import pathlib, os\n"
        "assert list(pathlib.Path(os.environ['STAND_IN_PHONE'], 'forwards').iterdir())\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert not list((phone.folder / "forwards").iterdir())


@pytest.mark.slow
def test_a_phone_that_went_away_does_not_answer(phone: MadeUpPhone, sshd: SshServer) -> None:
    link = link_to(sshd)
    assert link.forwarded()
    assert link.answers()
    phone.becomes("offline")
    assert not link.answers()
    link.give_up()


def test_the_serial_is_in_no_text_of_the_link() -> None:
    assert SERIAL not in AdbLink("slate", SERIAL).redacted(f"adb: device '{SERIAL}' not found")


@pytest.mark.parametrize(
    "fields",
    [
        {"serial": "-x"},
        {"serial": "a b"},
        {"port": 0},
        {"port": 65536},
        {"port": "8022"},
        {"user": "-oProxyCommand=x"},
        {"python": "python3; id"},
        {"alias": "-o"},
    ],
)
def test_names_that_adb_or_ssh_would_take_for_something_else(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="give "):
        AdbLink(**{"alias": "slate", **fields})
