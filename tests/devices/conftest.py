"""Tiny graphs that the tests of this room share."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from tests.devices.ssh_server import SshServer, ssh_server


def one_operator(
    shape: Sequence[int | str] = (1, 8), kind: int = TensorProto.FLOAT, operator: str = "Relu"
) -> bytes:
    """A graph of one operator with one input."""
    values = [helper.make_tensor_value_info(name, kind, shape) for name in ("input", "output")]
    node = helper.make_node(operator, ["input"], ["output"])
    graph = helper.make_graph([node], operator, values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def make_graph() -> Callable[..., bytes]:
    return one_operator


@pytest.fixture(scope="session")
def tiny() -> bytes:
    return one_operator()


@pytest.fixture(scope="session")
def board_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """An SSH server on this machine; skips where there is none to start."""
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """Gives the folder of a wheel that pip downloads; skips where it cannot."""

    def folder_of(distribution: str) -> Path:
        wheels, folder = tmp_path / "wheels", tmp_path / "unpacked"
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "-q",
            "-d",
            str(wheels),
            distribution,
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip cannot download {distribution}: {done.stderr.strip()[-200:]}")
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as file:
                file.extractall(folder)
        return folder

    return folder_of
