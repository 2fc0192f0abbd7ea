"""A thousand graphs through one agent: neither memory nor handles, threads or files pile up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from devices.agent_device import AgentDevice
from devices.catalog import settings_for
from devices.links.local import LocalLink

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")

LARGEST_GROWTH_BYTES = {"onnxruntime": 4_000_000, "litert": 4_000_000, "pytorch": 12_000_000}
"""PyTorch keeps the source text of every graph it was ever given: some kilobytes each."""


def convolution(channels: int) -> bytes:
    """A graph with about 80 kB of weights."""
    shapes = {"input": (1, 32, 16, 16), "output": (1, channels, 16, 16)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in shapes}
    weights = np.random.default_rng(channels).standard_normal((channels, 32, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["middle"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["middle"], ["output"]),
    ]
    constants = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "graph", [values["input"]], [values["output"]], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


class WatchedLink(LocalLink):
    """This computer; remembers the process of the agent."""

    pid = 0

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        process = super().start(arguments, stderr)
        self.pid = process.pid
        return process


def held(pid: int) -> dict[str, int]:
    """What a process holds now: bytes of memory, open files, threads."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return {
        "bytes": int(status["VmRSS"].split()[0]) * 1024,
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(status["Threads"]),
    }


def pass_through(
    device: AgentDevice, link: WatchedLink, graphs: Sequence[bytes], warm: int, count: int, inside: bool
) -> tuple[dict[str, int], dict[str, int]]:
    """Load, time and drop so many graphs in one agent; what it holds after the first ones, and at the end."""
    early: dict[str, int] = {}
    with device.process() as process:
        for number in range(count):
            name = f"graph {number}"
            process.load(name, graphs[number % len(graphs)])
            process.time(name, 2)
            if inside and number % 10 == 0:
                process.node_times(name, graphs[number % len(graphs)])
            if number % 24 == 0:
                process.conditions()
            process.unload(name)
            if number + 1 == warm:
                early = held(link.pid)
        return early, held(link.pid)


@pytest.mark.parametrize(
    ("runtime", "warm", "count"),
    [
        pytest.param("onnxruntime", 100, 200, id="onnxruntime-200"),
        pytest.param("onnxruntime", 100, 1000, id="onnxruntime-1000", marks=pytest.mark.slow),
        pytest.param("litert", 100, 1000, id="litert-1000", marks=pytest.mark.slow),
        pytest.param("pytorch", 100, 1000, id="pytorch-1000", marks=pytest.mark.slow),
    ],
)
def test_a_thousand_graphs_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, warm: int, count: int
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    link = WatchedLink()
    device = AgentDevice("cpu", link, settings_for(runtime))
    graphs = [convolution(60 + size) for size in range(10)]
    early, late = pass_through(device, link, graphs, warm, count, inside=runtime == "onnxruntime")
    print(f"{runtime}: {early} after {warm} graphs, {late} after {count}")
    assert late["bytes"] - early["bytes"] < LARGEST_GROWTH_BYTES[runtime], (early, late)
    assert late["files"] == early["files"]
    assert late["threads"] <= early["threads"]
    assert list(tmp_path.iterdir()) == []
