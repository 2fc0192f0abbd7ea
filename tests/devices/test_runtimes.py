"""The two halves of a runtime find each other, and a target imports only the one that it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devices.agent.runtimes import runtime
from devices.archive import archive
from devices.connection import Connection, RequestFailed
from devices.links.local import LocalLink
from devices.runtimes.catalog import RUNTIMES

HALF = """
NAME = "echo"
def version():
    import sys
    return ",".join(sorted(name for name in sys.modules if name.endswith("_runtime")))
"""


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_has_its_other_half(name: str) -> None:
    half = runtime(name)
    assert (half.NAME, RUNTIMES[name].name) == (name, name)
    assert callable(half.load)
    # TensorRT is on no computer that runs these tests
    assert RUNTIMES[name].installed() or name == "tensorrt"


@pytest.mark.parametrize("name", ["", "../main", "os", "a.b", "Onnxruntime", "onnxruntime_runtime", None, 3])
def test_what_is_no_runtime_is_not_imported(name: object) -> None:
    with pytest.raises(ValueError, match=r"is no name of a runtime|brings no runtime"):
        runtime(name)  # type: ignore[arg-type]  # a target must not trust its host


def test_a_half_that_needs_what_is_not_there_says_so() -> None:
    program = archive("echo", b"import not_there")
    missing = pytest.raises(RequestFailed, match="No module named 'not_there'")
    with Connection(LocalLink(), program) as connection, missing:
        connection.request("describe", runtime="echo", threads=1)


def test_a_half_of_another_package_travels_and_no_other_is_imported() -> None:
    with Connection(LocalLink(), archive("echo", HALF.encode())) as connection:
        answer = connection.request("describe", runtime="echo", threads=1)
        assert answer["identity"]["runtime_version"] == "devices.agent.echo_runtime"
        with pytest.raises(RequestFailed, match="the agent brings no runtime 'other'"):
            connection.request("describe", runtime="other", threads=1)


def test_a_half_with_an_error_in_it_is_an_answer() -> None:
    with Connection(LocalLink(), archive("echo", b"not = Python")) as connection:
        with pytest.raises(RequestFailed, match="SyntaxError"):
            connection.request("describe", runtime="echo", threads=1)
        assert connection.request("describe", runtime="onnxruntime", threads=1)["identity"]


def test_importing_the_agent_imports_no_runtimes_half() -> None:
    script = "import sys, devices.agent.main; print([x for x in sys.modules if x.endswith('_runtime')])"
    found = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert found.stdout.strip() == "[]"
