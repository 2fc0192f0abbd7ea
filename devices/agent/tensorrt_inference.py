"""One engine in the GPU's memory: inputs in place, a stream, marks for the GPU's clock, a CUDA graph."""

import contextlib
from typing import Any, Callable, Dict, List, Tuple

from devices.agent import timing
from devices.agent.cuda import Cuda, CudaError, Owned

TYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT8": "int8",
    "INT32": "int32",
    "INT64": "int64",
    "BOOL": "bool",
    "UINT8": "uint8",
}
"""Types of tensors by TensorRT's names, and numpy's."""


class Tensor:
    """An input or output: memory on the GPU, and the host's end of copies from and to there."""

    def __init__(self, name: str, size: int, device: Owned, host: Owned) -> None:
        """Store the tensor's name, its size in bytes and its memory."""
        self.name, self.size, self.device, self.host = name, size, device, host


class Inference:
    """An engine that can be run, timed by the GPU's clock, and captured as a CUDA graph."""

    def __init__(self, gpu: Cuda, opened: Tuple[Any, Any], notes: Dict[str, Any]) -> None:
        """Take the GPU's memory and fill the inputs with random numbers.

        Args:
            gpu: where.
            opened: TensorRT's runtime, and the engine.
            notes: where it is noted whether a CUDA graph was captured.

        Raises:
            ValueError: an input or output has a type or shape that cannot be filled.
            CudaError: the GPU's memory does not suffice.
        """
        self._gpu, self._opened, self.notes = gpu, opened, notes
        self._owned = contextlib.ExitStack()
        try:
            self._stream = self._keep(gpu.stream()).address
            self._marks = [self._keep(gpu.event()).address for _ in range(2)]
            engine = opened[1]
            self._context = engine.create_execution_context()
            if self._context is None:
                raise RuntimeError("TensorRT could not make an execution context: is the GPU's memory full?")
            self.inputs: List[Tensor] = []
            self.outputs: List[Tensor] = []
            self._place(engine)
            self._start: Callable[[], None] = self._enqueue
            for tensor in self.inputs:
                self._to_device(tensor)
            gpu.synchronize(self._stream)
        except BaseException:
            self.close()
            raise

    def capture(self) -> None:
        """Start inferences as one CUDA graph from now on, if the GPU can; else note why not."""
        self.run()  # TensorRT sets up what it needs at the first inference
        try:
            graph = self._keep(self._gpu.captured(self._stream, self._enqueue))
            self._gpu.launch(graph.address, self._stream)
            self._gpu.synchronize(self._stream)
        except (CudaError, RuntimeError) as error:
            self.notes.update(cuda_graph=False, cuda_graph_refused=str(error))
            return
        self.notes["cuda_graph"] = True
        launch, address, stream = self._gpu.launch, graph.address, self._stream
        self._start = lambda: launch(address, stream)

    def run(self) -> None:
        """One inference, to its end."""
        self._start()
        self._gpu.synchronize(self._stream)

    def span_ns(self, runs: int) -> int:
        """So many inferences back to back: nanoseconds by the GPU's clock."""
        start, end = self._marks
        self._gpu.record(start, self._stream)
        for _ in range(runs):
            self._start()
        self._gpu.record(end, self._stream)
        return self._gpu.span_ns(start, end)

    def parts_ns(self) -> Dict[str, int]:
        """One inference with its copies: these by the GPU's clock, its start by the host's."""
        self._gpu.synchronize(self._stream)
        h2d_ns = self._between(self._to_device, self.inputs)
        enqueue_ns = timing.elapsed_ns(self._start)
        self._gpu.synchronize(self._stream)
        d2h_ns = self._between(self._to_host, self.outputs)
        return {"h2d_ns": h2d_ns, "d2h_ns": d2h_ns, "enqueue_ns": enqueue_ns}

    def evict(self, size: int) -> None:
        """Begin to write so many bytes of the GPU's memory: what its caches held is gone after that."""
        self._gpu.fill(self._gpu.scratch(size), 0, size, self._stream)

    def profiled(self, profiler: Any, runs: int) -> List[List[Tuple[str, float]]]:
        """Names and milliseconds of every layer, for every run under a profiler with a list `told`."""
        self._context.profiler = profiler
        self._context.enqueue_emits_profile = False  # the layers are told when a run has ended
        found = []
        for _ in range(runs):
            profiler.told = []
            self._enqueue()
            self._gpu.synchronize(self._stream)
            if not self._context.report_to_profiler():
                raise RuntimeError("TensorRT does not tell the times of layers here")
            found.append(profiler.told)
        return found

    def close(self) -> None:
        """Give everything back."""
        self._context, self._opened = None, (None, None)
        self._owned.close()

    def _keep(self, thing: Owned) -> Owned:
        return self._owned.enter_context(thing)

    def _place(self, engine: Any) -> None:
        """Memory for every tensor; random numbers in the host's end of the inputs."""
        import numpy

        rng = numpy.random.default_rng(0)
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            array = _array(numpy, rng, engine, name)
            size = array.nbytes
            tensor = Tensor(
                name, size, self._keep(self._gpu.memory(size)), self._keep(self._gpu.pinned(size))
            )
            is_input = engine.get_tensor_mode(name).name == "INPUT"
            (self.inputs if is_input else self.outputs).append(tensor)
            _write(tensor.host.address, array)
            if not self._context.set_tensor_address(name, tensor.device.address):
                raise RuntimeError("TensorRT does not take the memory of {!r}".format(name))

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise RuntimeError("TensorRT could not enqueue an inference")

    def _to_device(self, tensor: Tensor) -> None:
        self._gpu.copy_to_device(tensor.device.address, tensor.host.address, tensor.size, self._stream)

    def _to_host(self, tensor: Tensor) -> None:
        self._gpu.copy_to_host(tensor.host.address, tensor.device.address, tensor.size, self._stream)

    def _between(self, copy: Callable[[Tensor], None], tensors: List[Tensor]) -> int:
        start, end = self._marks
        self._gpu.record(start, self._stream)
        for tensor in tensors:
            copy(tensor)
        self._gpu.record(end, self._stream)
        return self._gpu.span_ns(start, end)


def _array(numpy: Any, rng: Any, engine: Any, name: str) -> Any:
    """Standard normal numbers; whole numbers are 0 or 1, so that they are valid as indexes too."""
    shape, kind = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name).name
    if kind not in TYPES:
        raise ValueError("{!r} has type {}, which cannot be filled".format(name, kind))
    if any(size < 0 for size in shape):
        raise ValueError("{!r} has the dynamic shape {}; fix its sizes".format(name, shape))
    if engine.get_tensor_location(name).name != "DEVICE":
        raise ValueError("{!r} is read by the host, which is not timed here".format(name))
    kind = numpy.dtype(TYPES[kind])
    if kind.kind == "f":
        return rng.standard_normal(shape).astype(kind)
    return rng.integers(0, 2, shape).astype(kind)


def _write(address: int, array: Any) -> None:
    """Copy an array into the host's memory."""
    import ctypes

    data = array.tobytes()
    ctypes.memmove(address, data, len(data))
