"""An agent never outlives its host, and nothing that guards it wakes up while it measures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from devices import archive as archive_module
from devices.agent import frames, scratch, watchdog
from devices.archive import agent_arguments, agent_program, archive
from devices.connection import Connection, LinkLost
from devices.links.local import LocalLink
from tests.devices.ssh_server import descendants, is_alive, wait_until

Quicken = Callable[[str], None]


@pytest.fixture
def quicken(monkeypatch: pytest.MonkeyPatch) -> Quicken:
    """Lets agents run some code before they greet."""

    def change(code: str) -> None:
        come = "from devices.agent.main import main"
        changed = archive_module.BOOTSTRAP.replace(
            come, f"from devices.agent import watchdog\n{code}\n{come}"
        )
        monkeypatch.setattr(archive_module, "BOOTSTRAP", changed)

    return change


@pytest.fixture
def errors() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def greeted(errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """An agent that has greeted, and that nobody guards from outside."""
    process = LocalLink().start(agent_arguments("TOKEN", archive()), errors)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(agent_program(archive()))
    assert process.stdout.read(5) == b"TOKEN"
    return process


def ask(process: subprocess.Popen[bytes], verb: str, **fields: object) -> None:
    assert process.stdin is not None
    process.stdin.write(frames.encode({"verb": verb, **fields}))


HANGS = {
    "in Python": "import time; time.sleep(600)",
    "in C, with the lock of the interpreter": "import ctypes; ctypes.PyDLL(None).sleep(600)",
}


@pytest.mark.parametrize("hang", HANGS.values(), ids=HANGS)
def test_a_request_that_takes_far_too_long_ends_the_agent_and_says_where(
    quicken: Quicken, errors: IO[bytes], hang: str
) -> None:
    quicken(
        f"watchdog.GRACE_S = 0.2\ndef instead():\n    {hang}\nimport platform\nplatform.machine = instead"
    )
    with greeted(errors) as process:
        ask(process, "describe", runtime="onnxruntime", threads=1, timeout_s=0.3)
        assert process.wait(60) == 1
    errors.seek(0)
    assert b"in instead" in errors.read()


def test_a_hung_agent_ends_soon_after_its_host_has_gone(quicken: Quicken, errors: IO[bytes]) -> None:
    quicken("watchdog.GRACE_S = 0.2")
    with greeted(errors) as process:
        ask(process, "busy_processes", seconds=60, timeout_s=600)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(50) == 1


def test_what_was_asked_before_the_host_went_is_still_done(errors: IO[bytes]) -> None:
    with greeted(errors) as process:
        ask(process, "busy_processes", seconds=0.5)
        said, _ = process.communicate(timeout=60)
        assert b"processes" in said
        assert process.returncode == 0


def test_a_silence_that_is_too_long_ends_the_agent_and_counts_as_a_lost_link(quicken: Quicken) -> None:
    quicken("watchdog.SILENCE_S = 0.3")
    with Connection(LocalLink()) as connection:
        agent = connection._process
        assert agent is not None
        assert agent.wait(60) == watchdog.SILENT_HOST
        with pytest.raises(LinkLost, match="exit status 75"):
            connection.request("conditions")


def test_a_request_is_no_silence(quicken: Quicken) -> None:
    quicken("watchdog.SILENCE_S = 0.2")
    with Connection(LocalLink()) as connection:
        assert connection.request("busy_processes", seconds=1.5)["processes"] is not None


@pytest.mark.slow
def test_a_host_that_is_killed_takes_its_agent_with_it() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from devices.connection import Connection\n"
        "from devices.links.local import LocalLink\n"
        "with Connection(LocalLink()) as connection:\n"
        "    print(flush=True)\n"
        "    connection.request('busy_processes', timeout_s=600, seconds=60)\n"
    )
    host = subprocess.Popen([sys.executable, "-c", program, os.getcwd()], stdout=subprocess.PIPE)
    with host:
        assert host.stdout is not None
        host.stdout.readline()
        agents = descendants(host.pid)
        host.kill()
    assert agents
    assert wait_until(lambda: not any(map(is_alive, agents)))


def wake_ups(agent: int) -> dict[str, str]:
    """How often each further thread of an agent has begun to wait."""
    others = [task for task in Path(f"/proc/{agent}/task").iterdir() if task.name != str(agent)]
    told = {task.name: (task / "status").read_text() for task in others}
    return {task: text.partition("voluntary_ctxt_switches:")[2].split()[0] for task, text in told.items()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system")
def test_nothing_wakes_up_while_a_graph_is_timed(errors: IO[bytes]) -> None:
    with greeted(errors) as process:
        ask(process, "busy_processes", seconds=60)  # waits as a graph does that computes elsewhere
        assert wait_until(lambda: len(wake_ups(process.pid)) == 2)
        time.sleep(0.1)
        before = wake_ups(process.pid)
        time.sleep(0.5)
        assert wake_ups(process.pid) == before
        process.kill()


# --- files that a runtime writes


def test_a_folder_of_an_agent_that_was_killed_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for owner in (gone.pid, os.getpid()):
        (tmp_path / f"{scratch.PREFIX}{owner}-x").mkdir()
        (tmp_path / f"{scratch.PREFIX}{owner}-x" / "file").touch()
    (tmp_path / "others").mkdir()
    with scratch.folder() as folder:
        assert {path.name for path in tmp_path.iterdir()} == {
            "others", f"{scratch.PREFIX}{os.getpid()}-x", Path(folder).name,
        }  # fmt: skip
    assert not Path(folder).exists()


def test_an_agent_that_ends_in_the_middle_leaves_no_file(
    quicken: Quicken, errors: IO[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    quicken(
        "watchdog.GRACE_S = 0.2\n"
        "import platform, time\nfrom devices.agent import scratch\n"
        "def instead():\n    with scratch.folder(): time.sleep(600)\n"
        "platform.machine = instead"
    )
    with greeted(errors) as process:
        ask(process, "describe", runtime="onnxruntime", threads=1)
        assert wait_until(lambda: list(tmp_path.iterdir()) != [])
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
    assert list(tmp_path.iterdir()) == []
