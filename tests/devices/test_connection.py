"""The host's end of an agent: greetings, deaths, and nothing left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from devices import connection as connection_module
from devices.agent import frames
from devices.connection import LARGEST_BANNER_BYTES, AgentDied, Connection, LinkLost, NoAnswer, RequestFailed
from devices.links.local import LocalLink


class WatchedLink(LocalLink):
    """This computer; runs some code before the agent comes, and remembers the processes."""

    def __init__(self, before: str = "") -> None:
        self.before = before
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        flag, program, *rest = arguments
        options = ["-X", "faulthandler", flag, f"{self.before}\n{program}", *rest]
        self.started.append(super().start(options, stderr))
        return self.started[-1]

    @property
    def pids(self) -> list[int]:
        return [process.pid for process in self.started]


ROOT = Path(__file__).parents[2]


class ScriptLink(LocalLink):
    """This computer, running a script in place of the agent."""

    def __init__(self, script: str) -> None:
        self.script = script

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        return super().start(["-c", self.script, *arguments[2:]], stderr)


def on_describe(code: str) -> str:
    """Code that an agent runs in the middle of a request."""
    return f"import os, platform, sys, time\ndef instead():\n    {code}\nplatform.machine = instead"


def describe(connection: Connection, timeout_s: float = 60.0) -> frames.Header:
    return connection.request("describe", timeout_s=timeout_s, runtime="onnxruntime", threads=1)


def is_gone(pid: int) -> bool:
    """Whether a child has ended and been waited for; a zombie has not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# --- the greeting


@pytest.mark.parametrize(
    "banner",
    ["'Welcome to Ubuntu\\n'", "'HWPROFILE-' * 100", "'\\0\\xff\\n' * 500", f"'x' * {LARGEST_BANNER_BYTES}"],
)
def test_what_a_login_shell_prints_is_discarded(banner: str) -> None:
    link = WatchedLink(
        f"import sys; sys.stdout.buffer.write(({banner}).encode('latin-1')); sys.stdout.flush()"
    )
    with Connection(link) as connection:
        assert "conditions" in connection.request("conditions")


def test_too_long_a_banner_is_refused() -> None:
    link = WatchedLink(f"import os; os.write(1, b'x' * {LARGEST_BANNER_BYTES + 1})")
    with pytest.raises(AgentDied, match="more than 65536 bytes came before the agent's greeting"):
        Connection(link).__enter__()
    assert all(map(is_gone, link.pids))


def test_an_endless_banner_is_refused() -> None:
    link = ScriptLink("import os\nwhile True: os.write(1, b'login: ')")
    with pytest.raises(AgentDied, match="came before the agent's greeting"):
        Connection(link).__enter__()


def test_an_agent_that_ends_before_its_greeting_is_quoted() -> None:
    link = WatchedLink("import sys; sys.exit('no space left on the board')")
    with pytest.raises(AgentDied, match="its last words: no space left on the board"):
        Connection(link).__enter__()
    assert all(map(is_gone, link.pids))


def test_an_agent_that_never_greets_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "START_TIMEOUT_S", 0.3)
    link = WatchedLink("import time; time.sleep(600)")
    with pytest.raises(AgentDied, match=r"no answer within 0\.3 s"):
        Connection(link).__enter__()
    assert all(map(is_gone, link.pids))


def test_a_greeting_is_another_one_each_time() -> None:
    link = ScriptLink("import sys; sys.exit(sys.argv[2])")
    messages = set()
    for _ in range(2):
        with pytest.raises(AgentDied, match=r"its last words: HWPROFILE-[0-9a-f]{32}$") as caught:
            Connection(link).__enter__()
        messages.add(str(caught.value))
    assert len(messages) == 2


def test_a_link_that_cannot_start_anything_is_an_agent_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(AgentDied, match=r"the agent cannot be started: .*/nowhere/python"):
        Connection(LocalLink()).__enter__()


# --- deaths


@pytest.mark.parametrize(
    ("death", "message"),
    [
        ("os.abort()", "its last words: Fatal Python error: Aborted"),
        (
            "sys.stderr.write('out of memory'); sys.stderr.flush(); os._exit(1)",
            "its last words: out of memory",
        ),
        ("os.kill(os.getpid(), 9)", r"^the other side closed the stream \(killed by SIGKILL\)$"),
        ("raise SystemExit('enough')", "its last words: enough"),
    ],
    ids=["abort", "exit", "kill", "SystemExit"],
)
def test_an_agent_that_dies_in_a_request_is_quoted(death: str, message: str) -> None:
    link = WatchedLink(on_describe(death))
    with Connection(link) as connection:
        with pytest.raises(AgentDied, match=message):
            describe(connection)
        with pytest.raises(AgentDied):
            connection.request("conditions")
    assert all(map(is_gone, link.pids))


def test_long_last_words_are_cut_to_their_end() -> None:
    code = "sys.stderr.write('x' * 100_000 + 'the cause'); sys.stderr.flush(); os._exit(1)"
    with Connection(WatchedLink(on_describe(code))) as connection, pytest.raises(AgentDied) as caught:
        describe(connection)
    assert str(caught.value).endswith("xthe cause")
    assert len(str(caught.value)) < 2200


def test_a_hung_agent_is_an_agent_that_died() -> None:
    code = "sys.stderr.write('waiting for the bus'); sys.stderr.flush(); time.sleep(600)"
    link = WatchedLink(on_describe(code))
    with (
        Connection(link) as connection,
        pytest.raises(AgentDied, match=r"no answer within 1 s.*waiting for the bus"),
    ):
        describe(connection, timeout_s=1.0)
    assert all(map(is_gone, link.pids))


def test_an_agent_that_prints_without_end_does_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LARGEST_STDERR_BYTES", 1_000_000)
    monkeypatch.setattr(connection_module, "WATCH_S", 0.05)
    endless = "while True: os.write(2, b'x' * 1000); time.sleep(1e-5)"
    with (
        Connection(WatchedLink(on_describe(endless))) as connection,
        pytest.raises(AgentDied, match="printed more than 1000000 bytes"),
    ):
        describe(connection)


def test_an_agent_that_prints_much_in_many_requests_does_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LARGEST_STDERR_BYTES", 10_000)
    with Connection(WatchedLink(on_describe("os.write(2, b'x' * 3000); return 'loud'"))) as connection:
        for _ in range(4):
            describe(connection)
        with pytest.raises(AgentDied, match="printed more than 10000 bytes"):
            describe(connection)


def test_an_agent_that_does_not_read_is_an_agent_that_died() -> None:
    link = WatchedLink()
    with Connection(link) as connection:
        os.kill(link.pids[0], signal.SIGSTOP)
        with pytest.raises(AgentDied, match=r"not read within 0\.3 s"):
            connection.request("load", b"x" * 10_000_000, timeout_s=0.3)
    assert all(map(is_gone, link.pids))


def test_an_agent_killed_between_requests_is_an_agent_that_died() -> None:
    link = WatchedLink()
    with Connection(link) as connection:
        link.started[0].kill()
        link.started[0].wait()
        with pytest.raises(AgentDied, match="the agent ended"):
            connection.request("conditions")


GREET_THEN = (
    "import os, sys\n"
    "sys.stdin.buffer.read(int(sys.argv[1]))\n"
    "os.write(1, sys.argv[2].encode() + {!r})\n"
    "os.close(1)\n"
    "sys.stdin.buffer.read()\n"
)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (b"", "the other side closed the stream"),
        (b"Segmentation fault (core dumped)", "not a frame: it begins with b'Segmentation fau'"),
        (frames.encode({"identity": {}})[:-1], "ended inside a frame"),
        (frames.encode({"identity": {}}, b"payload"), "is refused"),
        (frames.encode({"conditions": {}}), "answered another request"),
        (frames.encode({"conditions": {}, "number": 2}), "answered another request"),
        (b"HWP1" + b"\xff" * 12, "is refused"),
        (b"HWP1" + bytes(3) + b"\x02" + bytes(8) + b"[]", "not a JSON object"),
    ],
    ids=["nothing", "text", "half a header", "payload", "no number", "number", "too large", "no object"],
)
def test_what_is_no_answer_is_an_agent_that_died(said: bytes, message: str) -> None:
    with Connection(ScriptLink(GREET_THEN.format(said))) as connection:
        with pytest.raises(AgentDied) as caught:
            connection.request("conditions")
        assert message in str(caught.value)


ANSWER_TWICE = (
    "import os, sys\n"
    "sys.stdin.buffer.read(int(sys.argv[1]))\n"
    "os.write(1, sys.argv[2].encode() + {!r})\n"
    "sys.stdin.buffer.read()\n"
)


def test_a_second_answer_to_one_request_is_not_taken_for_the_next() -> None:
    twice = 2 * frames.encode({"conditions": {"load": 1}, "number": 1})
    with Connection(ScriptLink(ANSWER_TWICE.format(twice))) as connection:
        assert connection.request("conditions") == {"conditions": {"load": 1}}
        with pytest.raises(AgentDied, match="answered another request than the last"):
            connection.request("conditions")


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next() -> None:
    with Connection(WatchedLink(on_describe("time.sleep(1); return 'late'"))) as connection:
        with pytest.raises(NoAnswer):
            describe(connection, timeout_s=0.2)
        with pytest.raises(AgentDied, match="answered another request than the last"):
            connection.request("conditions")


# --- errors that are answers


def test_a_request_that_failed_leaves_the_connection_usable() -> None:
    with Connection(LocalLink()) as connection:
        for _ in range(3):
            with pytest.raises(RequestFailed, match="unknown verb 'dance'"):
                connection.request("dance", b"payload" * 50_000)
            assert "conditions" in connection.request("conditions")


# --- ends


def test_close_may_be_repeated() -> None:
    link = WatchedLink()
    with Connection(link) as connection:
        connection.close()
        connection.close()
        assert all(map(is_gone, link.pids))
    connection.close()


def test_a_process_that_cannot_be_ended_does_not_hold_its_host_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "KILL_TIMEOUT_S", 0.1)
    link = WatchedLink()
    with Connection(link) as connection:
        process = link.started[0]
        # stands in for a process that waits for a device inside the kernel, which no signal ends
        monkeypatch.setattr(process, "kill", lambda: None)
        os.kill(process.pid, signal.SIGSTOP)
        connection.close()
        with pytest.raises(AgentDied, match="the agent is not running"):
            connection.request("conditions")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_a_closed_connection_says_so() -> None:
    with Connection(LocalLink()) as connection:
        connection.close()
        with pytest.raises(AgentDied, match="the agent is not running"):
            connection.request("conditions")


def test_a_connection_that_was_never_opened_says_so_and_can_be_closed() -> None:
    connection = Connection(LocalLink())
    with pytest.raises(AgentDied, match="the agent is not running"):
        connection.request("conditions")
    connection.close()


def test_an_error_on_the_host_ends_the_agent_too() -> None:
    link = WatchedLink()
    with pytest.raises(ZeroDivisionError), Connection(link):
        raise ZeroDivisionError
    assert all(map(is_gone, link.pids))


def test_ctrl_c_in_the_terminal_does_not_reach_the_agent() -> None:
    link = WatchedLink()
    with Connection(link):
        assert os.getsid(link.pids[0]) == link.pids[0]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
def test_twenty_connections_leave_no_process_and_no_descriptor() -> None:
    link, broken = WatchedLink(), WatchedLink("raise SystemExit")
    before = open_descriptors()
    for _ in range(20):
        with Connection(link) as connection:
            connection.request("conditions")
    for _ in range(5):
        with pytest.raises(AgentDied):
            Connection(broken).__enter__()
    assert open_descriptors() == before
    assert len(link.pids) == 20
    assert all(map(is_gone, link.pids + broken.pids))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
def test_a_link_that_cannot_start_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    connection = Connection(LocalLink())
    with pytest.raises(AgentDied):
        connection.__enter__()
    assert open_descriptors() == before


# --- payloads of several parts


ANSWER_PARTS = """
import os, sys
from devices.agent import frames
sink = os.fdopen(os.dup(1), "wb")
sys.stdin.buffer.read(int(sys.argv[1]) + int(sys.argv[3]))
sink.write(sys.argv[2].encode())
sink.flush()
header, payload = frames.read(sys.stdin.buffer.read)
found = {name: data[::-1] for name, data in frames.parts(header, payload).items()}
listed, joined = frames.joined(found)
listed.update({"number": header["number"], **CHANGES})
sink.write(frames.encode(listed, joined) + joined)
sink.flush()
sys.stdin.buffer.read()
"""


def parts_link(**changes: object) -> ScriptLink:
    return ScriptLink(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nCHANGES = {changes!r}\n" + ANSWER_PARTS
    )


def test_a_request_and_its_answer_may_have_payloads_of_several_parts() -> None:
    with Connection(parts_link()) as connection:
        _, found = connection.request_parts(
            "load", {"artefact": b"abc", "engine": b"", "cache": b"12"}, 60.0, 100
        )
    assert found == {"artefact": b"cba", "engine": b"", "cache": b"21"}


@pytest.mark.parametrize("parts", [[["a", 99]], [["a", 1]], "abc", [["a", -1]], [[1, 5]]], ids=str)
def test_parts_that_are_malformed_are_an_agent_that_died(parts: object) -> None:
    with Connection(parts_link(parts=parts)) as connection, pytest.raises(AgentDied, match="part"):
        connection.request_parts("load", {"artefact": b"abcde"}, 60.0, 100)


# --- links that fail


class FlimsyLink(WatchedLink):
    """This computer, through a link that is lost with status 7 and names its host."""

    def __init__(self, before: str = "", answering: bool = True) -> None:
        super().__init__(before)
        self.answering = answering
        self.given_up = 0

    def was_lost(self, exit_status: int) -> bool:
        return exit_status == 7

    def answers(self) -> bool:
        return self.answering

    def give_up(self) -> None:
        self.given_up += 1

    def redacted(self, text: str) -> str:
        return text.replace("kitchen.local", "board")

    def advice(self, text: str) -> str:
        return "plug kitchen.local in" if "cable" in text else ""


CABLE = "sys.stderr.write('kitchen.local: no cable'); sys.stderr.flush(); os._exit({})"


def test_a_lost_link_is_told_apart_from_a_death_and_says_what_helps() -> None:
    link = FlimsyLink(on_describe(CABLE.format(7)))
    with Connection(link) as connection:
        with pytest.raises(LinkLost) as caught:
            describe(connection)
        assert str(caught.value) == (
            "the link was lost: the other side closed the stream (exit status 7); its last words: "
            "board: no cable; plug kitchen.local in"
        )
    assert link.given_up == 1


def test_what_may_be_kept_names_no_host() -> None:
    link = FlimsyLink(on_describe(CABLE.format(8)))
    with Connection(link) as connection:
        with pytest.raises(AgentDied, match=r"board: no cable; plug board in$") as caught:
            describe(connection)
        assert not isinstance(caught.value, LinkLost)
    link = FlimsyLink(on_describe("raise ValueError('/kitchen.local')"))
    with Connection(link) as connection, pytest.raises(RequestFailed, match=r"^ValueError: /board$"):
        describe(connection)
    assert link.given_up == 0


@pytest.mark.parametrize("answering", [True, False])
def test_a_silent_agent_is_blamed_only_where_its_target_answers(answering: bool) -> None:
    link = FlimsyLink(on_describe("time.sleep(600)"), answering)
    expected = pytest.raises(NoAnswer if answering else LinkLost, match=r"no answer within 0\.5 s")
    with Connection(link) as connection, expected:
        describe(connection, timeout_s=0.5)


def test_a_link_that_is_lost_before_the_greeting_is_a_lost_link() -> None:
    with pytest.raises(LinkLost, match=r"^it is not reached: the agent did not start"):
        Connection(FlimsyLink("import os; os._exit(7)")).__enter__()


def test_a_request_tells_how_long_it_may_take() -> None:
    script = (
        "import os, sys\n"
        "sys.stdin.buffer.read(int(sys.argv[1]) + int(sys.argv[3]))\n"
        "os.write(1, sys.argv[2].encode())\n"
        "sys.exit(sys.stdin.buffer.readline().decode('latin-1'))\n"
    )
    with Connection(ScriptLink(script)) as connection, pytest.raises(AgentDied, match=r'"timeout_s":12\.5'):
        connection.request("conditions", b"\n", timeout_s=12.5)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "exit status 3"),
        (-9, "killed by SIGKILL"),
        (-250, "killed by signal 250"),
        (139, "exit status 139: killed by SIGSEGV"),
        (255, "exit status 255"),
    ],
)
def test_an_exit_in_words(code: int, words: str) -> None:
    assert connection_module._exit_in_words(code) == words
