"""Where a target tells the energy that it uses, and which of these places speaks of a measurement.

A source counts microjoules between `start` and `stop`. It is read while graphs run back to back
(`timing.burst`), never during a sample of latency: reading it takes time on the processor that is measured.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

from devices.agent import nvidia, system_files, timing

POWERCAP = "/sys/class/powercap"
I2C_DRIVERS = "/sys/bus/i2c/drivers"
RAIL_INTERVAL_MS = 10.0
WHOLE_RAILS = ("VDD_IN", "POM_5V_IN")
"""Rails that feed the whole module; boards without one tell the sum of what they have."""
NO_RAILS = ("", "NC", "sum of shunt voltages")
ON_NVIDIA = ("cuda", "tensorrt")
ELSEWHERE = ("gpu", "rocm", "migraphx", "dml", "nnapi", "qnn", "coreml", "vulkan", "opencl", "webgpu")
"""Parts of the names of runtimes and providers that compute elsewhere than on the processor."""


class NoSource(Exception):
    """Nothing here tells the energy of what is measured; the message says what would."""


class Source:
    """A place that counts energy.

    Attributes:
        name: short, for files.
        scope: what the energy is of.
        resolution_ms: about how often the count is renewed.
        burst_ms: how long graphs run for one figure, so that a renewal sooner or later matters little.
    """

    name = ""
    scope = ""
    resolution_ms = 1.0
    burst_ms = 200.0

    def start(self) -> None:
        """Begin to count at 0."""
        raise NotImplementedError

    def energy_uj(self) -> int:
        """Microjoules since `start`.

        Raises:
            OSError: the system does not tell any more.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Give back what `start` took."""

    def described(self) -> Dict[str, Any]:
        """The source as JSON values."""
        return {"name": self.name, "scope": self.scope, "resolution_ms": self.resolution_ms}


class Rapl(Source):
    """Intel's and AMD's own counters of the processor packages (RAPL); they wrap around."""

    name = "rapl"
    scope = "processor package"
    resolution_ms = 1.0
    burst_ms = 200.0

    def __init__(self, zones: List[str]) -> None:
        """Store the folders of the packages."""
        self._zones = zones
        self.name = "rapl {}".format("+".join(system_files.read(zone + "/name") or "?" for zone in zones))
        if len(zones) > 1:
            self.scope = "all {} processor packages".format(len(zones))

    def start(self) -> None:
        """Begin to count at 0."""
        self._total = 0
        self._ranges = [system_files.number(zone + "/max_energy_range_uj") or 0 for zone in self._zones]
        self._last = [self._read(zone) for zone in self._zones]

    def energy_uj(self) -> int:
        """Microjoules since `start`; OSError where a counter cannot be read any more."""
        for index, zone in enumerate(self._zones):
            now = self._read(zone)
            gained = now - self._last[index]
            # a counter begins anew at its range; it lasts minutes, so at most once between two readings
            self._total += gained if gained >= 0 else gained + self._ranges[index]
            self._last[index] = now
        return self._total

    @staticmethod
    def _read(zone: str) -> int:
        value = system_files.number(zone + "/energy_uj")
        if value is None:
            raise OSError("{}/energy_uj cannot be read any more".format(zone))
        return value


class Rails(Source):
    """Power monitors on a board's supply rails (INA3221 on a Jetson), read again and again and added up."""

    burst_ms = 400.0

    def __init__(self, rails: Dict[str, Callable[[], Optional[int]]]) -> None:
        """Store what reads each rail, in microwatts, by the rail's name."""
        whole = [rail for rail in WHOLE_RAILS if rail in rails]
        self._rails = [rails[rail] for rail in (whole[:1] or sorted(rails))]
        self.name = "ina3221 {}".format("+".join(whole[:1] or sorted(rails)))
        self.scope = "whole module" if whole else "sum of the module's monitored rails"
        self.resolution_ms = RAIL_INTERVAL_MS

    def start(self) -> None:
        """Begin to count at 0."""
        self._integral = timing.Integral(self._power_uw, self.resolution_ms)
        self._integral.start()

    def energy_uj(self) -> int:
        """Microjoules since `start`."""
        return self._integral.energy_uj()

    def stop(self) -> None:
        """End the thread that reads."""
        self._integral.stop()

    def _power_uw(self) -> Optional[int]:
        found = [read() for read in self._rails]
        known = [value for value in found if value is not None]
        return sum(known) if len(known) == len(found) else None


class Nvml(Source):
    """The energy counter of an NVIDIA GPU (Volta or newer), through its management library."""

    name = "nvml"
    resolution_ms = 20.0
    burst_ms = 500.0

    def __init__(self, gpu_name: str) -> None:
        """Store the name of the GPU that is used."""
        self.scope = "GPU with its memory ({})".format(gpu_name)

    def start(self) -> None:
        """Begin to count at 0; OSError where the library does not tell."""
        self._counter = nvidia.EnergyCounter()
        self._first = self._counter.millijoules()

    def energy_uj(self) -> int:
        """Microjoules since `start`; OSError where the library does not tell."""
        return 1000 * (self._counter.millijoules() - self._first)

    def stop(self) -> None:
        """Close the library."""
        self._counter.close()


def source_for(runtime: str, provider: str) -> Source:
    """The best source that speaks of what a runtime does with a provider.

    Raises:
        NoSource: there is none; the message says what would give one.
    """
    place = where(runtime, provider)
    kinds = {"nvidia": (_nvml, _board), "processor": (_rapl, _board), "elsewhere": (_board,)}
    reasons = []
    for kind in kinds[place]:
        source, reason = kind()
        if source is not None:
            return source
        reasons.append(reason)
    raise NoSource("no energy source on this device: {}".format("; ".join(reasons)))


def where(runtime: str, provider: str) -> str:
    """Where a runtime computes with a provider: `nvidia`, `processor` or `elsewhere`."""
    name = "{} {}".format(runtime, provider).lower()
    if any(word in name for word in ON_NVIDIA):
        return "nvidia"
    return "elsewhere" if any(word in name for word in ELSEWHERE) else "processor"


def _nvml() -> Tuple[Optional[Source], str]:
    gpu = nvidia.used_gpu()
    if gpu is None:
        return (
            None,
            "NVIDIA's management library (libnvidia-ml.so.1) is absent, or does not tell which GPU is used",
        )
    if not gpu["counts_energy"]:
        return None, "{} has no energy counter (Volta and newer GPUs have one)".format(gpu["name"])
    return Nvml(str(gpu["name"])), ""


def _rapl() -> Tuple[Optional[Source], str]:
    zones = [zone for zone in system_files.entries(POWERCAP, "intel-rapl:") if _is_package(zone)]
    if not zones:
        return None, (
            "no RAPL counters ({}): virtual machines and containers hide them, ARM processors have "
            "none".format(POWERCAP)
        )
    if any(system_files.number(zone + "/energy_uj") is None for zone in zones):
        return None, (
            "the RAPL counters are there, but only root may read them; as root: "
            "chmod a+r {}/intel-rapl:*/energy_uj (until the next start)".format(POWERCAP)
        )
    return Rapl(zones), ""


def _is_package(zone: str) -> bool:
    """Whether a zone is a whole package: not a part of one, nor the platform with everything in it."""
    return (system_files.read(zone + "/name") or "").startswith("package")


def _board() -> Tuple[Optional[Source], str]:
    rails = _rails()
    if not rails:
        return None, "no power monitors on the board's rails (ina3221; a Jetson has them)"
    return Rails(rails), ""


def _rails() -> Dict[str, Callable[[], Optional[int]]]:
    """What reads each rail of every INA3221, in microwatts."""
    found: Dict[str, Callable[[], Optional[int]]] = {}
    for driver in ("ina3221", "ina3221x"):
        for chip in system_files.entries("{}/{}".format(I2C_DRIVERS, driver)):
            for folder in system_files.entries(chip + "/hwmon", "hwmon"):
                _add_rails(found, folder, "in{}_label", ("in{}_input", "curr{}_input"), (1, 2, 3))
            for folder in system_files.entries(chip, "iio:device"):  # JetPack 4
                _add_rails(found, folder, "rail_name_{}", ("in_power{}_input",), (0, 1, 2))
    return found


def _add_rails(
    found: Dict[str, Callable[[], Optional[int]]],
    folder: str,
    label: str,
    inputs: Tuple[str, ...],
    channels: Tuple[int, ...],
) -> None:
    """Add the channels of one chip that have a name and can be read."""
    for channel in channels:
        rail = system_files.read("{}/{}".format(folder, label.format(channel))) or ""
        read = _reader(["{}/{}".format(folder, name.format(channel)) for name in inputs])
        if rail not in NO_RAILS and read() is not None:
            found[rail] = read


def _reader(paths: List[str]) -> Callable[[], Optional[int]]:
    """What reads microwatts: of millivolts and milliamperes, or of milliwatts."""

    def read() -> Optional[int]:
        values = [system_files.number(path) for path in paths]
        if any(value is None for value in values):
            return None
        known = [value for value in values if value is not None]
        return known[0] * known[1] if len(known) == 2 else 1000 * known[0]

    return read
