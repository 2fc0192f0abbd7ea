"""What a phone tells of itself through its shell: no Python runs there, so its files are read as texts here.

What it does not tell is None: absent, never guessed. No serial number, no account. Many phones keep some of
these files from the shell; what is asked was looked up, and never seen on a phone.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from devices.adb import Adb
from devices.connection import AgentDied

LARGEST_TEXT = 200
MOST_CLOCKS = 8
CPUS = "/sys/devices/system/cpu"

_FACTS = {
    "machine": "uname -m",
    "kernel": "uname -r",
    "system": "uname -s",
    "present": f"cat {CPUS}/present",
    "allowed": "grep Cpus_allowed_list /proc/self/status",
    "ticks": "getconf CLK_TCK",
    "taskset": "taskset 1 true && echo yes",
    "timeout": "timeout 5 true && echo yes",
    "maker": "getprop ro.product.manufacturer",
    "model": "getprop ro.product.model",
    "soc_maker": "getprop ro.soc.manufacturer",
    "soc_model": "getprop ro.soc.model",
    "platform": "getprop ro.board.platform",
    "abi": "getprop ro.product.cpu.abi",
    "android": "getprop ro.build.version.release",
    "sdk": "getprop ro.build.version.sdk",
    "build": "getprop ro.build.id",
}
_STATE = {
    "uptime": "cat /proc/uptime",
    "load": "cat /proc/loadavg",
    "stat": "grep -E '^cpu' /proc/stat",
    "memory": "grep MemAvailable /proc/meminfo",
    "cpu_pressure": "cat /proc/pressure/cpu",
    "memory_pressure": "cat /proc/pressure/memory",
    "temperatures": "cat /sys/class/thermal/thermal_zone*/temp",
    "thermal": "dumpsys thermalservice | grep -m 1 'Thermal Status'",
    "battery": "dumpsys battery",
    "screen": "dumpsys power | grep -m 1 mWakefulness=",
}


def told(adb: Adb, questions: Mapping[str, str]) -> dict[str, str]:
    """What each of some lines for the phone's shell prints, white space around it left out.

    Args:
        adb: the phone.
        questions: constant lines by name.
    """
    token = secrets.token_hex(6)
    asked = "\n".join(f"echo {token} {name}\n{line} 2>/dev/null" for name, line in questions.items())
    parts = adb.shell(f"{asked}\ntrue").text.split(f"{token} ")[1:]
    found = dict(part.split("\n", 1) for part in parts if "\n" in part)
    if set(found) != set(questions):
        raise AgentDied("the phone's shell did not answer what it was asked")
    return {name: text.strip() for name, text in found.items()}


# --- what it is


def facts(adb: Adb) -> dict[str, str]:
    """What does not change while the phone is on, as texts; empty where it does not tell."""
    return {name: _plain(text) for name, text in told(adb, _FACTS).items()}


def hardware(known: Mapping[str, str]) -> dict[str, Any]:
    """What decides whether two measurements may be compared."""
    phone = " ".join(word for word in (known["maker"], known["model"]) if word)
    chip = " ".join(word for word in (known["soc_maker"], known["soc_model"] or known["platform"]) if word)
    present = processors(known["present"])
    return {
        "machine": known["machine"] or None,
        "cpu_model": " / ".join(word for word in (phone, chip) if word) or None,
        "cpu_count": len(present) if present else None,
        "system": "Android" if known["android"] else known["system"] or None,
        "abi": known["abi"] or None,
    }


def software(known: Mapping[str, str]) -> dict[str, Any]:
    """The rest of the fingerprint, for people."""
    release = f"Android {known['android']} (API {known['sdk']})" if known["android"] else None
    return {"kernel": known["kernel"] or None, "os": release, "firmware": known["build"] or None}


def allowed_processors(known: Mapping[str, str]) -> list[int] | None:
    """The processors that programs of the shell may use."""
    return processors(known["allowed"].rpartition(":")[2]) or processors(known["present"])


def processors(text: str) -> list[int] | None:
    """Numbers of processors from a list such as `0-3,6`; None where it is none."""
    found: list[int] = []
    for part in text.strip().split(","):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part.strip())
        if match is None:
            return None
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return sorted(set(found)) or None


def _plain(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:LARGEST_TEXT]


# --- how it is


def conditions(adb: Adb, affinity: Sequence[int] | None, ticks_per_s: float) -> dict[str, Any]:
    """The state now: load, clocks, temperatures, battery; times in seconds."""
    cpus = (affinity or [0])[:MOST_CLOCKS]
    clocks = {
        name: "\n".join(f"cat {CPUS}/cpu{cpu}/cpufreq/{file}" for cpu in cpus)
        for name, file in _CLOCKS.items()
    }
    governor = {"governor": f"cat {CPUS}/cpu{cpus[0]}/cpufreq/scaling_governor"}
    return state(told(adb, {**_STATE, **clocks, **governor}), ticks_per_s)


_CLOCKS = {
    "cpu_mhz": "scaling_cur_freq",
    "cpu_limit_mhz": "scaling_max_freq",
    "cpu_highest_mhz": "cpuinfo_max_freq",
}
QUESTIONS = (*_STATE, *_CLOCKS, "governor")
"""Names of the texts that tell the state."""


def state(texts: Mapping[str, str], ticks_per_s: float) -> dict[str, Any]:
    """The state that some texts tell."""
    zones = [number / 1000.0 for number in _numbers(texts["temperatures"]) if -100_000 < number < 200_000]
    memory = _number(r"(\d+) kB", texts["memory"])
    battery = texts["battery"]
    tenths = _number(r"(?m)^\s*temperature: (-?\d+)", battery)
    return {
        "clock_s": _number(r"(\d+\.?\d*)", texts["uptime"]),
        "load_1min": _number(r"(\d+\.?\d*)", texts["load"]),
        "temperature_c": max(zones) if zones else None,
        "governor": _plain(texts["governor"]) or None,
        **{name: min(found) / 1000.0 if (found := _numbers(texts[name])) else None for name in _CLOCKS},
        **_processor_time(texts["stat"], ticks_per_s),
        "cpu_pressure_s": _pressure(texts["cpu_pressure"]),
        "memory_pressure_s": _pressure(texts["memory_pressure"]),
        "memory_available_bytes": None if memory is None else int(memory) * 1024,
        "thermal_status": _whole(r"Thermal Status: (\d+)", texts["thermal"]),
        "battery_percent": _whole(r"(?m)^\s*level: (\d+)", battery),
        "battery_temperature_c": None if tenths is None else tenths / 10.0,
        "plugged_in": bool(re.search(r"powered: true", battery)) if "powered:" in battery else None,
        "screen": _plain(texts["screen"].partition("=")[2]) or None,
    }


def _processor_time(stat: str, ticks_per_s: float) -> dict[str, Any]:
    """Seconds of all processors together that anything ran, and that a hypervisor withheld."""
    words = next((line.split() for line in stat.splitlines() if line.startswith("cpu ")), [])
    numbers = [int(word) for word in words[1:9] if word.isdigit()]
    if len(numbers) < 8:
        return {"busy_s": None, "stolen_s": None}
    # user nice system idle iowait irq softirq steal
    return {
        "busy_s": (sum(numbers[:3]) + sum(numbers[5:7])) / ticks_per_s,
        "stolen_s": numbers[7] / ticks_per_s,
    }


def _pressure(text: str) -> float | None:
    total = _number(r"some .*total=(\d+)", text)
    return None if total is None else total / 1e6


def _numbers(text: str) -> list[int]:
    return [int(line) for line in text.splitlines() if re.fullmatch(r"-?\d{1,18}", line.strip())]


def _number(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    return float(found[1]) if found else None


def _whole(pattern: str, text: str) -> int | None:
    found = _number(pattern, text)
    return None if found is None else int(found)


# --- what else runs


def busy_processes(adb: Adb, seconds: float, ticks_per_s: float) -> list[dict[str, Any]]:
    """Programs that ran during so many seconds, the busiest first; those of this question are left out."""
    read = "cat /proc/[0-9]*/stat"
    asked = {"own": "echo $$", "before": read, "pause": f"sleep {seconds:.2f}", "after": read}
    texts = told(adb, asked)
    own = texts["own"].strip()
    before, after = (_process_times(texts[name], own) for name in ("before", "after"))
    shares = {
        process: (used - before.get(process, (name, 0))[1]) / ticks_per_s / seconds
        for process, (name, used) in after.items()
    }
    found = [
        {"pid": process, "name": after[process][0], "processors": round(share, 3)}
        for process, share in shares.items()
        if share > 0
    ]
    return sorted(found, key=lambda one: -float(one["processors"]))


def _process_times(text: str, own: str) -> dict[int, tuple[str, int]]:
    found = {}
    for line in text.splitlines():
        head, _, tail = line.rpartition(") ")  # the name before it may hold anything
        process, _, name = head.partition(" (")
        words = tail.split()
        if not process.isdigit() or len(words) < 13 or own in (process, words[1]):
            continue
        if words[11].isdigit() and words[12].isdigit():
            found[int(process)] = (_plain(name) or "?", int(words[11]) + int(words[12]))
    return found
