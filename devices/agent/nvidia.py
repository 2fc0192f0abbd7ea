"""NVIDIA GPUs through their management library (NVML), loaded with ctypes: nothing to install on the target.

Asked between rounds only: polling it while timing causes glitches. What a driver or a GPU does not know is
None.
"""

import contextlib
import ctypes
import os
from typing import Any, Dict, Iterator, List, Optional

LIBRARIES = ("libnvidia-ml.so.1", "libnvidia-ml.so")
CUDA_LIBRARIES = ("libcuda.so.1", "libcuda.so")
OK = 0
GRAPHICS_CLOCK, MEMORY_CLOCK = 0, 2
GPU_TEMPERATURE = 0
THROTTLE_REASONS = {
    0x02: "application clocks",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
"""Bits of NVML's clock event reasons; idle (0x01) and synchronised boost (0x10) slow nothing down here."""
MOST_PROCESSES = 64


class _Process(ctypes.Structure):
    """`nvmlProcessInfo_v1_t`, of `nvmlDeviceGetComputeRunningProcesses`."""

    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong)]


class _NewerProcess(ctypes.Structure):
    """`nvmlProcessInfo_t`, of `nvmlDeviceGetComputeRunningProcesses_v3`."""

    _fields_ = [
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class _Memory(ctypes.Structure):
    """`nvmlMemory_t`, bytes."""

    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


def conditions() -> Optional[List[Dict[str, Any]]]:
    """State of every GPU; None where there is no driver."""
    with _open() as library:
        count = ctypes.c_uint()
        if library is None or library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != OK:
            return None
        return [_gpu(library, index) for index in range(count.value)]


def driver_version() -> Optional[str]:
    """Version of the driver; None where there is none."""
    with _open() as library:
        text = ctypes.create_string_buffer(96)
        if library is None or library.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text))) != OK:
            return None
        return text.value.decode("ascii", "replace")


def used_gpu() -> Optional[Dict[str, Any]]:
    """What the GPU is that CUDA programs get by default; None where that is not told."""
    with _open() as library:
        gpu = None if library is None else _used(library)
        if library is None or gpu is None:
            return None
        memory = _Memory()
        limit_mw = _ask(library, "nvmlDeviceGetEnforcedPowerLimit", gpu)
        return {
            "index": _ask(library, "nvmlDeviceGetIndex", gpu),
            "name": _name(library, gpu),
            "memory_bytes": int(memory.total)
            if _call(library, "nvmlDeviceGetMemoryInfo", gpu, ctypes.byref(memory))
            else None,
            "power_limit_w": None if limit_mw is None else limit_mw / 1000.0,
            "mig": _is_mig(library, gpu),
            "counts_energy": _millijoules(library, gpu) is not None,
        }


class EnergyCounter:
    """The energy counter of the GPU that CUDA programs get by default; close it after use.

    Raises:
        OSError: the library, the GPU or its counter is not there.
    """

    def __init__(self) -> None:
        """Open the library."""
        self._stack = contextlib.ExitStack()
        library = self._stack.enter_context(_open())
        gpu = None if library is None else _used(library)
        if library is None or gpu is None:
            self._stack.close()
            raise OSError("NVIDIA's management library does not tell which GPU is used")
        self._library, self._gpu = library, gpu

    def millijoules(self) -> int:
        """Energy since the driver was loaded."""
        found = _millijoules(self._library, self._gpu)
        if found is None:
            raise OSError("NVIDIA's management library does not tell the GPU's energy")
        return found

    def close(self) -> None:
        """Close the library."""
        self._stack.close()


@contextlib.contextmanager
def _open() -> Iterator[Optional[ctypes.CDLL]]:
    """The library, ready for use; None where there is none, or it finds no driver."""
    library = _loaded(LIBRARIES)
    if library is None or library.nvmlInit_v2() != OK:
        yield None
        return
    try:
        yield library
    finally:
        library.nvmlShutdown()


def _loaded(names: Any) -> Optional[ctypes.CDLL]:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _used(library: ctypes.CDLL) -> Optional[ctypes.c_void_p]:
    """The GPU that CUDA counts as its first; CUDA and NVML may count otherwise."""
    gpu, count = ctypes.c_void_p(), ctypes.c_uint()
    bus_id = _first_of_cuda()
    if bus_id and _call(library, "nvmlDeviceGetHandleByPciBusId_v2", bus_id, ctypes.byref(gpu)):
        return gpu
    alone = _call(library, "nvmlDeviceGetCount_v2", ctypes.byref(count)) and count.value == 1
    if alone and _call(library, "nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(gpu)):
        return gpu
    return None


def _first_of_cuda() -> Optional[bytes]:
    """PCI bus id of CUDA's first device; None where CUDA finds none."""
    library = _loaded(CUDA_LIBRARIES)
    if library is None or not _call(library, "cuInit", ctypes.c_uint(0)):
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(32)
    if not _call(library, "cuDeviceGet", ctypes.byref(device), ctypes.c_int(0)):
        return None
    known = _call(library, "cuDeviceGetPCIBusId", text, ctypes.c_int(len(text)), device)
    return text.value if known else None


def _gpu(library: ctypes.CDLL, index: int) -> Dict[str, Any]:
    gpu = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(gpu)) != OK:
        return {"index": index}
    milliwatts = _ask(library, "nvmlDeviceGetPowerUsage", gpu)
    limit_mw = _ask(library, "nvmlDeviceGetEnforcedPowerLimit", gpu)
    return {
        "index": index,
        "name": _name(library, gpu),
        "clock_mhz": _ask(library, "nvmlDeviceGetClockInfo", gpu, GRAPHICS_CLOCK),
        "highest_clock_mhz": _ask(library, "nvmlDeviceGetMaxClockInfo", gpu, GRAPHICS_CLOCK),
        "memory_clock_mhz": _ask(library, "nvmlDeviceGetClockInfo", gpu, MEMORY_CLOCK),
        "temperature_c": _ask(library, "nvmlDeviceGetTemperature", gpu, GPU_TEMPERATURE),
        "power_w": None if milliwatts is None else milliwatts / 1000.0,
        "power_limit_w": None if limit_mw is None else limit_mw / 1000.0,
        "persistence": _ask(library, "nvmlDeviceGetPersistenceMode", gpu),
        "mig": _is_mig(library, gpu),
        "throttled_by": _throttled_by(library, gpu),
        "foreign_processes": _foreign_processes(library, gpu),
    }


def _name(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[str]:
    name = ctypes.create_string_buffer(96)
    known = _call(library, "nvmlDeviceGetName", gpu, name, ctypes.c_uint(len(name)))
    return name.value.decode("ascii", "replace") if known else None


def _is_mig(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[bool]:
    """Whether the GPU is cut into instances; what the library tells is then of all of them together."""
    now, later = ctypes.c_uint(), ctypes.c_uint()
    known = _call(library, "nvmlDeviceGetMigMode", gpu, ctypes.byref(now), ctypes.byref(later))
    return now.value == 1 if known else None


def _throttled_by(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[List[str]]:
    """Why the clock is lowered; the newer name of the same function is asked first."""
    for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
        reasons = _ask(library, name, gpu, kind=ctypes.c_ulonglong)
        if reasons is not None:
            return [word for bit, word in sorted(THROTTLE_REASONS.items()) if reasons & bit]
    return None


def _millijoules(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[int]:
    return _ask(library, "nvmlDeviceGetTotalEnergyConsumption", gpu, kind=ctypes.c_ulonglong)


def _ask(
    library: ctypes.CDLL, function: str, gpu: ctypes.c_void_p, *arguments: int, kind: Any = ctypes.c_uint
) -> Optional[int]:
    """A number that a function tells of a GPU."""
    value = kind()
    told = _call(library, function, gpu, *map(ctypes.c_uint, arguments), ctypes.byref(value))
    return int(value.value) if told else None


def _call(library: ctypes.CDLL, function: str, *arguments: Any) -> bool:
    """Whether a call succeeded; a library of another age may lack the function."""
    try:
        return bool(getattr(library, function)(*arguments) == OK)
    except AttributeError:
        return False


def _foreign_processes(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[int]:
    """How many other processes compute on the GPU."""
    versions = (("_v3", _NewerProcess), ("", _Process))
    for suffix, process in versions:  # type: Any
        running = (process * MOST_PROCESSES)()
        count = ctypes.c_uint(MOST_PROCESSES)
        function = "nvmlDeviceGetComputeRunningProcesses" + suffix
        if _call(library, function, gpu, ctypes.byref(count), running):
            pids = [int(running[index].pid) for index in range(min(count.value, MOST_PROCESSES))]
            return sum(pid != os.getpid() for pid in pids)
    return None
