"""The state of the target that moves a measurement: read around and between samples, never inside one.

What a system does not tell is None: absent, never guessed. Counters (`*_s`, `*_count`) run on; their
differences between two readings say what happened between them.
"""

import os
import time
from typing import Any, Dict, Iterable, List, Optional, Tuple

from devices.agent import boards, identity, nvidia, system_files

CPUS = "/sys/devices/system/cpu"
GROUPS = "/sys/fs/cgroup"
SSH_SERVERS = ("sshd", "dropbear")
COLDEST_C, HOTTEST_C = -40.0, 150.0
"""What lies beyond is no temperature of a device that works."""


def conditions() -> Dict[str, Any]:
    """The state now, as JSON values; times in seconds."""
    state = {
        "clock_s": round(time.monotonic(), 3),
        "processors": os.cpu_count(),
        "affinity": identity.affinity(),
        "temperature_c": _temperature_c(),
        "power_mode": boards.power_mode(),
        "clocks_locked": boards.clocks_locked() if boards.is_jetson() else None,
        "cooled_by": boards.cooled_by(),
        "memory_available_bytes": _memory_available_bytes(),
        "gpus": _gpus(),
    }  # type: Dict[str, Any]
    for part in (_load, _clocks, _processor_time, _own_time, _quota, _pressure, boards.supply):
        state.update(part())
    return state


def _gpus() -> Optional[List[Dict[str, Any]]]:
    """Every GPU; a Jetson's, of which the management library knows little, from the board's own files."""
    on_board = boards.gpu()
    return nvidia.conditions() if on_board is None else [on_board]


def _load() -> Dict[str, Any]:
    words = (system_files.read("/proc/loadavg") or "").split()
    return {
        "load_1min": float(words[0]) if words else None,
        "runnable_tasks": int(words[3].split("/")[0]) if len(words) > 3 else None,
    }


def _clocks() -> Dict[str, Any]:
    """Clock, governor and turbo of the processors that this process may use."""
    folders = ["{}/cpu{}/cpufreq".format(CPUS, cpu) for cpu in identity.affinity() or [0]]
    khz = [system_files.number(folder + "/scaling_cur_freq") for folder in folders]
    limits = [system_files.number(folder + "/scaling_max_freq") for folder in folders]
    hardware = [system_files.number(folder + "/cpuinfo_max_freq") for folder in folders]
    return {
        "cpu_mhz": _mhz(khz) or _cpuinfo_mhz(),
        "cpu_limit_mhz": _mhz(limits),
        "cpu_highest_mhz": _mhz(hardware),
        "governor": system_files.read(folders[0] + "/scaling_governor"),
        "turbo": turbo(),
        "throttle_count": _throttle_count(),
    }


def turbo() -> Optional[bool]:
    """Whether the processor may exceed its nominal clock."""
    forbidden = system_files.number(CPUS + "/intel_pstate/no_turbo")
    if forbidden is not None:
        return forbidden == 0
    allowed = system_files.number(CPUS + "/cpufreq/boost")
    return None if allowed is None else allowed == 1


def _mhz(khz: List[Optional[int]]) -> Optional[float]:
    known = [value for value in khz if value is not None]
    return min(known) / 1000.0 if known else None


def _cpuinfo_mhz() -> Optional[float]:
    text = system_files.fields("/proc/cpuinfo", ":").get("cpu mhz")
    return float(text) if text else None


def _throttle_count() -> Optional[int]:
    """How often the processors lowered their clock because of heat (x86 tells)."""
    counts = [
        system_files.number(cpu + "/thermal_throttle/" + name)
        for cpu in system_files.entries(CPUS, "cpu")
        for name in ("core_throttle_count", "package_throttle_count")
    ]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _temperature_c() -> Optional[float]:
    zones = system_files.entries("/sys/class/thermal", "thermal_zone")
    readings = [system_files.number(zone + "/temp") for zone in zones]
    known = [reading / 1000.0 for reading in readings if reading is not None]
    # phones have zones that tell other things than degrees, or nothing useful
    likely = [celsius for celsius in known if COLDEST_C < celsius < HOTTEST_C]
    return max(likely) if likely else None


def _processor_time() -> Dict[str, Any]:
    """Seconds of all processors together, and of those that this process may use."""
    per_second = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
    mine = {"cpu{}".format(cpu) for cpu in identity.affinity() or []}
    busy_all = stolen_all = busy_mine = None  # type: Optional[float]
    for line in (system_files.read("/proc/stat") or "").splitlines():
        words = line.split()
        if not words or not words[0].startswith("cpu") or len(words) < 9:
            continue
        # user nice system idle iowait irq softirq steal
        ticks = [int(word) for word in words[1:9]]
        busy, stolen = (sum(ticks[:3]) + sum(ticks[5:7])) / per_second, ticks[7] / per_second
        if words[0] == "cpu":
            busy_all, stolen_all = busy, stolen
        elif words[0] in mine:
            busy_mine = (busy_mine or 0.0) + busy
    return {"busy_s": busy_all, "busy_here_s": busy_mine, "stolen_s": stolen_all}


def _own_time() -> Dict[str, Any]:
    """Processor time of this process, and of its host's end of the link."""
    switches = system_files.fields("/proc/self/status", ":")
    own = os.times()
    return {
        "own_s": own.user + own.system,
        "parent_s": _sum(process_time_s(process) for process in link_processes()),
        "context_switches": _whole(switches.get("voluntary_ctxt_switches")),
        "preemptions": _whole(switches.get("nonvoluntary_ctxt_switches")),
    }


def link_processes() -> List[int]:
    """The processes at the host's end of the link: the parent, and every SSH server above it."""
    found = [os.getppid()]
    process, _ = _parent_and_name(found[0])
    while process:
        above, name = _parent_and_name(process)
        if name.startswith(SSH_SERVERS):
            found.append(process)
        process = above
    return found


def _parent_and_name(process: int) -> Tuple[int, str]:
    """Parent and name of a process; 0 and nothing where the system does not tell."""
    text = system_files.read("/proc/{}/stat".format(process)) or ""
    name, _, rest = text.partition("(")[2].rpartition(")")  # the name may hold anything
    words = rest.split()
    return (int(words[1]) if len(words) > 1 else 0), name


def _sum(values: Iterable[Optional[float]]) -> Optional[float]:
    """The sum of what is known; None where nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def process_time_s(process: int) -> Optional[float]:
    """Processor time that a process has used; None where the system does not tell."""
    text = system_files.read("/proc/{}/stat".format(process)) or ""
    words = text.rpartition(")")[2].split()  # the name before it may hold anything
    if len(words) < 13:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def busy_processes(seconds: float) -> List[Dict[str, Any]]:
    """Names and processors' shares of the programs that ran during so many seconds, the busiest first.

    The agent and the host's end of its link are left out.
    """
    ours = [os.getpid(), *link_processes()]
    before, started = _process_times(), time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - started
    found = []
    for process, (name, used_s) in _process_times().items():
        share = (used_s - before.get(process, (name, 0.0))[1]) / elapsed
        if share > 0 and process not in ours:
            found.append({"pid": process, "name": name, "processors": round(share, 3)})
    return sorted(found, key=lambda one: -one["processors"])


def _process_times() -> Dict[int, Any]:
    found = {}
    for folder in system_files.entries("/proc"):
        process = os.path.basename(folder)
        if process.isdigit():
            used_s = process_time_s(int(process))
            if used_s is not None:
                found[int(process)] = (system_files.read(folder + "/comm") or "?", used_s)
    return found


def _quota() -> Dict[str, Any]:
    """How much processor time the container is granted (1.5: one and a half processors), and lack of it."""
    granted = throttled = None  # type: Optional[float]
    words = (system_files.read(GROUPS + "/cpu.max") or "").split()
    if len(words) == 2 and words[0] != "max":
        granted = int(words[0]) / int(words[1])
    quota = system_files.number(GROUPS + "/cpu/cpu.cfs_quota_us")
    period = system_files.number(GROUPS + "/cpu/cpu.cfs_period_us")
    if quota is not None and quota > 0 and period:
        granted = quota / period
    for path, name, unit in (("/cpu.stat", "throttled_usec", 1e6), ("/cpu/cpu.stat", "throttled_time", 1e9)):
        value = system_files.fields(GROUPS + path, " ").get(name)
        if value is not None and value.isdigit():
            throttled = int(value) / unit
    return {"cpu_quota": granted, "quota_lacked_s": throttled}


def _pressure() -> Dict[str, Any]:
    """Seconds in which some task waited for a processor, or for memory."""
    found = {}
    for name in ("cpu", "memory"):
        some = (system_files.read("/proc/pressure/" + name) or "").partition("\n")[0]
        total = some.rpartition("total=")[2]
        found[name + "_pressure_s"] = int(total) / 1e6 if total.isdigit() else None
    return found


def _memory_available_bytes() -> Optional[int]:
    kilobytes = system_files.fields("/proc/meminfo", ":").get("memavailable", "").split()
    return int(kilobytes[0]) * 1024 if kilobytes else None


def _whole(text: Optional[str]) -> Optional[int]:
    return int(text) if text and text.isdigit() else None
