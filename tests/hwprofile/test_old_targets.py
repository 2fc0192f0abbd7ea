"""A bench through an agent on a board of some years ago: Python 3.8 and an ONNX Runtime of that time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import onnx
import pytest

from devices.agent_device import AgentDevice
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import bench
from hwprofile.catalog import default_table
from hwprofile.display import SilentProgress
from hwprofile.subjects import SpaceSubject
from ponas_core.space_file import load_space
from tests.devices.test_agent import PythonLink, python38

OLDEST, NEWEST = "1.9.0", "1.19.2"
"""The first release that reads our files (IR version 8), and the last one for Python 3.8."""


@pytest.fixture(scope="module")
def interpreter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Python 3.8 in an environment of its own, with the release that the test asks for."""
    python = python38()
    if python is None:
        pytest.skip("no Python 3.8 in ~/.pyenv or on PATH")
    folder = tmp_path_factory.mktemp("python38")
    subprocess.run([python, "-m", "venv", str(folder)], check=True, capture_output=True)
    own = str(folder / "bin" / "python")
    install = [own, "-m", "pip", "install", "--only-binary=:all:", f"onnxruntime=={request.param}"]
    done = subprocess.run(install, check=False, capture_output=True, timeout=300)
    if done.returncode:
        pytest.skip(f"pip cannot install it: {done.stderr.decode()[-200:]}")
    return own


@pytest.mark.slow
@pytest.mark.parametrize("interpreter", [OLDEST, NEWEST], indirect=True)
def test_a_space_is_benched_under_python_38(interpreter: str, tiny_toml: Path, tmp_path: Path) -> None:
    space = load_space(tiny_toml)
    device = AgentDevice("board", PythonLink(interpreter), Settings())
    subject = SpaceSubject(space, default_table(space), str(tiny_toml), 1, 3, inline=True)
    goal = Goal(precision=0.5, rounds=2, most_rounds=3)
    profile = bench(device, subject, tmp_path / "p.profile.jsonl", goal, SilentProgress()).profile
    assert profile.finished
    assert profile.header.software["python"].startswith("3.8.")
    assert profile.header.identity["runtime_version"] in (OLDEST, NEWEST)
    assert set(profile.of_kind("block")) == set(space.keyed_blocks)
    assert profile.errors == {}
    for name in profile.names:
        visits = profile.usable_visits(name)
        assert len(visits) >= 2
        assert all(visit.cpu_ns is not None and len(visit.cpu_ns) == len(visit.wall_ns) for visit in visits)
        model = onnx.load_from_string(subject.graph(name, profile.kinds[name]).onnx())
        assert (model.ir_version, model.opset_import[0].version) == (8, 13)
    assert any(profile.usable_insides(name) for name in profile.insides)
