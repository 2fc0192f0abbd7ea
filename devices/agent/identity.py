"""What this target is: what decides whether two measurements may be compared, and what people want to know.

What a system does not tell is None: absent, never guessed. No host name, no user name.
"""

import os
import platform
from typing import Any, Dict, List, Optional

from devices.agent import boards, emulation, nvidia, system_files

CPUS = "/sys/devices/system/cpu"
SAME_CLOCK = 0.9
"""Processors with highest clocks nearer than this are of one cluster: single ones may turbo a bit further."""


def hardware() -> Dict[str, Any]:
    """What decides whether two measurements may be compared: processor, system, and how a board is set.

    `emulated` names the emulator where there is one, and is absent where there is none.
    """
    machine = platform.machine()
    found = {
        "machine": machine,
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "system": platform.system(),
        **boards.identity(),
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
        "processor_clusters": _clusters_in_words(),
        "python": platform.python_version(),
    }


def affinity() -> Optional[List[int]]:
    """The processors this process may use; None where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))


def pin(threads: int) -> Optional[List[int]]:
    """Restrict this process to as many processors as it has threads.

    The last allowed ones of the fastest cluster are taken (phones and some laptops have several clusters),
    then those of the next: the first processor serves most interrupts.

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
    fastest_last = [cpu for cluster in reversed(clusters(allowed)) for cpu in cluster]
    chosen = sorted(fastest_last[-threads:])
    os.sched_setaffinity(0, chosen)
    return chosen


def clusters(processors: List[int]) -> List[List[int]]:
    """Processors that are alike together, the fastest first; all together where no clocks are told."""
    khz = {cpu: highest_khz(cpu) or 0 for cpu in processors}
    found: List[List[int]] = []
    for cpu in sorted(processors, key=lambda cpu: (-khz[cpu], cpu)):
        if found and khz[cpu] >= SAME_CLOCK * khz[found[-1][0]]:
            found[-1].append(cpu)
        else:
            found.append([cpu])
    return [sorted(cluster) for cluster in found]


def highest_khz(processor: int) -> Optional[int]:
    """The highest clock of a processor, kHz."""
    return system_files.number("{}/cpu{}/cpufreq/cpuinfo_max_freq".format(CPUS, processor))


def _clusters_in_words() -> Optional[str]:
    """The clusters, and where this process runs, as `processors 4-6 of up to 2400 MHz (here), ...`."""
    here = set(affinity() or [])
    found = clusters(list(range(os.cpu_count() or 1)))
    if len(found) < 2:
        return None
    words = []
    for cluster in found:
        mhz = max(highest_khz(cpu) or 0 for cpu in cluster) // 1000
        names = "+".join(map(str, cluster))
        words.append("{} up to {} MHz{}".format(names, mhz, " (here)" if here & set(cluster) else ""))
    return ", ".join(words)


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
