"""TensorRT's half in the agent, over stand-ins with the names of each version: never run on a GPU."""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from devices.agent import cuda, tensorrt_runtime
from devices.agent.cuda import CudaError
from devices.agent.loaded import Loaded
from devices.runtimes.runtime import Unsupported
from devices.runtimes.tensorrt import TensorRt
from ponas_core.onnx_graph import block_model
from ponas_core.space_file import shipped_space
from tests.devices import tensorrt_standin

Array = NDArray[Any]
BLOCK: bytes = block_model(shipped_space("digits").layers[1], 1).SerializeToString()
SETTINGS = {"threads": 1, "provider": "graph", "precision": "fp32"}
EXPLICIT_BATCH, STRONGLY_TYPED = 1 << 0, 1 << 1


@pytest.fixture(scope="module", params=tensorrt_standin.VERSIONS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tensorrt_standin.install(tmp_path_factory.mktemp("tensorrt"), request.param)


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """The stand-ins in this process; other entries of sys.path, which libraries add, are left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorrt_runtime, "_gpus", [])
        patch.setattr(tensorrt_runtime, "_logs", [])
        patch.setattr(cuda, "_loaded", lambda: iter(()))  # other tests of this process loaded other stand-ins
        sys.path.insert(0, str(folder))
        sys.modules.pop("tensorrt", None)
        _before.append(_counted())
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            sys.modules.pop("tensorrt", None)


@pytest.fixture
def version(folder: Path) -> Iterator[str]:
    """The version that stands in, in this process."""
    with standing_in(folder):
        yield tensorrt_runtime.version()


@pytest.fixture(scope="module")
def folder_of_10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tensorrt_standin.install(tmp_path_factory.mktemp("tensorrt"), "10.16.1.11")


@pytest.fixture
def newest(folder_of_10: Path) -> Iterator[Path]:
    """Version 10 alone, for what does not depend on the version."""
    with standing_in(folder_of_10):
        yield folder_of_10


_before: list[int] = []


def _counted() -> int:
    return int(tensorrt_runtime._gpu()._library.standin_live())


def live() -> int:
    """How much of CUDA's was taken in this test and not given back."""
    return _counted() - _before[-1]


def facts(engine: bytes) -> dict[str, Any]:
    """What the stand-in wrote into an engine about its building."""
    found: dict[str, Any] = json.loads(engine.partition(b"\0")[0].removeprefix(b"stand-in engine "))
    return found


def loaded(precision: str = "fp32", **more: Any) -> Loaded:
    artefact = TensorRt().prepare(BLOCK, precision, {})
    changes = {name: more.pop(name) for name in ("provider",) if name in more}
    return tensorrt_runtime.load(artefact, {**SETTINGS, "precision": precision, **changes}, **more)


def outputs(graph: Loaded) -> list[Array]:
    """What lies in the GPU's memory after an inference."""
    graph.run()
    tensors = graph.run.__self__.outputs  # type: ignore[attr-defined]  # a method of the inference
    return [np.frombuffer(ctypes.string_at(one.device.address, one.size), np.float32) for one in tensors]


def expected(artefact: bytes, graph: Loaded) -> list[Array]:
    """What ONNX Runtime computes from the same inputs."""
    session = onnxruntime.InferenceSession(artefact, providers=["CPUExecutionProvider"])
    tensors = graph.run.__self__.inputs  # type: ignore[attr-defined]  # a method of the inference
    feeds = {
        value.name: np.frombuffer(ctypes.string_at(one.device.address, one.size), np.float32).reshape(
            value.shape
        )
        for value, one in zip(session.get_inputs(), tensors, strict=True)
    }
    return [found.ravel() for found in session.run(None, feeds)]


# --- every version


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_types_come_by_graph_where_a_version_has_that_and_by_flags_where_not(
    version: str, precision: str
) -> None:
    graph = loaded(precision)
    found = facts(graph.kept["engine"])
    by_flags = version.startswith("8.")
    assert found["flags"] == ([precision.upper()] if by_flags and precision != "fp32" else [])  # no TF32
    networks = {"8": EXPLICIT_BATCH, "10": STRONGLY_TYPED, "11": 0}
    assert found["network"] == networks[version.partition(".")[0]]
    assert found["pools"] == {"WORKSPACE": tensorrt_runtime.WORKSPACE_BYTES}
    graph.close()


def test_the_gpu_and_the_builder_are_part_of_the_identity(version: str) -> None:
    found = tensorrt_runtime.target(SETTINGS)
    assert found["identity"] == {
        "gpu": "Stand-in",
        "compute_capability": "8.7",
        "tf32": False,
        "workspace_bytes": 1 << 30,
        "builder_optimization_level": None if version.startswith("8.5") else 3,
    }
    assert found["software"]["gpu_l2_bytes"] == 1 << 20
    assert (found["software"]["cuda_runtime"], found["software"]["cuda_driver"]) == ("12.4", "13.0")


@pytest.mark.parametrize("provider", ["graph", "stream"])
def test_an_engine_computes_what_its_graph_says(version: str, provider: str) -> None:
    graph = loaded(provider=provider)
    for found, reference in zip(outputs(graph), expected(BLOCK, graph), strict=True):
        assert np.array_equal(found, reference)
        assert reference.any()
    assert graph.notes.get("cuda_graph") == (True if provider == "graph" else None)
    graph.close()
    assert live() == 0


def test_layers_are_named_for_their_blocks_and_timed(version: str) -> None:
    found = tensorrt_runtime.node_times(BLOCK, SETTINGS, {"warmup_runs": 2, "runs": 3})
    assert len(found["us"]) == len(found["run_us"]) == 3
    assert all(len(run) == len(found["nodes"]) for run in found["us"])
    assert all(sum(run) <= whole for run, whole in zip(found["us"], found["run_us"], strict=True))
    assert {name.partition("/")[0] for name in found["nodes"]} == {shipped_space("digits").layers[1].name}
    assert found["us"][0][0] == 0.5  # fractions of microseconds are kept
    assert live() == 0


def test_what_cannot_be_parsed_is_told_with_every_error(version: str) -> None:
    with pytest.raises(ValueError, match=r"TensorRT cannot take the graph: .*UNSUPPORTED.*; a second one"):
        tensorrt_runtime.load(b"no graph", SETTINGS)
    assert live() == 0


# --- numbers of the other types


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 5e-3), ("int8", 0.1)])
def test_other_types_compute_about_the_same(newest: Path, precision: str, tolerance: float) -> None:
    graph = loaded(precision)
    for found, reference in zip(outputs(graph), expected(BLOCK, graph), strict=True):
        difference = np.linalg.norm(found - reference) / np.linalg.norm(reference)
        assert 0 < difference < tolerance
    graph.close()


def test_an_fp16_graph_is_float16_inside_and_float32_at_its_borders() -> None:
    model = onnx.load_from_string(TensorRt().prepare(BLOCK, "fp16", {}))
    borders = [*model.graph.input, *model.graph.output]
    assert {value.type.tensor_type.elem_type for value in borders} == {onnx.TensorProto.FLOAT}
    assert {item.data_type for item in model.graph.initializer} == {onnx.TensorProto.FLOAT16}


def test_an_int8_graph_has_no_zero_points_and_its_biases_are_not_quantised() -> None:
    graph = onnx.load_from_string(TensorRt().prepare(BLOCK, "int8", {})).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in {"QuantizeLinear", "DequantizeLinear"}]
    assert pairs
    assert all(
        constants[node.input[2]].dtype == np.int8 and not constants[node.input[2]].any() for node in pairs
    )
    activations = {node.output[0] for node in graph.node if node.op_type == "Conv"} & {
        node.input[0] for node in graph.node if node.op_type == "Relu"
    }
    assert activations  # no pair stands between a convolution and its activation function
    biases = [node.input[2] for node in graph.node if node.op_type == "Conv" and len(node.input) > 2]
    assert biases
    assert all(name in constants for name in biases)


def test_an_unknown_precision_or_what_is_no_graph_is_refused() -> None:
    with pytest.raises(Unsupported, match="precision fp8; possible: fp32, fp16, int8"):
        TensorRt().prepare(BLOCK, "fp8", {})
    with pytest.raises(Unsupported, match="cannot be converted to fp16"):
        TensorRt().prepare(b"no graph", "fp16", {})


# --- engines and timing caches


def test_a_kept_engine_is_taken_as_it_is(newest: Path) -> None:
    first = loaded()
    again = loaded(engine=first.kept["engine"])
    assert (first.notes["engine_from"], again.notes["engine_from"]) == ("built", "kept")
    assert first.notes["engine"] == again.notes["engine"]
    assert again.kept == {}
    assert loaded().notes["engine"] != first.notes["engine"]  # two builds differ, also here


@pytest.mark.parametrize("engine", [b"damaged", b'stand-in engine {"version": "9.0"}\0'])
def test_an_engine_that_is_refused_is_built_again_and_that_is_noted(newest: Path, engine: bytes) -> None:
    graph = loaded(engine=engine)
    assert graph.notes["engine_from"] == "refused, then built"
    assert "not compatible with this version" in graph.notes["engine_refused"]
    assert facts(graph.kept["engine"])["version"] == "10.16.1.11"


def test_what_the_builder_has_timed_is_kept_and_used(newest: Path) -> None:
    first = loaded().kept["timing_cache"]
    assert loaded(timing_cache=first).kept["timing_cache"] == first + b"+"
    assert loaded(timing_cache=b"8.6 of another version").kept["timing_cache"] == first


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("unbuilt", "TensorRT could not build an engine: no implementation for node X"),
        ("unopened", "TensorRT refuses the engine that it has built: .*not compatible"),
    ],
)
def test_what_cannot_be_built_is_told_in_the_words_of_tensorrts_log(
    newest: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], mode: str, message: str
) -> None:
    monkeypatch.setenv("STANDIN_TENSORRT", mode)
    with pytest.raises(RuntimeError, match=message):
        loaded()
    assert "TensorRT: " in capfd.readouterr().err
    assert live() == 0


def test_an_unknown_provider_is_answered_with_the_known_ones(newest: Path) -> None:
    with pytest.raises(ValueError, match="provider eager is absent here; present: graph, stream"):
        loaded(provider="eager")


@pytest.mark.parametrize("shape", [("N", 8), (1, "height")])
def test_a_dynamic_input_is_refused(newest: Path, make_graph: Callable[..., bytes], shape: Any) -> None:
    with pytest.raises(ValueError, match=r"input 'input' has the dynamic shape .*; fix its sizes"):
        tensorrt_runtime.load(make_graph(shape), SETTINGS)


def test_a_type_that_cannot_be_filled_is_refused(newest: Path, make_graph: Callable[..., bytes]) -> None:
    graph = make_graph(kind=onnx.TensorProto.BFLOAT16, operator="Identity")
    with pytest.raises(ValueError, match="'input' has type BF16, which cannot be filled"):
        tensorrt_runtime.load(graph, SETTINGS)
    assert live() == 0


@pytest.mark.parametrize("kind", ["BOOL", "INT32", "INT64", "FLOAT16"])
def test_other_types_of_inputs_are_filled(newest: Path, make_graph: Callable[..., bytes], kind: str) -> None:
    graph = make_graph(kind=getattr(onnx.TensorProto, kind), operator="Identity")
    tensorrt_runtime.load(graph, SETTINGS).close()
    assert live() == 0


# --- CUDA graphs, the GPU's clock and its memory


@pytest.mark.parametrize(
    "failing",
    [
        "capture:900",
        "cudaStreamBeginCapture:900",
        "cudaStreamEndCapture:900",
        "cudaGraphInstantiate:1",
        "cudaGraphLaunch:1",
    ],
)
def test_where_nothing_can_be_captured_inferences_are_enqueued_and_that_is_noted(
    newest: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setenv("STANDIN_CUDA_FAILS", failing)
    graph = loaded()
    assert graph.notes["cuda_graph"] is False
    assert graph.notes["cuda_graph_refused"]
    monkeypatch.delenv("STANDIN_CUDA_FAILS")
    assert np.array_equal(outputs(graph)[0], expected(BLOCK, graph)[0])
    graph.close()
    assert live() == 0


def test_the_gpus_clock_tells_spans_and_copies_and_the_hosts_the_start(newest: Path) -> None:
    graph = loaded()
    assert graph.span_ns is not None
    assert graph.parts_ns is not None
    assert graph.evict is not None
    assert graph.span_ns(8) > graph.span_ns(1) > 0
    parts = graph.parts_ns()
    assert set(parts) == {"h2d_ns", "d2h_ns", "enqueue_ns"}
    assert all(type(value) is int and value > 0 for value in parts.values())
    before = live()
    other = loaded()
    taken = live()
    for one in (graph, other, graph):
        assert one.evict is not None
        one.evict(1 << 20)
    assert live() == taken + 1  # the same memory for all, kept
    other.close()
    graph.close()
    assert (before, live()) == (taken - before, 1)


@pytest.mark.parametrize(
    "call", ["cudaMalloc", "cudaMallocHost", "cudaMemcpyAsync", "cudaEventCreateWithFlags"]
)
def test_what_cuda_refuses_is_told_and_nothing_is_left(
    newest: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("STANDIN_CUDA_FAILS", f"{call}:2")
    with pytest.raises(CudaError, match=rf"{call}: out of memory \(2\)"):
        loaded()
    assert live() == 0
