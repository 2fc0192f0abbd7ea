"""Which GPU CUDA computes on, asked of the driver's library with ctypes: nothing to install on the target.

Unlike the management library (`nvidia.py`) it counts as CUDA does: the first GPU is the one that graphs run
on, whatever CUDA_VISIBLE_DEVICES says. Nothing is allocated on the GPU for it.
"""

import ctypes
from typing import Any, Dict, Optional, Tuple

LIBRARY = "libcuda.so.1"
OK = 0
L2_BYTES, CAPABILITY_MAJOR, CAPABILITY_MINOR = 38, 75, 76  # CU_DEVICE_ATTRIBUTE_...


def identity() -> Dict[str, Optional[str]]:
    """`gpu`, `compute_capability`, and `cuda_version`: the newest that the driver supports.

    None for each that is not told, so also where there is no driver.
    """
    absent = {"gpu": None, "compute_capability": None, "cuda_version": None}  # type: Dict[str, Optional[str]]
    library, gpu = _first()
    if library is None:
        return absent
    major, minor = (_attribute(library, gpu, number) for number in (CAPABILITY_MAJOR, CAPABILITY_MINOR))
    return {
        "gpu": _name(library, gpu),
        "compute_capability": None if major is None or minor is None else "{}.{}".format(major, minor),
        "cuda_version": _version(library),
    }


def software() -> Dict[str, Any]:
    """`gpu_l2_bytes`: the GPU's last cache; None where it is not told."""
    library, gpu = _first()
    return {"gpu_l2_bytes": None if library is None else _attribute(library, gpu, L2_BYTES)}


def _first() -> Tuple[Any, Any]:
    """The driver's library and the first GPU; None where there is none."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None, None
    gpu = ctypes.c_int()
    found = library.cuInit(ctypes.c_uint(0)) or library.cuDeviceGet(ctypes.byref(gpu), ctypes.c_int(0))
    return (library, gpu) if found == OK else (None, None)


def _name(library: Any, gpu: Any) -> Optional[str]:
    name = ctypes.create_string_buffer(256)
    found = library.cuDeviceGetName(name, ctypes.c_int(len(name)), gpu)
    return name.value.decode("utf-8", "replace") if found == OK else None


def _attribute(library: Any, gpu: Any, number: int) -> Optional[int]:
    value = ctypes.c_int()
    found = library.cuDeviceGetAttribute(ctypes.byref(value), ctypes.c_int(number), gpu)
    return value.value if found == OK else None


def _version(library: Any) -> Optional[str]:
    """The driver's, written as 12040 for 12.4."""
    value = ctypes.c_int()
    if library.cuDriverGetVersion(ctypes.byref(value)) != OK:
        return None
    return "{}.{}".format(value.value // 1000, value.value % 1000 // 10)
