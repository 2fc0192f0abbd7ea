"""The GPU's identity through a made-up driver, and which providers have one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devices.agent import gpu, onnxruntime_runtime, pytorch_runtime
from devices.agent_device import GPU_PLAN, AgentDevice
from devices.connection import Connection
from devices.links.local import LocalLink
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings

DRIVER = """
#include <string.h>
int cuInit(unsigned int flags) { return INIT; }
int cuDeviceGet(int *gpu, int index) { *gpu = 7; return index; }
int cuDeviceGetName(char *name, int length, int gpu) {
  strncpy(name, "Made-up GPU", length); return gpu != 7;
}
int cuDeviceGetAttribute(int *value, int number, int gpu) {
  *value = number == 75 ? 8 : number == 76 ? 7 : 4194304; return gpu != 7;
}
int cuDriverGetVersion(int *version) { *version = 12040; return 0; }
"""
NOTHING = {"gpu": None, "compute_capability": None, "cuda_version": None}
SOMETHING = {"gpu": "Made-up GPU", "compute_capability": "8.7", "cuda_version": "12.4"}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes a driver whose initialisation ends like this."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")

    def make(init: int) -> None:
        source, library = tmp_path / "cuda.c", tmp_path / f"libcuda{init}.so"
        source.write_text(DRIVER)
        command = [compiler, "-w", "-shared", "-fPIC", f"-DINIT={init}", "-o", str(library), str(source)]
        subprocess.run(command, check=True)
        monkeypatch.setattr(gpu, "LIBRARY", str(library))

    return make


def test_the_driver_tells_name_capability_and_version(driver: Callable[[int], None]) -> None:
    driver(0)
    assert gpu.identity() == SOMETHING
    for provider in ("CUDAExecutionProvider+graph", "TensorrtExecutionProvider"):
        assert onnxruntime_runtime.target({"provider": provider}) == {
            "identity": {**SOMETHING, "tf32": False},
            "software": {"gpu_l2_bytes": 4 << 20},
        }


@pytest.mark.parametrize("provider", ["CPUExecutionProvider", "OpenVINOExecutionProvider+cpu"])
def test_a_provider_without_a_gpu_adds_nothing_to_the_identity(
    driver: Callable[[int], None], provider: str
) -> None:
    driver(0)
    nothing: dict[str, Any] = {"identity": {}, "software": {}}
    assert onnxruntime_runtime.target({"provider": provider}) == nothing
    assert pytorch_runtime.target({"provider": "compile+channels_last"}) == nothing


def test_what_is_not_told_is_unknown(driver: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    driver(100)  # no device
    assert gpu.identity() == NOTHING
    assert gpu.software() == {"gpu_l2_bytes": None}
    monkeypatch.setattr(gpu, "LIBRARY", "libnothing-of-this-name.so")
    assert gpu.identity() == NOTHING


@pytest.mark.parametrize(
    ("runtime", "provider", "expected"),
    [
        ("onnxruntime", "CPUExecutionProvider", False),
        ("onnxruntime", "XnnpackExecutionProvider+cpu", False),
        ("onnxruntime", "CUDAExecutionProvider", True),
        ("onnxruntime", "TensorrtExecutionProvider+cpu+graph", True),
        ("onnxruntime", "DmlExecutionProvider", True),
        ("litert", "XNNPACK", False),
        ("pytorch", "compile", False),
        ("pytorch", "cuda+graph", True),
    ],
)
def test_a_gpu_is_warmed_up_for_longer(
    runtime: str, provider: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert RUNTIMES[runtime].on_gpu(provider) == expected
    sent: list[dict[str, Any]] = []

    def request(_: Connection, verb: str, *arguments: Any, **fields: Any) -> dict[str, Any]:
        sent.append(fields.get("plan", {}))
        return {"runs_per_sample": 1, "wall_ns": [1], "warmup_runs": 1, "settled": True}

    monkeypatch.setattr(Connection, "request", request)
    process = AgentDevice("cpu", LocalLink(), Settings(runtime=runtime, provider=provider)).process()
    process.time("graph", 1)
    assert (GPU_PLAN.items() <= sent[0].items()) == expected
    assert not GPU_PLAN.keys() & sent[0].keys() or expected
