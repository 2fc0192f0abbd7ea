"""ONNX Runtime's providers: names, what each is opened with, and that none falls back without a word."""

from __future__ import annotations

import gc
import json
import sys
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.agent import onnxruntime_profile, onnxruntime_runtime
from devices.agent.onnxruntime_binding import Bound
from devices.agent.onnxruntime_providers import (
    CPU,
    CUDA,
    GRAPH_OPTIONS,
    ON_GPU,
    OPTIONS,
    SUFFIXES,
    TENSORRT,
    Provider,
    parsed,
)
from devices.catalog import device, settings_for
from devices.connection import RequestFailed
from devices.settings import Settings

AZURE = "AzureExecutionProvider"
"""In the usual builds for processors, and it takes no node: whatever it is given falls back."""

needs_azure = pytest.mark.skipif(
    AZURE not in onnxruntime.get_available_providers(), reason=f"this build of onnxruntime lacks {AZURE}"
)


def settings(provider: str, **others: Any) -> dict[str, Any]:
    return {"threads": 1, "provider": provider, "precision": "fp32", "cache": "warm", **others}


# --- names


@given(
    name=st.sampled_from([*ON_GPU, *OPTIONS, AZURE, "OtherExecutionProvider"]),
    suffixes=st.lists(st.sampled_from(SUFFIXES), unique=True),
)
def test_a_name_comes_apart_as_it_was_joined(name: str, suffixes: list[str]) -> None:
    text = "+".join([name, *suffixes])
    if "graph" in suffixes and name not in GRAPH_OPTIONS:
        with pytest.raises(ValueError, match="CUDA graphs are known for CUDAExecutionProvider and Tensorrt"):
            parsed(text)
    else:
        assert parsed(text) == Provider(name, "cpu" in suffixes, "graph" in suffixes)


@given(text=st.text(alphabet="+cpuX", max_size=12))
def test_anything_else_is_refused_with_what_may_come(text: str) -> None:
    name, *suffixes = text.split("+")
    if name and not suffixes:
        assert parsed(text) == Provider(name)
    elif not name or set(suffixes) - {"cpu"} or len(suffixes) > 1:
        with pytest.raises(ValueError, match="after the name may come"):
            parsed(text)


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        (f"{CUDA}+gpu", "after the name may come +cpu and +graph"),
        (f"{CUDA}+cpu+cpu", "each once"),
        (f"{CPU}+cpu", "takes every graph, so leave +cpu away"),
        ("", "after the name may come"),
    ],
)
def test_the_host_refuses_a_malformed_provider_at_once(provider: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        settings_for(provider=provider)
    assert message in str(caught.value)


def test_with_and_without_the_cpu_are_two_identities() -> None:
    digests = {Settings(provider=f"{CUDA}{suffix}").digest for suffix in ("", "+cpu", "+graph", "+cpu+graph")}
    assert len(digests) == 4


# --- options


@pytest.mark.parametrize(
    ("provider", "precision", "expected"),
    [
        (CPU, "fp32", {}),
        (CUDA, "fp32", {}),
        (f"{CUDA}+graph", "fp32", {"enable_cuda_graph": "1"}),
        (TENSORRT, "fp32", {}),
        (TENSORRT, "fp16", {"trt_fp16_enable": "1"}),
        (f"{TENSORRT}+graph", "int8", {"trt_int8_enable": "1", "trt_cuda_graph_enable": "1"}),
        ("OpenVINOExecutionProvider", "int8", {"num_of_threads": "3"}),
        ("XnnpackExecutionProvider+cpu", "fp32", {"intra_op_num_threads": "3"}),
        ("CoreMLExecutionProvider", "fp32", {}),
    ],
)
def test_a_provider_is_opened_with_its_options(
    provider: str, precision: str, expected: dict[str, str]
) -> None:
    assert parsed(provider).options({"threads": 3, "precision": precision}) == expected


@pytest.mark.parametrize(
    ("provider", "threads", "memory_pattern"),
    [
        (CPU, 3, True),
        (CUDA, 3, True),
        # they have threads of their own
        ("XnnpackExecutionProvider", 1, True),
        ("OpenVINOExecutionProvider", 1, True),
        ("DmlExecutionProvider", 3, False),  # as its documentation asks for
    ],
)
def test_the_session_is_set_for_its_provider(provider: str, threads: int, memory_pattern: bool) -> None:
    options = onnxruntime_runtime._options(onnxruntime, 3, parsed(provider), None)
    assert options.intra_op_num_threads == threads
    assert options.enable_mem_pattern == memory_pattern
    assert not options.enable_profiling


# --- no fallback without a word


@needs_azure
def test_a_provider_that_cannot_take_the_whole_graph_is_an_error(tiny: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        onnxruntime_runtime.load(tiny, settings(AZURE))
    assert f"{AZURE} cannot take the whole graph; --provider {AZURE}+cpu lets the CPU" in str(caught.value)


@needs_azure
def test_what_falls_back_is_counted_where_it_is_allowed(tiny: bytes) -> None:
    loaded = onnxruntime_runtime.load(tiny, settings(f"{AZURE}+cpu"))
    loaded.run()
    assert loaded.notes == {"nodes": {CPU: 1}, "build": "onnxruntime"}
    assert loaded.parts_ns is None  # nothing is copied


@needs_azure
def test_a_version_without_the_option_is_found_out_by_its_profile(
    tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Older(onnxruntime.SessionOptions):  # type: ignore[misc] # it has no types
        def add_session_config_entry(self, key: str, value: str) -> None:
            if key != "session.disable_cpu_ep_fallback":  # unknown keys are ignored
                super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Older)
    with pytest.raises(ValueError, match="cannot take the whole graph; --provider"):
        onnxruntime_runtime.load(tiny, settings(AZURE))
    with pytest.raises(ValueError, match="cannot take the whole graph; --provider"):
        onnxruntime_runtime.node_times(tiny, settings(AZURE), {"warmup_runs": 1, "runs": 1})


@pytest.mark.parametrize("suffix", ["", "+cpu"])
def test_a_provider_that_cannot_be_started_is_an_error(
    suffix: str, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a build for CUDA on a machine without CUDA: the session opens, and has the CPU's provider only."""
    real = onnxruntime.InferenceSession

    def without_cuda(graph: bytes, options: Any, providers: list[Any], **others: Any) -> Any:
        assert others == {"enable_fallback": 0}
        assert [name for name, _ in providers] == [CUDA]
        return real(graph, options, providers=[AZURE] if AZURE in here else [CPU], **others)

    here = onnxruntime.get_available_providers()
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", without_cuda)
    with pytest.raises(
        ValueError, match=f"provider {CUDA} is in this build of onnxruntime, but cannot be st"
    ):
        onnxruntime_runtime.load(tiny, settings(CUDA + suffix))


def test_an_absent_provider_is_answered_with_the_present_ones(tiny: bytes) -> None:
    message = f"provider Imagined.* is absent here; present: .*{CPU}"
    with (
        device("cpu", Settings(provider="ImaginedExecutionProvider")).process() as process,
        pytest.raises(RequestFailed, match=message),
    ):
        process.load("graph", tiny)


@needs_azure
def test_the_agent_goes_the_whole_way_with_a_provider_beside_the_cpu(tiny: bytes) -> None:
    with device("cpu", Settings(provider=f"{AZURE}+cpu")).process(detailed=True) as process:
        process.load("graph", tiny)
        visit = process.time("graph", 2)
        assert visit.wall_ns
        assert visit.cpu_ns is None  # who knows which thread computed
        assert "gpu" not in process.identity
        assert process.software["runtime_build"]["version"] == process.identity["runtime_version"]
        assert process.node_times("graph", tiny).nodes


# --- memory


def test_bound_memory_lives_as_long_as_what_runs(make_graph: Callable[..., bytes]) -> None:
    session = onnxruntime.InferenceSession(make_graph((1, 1000)), providers=[CPU])
    bound = Bound(onnxruntime, session, "cpu")
    arrays = [weakref.ref(array) for _, array in bound._inputs.values()]
    run = bound.run
    del bound
    gc.collect()
    run()
    assert [array() is not None for array in arrays] == [True]


def test_outputs_whose_size_only_a_run_tells_are_bound(make_graph: Callable[..., bytes]) -> None:
    session = onnxruntime.InferenceSession(make_graph((1, 8)), providers=[CPU])
    kinds = [types.SimpleNamespace(name="output", type="tensor(float)", shape=["unknown", 8])]
    odd = types.SimpleNamespace(
        get_inputs=session.get_inputs,
        get_outputs=lambda: kinds,
        io_binding=session.io_binding,
        run_with_iobinding=session.run_with_iobinding,
    )
    bound = Bound(onnxruntime, odd, "cpu")
    bound.run()
    ((_, given),) = bound._inputs.values()
    assert np.array_equal(bound._outputs[0].numpy(), np.maximum(given, 0))


class GpuOfPaper:
    """The module with a GPU's memory that is the host's: only the calls are tested."""

    def __init__(self, version: str) -> None:
        self.__version__ = version
        self.asked: list[tuple[str, int]] = []
        self.OrtValue = self
        self.RunOptions = onnxruntime.RunOptions

    def ortvalue_from_numpy(self, array: Any, memory: str, number: int) -> Any:
        self.asked.append((memory, number))
        return onnxruntime.OrtValue.ortvalue_from_numpy(array, "cpu", 0)

    def ortvalue_from_shape_and_type(self, shape: Any, kind: Any, memory: str, number: int) -> Any:
        self.asked.append((memory, number))
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, kind, "cpu", 0)


@pytest.mark.parametrize(
    ("version", "parts"),
    [("1.31.1", {"h2d_ns", "enqueue_ns", "d2h_ns"}), ("1.10.0", {"h2d_ns", "d2h_ns"})],
)
def test_values_on_a_gpu_are_made_there_and_copied_apart(
    version: str, parts: set[str], make_graph: Callable[..., bytes]
) -> None:
    module = GpuOfPaper(version)
    session = onnxruntime.InferenceSession(make_graph((1, 8)), providers=[CPU])
    bound = Bound(module, session, "cuda")
    bound.run()
    assert module.asked == [("cuda", 0)] * 2
    found = bound.parts_ns()
    assert set(found) == parts
    assert all(isinstance(value, int) and value > 0 for value in found.values())


def test_caches_of_a_gpu_that_cannot_be_cooled_are_not_called_cold(tiny: bytes) -> None:
    with pytest.raises(ValueError, match="no way to cool the GPU's caches: measure warm"):
        onnxruntime_runtime.load(tiny, settings(CUDA, cache="cold"))


# --- the build


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "package_name = 'onnxruntime-gpu'\n__version__ = '1.20.1'\ncuda_version = '12.2'\n",
            {"package": "onnxruntime-gpu", "version": "1.20.1", "cuda_version": "12.2"},
        ),
        (
            "package_name = 'onnxruntime'\n__version__ = '1.10.0'\n",
            {"package": "onnxruntime", "version": "1.10.0"},
        ),
    ],
)
def test_the_module_itself_tells_which_build_it_is(
    text: str, expected: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "onnxruntime" / "capi"
    folder.mkdir(parents=True)
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    (folder / "build_and_package_info.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "onnxruntime")
    assert onnxruntime_runtime.build() == expected
    assert "onnxruntime" not in sys.modules  # it was not imported


@pytest.mark.parametrize("package", ["onnxruntime-openvino", "onnxruntime-qnn", "onnxruntime-directml"])
def test_else_the_package_tells(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / f"{package.replace('-', '_')}-1.9.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.9.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "onnxruntime")
    assert onnxruntime_runtime.build() == {"package": package, "version": "1.9.0"}
    (folder / "METADATA").unlink()
    folder.rmdir()
    with pytest.raises(ModuleNotFoundError, match="run: pip install onnxruntime"):
        onnxruntime_runtime.version()


# --- the profile


def test_nodes_are_counted_by_who_ran_them() -> None:
    event: dict[str, Any] = {"cat": "Node", "name": "conv_kernel_time", "args": {"provider": CUDA}}
    events: list[dict[str, Any]] = [
        event,
        event,
        {**event, "args": {"provider": CPU}},
        {"cat": "Session", "name": "model_run"},
    ]
    assert onnxruntime_profile.placed(json.loads(json.dumps(events)), parsed(f"{CUDA}+cpu")) == {
        CUDA: 2,
        CPU: 1,
    }
    with pytest.raises(ValueError, match=rf"--provider {CUDA}\+graph\+cpu"):
        onnxruntime_profile.placed(events, parsed(f"{CUDA}+graph"))
