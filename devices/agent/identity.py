"""What this target is: what decides whether two measurements may be compared, and what people want to know.

What a system does not tell is None: absent, never guessed. No host name, no user name.
"""

import os
import platform
from typing import Any, Dict, List, Optional

from devices.agent import emulation, nvidia, system_files


def hardware() -> Dict[str, Any]:
    """What decides whether two measurements may be compared: processor and system.

    `emulated` names the emulator where there is one, and is absent where there is none.
    """
    machine = platform.machine()
    found = {
        "machine": machine,
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "system": platform.system(),
    }  # type: Dict[str, Any]
    emulator = emulation.emulator(machine)
    if emulator is not None:
        found["emulated"] = emulator
    return found


def software() -> Dict[str, Any]:
    """The rest of the fingerprint, for people: does not decide whether a profile fits."""
    release = system_files.fields("/etc/os-release", "=")
    cpu = system_files.fields("/proc/cpuinfo", ":")
    return {
        "kernel": platform.release(),
        "os": release.get("pretty_name"),
        "firmware": _firmware(),
        "microcode": cpu.get("microcode"),
        "virtual_machine": "hypervisor" in cpu.get("flags", "").split() or None,
        "clock_source": system_files.read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "gpu_driver": nvidia.driver_version(),
        "last_level_cache_bytes": last_level_cache_bytes(),
        "python": platform.python_version(),
    }


def affinity() -> Optional[List[int]]:
    """The processors this process may use; None where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))


def pin(threads: int) -> Optional[List[int]]:
    """Restrict this process to as many processors as it has threads.

    The last allowed ones are taken: the first serves most interrupts.

    Raises:
        ValueError: more threads than allowed processors.
    """
    allowed = affinity()
    if allowed is None:
        return None
    if threads > len(allowed):
        raise ValueError(
            "{} threads asked for, but this process may use only {} processors".format(threads, len(allowed))
        )
    os.sched_setaffinity(0, allowed[-threads:])
    return allowed[-threads:]


def last_level_cache_bytes() -> Optional[int]:
    """Size of the largest cache that the system tells of."""
    units = {"K": 1024, "M": 1024**2, "G": 1024**3}
    sizes = []
    for cache in system_files.entries("/sys/devices/system/cpu/cpu0/cache", "index"):
        text = system_files.read(os.path.join(cache, "size")) or ""
        if text[:-1].isdigit() and text[-1:] in units:
            sizes.append(int(text[:-1]) * units[text[-1]])
    return max(sizes) if sizes else None


def _cpu_model() -> Optional[str]:
    fields = system_files.fields("/proc/cpuinfo", ":")
    parts = [
        system_files.read("/proc/device-tree/model"),
        fields.get("model name") or fields.get("hardware"),
    ]
    if not any(parts) and "cpu part" in fields:
        parts = ["ARM implementer {} part {}".format(fields.get("cpu implementer"), fields["cpu part"])]
    return " / ".join(part for part in parts if part) or platform.processor() or None


def _firmware() -> Optional[str]:
    """Version of the BIOS, or of the board's boot firmware."""
    return system_files.read("/sys/class/dmi/id/bios_version") or system_files.read(
        "/proc/device-tree/chosen/u-boot,version"
    )
