"""PyTorch on a GPU of NVIDIA's: its clock, CUDA graphs, copies and memory.

Times are those between two CUDA events on the stream that computes; the host waits by asking again and again,
since a thread that is put to sleep wakes late.
"""

from typing import Any, Callable, Dict, Sequence, Tuple

from devices.agent import timing

WARM_UP_RUNS = 3
"""Before a CUDA graph is captured, on a stream beside the main one, as PyTorch's notes on CUDA graphs say."""

Run = Callable[[], Tuple[Any, ...]]


def prepared(torch: Any) -> str:
    """Make ready for fp32 on the first GPU, and give the name of its device.

    Raises:
        RuntimeError: PyTorch sees no GPU.
    """
    if not torch.cuda.is_available():
        raise RuntimeError(
            "no CUDA here: torch.cuda.is_available() is false; install NVIDIA's driver and a build of "
            "PyTorch for CUDA (https://pytorch.org/get-started), or choose a provider without cuda"
        )
    # fp32 is fp32: by default convolutions would use shorter numbers in products
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    # of its kernels for a convolution the fastest, which the first runs find out
    torch.backends.cudnn.benchmark = True
    return "cuda:0"


class OnGpu:
    """A graph on the GPU: what the timing loop asks of it.

    Attributes:
        run: one inference, not waited for.
        captured: whether it replays a CUDA graph.
    """

    def __init__(self, torch: Any, run: Run, inputs: Sequence[Any], captured: bool) -> None:
        """Run once, which is when PyTorch compiles and chooses kernels, and capture what shall be captured.

        Raises:
            RuntimeError: the graph cannot be captured; it is never run uncaptured instead.
        """
        self._torch = torch
        self._inputs = list(inputs)
        self._evicted = {}  # type: Dict[int, Any]
        self._host_inputs = [_pinned(tensor) for tensor in self._inputs]
        self._graph = None  # type: Any
        self._outputs = run()
        torch.cuda.synchronize()
        self.captured = captured
        self.run = self._capture(run) if captured else run
        self._host_outputs = [_pinned(tensor) for tensor in self._outputs]

    def run_and_wait(self) -> None:
        """One inference; it has ended when this returns."""
        self.run()
        self._wait(self._event())

    def span_ns(self, runs: int) -> int:
        """So many inferences back to back, by the GPU's clock."""
        start = self._event(timed=True)
        for _ in range(runs):
            self.run()
        end = self._event(timed=True)
        self._wait(end)
        return _elapsed_ns(start, end)

    def parts_ns(self) -> Dict[str, int]:
        """One inference with copies from and to pinned memory of the host, which the GPU reads by itself."""
        marks = [self._event(timed=True)]
        for place, source in zip(self._inputs, self._host_inputs):
            place.copy_(source, non_blocking=True)
        marks.append(self._event(timed=True))
        self._wait(marks[-1])
        enqueue_ns = timing.elapsed_ns(self.run)
        marks.append(self._event(timed=True))
        for place, source in zip(self._host_outputs, self._outputs):
            place.copy_(source, non_blocking=True)
        marks.append(self._event(timed=True))
        self._wait(marks[-1])
        return {
            "h2d_ns": _elapsed_ns(marks[0], marks[1]),
            "d2h_ns": _elapsed_ns(marks[2], marks[3]),
            "enqueue_ns": enqueue_ns,
        }

    def evict(self, size: int) -> None:
        """Write so many bytes of the GPU's memory: what its caches held is gone."""
        if size not in self._evicted:
            self._evicted[size] = self._torch.zeros(
                size, dtype=self._torch.uint8, device=self._inputs[0].device
            )
        self._evicted[size].zero_()

    def close(self) -> None:
        """Give the GPU's memory back."""
        self._torch.cuda.synchronize()
        self._graph, self._evicted = None, {}
        self._inputs, self._outputs = [], ()
        self.run = _closed
        self._torch.cuda.empty_cache()

    def _capture(self, run: Run) -> Run:
        torch = self._torch
        try:
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(WARM_UP_RUNS):
                    run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._outputs = run()
        except Exception as error:  # PyTorch raises its own, and plain errors of CUDA
            raise RuntimeError(
                "the graph cannot be captured as a CUDA graph; providers without +graph run it uncaptured: "
                "{}".format(error)
            ) from error
        self._graph = graph

        def replay() -> Tuple[Any, ...]:
            graph.replay()
            return self._outputs

        return replay

    def _event(self, timed: bool = False) -> Any:
        event = self._torch.cuda.Event(enable_timing=timed)
        event.record()
        return event

    def _wait(self, event: Any) -> None:
        while not event.query():
            pass


def identity(torch: Any) -> Dict[str, Any]:
    """`gpu`, `compute_capability`, and `cuda_version`: the one that PyTorch was built for.

    Raises:
        RuntimeError: PyTorch sees no GPU.
    """
    prepared(torch)
    return {
        "gpu": torch.cuda.get_device_name(0),
        "compute_capability": "{}.{}".format(*torch.cuda.get_device_capability(0)),
        "cuda_version": torch.version.cuda,
    }


def _pinned(tensor: Any) -> Any:
    """Memory of the host, of the same layout, which the system never moves."""
    return tensor.to("cpu").pin_memory()


def _elapsed_ns(start: Any, end: Any) -> int:
    return int(start.elapsed_time(end) * 1e6)  # events tell milliseconds, to about 0.5 µs


def _closed() -> Tuple[Any, ...]:
    raise RuntimeError("the graph was dropped")
