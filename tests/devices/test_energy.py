"""Energy sources of made-up systems, and a made-up library; and an agent that finds one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from devices.agent import energy, nvidia
from devices.agent_device import AgentDevice
from devices.connection import NoEnergySource, RequestFailed
from devices.device import Device, DeviceProcess
from devices.measurement import EnergySource, Graph
from devices.rounds import ENERGY, Reading, Round, Sampling
from devices.settings import Settings
from tests.devices.made_up_energy import BUSY_W, IDLE_W, MADE_UP, STUCK, EnergyLink

CPU = ("onnxruntime", "CPUExecutionProvider")
CUDA = ("onnxruntime", "CUDAExecutionProvider")


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system without any source."""
    monkeypatch.setattr(energy, "POWERCAP", str(tmp_path / "powercap"))
    monkeypatch.setattr(energy, "I2C_DRIVERS", str(tmp_path / "i2c"))
    monkeypatch.setattr(nvidia, "LIBRARIES", ("libnothing-of-this-name.so",))
    return tmp_path


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{content}\n")


def add_package(system: Path, number: int, uj: int, name: str = "package-{}") -> Path:
    zone = system / "powercap" / f"intel-rapl:{number}"
    write(zone, {"name": name.format(number), "energy_uj": uj, "max_energy_range_uj": 1000})
    return zone


# --- which source speaks of what


@pytest.mark.parametrize(
    ("runtime", "provider", "place"),
    [
        ("onnxruntime", "CPUExecutionProvider", "processor"),
        ("litert", "XNNPACK", "processor"),
        ("pytorch", "compile", "processor"),
        ("onnxruntime", "CUDAExecutionProvider", "nvidia"),
        ("onnxruntime", "TensorrtExecutionProvider", "nvidia"),
        ("tensorrt", "graph", "nvidia"),
        ("pytorch", "cuda+compile", "nvidia"),
        ("onnxruntime", "ROCMExecutionProvider", "elsewhere"),
        ("onnxruntime", "QNNExecutionProvider", "elsewhere"),
        ("litert", "gpu", "elsewhere"),
    ],
)
def test_where_a_runtime_computes(runtime: str, provider: str, place: str) -> None:
    assert energy.where(runtime, provider) == place


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (CPU, ["no RAPL counters", "no power monitors"]),
        (CUDA, ["libnvidia-ml.so.1", "no power monitors"]),
        (("litert", "gpu"), ["no power monitors"]),
    ],
)
def test_without_a_source_it_is_said_what_would_give_one(
    system: Path, measured: tuple[str, str], words: list[str]
) -> None:
    with pytest.raises(energy.NoSource, match=r"^no energy source on this device: ") as caught:
        energy.source_for(*measured)
    assert all(word in str(caught.value) for word in words)
    assert ("RAPL" in str(caught.value)) == (measured == CPU)


def test_counters_that_only_root_may_read_are_named_with_the_cure(system: Path) -> None:
    (add_package(system, 0, 5) / "energy_uj").unlink()
    with pytest.raises(energy.NoSource, match=r"only root may read them; as root: chmod a\+r "):
        energy.source_for(*CPU)


def test_a_processors_counter_says_nothing_of_a_gpu(system: Path) -> None:
    add_package(system, 0, 5)
    for measured in (CUDA, ("onnxruntime", "ROCMExecutionProvider")):
        with pytest.raises(energy.NoSource):
            energy.source_for(*measured)


# --- RAPL


def test_packages_are_added_up_and_wrap_around(system: Path) -> None:
    zones = [add_package(system, 0, 900), add_package(system, 1, 100)]
    write(system / "powercap", {"intel-rapl:0:0/name": "core", "intel-rapl:0:0/energy_uj": 5})
    write(system / "powercap", {"intel-rapl:2/name": "psys", "intel-rapl:2/energy_uj": 5})
    write(system / "powercap", {"intel-rapl-mmio:0/name": "package-0", "intel-rapl-mmio:0/energy_uj": 5})
    source = energy.source_for(*CPU)
    assert source.name == "rapl package-0+package-1"
    assert source.scope == "all 2 processor packages"
    source.start()
    assert source.energy_uj() == 0
    told = []
    for values in [(950, 160), (20, 160), (30, 170)]:
        for zone, value in zip(zones, values, strict=True):
            write(zone, {"energy_uj": value})
        told.append(source.energy_uj())
    assert told == [110, 180, 200]
    (zones[0] / "energy_uj").unlink()
    with pytest.raises(OSError, match="cannot be read any more"):
        source.energy_uj()


# --- rails of a Jetson


def add_hwmon(system: Path, chip: str, rails: list[tuple[str, int, int]]) -> None:
    files: dict[str, object] = {}
    for channel, (name, mv, ma) in enumerate(rails, start=1):
        files |= {f"in{channel}_label": name, f"in{channel}_input": mv, f"curr{channel}_input": ma}
    write(system / "i2c" / "ina3221" / chip / "hwmon" / "hwmon3", files)


def power_uw(source: energy.Source) -> int | None:
    assert isinstance(source, energy.Rails)
    return source._power_uw()


def test_a_rail_that_feeds_the_whole_module_stands_for_it(system: Path) -> None:
    add_hwmon(
        system, "1-0040", [("VDD_IN", 5000, 1200), ("VDD_CPU_GPU_CV", 5000, 500), ("VDD_SOC", 5000, 100)]
    )
    for measured in (CPU, CUDA, ("litert", "gpu")):
        source = energy.source_for(*measured)
        assert (source.name, source.scope) == ("ina3221 VDD_IN", "whole module")
        assert power_uw(source) == 6_000_000


def test_without_such_a_rail_the_others_are_added_up(system: Path) -> None:
    add_hwmon(
        system, "1-0040", [("VDD_GPU_SOC", 843, 1000), ("VDD_CPU_CV", 780, 100), ("VIN_SYS_5V0", 5000, 10)]
    )
    add_hwmon(system, "1-0041", [("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 1800, 10)])
    write(system / "i2c" / "ina3221", {"module/version": 1})
    source = energy.source_for(*CUDA)
    assert source.name == "ina3221 VDDQ_VDD2_1V8AO+VDD_CPU_CV+VDD_GPU_SOC+VIN_SYS_5V0"
    assert "monitored rails" in source.scope
    assert power_uw(source) == 843_000 + 78_000 + 50_000 + 18_000
    (system / "i2c/ina3221/1-0041/hwmon/hwmon3/curr2_input").unlink()
    assert power_uw(source) is None


def test_rails_of_jetpack_4_are_told_in_milliwatts(system: Path) -> None:
    folder = system / "i2c" / "ina3221x" / "6-0040" / "iio:device0"
    write(folder, {"rail_name_0": "POM_5V_IN", "in_power0_input": 2500, "rail_name_1": "POM_5V_GPU"})
    source = energy.source_for(*CPU)
    assert (source.name, power_uw(source)) == ("ina3221 POM_5V_IN", 2_500_000)


def test_a_board_is_asked_only_where_nothing_better_speaks(system: Path) -> None:
    add_hwmon(system, "1-0040", [("VDD_IN", 5000, 1200)])
    add_package(system, 0, 5)
    assert energy.source_for(*CPU).name == "rapl package-0"
    assert energy.source_for(*CUDA).name == "ina3221 VDD_IN"


def test_the_energy_of_rails_grows_while_they_are_read(system: Path) -> None:
    add_hwmon(system, "1-0040", [("VDD_IN", 5000, 1200)])
    source = energy.source_for(*CPU)
    source.start()
    try:
        while not source.energy_uj():
            pass
    finally:
        source.stop()


# --- an agent on a made-up computer


@pytest.fixture(scope="module")
def device() -> Device:
    return AgentDevice("cpu", EnergyLink(), Settings())


@pytest.fixture(scope="module")
def running(device: Device) -> Iterator[DeviceProcess]:
    with device.process() as process:
        yield process


def test_an_agent_tells_its_source(running: DeviceProcess) -> None:
    assert running.energy_source() == EnergySource("rapl package-0", "processor package", 1.0)


def test_an_agent_counts_energy_through_wraps(running: DeviceProcess, tiny: bytes) -> None:
    running.load("graph", tiny)
    found = [running.energy("graph") for _ in range(3)]
    for visit in found:
        assert visit.runs >= 1
        assert visit.wall_ns >= 10_000_000
        # watts, whatever the machine does beside: the idle share in full, and at most a processor's
        assert 0.9 * IDLE_W < 1e3 * visit.energy_uj / visit.wall_ns < 1.1 * (IDLE_W + BUSY_W)
        assert 0.9 * IDLE_W < 1e3 * visit.idle_uj / visit.idle_ns < 1.1 * (IDLE_W + BUSY_W)
    busy = np.median([visit.energy_uj / visit.wall_ns for visit in found])
    assert busy > found[0].idle_uj / found[0].idle_ns
    assert len({(visit.idle_uj, visit.idle_ns) for visit in found}) == 1


def test_energy_of_what_is_not_loaded_is_an_answer(running: DeviceProcess) -> None:
    with pytest.raises(RequestFailed, match="never"):
        running.energy("never")


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (STUCK, "rapl package-0: the energy source does not move"),
        (MADE_UP.replace('"/energy_uj": made_up_uj', '"/other": made_up_uj'), "only root may read them"),
    ],
    ids=["stands still", "unreadable"],
)
def test_a_counter_that_does_not_count_is_no_source(before: str, words: str) -> None:
    with (
        AgentDevice("cpu", EnergyLink(before), Settings()).process() as process,
        pytest.raises(NoEnergySource, match=words),
    ):
        process.energy_source()


# --- rounds


def readings(
    device: Device, graphs: list[Graph], powered: list[Graph], tiny: bytes
) -> tuple[list[Reading], Round]:
    sampling = Sampling(samples=1, passes=1)
    rng = np.random.default_rng(0)
    measuring = Round(device, graphs, Graph("reference", lambda: tiny), rng, 3, sampling, powered=powered)
    return list(measuring.readings()), measuring


def test_energy_is_read_after_everything_else(device: Device, tiny: bytes) -> None:
    graphs = [Graph(name, lambda: tiny) for name in "abc"]
    found, measuring = readings(device, graphs, graphs[:2], tiny)
    assert [reading.is_energy for reading in found] == [False] * 5 + [True] * 2
    assert {reading.graph for reading in found if reading.energy} == {"a", "b"}
    assert {reading.process for reading in found} == {3}
    assert [state.get("phase") for state in measuring.conditions] == [None, None, None, ENERGY]


def test_a_graph_that_failed_is_not_asked_for_its_energy(device: Device, tiny: bytes) -> None:
    graphs = [Graph("good", lambda: tiny), Graph("bad", lambda: b"no graph at all")]
    found, _ = readings(device, graphs, graphs, tiny)
    assert [(reading.graph, reading.failure) for reading in found if reading.is_energy] == [("good", None)]


def test_what_has_no_energy_source_fails_by_graph(tiny: bytes) -> None:
    device = AgentDevice("cpu", EnergyLink(STUCK.replace("package-0", "core")), Settings())
    graphs = [Graph("a", lambda: tiny)]
    found, _ = readings(device, graphs, graphs, tiny)
    (reading,) = [reading for reading in found if reading.is_energy]
    assert reading.failure == "refused"
    assert "no energy source" in str(reading.error)
