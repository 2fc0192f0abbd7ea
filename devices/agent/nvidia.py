"""NVIDIA GPUs through their management library (NVML), loaded with ctypes: nothing to install on the target.

Asked between rounds only: polling it while timing causes glitches.
"""

import ctypes
import os
from typing import Any, Dict, List, Optional

LIBRARIES = ("libnvidia-ml.so.1", "libnvidia-ml.so")
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
    """`nvmlProcessInfo_v1_t`."""

    _fields_ = [("pid", ctypes.c_uint), ("used", ctypes.c_ulonglong)]


def conditions() -> Optional[List[Dict[str, Any]]]:
    """State of every GPU; None where there is no driver."""
    library = _library()
    if library is None or library.nvmlInit_v2() != OK:
        return None
    try:
        count = ctypes.c_uint()
        if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != OK:
            return None
        return [_gpu(library, index) for index in range(count.value)]
    finally:
        library.nvmlShutdown()


def driver_version() -> Optional[str]:
    """Version of the driver; None where there is none."""
    library = _library()
    if library is None or library.nvmlInit_v2() != OK:
        return None
    try:
        text = ctypes.create_string_buffer(96)
        found = library.nvmlSystemGetDriverVersion(text, ctypes.c_uint(len(text)))
        return text.value.decode("ascii", "replace") if found == OK else None
    finally:
        library.nvmlShutdown()


def _library() -> Optional[ctypes.CDLL]:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _gpu(library: ctypes.CDLL, index: int) -> Dict[str, Any]:
    gpu = ctypes.c_void_p()
    if library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(index), ctypes.byref(gpu)) != OK:
        return {"index": index}
    name = ctypes.create_string_buffer(96)
    known = library.nvmlDeviceGetName(gpu, name, ctypes.c_uint(len(name))) == OK
    reasons = _number(library.nvmlDeviceGetCurrentClocksThrottleReasons, gpu, kind=ctypes.c_ulonglong)
    milliwatts = _number(library.nvmlDeviceGetPowerUsage, gpu)
    return {
        "index": index,
        "name": name.value.decode("ascii", "replace") if known else None,
        "clock_mhz": _number(library.nvmlDeviceGetClockInfo, gpu, GRAPHICS_CLOCK),
        "highest_clock_mhz": _number(library.nvmlDeviceGetMaxClockInfo, gpu, GRAPHICS_CLOCK),
        "memory_clock_mhz": _number(library.nvmlDeviceGetClockInfo, gpu, MEMORY_CLOCK),
        "temperature_c": _number(library.nvmlDeviceGetTemperature, gpu, GPU_TEMPERATURE),
        "power_w": None if milliwatts is None else milliwatts / 1000.0,
        "persistence": _number(library.nvmlDeviceGetPersistenceMode, gpu),
        "throttled_by": None
        if reasons is None
        else [word for bit, word in sorted(THROTTLE_REASONS.items()) if reasons & bit],
        "foreign_processes": _foreign_processes(library, gpu),
    }


def _number(function: Any, gpu: ctypes.c_void_p, *arguments: int, kind: Any = ctypes.c_uint) -> Optional[int]:
    value = kind()
    found = function(gpu, *[ctypes.c_uint(argument) for argument in arguments], ctypes.byref(value))
    return int(value.value) if found == OK else None


def _foreign_processes(library: ctypes.CDLL, gpu: ctypes.c_void_p) -> Optional[int]:
    """How many other processes compute on the GPU."""
    running = (_Process * MOST_PROCESSES)()
    count = ctypes.c_uint(MOST_PROCESSES)
    if library.nvmlDeviceGetComputeRunningProcesses(gpu, ctypes.byref(count), running) != OK:
        return None
    pids = [int(running[index].pid) for index in range(min(count.value, MOST_PROCESSES))]
    return sum(pid != os.getpid() for pid in pids)
