"""PyTorch on a GPU, as far as it can be held without one: names, arithmetic of events, calls, errors.

The stand-in has the calls of `torch.cuda` that are used; everything else is the real PyTorch, on a processor.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from devices.agent import pytorch_cuda, pytorch_runtime, timing
from devices.agent.loaded import Loaded
from devices.agent.pytorch_providers import WAYS, Way, parsed
from devices.catalog import device
from devices.connection import RequestFailed
from devices.runtimes.pytorch import PyTorch
from devices.settings import Settings
from tests.devices.onnx_cases import CASES

RUN_MS, COPY_MS = 2.0, 0.25
QUERIES = 3
"""How often an event is asked for before it has happened."""

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


# --- names


def test_every_way_has_a_name_of_its_own_that_gives_it_back() -> None:
    assert all(parsed(way.name) == way for way in WAYS.values())
    assert len(WAYS) == 12  # eager or compiled, in two formats; on a GPU also captured


@pytest.mark.parametrize(
    ("provider", "way"),
    [
        ("eager", Way()),
        ("compile+channels_last", Way(compiled=True, channels_last=True)),
        ("cuda", Way(cuda=True)),
        ("cuda+graph", Way(cuda=True, captured=True)),
        ("cuda+compile+graph+channels_last", Way(True, True, True, True)),
    ],
)
def test_a_name_says_how_it_is_executed(provider: str, way: Way) -> None:
    assert parsed(provider) == way


@pytest.mark.parametrize("provider", ["graph", "graph+cuda", "cuda+eager", "cuda+", "", "cuda:0", "CUDA"])
def test_anything_else_is_answered_with_what_there_is(provider: str) -> None:
    with pytest.raises(ValueError, match="is absent here; present: eager, compile, channels_last, "):
        parsed(provider)


def test_only_the_processor_computes_in_the_calling_thread() -> None:
    assert set(PyTorch.in_caller) == {name for name in PyTorch.providers if "cuda" not in name}


# --- without a GPU


@needs_no_gpu
def test_without_a_gpu_it_says_what_to_install() -> None:
    with (
        pytest.raises(
            RequestFailed, match=r"no CUDA here: torch.cuda.is_available\(\) is false; install NVIDIA"
        ),
        device("cpu", Settings(runtime="pytorch", provider="cuda")).process(),
    ):
        pass


@needs_no_gpu
@pytest.mark.parametrize("provider", [name for name, way in WAYS.items() if way.cuda])
def test_nothing_runs_on_the_processor_instead(provider: str) -> None:
    artefact = PyTorch().prepare(CASES["Relu"], "fp32", {})
    with pytest.raises(RuntimeError, match="no CUDA here"):
        pytorch_runtime.load(artefact, {"threads": 1, "provider": provider})


# --- a GPU of paper


class PaperCuda:
    """`torch.cuda` of a GPU whose clock goes on by fixed amounts: what is called, and in which order."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.clock_ms = 0.0
        self.capturing = False
        self.can_capture = True
        self.replayed: Any = None
        self.Event = lambda enable_timing=False: PaperEvent(self, enable_timing)

    def is_available(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.calls.append("synchronize")

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")

    def get_device_name(self, number: int) -> str:
        return f"Paper {number}"

    def get_device_capability(self, number: int) -> tuple[int, int]:
        return (8, 7)

    def current_stream(self) -> Any:
        return self._stream("main")

    def Stream(self) -> Any:  # noqa: N802 # as in torch
        return self._stream("aside")

    def _stream(self, name: str) -> Any:
        return types.SimpleNamespace(
            name=name, wait_stream=lambda other: self.calls.append(f"{name} waits for {other.name}")
        )

    @contextlib.contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        self.calls.append(f"on {stream.name}")
        yield
        self.calls.append(f"off {stream.name}")

    def CUDAGraph(self) -> Any:  # noqa: N802 # as in torch
        return types.SimpleNamespace(replay=lambda: self.computed("replay"))

    @contextlib.contextmanager
    def graph(self, _: Any) -> Iterator[None]:
        if not self.can_capture:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.calls.append("capture")
        yield
        self.calls.append("captured")

    def computed(self, what: str) -> None:
        self.calls.append(what)
        self.clock_ms += RUN_MS


class PaperEvent:
    def __init__(self, cuda: PaperCuda, timed: bool) -> None:
        self.cuda, self.timed, self.at_ms, self.asked = cuda, timed, -1.0, 0

    def record(self) -> None:
        self.at_ms = self.cuda.clock_ms

    def query(self) -> bool:
        self.asked += 1
        return self.asked > QUERIES

    def elapsed_time(self, end: PaperEvent) -> float:
        assert self.timed
        assert end.timed
        assert end.asked > QUERIES, "the end was not waited for"
        return end.at_ms - self.at_ms


class PaperTorch:
    """PyTorch with that GPU."""

    def __init__(self) -> None:
        self.cuda = PaperCuda()
        self.version = types.SimpleNamespace(cuda="12.4")
        self.backends = types.SimpleNamespace(
            cuda=types.SimpleNamespace(matmul=types.SimpleNamespace(allow_tf32=True)),
            cudnn=types.SimpleNamespace(allow_tf32=True, benchmark=False),
        )
        self.zeros, self.uint8 = torch.zeros, torch.uint8


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> PaperTorch:
    monkeypatch.setattr(pytorch_cuda, "_pinned", lambda tensor: tensor.clone())
    return PaperTorch()


class CopiesTakeTime(torch.Tensor):
    """A tensor; copying to it takes the GPU's clock on."""

    cuda_of_paper: PaperCuda

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        assert non_blocking
        self.cuda_of_paper.clock_ms += COPY_MS
        return super().copy_(source)


def on_gpu(paper: PaperTorch, captured: bool = False) -> pytorch_cuda.OnGpu:
    def tensor() -> Any:
        made = torch.ones(2, 3).as_subclass(CopiesTakeTime)
        made.cuda_of_paper = paper.cuda
        return made

    def run() -> tuple[Any, ...]:
        paper.cuda.computed("run")
        return (tensor(),)

    graph = pytorch_cuda.OnGpu(paper, run, [tensor(), tensor()], captured)
    for host in graph._host_outputs:
        host.cuda_of_paper = paper.cuda
    return graph


def test_numbers_keep_their_length_and_kernels_are_chosen(paper: PaperTorch) -> None:
    assert pytorch_cuda.prepared(paper) == "cuda:0"
    assert not paper.backends.cuda.matmul.allow_tf32
    assert not paper.backends.cudnn.allow_tf32
    assert paper.backends.cudnn.benchmark


def test_the_identity_is_that_of_the_first_gpu(paper: PaperTorch) -> None:
    expected = {"gpu": "Paper 0", "compute_capability": "8.7", "cuda_version": "12.4"}
    assert pytorch_cuda.identity(paper) == expected


def test_a_span_is_between_two_events_around_all_its_runs(paper: PaperTorch) -> None:
    graph = on_gpu(paper)
    assert graph.span_ns(5) == 5 * RUN_MS * 1e6
    assert isinstance(graph.span_ns(1), int)


def test_one_inference_is_waited_for(paper: PaperTorch) -> None:
    graph = on_gpu(paper)
    before = len(paper.cuda.calls)
    graph.run_and_wait()
    assert paper.cuda.calls[before:] == ["run"]  # and the event was asked until it had happened


def test_copies_are_apart_from_the_computation(paper: PaperTorch) -> None:
    found = on_gpu(paper).parts_ns()
    assert found["h2d_ns"] == 2 * COPY_MS * 1e6
    assert found["d2h_ns"] == COPY_MS * 1e6
    assert found["enqueue_ns"] > 0  # by the host's clock
    assert set(found) == {"h2d_ns", "d2h_ns", "enqueue_ns"}


def test_a_graph_is_warmed_up_beside_the_main_stream_and_replayed(paper: PaperTorch) -> None:
    graph = on_gpu(paper, captured=True)
    assert paper.cuda.calls == [
        "run", "synchronize", "aside waits for main", "on aside", *["run"] * pytorch_cuda.WARM_UP_RUNS,
        "off aside", "main waits for aside", "capture", "run", "captured",
    ]  # fmt: skip
    paper.cuda.calls.clear()
    assert graph.span_ns(3) == 3 * RUN_MS * 1e6
    assert paper.cuda.calls == ["replay"] * 3


def test_what_cannot_be_captured_is_an_error_and_not_run_otherwise(paper: PaperTorch) -> None:
    paper.cuda.can_capture = False
    with pytest.raises(
        RuntimeError, match=r"cannot be captured as a CUDA graph; .* \+graph .*: operation not"
    ):
        on_gpu(paper, captured=True)


def test_a_closed_graph_gives_its_memory_back(paper: PaperTorch) -> None:
    graph = on_gpu(paper)
    graph.evict(1000)
    assert graph._evicted[1000].sum() == 0
    graph.close()
    assert paper.cuda.calls[-1] == "empty_cache"
    assert not graph._evicted
    with pytest.raises(RuntimeError, match="dropped"):
        graph.run_and_wait()


def test_the_timing_loop_takes_what_a_graph_on_a_gpu_gives(paper: PaperTorch) -> None:
    graph = on_gpu(paper)
    loaded = Loaded(graph.run_and_wait, span_ns=graph.span_ns, evict=graph.evict, parts_ns=graph.parts_ns)
    plan = timing.Plan(samples=2, warmup_ms=0.0, thread_clock=False)
    assert timing.Timed(loaded).visit(plan)["wall_ns"]


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("provider", [name for name, way in WAYS.items() if way.cuda])
def test_a_real_gpu_runs_every_way(provider: str) -> None:
    artefact = PyTorch().prepare(CASES["Conv"], "fp32", {})
    loaded = pytorch_runtime.load(artefact, {"threads": 1, "provider": provider})
    assert loaded.span_ns is not None
    assert loaded.parts_ns is not None
    assert loaded.span_ns(10) > loaded.span_ns(1) > 0
    assert min(loaded.parts_ns().values()) > 0
    assert loaded.notes["cuda_graph"] == ("graph" in provider)
    loaded.close()
