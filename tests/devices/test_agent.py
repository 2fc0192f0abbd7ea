"""The agent: what it may import, what it answers, and what it leaves behind."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import pytest
from onnx import TensorProto

from devices.agent import frames, onnxruntime_runtime
from devices.archive import BOOTSTRAP, archive
from devices.connection import Connection, RequestFailed
from devices.links.link import Link
from devices.links.local import LocalLink
from devices.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "devices" / "agent").rglob("*.py"))
STDLIB = sys.stdlib_module_names - {"graphlib", "tomllib", "zoneinfo"}  # these came after Python 3.8


# --- what travels


def imports(source: str) -> tuple[set[str], set[str]]:
    """Names of the modules imported when the file is imported, and of those imported inside functions."""
    tree = ast.parse(source, feature_version=(3, 8))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    inside = {node for outer in ast.walk(tree) if isinstance(outer, functions) for node in ast.walk(outer)}
    at_import: set[str] = set()
    later: set[str] = set()
    for node in ast.walk(tree):
        (later if node in inside else at_import).update(imported(node))
    return at_import, later


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


def is_stdlib(name: str) -> bool:
    return name.partition(".")[0] in STDLIB


def test_the_import_check_sees_what_it_looks_for() -> None:
    source = (
        "import torch.nn\nif 1:\n  from . import a\nclass C:\n  def f(self):\n    from onnx import helper"
    )
    assert imports(source) == ({"torch.nn", "."}, {"onnx"})
    assert not any(map(is_stdlib, ["torch.nn", ".", "onnx", "tomllib"]))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_importing_the_agent_needs_the_standard_library_only(path: Path) -> None:
    at_import, _ = imports(path.read_text())
    strange = {name for name in at_import if not is_stdlib(name)}
    assert {name for name in strange if name.partition(".agent")[:2] != ("devices", ".agent")} == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_functions_of_the_agent_import_nothing_but_numpy_and_the_runtime(path: Path) -> None:
    _, later = imports(path.read_text())
    assert {name for name in later if not is_stdlib(name)} <= {
        "numpy",
        "onnxruntime",
        "ai_edge_litert",
        "tflite_runtime",
        "torch",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_agent_never_asks_for_the_name_of_a_host_or_a_user(path: Path) -> None:
    words = {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for node in ast.walk(ast.parse(path.read_text()))
    }
    assert not words & {"node", "uname", "gethostname", "getfqdn", "getlogin", "getuser", "expanduser", "pwd"}


def test_the_archive_holds_exactly_the_agent() -> None:
    with zipfile.ZipFile(io.BytesIO(archive())) as bundle:
        held = {name: bundle.read(name) for name in bundle.namelist()}
    assert held.pop("devices/__init__.py") == b""
    assert held == {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in FILES}
    assert "devices/agent/main.py" in held


# --- targets without a runtime, also under the oldest Python


def python38() -> str | None:
    found = sorted(Path.home().glob(".pyenv/versions/3.8*/bin/python"))
    return str(found[-1]) if found else shutil.which("python3.8")


class PythonLink(Link):
    """This computer under another interpreter, with some code run before the agent comes."""

    def __init__(self, python: str, *options: str, before: str = "", stderr: Path | None = None) -> None:
        self.command = [python, *options]
        self.before = before
        self.stderr = stderr

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        flag, program, *rest = arguments
        with open(self.stderr, "wb") if self.stderr else os.fdopen(os.dup(stderr.fileno()), "wb") as errors:
            return subprocess.Popen(
                [*self.command, flag, f"{self.before}\n{program}", *rest],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )


@pytest.fixture(scope="module", params=["this Python", "Python 3.8"])
def bare_python(request: pytest.FixtureRequest) -> str:
    """An interpreter that will be run without its site-packages, hence without any runtime."""
    python = sys.executable if request.param == "this Python" else python38()
    if python is None:
        pytest.skip("no Python 3.8 in ~/.pyenv or on PATH")
    return python


@pytest.fixture(scope="module")
def bare(bare_python: str) -> Iterator[Connection]:
    with Connection(PythonLink(bare_python, "-I", "-S")) as connection:
        yield connection


def test_an_agent_without_a_runtime_tells_its_conditions(bare: Connection) -> None:
    found = bare.request("conditions")["conditions"]
    assert set(found) >= {
        "load_1min", "runnable_tasks", "cpu_mhz", "governor", "turbo", "throttle_count", "temperature_c",
        "power_mode", "gpus", "affinity", "processors", "clock_s", "busy_s", "busy_here_s", "stolen_s",
        "own_s", "parent_s", "context_switches", "preemptions", "cpu_quota", "quota_lacked_s",
        "cpu_pressure_s", "memory_pressure_s",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "package"),
    [("onnxruntime", "onnxruntime"), ("litert", "ai-edge-litert"), ("pytorch", "torch")],
)
def test_an_agent_without_a_runtime_names_what_to_install(
    bare: Connection, runtime: str, package: str
) -> None:
    with pytest.raises(RequestFailed, match=f"{package} is not installed; run: pip install {package}"):
        bare.request("describe", runtime=runtime, threads=1)


def test_an_agent_without_a_runtime_answers_a_load(bare: Connection, tiny: bytes) -> None:
    with pytest.raises(RequestFailed, match=r"ModuleNotFoundError: .*onnxruntime"):
        load(bare, tiny)


@pytest.mark.parametrize("verb", ["dance", "", None, 3, ["load"], "__init__", "answer"])
def test_an_unknown_verb_is_answered_with_the_known_ones(bare: Connection, verb: Any) -> None:
    with pytest.raises(
        RequestFailed, match=r"unknown verb .*known: describe, conditions, load, time, unload"
    ):
        bare.request(verb)


def test_the_timing_loop_runs_under_every_python(bare_python: str) -> None:
    program = (
        "import json, sys; sys.path.insert(0, sys.argv[1])\n"
        "from devices.agent import loaded, timing\n"
        "graph = loaded.Loaded(lambda: sum(range(100)))\n"
        "print(json.dumps(timing.Timed(graph).visit(timing.Plan(samples=3))))"
    )
    command = [bare_python, "-I", "-S", "-c", program, str(ROOT)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert len(found["wall_ns"]) == len(found["cpu_ns"]) == 3


# --- errors are answers


@pytest.fixture(scope="module")
def agent() -> Iterator[Connection]:
    with Connection(LocalLink()) as connection:
        yield connection


def load(connection: Connection, graph: bytes, name: str = "graph", **changes: object) -> None:
    settings = {**asdict(Settings()), **changes}
    connection.request("load", graph, id=name, runtime="onnxruntime", settings=settings)


def assert_well(connection: Connection, graph: bytes) -> None:
    load(connection, graph, "next")
    plan = {"samples": 1, "warmup_ms": 0.0}
    assert len(connection.request("time", id="next", plan=plan)["wall_ns"]) == 1
    connection.request("unload", id="next")


@pytest.mark.parametrize("graph", [b"", b"no graph", b"\x08\x08" * 100, b"\xff" * 5000])
def test_bytes_that_are_no_graph_are_an_answer(agent: Connection, tiny: bytes, graph: bytes) -> None:
    with pytest.raises(RequestFailed):
        load(agent, graph)
    assert_well(agent, tiny)


def test_a_graph_that_is_cut_off_is_an_answer(agent: Connection, tiny: bytes) -> None:
    with pytest.raises(RequestFailed):
        load(agent, tiny[: len(tiny) // 2])
    assert_well(agent, tiny)


@pytest.mark.parametrize("shape", [("N", 8), (1, 0), (1, "height")])
def test_an_input_without_a_fixed_shape_is_an_answer(
    agent: Connection, tiny: bytes, make_graph: Callable[..., bytes], shape: Sequence[int | str]
) -> None:
    with pytest.raises(RequestFailed, match=r"input 'input' has the dynamic shape \[.*\]; fix its sizes"):
        load(agent, make_graph(shape))
    assert_well(agent, tiny)


@pytest.mark.parametrize("kind", [TensorProto.STRING, TensorProto.UINT16, TensorProto.BFLOAT16])
def test_an_input_that_cannot_be_filled_is_an_answer(
    agent: Connection, tiny: bytes, make_graph: Callable[..., bytes], kind: int
) -> None:
    with pytest.raises(RequestFailed, match=r"input 'input' has type tensor\(\w+\), which cannot be filled"):
        load(agent, make_graph(kind=kind, operator="Identity"))
    assert_well(agent, tiny)


def test_an_absent_provider_is_answered_with_the_present_ones(agent: Connection, tiny: bytes) -> None:
    with pytest.raises(
        RequestFailed, match=r"provider Imagined is absent here; present: .*CPUExecutionProvider"
    ):
        load(agent, tiny, provider="Imagined")
    assert_well(agent, tiny)


@pytest.mark.parametrize(
    ("verb", "fields"),
    [
        ("time", {"id": "never loaded", "plan": {}}),
        ("time", {}),
        ("load", {}),
        ("load", {"id": "a", "runtime": "imagined", "settings": {}}),
        ("describe", {"runtime": "imagined", "threads": 1}),
        ("describe", {"runtime": "onnxruntime", "threads": "many"}),
        ("unload", {}),
    ],
)
def test_a_request_about_something_unknown_is_an_answer(
    agent: Connection, tiny: bytes, verb: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(RequestFailed, match="Error: "):
        agent.request(verb, **fields)
    assert_well(agent, tiny)


@pytest.mark.parametrize("plan", [{"patience": 3}, {"samples": "three"}, ["samples"], None])
def test_a_malformed_plan_is_an_answer(agent: Connection, tiny: bytes, plan: object) -> None:
    load(agent, tiny)
    with pytest.raises(RequestFailed, match="TypeError"):
        agent.request("time", id="graph", plan=plan)
    assert_well(agent, tiny)


def test_a_graph_that_was_dropped_is_unknown(agent: Connection, tiny: bytes) -> None:
    load(agent, tiny, "dropped")
    agent.request("unload", id="dropped")
    agent.request("unload", id="dropped")
    with pytest.raises(RequestFailed, match="dropped"):
        agent.request("time", id="dropped", plan={})


# --- graphs that it takes


KINDS = {
    "tensor(float)": TensorProto.FLOAT,
    "tensor(float16)": TensorProto.FLOAT16,
    "tensor(double)": TensorProto.DOUBLE,
    "tensor(int64)": TensorProto.INT64,
    "tensor(int32)": TensorProto.INT32,
    "tensor(int8)": TensorProto.INT8,
    "tensor(uint8)": TensorProto.UINT8,
    "tensor(bool)": TensorProto.BOOL,
}


def test_every_kind_of_input_is_tried_here() -> None:
    assert set(KINDS) == set(onnxruntime_runtime._TYPES)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_known_kind_of_input_is_filled(
    agent: Connection, make_graph: Callable[..., bytes], kind: int
) -> None:
    assert_well(agent, make_graph(kind=kind, operator="Identity"))


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3, 4, 5)])
def test_inputs_of_every_rank_are_filled(
    agent: Connection, make_graph: Callable[..., bytes], shape: Sequence[int]
) -> None:
    assert_well(agent, make_graph(shape))


# --- streams


LOUD = """
import os, platform, subprocess, sys
def loud(quiet=platform.machine):
    os.write(1, b"from the descriptor;")
    print("from print;")
    sys.stdout.flush()
    subprocess.run(["echo", "from a child;"])
    import ctypes
    ctypes.CDLL(None).puts(b"from C;")
    ctypes.CDLL(None).fflush(None)
    return quiet()
platform.machine = loud
"""


def test_what_a_runtime_prints_does_not_reach_the_host(tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    with Connection(PythonLink(sys.executable, before=LOUD, stderr=errors)) as connection:
        for _ in range(2):
            answer = connection.request("describe", runtime="onnxruntime", threads=1)
            assert answer["identity"]["runtime"] == "onnxruntime"
    for words in (b"from the descriptor;", b"from print;", b"from a child;", b"from C;"):
        assert errors.read_bytes().count(words) == 2


def start(program: bytes, errors: IO[bytes], link: Link | None = None) -> subprocess.Popen[bytes]:
    """An agent that was sent its program, by hand."""
    process = (link or LocalLink()).start(["-c", BOOTSTRAP, str(len(program)), "TOKEN"], errors)
    assert process.stdin is not None
    process.stdin.write(program)
    return process


def end(process: subprocess.Popen[bytes]) -> bytes:
    """What an agent still says after its input has ended."""
    said, _ = process.communicate(timeout=60)
    return said


def test_the_agent_ends_when_its_input_ends() -> None:
    with tempfile.TemporaryFile() as errors:
        process = start(archive(), errors)
        assert end(process) == b"TOKEN"
        assert process.returncode == 0


def test_the_agent_answers_what_it_was_asked_before_its_input_ended() -> None:
    with tempfile.TemporaryFile() as errors:
        process = start(archive(), errors)
        assert process.stdin is not None
        process.stdin.write(frames.encode({"verb": "dance"}))
        stream = io.BytesIO(end(process).removeprefix(b"TOKEN"))
        assert "unknown verb" in frames.read(stream.read)[0]["error"]
        assert process.returncode == 0


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\n\r\n", frames.encode({"verb": "load"}, b"12345") + b"123"]
)
def test_an_agent_that_is_sent_no_frame_ends_and_says_why(sent: bytes) -> None:
    with tempfile.TemporaryFile() as errors:
        process = start(archive(), errors)
        assert process.stdin is not None
        process.stdin.write(sent)
        assert end(process) == b"TOKEN"
        assert process.returncode != 0
        errors.seek(0)
        assert b"FrameError" in errors.read()


# --- nothing is left behind


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of processes started from here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    os.utime(tmp_path, (0, 0))
    return tmp_path


def was_used(folder: Path) -> bool:
    return folder.stat().st_mtime > 0


def test_the_agent_writes_no_file(scratch: Path, tiny: bytes) -> None:
    with Connection(LocalLink()) as connection:
        assert not was_used(scratch)
        assert_well(connection, tiny)
    assert list(scratch.iterdir()) == []


def test_an_agent_that_cannot_be_imported_writes_no_file(scratch: Path) -> None:
    with tempfile.TemporaryFile() as errors:
        # without site-packages, where an installed `devices` would take the place of the archive
        process = start(b"this is no archive", errors, PythonLink(sys.executable, "-I", "-S"))
        assert end(process) == b""
        assert process.returncode != 0
    assert not was_used(scratch)
