"""CUDA's runtime library through ctypes: a compiled stand-in, and the real ones as far as these go."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devices.agent import cuda
from devices.agent.cuda import Cuda, CudaError, version_in_words
from tests.devices.tensorrt_standin import install_cudart

ACTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@pytest.fixture(scope="module", params=[11030, 11040, 12040, 13000])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_cudart(tmp_path_factory.mktemp("cuda"), f"-DVERSION={request.param}")


@pytest.fixture
def gpu(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    monkeypatch.setattr(cuda, "_places", lambda: iter([str(library)]))
    found = Cuda()
    before = found._library.standin_live()
    yield found
    assert found._library.standin_live() == before


def enqueue(gpu: Cuda, stream: int, action: Callable[[object], None]) -> object:
    """Begin something in a stream; what is given back must live as long as that may be launched."""
    kept = ACTION(action)
    gpu._library.standin_enqueue.argtypes = [ctypes.c_void_p, ACTION, ctypes.c_void_p]
    if gpu._library.standin_enqueue(stream, kept, None):
        raise RuntimeError("cannot be begun")
    return kept


def test_a_gpu_tells_what_it_is(gpu: Cuda) -> None:
    assert (gpu.name, gpu.compute_capability) == ("Stand-in", "8.7")
    assert (gpu.l2_bytes, gpu.multiprocessors, gpu.memory_bytes()) == (1 << 20, 4, 3 << 30)
    assert gpu.driver_version == 13000
    assert gpu.spins


def test_bytes_go_to_the_gpu_and_come_back(gpu: Cuda) -> None:
    with gpu.stream() as stream, gpu.memory(4) as there, gpu.pinned(4) as here:
        ctypes.memmove(here.address, b"abcd", 4)
        gpu.copy_to_device(there.address, here.address, 4, stream.address)
        gpu.fill(there.address, ord("x"), 2, stream.address)
        gpu.copy_to_host(here.address, there.address, 4, stream.address)
        gpu.synchronize(stream.address)
        assert ctypes.string_at(here.address, 4) == b"xxcd"


def test_marks_tell_the_time_between_them(gpu: Cuda) -> None:
    with gpu.stream() as stream, gpu.event() as start, gpu.event() as end:
        gpu.record(start.address, stream.address)
        numbers: list[int] = []
        kept = enqueue(gpu, stream.address, lambda _: numbers.extend(range(20_000)))
        gpu.record(end.address, stream.address)
        assert gpu.span_ns(start.address, end.address) > 0
        assert kept


def test_what_is_captured_runs_at_every_launch_and_not_before(gpu: Cuda) -> None:
    happened: list[int] = []
    kept: list[object] = []
    with gpu.stream() as stream:
        begin = lambda: kept.append(enqueue(gpu, stream.address, lambda _: happened.append(1)))  # noqa: E731 # one line says it
        with gpu.captured(stream.address, begin) as graph:
            assert happened == []
            for _ in range(3):
                gpu.launch(graph.address, stream.address)
            assert happened == [1] * 3


def test_a_stream_whose_capture_failed_can_be_used_again(gpu: Cuda) -> None:
    def refuse() -> None:
        raise RuntimeError("not while this is captured")

    with gpu.stream() as stream:
        with pytest.raises(RuntimeError, match="not while"):
            gpu.captured(stream.address, refuse)
        gpu.synchronize(stream.address)
        with gpu.captured(stream.address, lambda: None) as graph:
            gpu.launch(graph.address, stream.address)


@pytest.mark.parametrize("call", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_capture_that_cuda_refuses_leaves_nothing(
    gpu: Cuda, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setenv("STANDIN_CUDA_FAILS", f"{call}:900")
    message = rf"{call}: operation not permitted when stream is capturing \(900\)"
    with gpu.stream() as stream, pytest.raises(CudaError, match=message):
        gpu.captured(stream.address, lambda: None)


def test_a_call_that_fails_is_named_with_cudas_words(gpu: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDIN_CUDA_FAILS", "cudaMalloc:2")
    with pytest.raises(CudaError, match=r"^cudaMalloc: out of memory \(2\)$"):
        gpu.memory(1)


def test_what_is_given_back_twice_is_given_back_once(gpu: Cuda) -> None:
    memory = gpu.memory(8)
    memory.close()
    memory.close()


def test_a_computer_whose_gpus_are_hidden_is_told_apart(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_places", lambda: iter([str(library)]))
    monkeypatch.setenv("STANDIN_CUDA_DEVICES", "0")
    with pytest.raises(CudaError, match="CUDA sees no GPU; is CUDA_VISIBLE_DEVICES set"):
        Cuda()


def test_a_gpu_that_another_library_has_taken_before_need_not_spin(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "_places", lambda: iter([str(library)]))
    monkeypatch.setenv("STANDIN_CUDA_FAILS", "cudaSetDeviceFlags:708")
    assert not Cuda().spins


# --- where the library is looked for


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "_places", lambda: iter(["libcudart.so.of-no-version"]))
    with pytest.raises(CudaError, match=r"libcudart.*was not found; install CUDA"):
        Cuda()


def test_a_library_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "libcudart.so.12"
    broken.write_bytes(b"no library")
    monkeypatch.setattr(cuda, "_places", lambda: iter([str(broken)]))
    with pytest.raises(CudaError, match=rf"not found: {broken}.*too short"):
        Cuda()


@pytest.mark.parametrize("folder", cuda.WHEEL_FOLDERS)
def test_the_library_of_a_wheel_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    library = tmp_path / folder / "libcudart.so.13"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.setattr(cuda, "_loaded", lambda: iter([]))
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert next(cuda._places()) == str(library)


def test_a_library_that_the_process_has_loaded_comes_first(library: Path) -> None:
    program = (
        "import ctypes, sys; sys.path.insert(0, sys.argv[1]); ctypes.CDLL(sys.argv[2])\n"
        "from devices.agent import cuda\nsys.stdout.write(next(cuda._places()))"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", program, root, str(library)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == str(library)


@pytest.mark.parametrize(("number", "words"), [(12040, "12.4"), (11080, "11.8"), (13000, "13.0")])
def test_versions_in_words(number: int, words: str) -> None:
    assert version_in_words(number) == words


WHEELS = (
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cuda-runtime-cu12==12.9.79",
    "nvidia-cuda-runtime==13.5.37",
)


@pytest.mark.slow
@pytest.mark.parametrize("wheel", WHEELS)
def test_the_real_library_has_every_call_and_says_that_there_is_no_driver(
    wheel: str, tmp_path: Path, unpacked: Callable[[str], Path]
) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
        "from devices.agent import cuda\n"
        "library = cuda._library()\n"
        "names = [*cuda._SIGNATURES, 'cudaGraphInstantiateWithFlags', 'cudaGraphInstantiate']\n"
        "assert all(hasattr(library, name) for name in names)\n"
        "try:\n    cuda.Cuda()\nexcept cuda.CudaError as error:\n    sys.stdout.write(str(error))\n"
        "else:\n    sys.stdout.write('a GPU')"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[2]), str(unpacked(wheel))]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == "a GPU" or said.startswith("cudaGetDeviceCount: ")
