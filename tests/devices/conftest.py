"""Tiny graphs that the tests of this room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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
