"""CUDA's runtime library through ctypes: memory, streams, events, graphs; nothing to install on the target.

Every call is checked. Whatever is made here gives itself back with `close`, or at the end of a `with`.
`CUDA_VISIBLE_DEVICES` decides which GPU is meant: the first that it leaves visible.
"""

import ctypes
import glob
import os
import sys
from typing import Any, Callable, Dict, Iterator, Optional

SONAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so")
WHEEL_FOLDERS = ("nvidia/cu13/lib", "nvidia/cuda_runtime/lib")
SYSTEM_FOLDERS = ("/usr/local/cuda*/lib64", "/usr/local/cuda*/targets/*/lib")

SPIN = 1  # cudaDeviceScheduleSpin
NON_BLOCKING = 1  # cudaStreamNonBlocking
THREAD_LOCAL = 1  # cudaStreamCaptureModeThreadLocal
TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost
MULTIPROCESSORS, L2_BYTES, MAJOR, MINOR = 16, 38, 75, 76  # cudaDevAttr...
WITH_FLAGS_VERSION = 12000
"""From this version of the library on, cudaGraphInstantiate takes flags in place of a buffer for errors."""
PROPERTIES_BYTES = 16384
"""More than any version's cudaDeviceProp, which begins with the name in 256 bytes."""

_Address = ctypes.c_void_p
_Out = ctypes.POINTER(ctypes.c_void_p)
_Whole = ctypes.POINTER(ctypes.c_int)
_Size = ctypes.POINTER(ctypes.c_size_t)
_SIGNATURES = {
    "cudaMalloc": [_Out, ctypes.c_size_t],
    "cudaFree": [_Address],
    "cudaMallocHost": [_Out, ctypes.c_size_t],
    "cudaFreeHost": [_Address],
    "cudaMemcpyAsync": [_Address, _Address, ctypes.c_size_t, ctypes.c_int, _Address],
    "cudaMemsetAsync": [_Address, ctypes.c_int, ctypes.c_size_t, _Address],
    "cudaMemGetInfo": [_Size, _Size],
    "cudaStreamCreateWithFlags": [_Out, ctypes.c_uint],
    "cudaStreamSynchronize": [_Address],
    "cudaStreamDestroy": [_Address],
    "cudaStreamBeginCapture": [_Address, ctypes.c_int],
    "cudaStreamEndCapture": [_Address, _Out],
    "cudaEventCreateWithFlags": [_Out, ctypes.c_uint],
    "cudaEventRecord": [_Address, _Address],
    "cudaEventSynchronize": [_Address],
    "cudaEventElapsedTime": [ctypes.POINTER(ctypes.c_float), _Address, _Address],
    "cudaEventDestroy": [_Address],
    "cudaGraphLaunch": [_Address, _Address],
    "cudaGraphExecDestroy": [_Address],
    "cudaGraphDestroy": [_Address],
    "cudaGetDeviceCount": [_Whole],
    "cudaSetDevice": [ctypes.c_int],
    "cudaSetDeviceFlags": [ctypes.c_uint],
    "cudaDeviceGetAttribute": [_Whole, ctypes.c_int, ctypes.c_int],
    "cudaGetDeviceProperties": [_Address, ctypes.c_int],
    "cudaRuntimeGetVersion": [_Whole],
    "cudaDriverGetVersion": [_Whole],
    "cudaGetLastError": [],
}


class CudaError(RuntimeError):
    """CUDA refused a call, or its library is absent; the message says which and why."""


class Owned:
    """Something of CUDA's that is given back once: at `close`, or at the end of a `with`."""

    def __init__(self, address: int, give_back: Callable[[int], None]) -> None:
        """Store the address, and what gives it back."""
        self.address = address
        self._give_back = give_back

    def __enter__(self) -> "Owned":
        """Nothing is done."""
        return self

    def __exit__(self, *error: object) -> None:
        """Give it back."""
        self.close()

    def close(self) -> None:
        """Give it back; harmless when that was done."""
        address, self.address = self.address, 0
        if address:
            self._give_back(address)


class Cuda:
    """The first visible GPU, with the host's thread spinning while it waits.

    Raises:
        CudaError: from every method, when CUDA refuses; at birth, without library, driver or GPU.
    """

    def __init__(self) -> None:
        """Load the library and take the first visible GPU."""
        # before CUDA 12.2 all kernels of a library would be loaded at once, which takes memory and seconds
        os.environ.setdefault("CUDA_MODULE_LOADING", "LAZY")
        self._library = _library()
        self._scratch: Dict[int, Owned] = {}
        self._library.cudaGetErrorString.restype = ctypes.c_char_p
        self._library.cudaGetErrorString.argtypes = [ctypes.c_int]
        for name, arguments in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.argtypes, function.restype = arguments, ctypes.c_int
        if self._whole("cudaGetDeviceCount") < 1:
            raise CudaError("CUDA sees no GPU; is CUDA_VISIBLE_DEVICES set to one that is there?")
        self._call("cudaSetDevice", 0)
        self.spins = self._library.cudaSetDeviceFlags(SPIN) == 0
        if not self.spins:  # another library of this process was first: slower to answer, not wrong
            self._library.cudaGetLastError()

    # --- what it is

    @property
    def name(self) -> str:
        """The GPU's name."""
        buffer = ctypes.create_string_buffer(PROPERTIES_BYTES)
        self._call("cudaGetDeviceProperties", buffer, 0)
        return buffer.raw[:256].split(b"\0", 1)[0].decode("utf-8", "replace")

    @property
    def compute_capability(self) -> str:
        """Such as `8.7`."""
        return "{}.{}".format(self._attribute(MAJOR), self._attribute(MINOR))

    @property
    def l2_bytes(self) -> Optional[int]:
        """Size of the GPU's last cache; None where it does not tell."""
        return self._attribute(L2_BYTES) or None

    @property
    def multiprocessors(self) -> int:
        """How many."""
        return self._attribute(MULTIPROCESSORS)

    @property
    def runtime_version(self) -> int:
        """Of this library: 12040 is 12.4."""
        return self._whole("cudaRuntimeGetVersion")

    @property
    def driver_version(self) -> int:
        """The newest CUDA that the driver knows."""
        return self._whole("cudaDriverGetVersion")

    def memory_bytes(self) -> int:
        """All of the GPU's memory."""
        free, whole = ctypes.c_size_t(), ctypes.c_size_t()
        self._call("cudaMemGetInfo", ctypes.byref(free), ctypes.byref(whole))
        return whole.value

    # --- memory

    def memory(self, size: int) -> Owned:
        """So many bytes of the GPU's memory."""
        return self._owned("cudaFree", "cudaMalloc", max(size, 1))

    def pinned(self, size: int) -> Owned:
        """So many bytes of the host's memory that the GPU can copy from and to by itself."""
        return self._owned("cudaFreeHost", "cudaMallocHost", max(size, 1))

    def copy_to_device(self, target: int, source: int, size: int, stream: int) -> None:
        """Begin to copy bytes from pinned memory."""
        self._call("cudaMemcpyAsync", target, source, size, TO_DEVICE, stream)

    def copy_to_host(self, target: int, source: int, size: int, stream: int) -> None:
        """Begin to copy bytes into pinned memory."""
        self._call("cudaMemcpyAsync", target, source, size, TO_HOST, stream)

    def fill(self, target: int, value: int, size: int, stream: int) -> None:
        """Begin to set every byte of the GPU's memory to a value."""
        self._call("cudaMemsetAsync", target, value, size, stream)

    def scratch(self, size: int) -> int:
        """Address of so many bytes of the GPU's memory for anybody, kept for the life of the process."""
        if size not in self._scratch:
            self._scratch[size] = self.memory(size)
        return self._scratch[size].address

    # --- streams and events

    def stream(self) -> Owned:
        """A stream of its own, which does not wait for others."""
        return self._owned("cudaStreamDestroy", "cudaStreamCreateWithFlags", NON_BLOCKING)

    def synchronize(self, stream: int) -> None:
        """Wait until all that was begun in a stream is done."""
        self._call("cudaStreamSynchronize", stream)

    def event(self) -> Owned:
        """A mark in a stream that keeps the time at which it was reached."""
        return self._owned("cudaEventDestroy", "cudaEventCreateWithFlags", 0)

    def record(self, event: int, stream: int) -> None:
        """Put a mark behind what was begun in a stream."""
        self._call("cudaEventRecord", event, stream)

    def span_ns(self, start: int, end: int) -> int:
        """Wait for the second of two marks, and tell the nanoseconds between them by the GPU's clock."""
        self._call("cudaEventSynchronize", end)
        span_ms = ctypes.c_float()
        self._call("cudaEventElapsedTime", ctypes.byref(span_ms), start, end)
        return round(span_ms.value * 1e6)

    # --- graphs

    def captured(self, stream: int, action: Callable[[], Any]) -> Owned:
        """What an action begins in a stream, as a graph that can be launched again and again.

        Raises:
            CudaError: something in it cannot be captured; the stream can be used as before.
        """
        graph = ctypes.c_void_p()
        self._call("cudaStreamBeginCapture", stream, THREAD_LOCAL)
        try:
            action()
        except BaseException:
            # leave the stream usable; that the capture is invalid is known already
            self._library.cudaStreamEndCapture(stream, ctypes.byref(graph))
            self._library.cudaGetLastError()
            if graph.value:
                self._library.cudaGraphDestroy(graph.value)
            raise
        self._call("cudaStreamEndCapture", stream, ctypes.byref(graph))
        try:
            return self._instantiated(graph)
        finally:
            self._call("cudaGraphDestroy", graph.value)

    def launch(self, graph: int, stream: int) -> None:
        """Begin all of a captured graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def _instantiated(self, graph: ctypes.c_void_p) -> Owned:
        made = ctypes.c_void_p()
        with_flags = getattr(self._library, "cudaGraphInstantiateWithFlags", None)
        if with_flags is None and self.runtime_version >= WITH_FLAGS_VERSION:
            with_flags = self._library.cudaGraphInstantiate
        if with_flags is not None:  # since CUDA 11.4
            with_flags.argtypes, with_flags.restype = [_Out, _Address, ctypes.c_ulonglong], ctypes.c_int
            self._check("cudaGraphInstantiate", with_flags(ctypes.byref(made), graph, 0))
        else:
            older = self._library.cudaGraphInstantiate
            older.argtypes = [_Out, _Address, _Address, _Address, ctypes.c_size_t]
            self._check("cudaGraphInstantiate", older(ctypes.byref(made), graph, None, None, 0))
        return Owned(int(made.value or 0), lambda address: self._call("cudaGraphExecDestroy", address))

    # --- calls

    def _owned(self, give_back: str, make: str, *arguments: int) -> Owned:
        made = ctypes.c_void_p()
        self._call(make, ctypes.byref(made), *arguments)
        return Owned(int(made.value or 0), lambda address: self._call(give_back, address))

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cudaDeviceGetAttribute", ctypes.byref(value), number, 0)
        return value.value

    def _whole(self, name: str) -> int:
        value = ctypes.c_int()
        self._call(name, ctypes.byref(value))
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        self._check(name, getattr(self._library, name)(*arguments))

    def _check(self, name: str, code: int) -> None:
        if code:
            self._library.cudaGetLastError()  # else the next call of another library would find it
            text = self._library.cudaGetErrorString(code) or b"unknown error"
            raise CudaError("{}: {} ({})".format(name, text.decode("utf-8", "replace"), code))


def version_in_words(number: int) -> str:
    """12040 is 12.4."""
    return "{}.{}".format(number // 1000, number % 1000 // 10)


def _library() -> ctypes.CDLL:
    """CUDA's runtime library: the one that is loaded already, else of a wheel, else of the system."""
    refused = []
    for path in _places():
        try:
            return ctypes.CDLL(path)
        except OSError as error:
            if os.path.sep in path:  # it is there, and cannot be used
                refused.append(str(error))
    raise CudaError(
        "CUDA's runtime library (libcudart) was not found{}; install CUDA, or for the target's Python: "
        "pip install nvidia-cuda-runtime-cu12".format(": " + "; ".join(refused) if refused else "")
    )


def _places() -> Iterator[str]:
    for path in _loaded():
        yield path
    for folder in sys.path:
        for inside in WHEEL_FOLDERS:
            for path in sorted(glob.glob(os.path.join(glob.escape(folder), inside, "libcudart.so*"))):
                yield path
    for name in SONAMES:
        yield name
    for pattern in SYSTEM_FOLDERS:
        for folder in sorted(glob.glob(pattern), reverse=True):
            for name in SONAMES:
                if os.path.exists(os.path.join(folder, name)):
                    yield os.path.join(folder, name)


def _loaded() -> Iterator[str]:
    """Where another library of this process has found it."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            for line in file:
                path = line.rstrip("\n").partition("/")
                if os.path.basename(path[2]).startswith("libcudart.so"):
                    yield "/" + path[2]
                    return
    except OSError:
        return
