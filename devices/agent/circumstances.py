"""What this target is (identity) and what state it is in (conditions), from the system's own files.

What a system does not tell is None: absent, never guessed. No host name, no user name.
"""

import os
import platform
from typing import Any, Dict, List, Optional


def hardware() -> Dict[str, Any]:
    """What decides whether two measurements may be compared: processor and system."""
    return {
        "machine": platform.machine(),
        "cpu_model": _cpu_model(),
        "cpu_count": os.cpu_count(),
        "system": platform.system(),
    }


def software() -> Dict[str, Any]:
    """Recorded for people; does not decide whether a profile fits."""
    return {"kernel": platform.release(), "python": platform.python_version()}


def conditions() -> Dict[str, Any]:
    """The state that moves a measurement: load, clock, governor, temperature, stolen time."""
    return {
        "load_1min": _load(),
        "cpu_mhz": _cpu_mhz(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "temperature_c": _temperature(),
        "steal_ticks": _steal_ticks(),
        "affinity": affinity(),
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


def _cpu_model() -> Optional[str]:
    fields = {}  # type: Dict[str, str]
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    board = _read("/proc/device-tree/model")
    parts = [board.strip("\0") if board else None, fields.get("model name") or fields.get("hardware")]
    if not any(parts) and "cpu part" in fields:
        parts = ["ARM implementer {} part {}".format(fields.get("cpu implementer"), fields["cpu part"])]
    return " / ".join(part for part in parts if part) or platform.processor() or None


def _load() -> Optional[float]:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _cpu_mhz() -> Optional[float]:
    khz = _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq")
    if khz and khz.isdigit():
        return int(khz) / 1000.0
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        if line.lower().startswith("cpu mhz"):
            return float(line.partition(":")[2])
    return None


def _temperature() -> Optional[float]:
    folder = "/sys/class/thermal"
    zones = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    readings = [
        _read(os.path.join(folder, zone, "temp")) for zone in zones if zone.startswith("thermal_zone")
    ]
    degrees = [int(text) / 1000.0 for text in readings if text and text.lstrip("-").isdigit()]
    return max(degrees) if degrees else None


def _steal_ticks() -> Optional[int]:
    words = (_read("/proc/stat") or "").partition("\n")[0].split()
    return int(words[8]) if len(words) > 8 and words[0] == "cpu" else None


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1000000).strip()
    except OSError:
        return None
