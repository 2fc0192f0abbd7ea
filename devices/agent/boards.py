"""What only boards tell: a Jetson's power mode, clocks and GPU; what a Raspberry Pi slows down for.

What a system does not tell is None: absent, never guessed.
"""

from typing import Any, Dict, List, Optional

from devices.agent import system_files

CPUS = "/sys/devices/system/cpu"
THERMAL = "/sys/class/thermal"
GPU_CLOCKS = ("/sys/class/devfreq", "/sys/devices/gpu.0/devfreq")
GPU_NAMES = ("gpu", "gv11b", "gp10b", "ga10b", "gb10b", "gm20b", "gk20a")
"""How the names of a Jetson's GPU end, by its generation: `17000000.ga10b`, `57000000.gpu`."""
PLATFORM = "/sys/devices/platform"
PI_REASONS = {
    0x1: "under-voltage",
    0x2: "frequency capped",
    0x4: "throttled",
    0x8: "soft temperature limit",
}
"""Bits of the Pi's firmware; the same ones 16 places further say that it has occurred since the start."""
COOLING = ("thermal-cpufreq", "thermal-devfreq", "cpufreq", "Processor")
"""How the kinds of cooling devices begin that cool by a lower clock."""


def is_jetson() -> bool:
    """Whether this is a board with NVIDIA's Tegra processor."""
    return "tegra" in (system_files.read("/proc/device-tree/compatible") or "")


def power_mode() -> Optional[str]:
    """Power mode of an NVIDIA Jetson, by its name in the board's table (`MAXN`, `15W`)."""
    status = system_files.read("/var/lib/nvpmodel/status")  # "pmode:0002 fmode:quiet"
    if not status:
        return None
    number = status.partition("pmode:")[2].split(" ")[0].lstrip("0") or "0"
    for line in (system_files.read("/etc/nvpmodel.conf") or "").splitlines():
        words = dict(word.split("=", 1) for word in line.strip(" <>").split() if "=" in word)
        if line.lstrip().startswith("< POWER_MODEL") and words.get("ID") == number:
            return words.get("NAME", number)
    return number


def identity() -> Dict[str, Any]:
    """What of a board decides whether two measurements compare; empty where there is no such thing."""
    if not is_jetson():
        return {}
    told = {"power_mode": power_mode(), "clocks_locked": clocks_locked()}
    return {name: value for name, value in told.items() if value is not None}


def clocks_locked() -> Optional[bool]:
    """Whether processors and GPU are held at the highest clock of the power mode (`jetson_clocks`).

    The mode sets the upper limits and `jetson_clocks` raises the lower ones to them; processors that the mode
    has switched off have no limits.
    """
    pairs = []
    for cpu in system_files.entries(CPUS, "cpu"):
        clock = cpu + "/cpufreq/scaling_{}_freq"
        pairs.append([system_files.number(clock.format(end)) for end in ("min", "max")])
    gpu = _gpu_clock()
    if gpu is not None:
        pairs.append([system_files.number("{}/{}_freq".format(gpu, end)) for end in ("min", "max")])
    known = [pair for pair in pairs if None not in pair]
    return all(low == high for low, high in known) if known else None


def gpu() -> Optional[Dict[str, Any]]:
    """State of a Jetson's GPU, with the names that NVIDIA's other GPUs have too; None where there is none."""
    folder = _gpu_clock() if is_jetson() else None
    if folder is None:
        return None
    load = system_files.number(folder + "/device/load")  # in thousandths
    return {
        "index": 0,
        "name": folder.rpartition("/")[2],
        "clock_mhz": _mhz(folder + "/cur_freq"),
        "lowest_clock_mhz": _mhz(folder + "/min_freq"),
        "highest_clock_mhz": _mhz(folder + "/max_freq"),
        "temperature_c": zone_c("gpu"),
        "utilisation": None if load is None else load / 1000.0,
    }


def _gpu_clock() -> Optional[str]:
    """The folder in which the clock of a Jetson's GPU is told."""
    for place in GPU_CLOCKS:
        for folder in system_files.entries(place):
            if folder.rpartition("/")[2].endswith(GPU_NAMES):
                return folder
    return None


def _mhz(path: str) -> Optional[float]:
    hertz = system_files.number(path)
    return None if hertz is None else hertz / 1e6


def zone_c(part: str) -> Optional[float]:
    """The hottest thermal zone whose kind begins so (`gpu`: `GPU-therm`, `gpu-thermal`)."""
    found = [
        system_files.number(zone + "/temp")
        for zone in system_files.entries(THERMAL, "thermal_zone")
        if (system_files.read(zone + "/type") or "").lower().startswith(part)
    ]
    known = [value / 1000.0 for value in found if value is not None]
    return max(known) if known else None


def supply() -> Dict[str, Any]:
    """What a Raspberry Pi's firmware slows down for, now and at any time since it was started."""
    bits = _pi_bits()
    if bits is None:
        return {"board_throttled_by": None, "board_was_throttled_by": None}
    return {
        "board_throttled_by": [reason for bit, reason in PI_REASONS.items() if bits & bit],
        "board_was_throttled_by": [reason for bit, reason in PI_REASONS.items() if bits & (bit << 16)],
    }


def _pi_bits() -> Optional[int]:
    """What the firmware tells, in hexadecimal; `soc/soc:firmware`, or with an address in these names."""
    for soc in system_files.entries(PLATFORM, "soc"):
        for folder in system_files.entries(soc, "soc"):
            try:
                return int(system_files.read(folder + "/get_throttled") or "", 16)
            except ValueError:
                continue
    return None


def cooled_by() -> Optional[List[str]]:
    """Cooling devices that hold a clock down just now, as `kind state/highest`; None where none is told."""
    found, told = [], False
    for device in system_files.entries(THERMAL, "cooling_device"):
        kind = system_files.read(device + "/type") or ""
        state = system_files.number(device + "/cur_state")
        if kind.startswith(COOLING) and state is not None:
            told = True
            if state > 0:
                found.append("{} {}/{}".format(kind, state, system_files.number(device + "/max_state")))
    return found if told else None
