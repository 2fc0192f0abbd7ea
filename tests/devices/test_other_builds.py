"""Other builds and older versions of ONNX Runtime, each in a throw-away environment: a target of its own."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.agent_device import AgentDevice
from devices.connection import RequestFailed
from devices.settings import Settings
from ponas_core.onnx_graph import block_model
from ponas_core.space_file import shipped_space
from tests.devices.arm64 import InterpreterLink

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

OLD = "onnxruntime==1.15.1"
"""Before it there was no option that forbids the CPU provider as a stopgap."""
OPENVINO, GPU = "onnxruntime-openvino", "onnxruntime-gpu"
INSTALL_TIMEOUT_S = 500

SAME = """
import sys, numpy, onnxruntime
graph, provider = open(sys.argv[1], "rb").read(), sys.argv[2]
found = []
for name in ("CPUExecutionProvider", provider):
    session = onnxruntime.InferenceSession(graph, providers=[name])
    value = session.get_inputs()[0]
    given = numpy.random.default_rng(0).standard_normal(value.shape).astype("float32")
    found.append(session.run(None, {value.name: given})[0])
numpy.save(sys.argv[3], numpy.stack(found))
"""


@pytest.fixture(scope="module")
def python_with(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """An interpreter that has this package; skips where it cannot be had."""
    made: dict[str, Path] = {}

    def make(package: str) -> Path:
        if package not in made:
            folder = tmp_path_factory.mktemp("environment")
            python = folder / "bin" / "python"
            install = [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--only-binary=:all:",
                package,
                "numpy",
            ]
            # what was compiled against NumPy 1 does not start with NumPy 2
            install += ["numpy<2"] if package == OLD else []
            for command in ([sys.executable, "-m", "venv", str(folder)], install):
                ended = subprocess.run(
                    command, check=False, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S
                )
                if ended.returncode:
                    pytest.skip(f"{package} cannot be had here: {ended.stderr.strip()[-300:]}")
            made[package] = python
        return made[package]

    return make


@pytest.fixture(scope="module")
def block() -> bytes:
    """A block large enough that memory given back too early is used again by others."""
    return bytes(block_model(shipped_space("ofa-mbv3").layers[-3], 0).SerializeToString())


def target(python: Path, provider: str = "CPUExecutionProvider") -> AgentDevice:
    return AgentDevice("other", InterpreterLink(python), Settings(provider=provider))


@pytest.mark.parametrize(
    ("package", "provider"),
    [
        (OLD, "CPUExecutionProvider"),
        (OPENVINO, "CPUExecutionProvider"),
        (OPENVINO, "OpenVINOExecutionProvider"),
        (OPENVINO, "OpenVINOExecutionProvider+cpu"),
        (GPU, "CPUExecutionProvider"),
    ],
)
def test_another_build_times_graphs(
    package: str, provider: str, python_with: Callable[[str], Path], block: bytes
) -> None:
    with target(python_with(package), provider).process(detailed=True) as process:
        assert process.software["runtime_build"]["package"] == package.partition("==")[0]
        for name in "abcdef":  # memory that is given back too early shows after some of them
            process.load(name, block)
            assert process.time(name, 2).wall_ns
            assert process.node_times(name, block).nodes


def test_openvino_gives_the_numbers_of_the_processor(
    python_with: Callable[[str], Path], block: bytes, tmp_path: Path
) -> None:
    (tmp_path / "block.onnx").write_bytes(block)
    words = [str(tmp_path / "block.onnx"), "OpenVINOExecutionProvider", str(tmp_path / "found.npy")]
    subprocess.run([str(python_with(OPENVINO)), "-c", SAME, *words], check=True, capture_output=True)
    expected, found = np.load(tmp_path / "found.npy")
    assert np.abs(expected).max() > 0
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def has_cuda() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_cuda(), reason="there is a driver for CUDA here")
@pytest.mark.parametrize("provider", ["CUDAExecutionProvider", "TensorrtExecutionProvider"])
@pytest.mark.parametrize("suffix", ["", "+cpu", "+graph", "+cpu+graph"])
def test_a_build_for_cuda_without_cuda_is_an_error(
    provider: str, suffix: str, python_with: Callable[[str], Path], block: bytes
) -> None:
    message = f"provider {provider} is in this build of onnxruntime, but cannot be started"
    with target(python_with(GPU), provider + suffix).process() as process:
        assert process.identity["gpu"] is None
        with pytest.raises(RequestFailed, match=message):
            process.load("block", block)
