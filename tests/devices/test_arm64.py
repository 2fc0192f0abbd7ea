"""The agent on Python and ONNX Runtime for ARM64, emulated: right answers, times marked as worthless."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx import TensorProto, helper

from devices.agent_device import AgentDevice
from devices.links.link import Link
from devices.links.local import LocalLink
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench_report import to_json
from hwprofile.cli import main
from hwprofile.session import Session
from ponas_core.blocks import BLOCK_KINDS
from ponas_core.onnx_graph import block_model, network_model
from ponas_core.space_file import load_space
from tests.devices.arm64 import InterpreterLink, arm64_python
from tests.devices.ssh_server import SshServer

pytestmark = pytest.mark.arm64

LARGEST_DIFFERENCE = 1e-5
PROGRAM_TIMEOUT_S = 300
GRAPH_TIMEOUT_S = 120.0

ANSWERS = """
import sys
import numpy, onnxruntime
given, found = numpy.load(sys.argv[1]), {}
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 3
for name in given.files:
    if name.startswith("graph "):
        graph = given[name].tobytes()
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        number = name[len("graph "):]
        found[number] = session.run(None, {"input": given["input " + number]})[0]
numpy.savez(sys.argv[2], **found)
"""

SPACE = """
schema_version = 1
name = "one-kind"
description = "a stem, one block, a head"
input = [3, 16, 16]
activation = "hswish"
[[stem]]
block = "conv_k3"
channels = 8
[[stages]]
layers = 1
channels = 8
blocks = ["{block}"]
[[head]]
block = "{head}"
channels = 10
"""

TINY = SPACE.format(block='mb_k3_e2", "mb_k3_e4_se', head="classifier")


@pytest.fixture(scope="module")
def python() -> Path:
    return arm64_python()


@pytest.fixture(params=["local", "ssh"])
def link(request: pytest.FixtureRequest, python: Path) -> Link:
    """A link to the emulated Python: as a child process, and through an SSH server on this machine."""
    if request.param == "local":
        return InterpreterLink(python)
    server: SshServer = request.getfixturevalue("board_server")
    return server.link(python=str(python))


def emulated_device(link: Link) -> AgentDevice:
    return AgentDevice("arm", link, Settings(), graph_timeout_s=GRAPH_TIMEOUT_S)


def graph_of(example: str, folder: Path) -> bytes:
    """A graph that holds a block of this kind, small: alone, or in a network where it leaves no operator."""
    in_head = example.startswith("classifier")
    words = {"block": "conv_k3" if in_head else example, "head": example if in_head else "classifier"}
    path = folder / "space.toml"
    path.write_text(SPACE.format(**words))
    space = load_space(path)
    layer = space.layers[0]
    if in_head or not layer.recipe(0).operators:
        return bytes(network_model(space.sample(np.random.default_rng(0))).SerializeToString())
    return bytes(block_model(layer, 0).SerializeToString())


def write_own_block(path: Path) -> None:
    """A user's own file: a convolution and a sigmoid, which no other kind of block has."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8, 16, 16)) for name in ("input", "y")
    ]
    kernel = np.random.default_rng(1).standard_normal((8, 8, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["x"], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["x"], ["y"]),
    ]
    weights = [onnx.numpy_helper.from_array(kernel, "kernel")]
    graph = helper.make_graph(nodes, "own", values[:1], values[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def answers(link: Link, graphs: Mapping[str, bytes], folder: Path) -> dict[str, NDArray[Any]]:
    """What the target's ONNX Runtime computes."""
    given, found = folder / "given.npz", folder / "found.npz"
    arrays: dict[str, NDArray[Any]] = {}
    for name, graph in graphs.items():
        shape = [
            dim.dim_value for dim in onnx.load_from_string(graph).graph.input[0].type.tensor_type.shape.dim
        ]
        arrays[f"graph {name}"] = np.frombuffer(graph, np.uint8)
        arrays[f"input {name}"] = np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    np.savez(given, **arrays)  # type: ignore[arg-type] # names are no options
    with tempfile.TemporaryFile() as errors:
        process = link.start(["-c", ANSWERS, str(given), str(found)], errors)
        with process:
            process.wait(PROGRAM_TIMEOUT_S)  # not for the end of its streams: a shared connection lives on
        errors.seek(0)
        assert process.returncode == 0, errors.read().decode()
    with np.load(found) as archive:
        return {name: archive[name] for name in archive.files}


def test_every_kind_of_block_gives_the_same_numbers(link: Link, tmp_path: Path) -> None:
    write_own_block(tmp_path / "file.onnx")
    graphs = {example: graph_of(example, tmp_path) for _, example in BLOCK_KINDS}
    expected = answers(LocalLink(), graphs, tmp_path)
    found = answers(link, graphs, tmp_path)
    assert set(found) == set(expected) == set(graphs)
    for name, array in expected.items():
        assert np.abs(array).max() > 0, name
        assert np.abs(found[name] - array).max() <= LARGEST_DIFFERENCE * max(1.0, np.abs(array).max()), name


def test_the_target_says_what_it_is(link: Link) -> None:
    with emulated_device(link).process(detailed=True) as process:
        assert process.identity["machine"] == "aarch64"
        assert process.identity["emulated"] == "qemu"
        assert process.identity["cpu_model"] == "ARM implementer 0x41 part 0xd08"
        assert process.software["runtime_build"]["package"] == "onnxruntime"


def test_a_bench_completes_and_its_profile_is_never_trusted(
    link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWPROFILE_HOME", str(tmp_path / "home"))
    (tmp_path / "tiny.toml").write_text(TINY)
    goal = Goal(precision=0.5, rounds=2, most_rounds=2)
    report = Session(emulated_device(link), goal, calibrate=1, quiet=True).bench(str(tmp_path / "tiny.toml"))
    assert report.profile.finished
    assert report.profile.errors == {}
    assert report.profile.header.identity["emulated"] == "qemu"
    facts = to_json(report)
    assert not facts["quiet"]
    assert "those of an emulator (qemu), not of the aarch64 processor" in facts["why_disturbed"]

    shown = CliRunner().invoke(main, ["show", str(report.profile.path), "--json"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["why_disturbed"] == facts["why_disturbed"]
    # as a program: exit codes are what its main gives
    command = [sys.executable, "-m", "hwprofile", "show", str(report.profile.path), "--strict"]
    strict = subprocess.run(command, check=False, capture_output=True, text=True)
    assert strict.returncode == 3
    assert "emulator (qemu)" in strict.stderr
