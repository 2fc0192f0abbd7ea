"""What the agent reads of a system's own files, and of NVIDIA's library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devices.agent import boards, conditions, energy, identity, main, nvidia, system_files


def test_processor_time_runs_on_and_never_back() -> None:
    before = conditions.conditions()
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    after = conditions.conditions()
    for counter in ("clock_s", "busy_s", "own_s", "stolen_s", "context_switches", "preemptions"):
        if before[counter] is not None:
            assert after[counter] >= before[counter]
    assert after["own_s"] - before["own_s"] >= 0.02  # of 0.1, on a machine that others share
    assert after["busy_s"] - before["busy_s"] >= 0.05


def test_a_busy_program_is_named() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        found = conditions.busy_processes(0.4)
    finally:
        busy.kill()
        busy.wait()
    names = {one["pid"]: one for one in found}
    assert names[busy.pid]["processors"] > 0.1
    assert "python" in names[busy.pid]["name"]
    assert os.getpid() not in names


def test_processor_time_of_no_process_is_unknown() -> None:
    assert conditions.process_time_s(2**30) is None


@pytest.mark.parametrize(
    ("files", "quota", "lacked"),
    [
        ({"cpu.max": "150000 100000", "cpu.stat": "usage_usec 1\nthrottled_usec 2500000"}, 1.5, 2.5),
        ({"cpu.max": "max 100000", "cpu.stat": "throttled_usec 0"}, None, 0.0),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "100000",
                "cpu/cpu.stat": "nr_periods 1\nthrottled_time 3000000000",
            },
            0.5,
            3.0,
        ),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        ({}, None, None),
    ],
    ids=["second version", "unlimited", "first version", "first version, unlimited", "no groups"],
)
def test_the_quota_of_a_container(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    quota: float | None,
    lacked: float | None,
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(conditions, "GROUPS", str(tmp_path))
    found = conditions._quota()
    assert found == {"cpu_quota": quota, "quota_lacked_s": lacked}


def test_clocks_and_throttling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu in range(os.cpu_count() or 1):
        for name, text in {
            "cpufreq/scaling_cur_freq": "1800000",
            "cpufreq/scaling_max_freq": "2400000",
            "cpufreq/cpuinfo_max_freq": "3000000",
            "cpufreq/scaling_governor": "schedutil",
            "thermal_throttle/core_throttle_count": "2",
            "thermal_throttle/package_throttle_count": "1",
        }.items():
            path = tmp_path / f"cpu{cpu}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text + "\n")
    (tmp_path / "cpufreq").mkdir()
    (tmp_path / "cpufreq" / "boost").write_text("1\n")
    monkeypatch.setattr(conditions, "CPUS", str(tmp_path))
    assert conditions._clocks() == {
        "cpu_mhz": 1800.0,
        "cpu_limit_mhz": 2400.0,
        "cpu_highest_mhz": 3000.0,
        "governor": "schedutil",
        "turbo": True,
        "throttle_count": 3 * (os.cpu_count() or 1),
    }
    (tmp_path / "intel_pstate").mkdir()
    (tmp_path / "intel_pstate" / "no_turbo").write_text("1\n")
    assert conditions.turbo() is False


@pytest.mark.parametrize(
    ("status", "table", "mode"),
    [
        (None, None, None),
        (
            "pmode:0002 fmode:quiet",
            "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=2 NAME=MODE_15W >",
            "MODE_15W",
        ),
        ("pmode:0000", "< POWER_MODEL ID=0 NAME=MAXN >", "MAXN"),
        ("pmode:0001", None, "1"),
    ],
)
def test_the_power_mode_of_a_jetson(
    monkeypatch: pytest.MonkeyPatch, status: str | None, table: str | None, mode: str | None
) -> None:
    files = {"/var/lib/nvpmodel/status": status, "/etc/nvpmodel.conf": table}
    monkeypatch.setattr(system_files, "read", files.get)
    assert boards.power_mode() == mode


def test_files_that_are_absent_or_odd_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("not a number")
    assert system_files.read(str(tmp_path / "none")) is None
    assert system_files.number(str(tmp_path / "odd")) is None
    assert system_files.number(str(tmp_path / "none")) is None
    assert system_files.entries(str(tmp_path / "none")) == []
    assert system_files.fields(str(tmp_path / "none"), ":") == {}


NVML = """
#include <string.h>
#include <unistd.h>
typedef void* gpu;
typedef struct { unsigned int pid; unsigned long long used; } process;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned int length) { strncpy(text, "580.1", length); return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, gpu *found) {
  *found = (gpu)(long)(index + 1); return index ? 3 : 0;
}
int nvmlDeviceGetName(gpu g, char *name, unsigned int length) {
  strncpy(name, "Made-up GPU", length); return 0;
}
int nvmlDeviceGetClockInfo(gpu g, unsigned int kind, unsigned int *mhz) {
  *mhz = kind ? 5000 : 900; return 0;
}
int nvmlDeviceGetMaxClockInfo(gpu g, unsigned int kind, unsigned int *mhz) { *mhz = 1980; return 0; }
int nvmlDeviceGetTemperature(gpu g, unsigned int kind, unsigned int *c) { *c = 61; return 0; }
int nvmlDeviceGetPowerUsage(gpu g, unsigned int *mw) { *mw = 250500; return 0; }
int nvmlDeviceGetPersistenceMode(gpu g, unsigned int *on) { return 3; }
int nvmlDeviceGetEnforcedPowerLimit(gpu g, unsigned int *mw) { *mw = 700000; return 0; }
int nvmlDeviceGetIndex(gpu g, unsigned int *index) { *index = (long)g - 1; return 0; }
int nvmlDeviceGetMigMode(gpu g, unsigned int *now, unsigned int *later) { *now = 1; *later = 0; return 0; }
int nvmlDeviceGetMemoryInfo(gpu g, unsigned long long *found) {
  found[0] = 80ull << 30; found[1] = 1; found[2] = 2; return 0;
}
int nvmlDeviceGetTotalEnergyConsumption(gpu g, unsigned long long *mj) {
  static unsigned long long used = 5000000000ull; *mj = used += 250; return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, gpu *found) {
  *found = (gpu)1; return strcmp(bus, "0000:41:00.0");
}
int cuInit(unsigned int flags) { return 0; }
int cuDeviceGet(int *device, int index) { *device = index + 40; return 0; }
int cuDeviceGetPCIBusId(char *text, int length, int device) {
  strncpy(text, device == 40 ? "0000:41:00.0" : "", length); return 0;
}
int nvmlDeviceGetCurrentClocksThrottleReasons(gpu g, unsigned long long *bits) {
  *bits = 0x01 | 0x04 | 0x40; return 0;
}
int nvmlDeviceGetComputeRunningProcesses(gpu g, unsigned int *count, process *found) {
  found[0].pid = 1; found[1].pid = getpid(); *count = 2; return 0;
}
"""
"""As much of NVIDIA's management library, and of CUDA's, as is asked; the second GPU cannot be opened."""
NEWER_NVML = (
    NVML.replace("CurrentClocksThrottleReasons", "CurrentClocksEventReasons")
    .replace(
        "typedef struct { unsigned int pid; unsigned long long used; } process;",
        "typedef struct { unsigned int pid; unsigned long long used; unsigned int g, c; } process;",
    )
    .replace("ComputeRunningProcesses(", "ComputeRunningProcesses_v3(")
)
"""The same with the names and structures of newer drivers alone."""


@pytest.fixture(params=[NVML, NEWER_NVML], ids=["older", "newer"])
def made_up_nvml(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "nvml.c").write_text(request.param)
    library = tmp_path / "libnvml.so"
    subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    monkeypatch.setattr(nvidia, "LIBRARIES", (str(library),))
    monkeypatch.setattr(nvidia, "CUDA_LIBRARIES", (str(library),))


def test_gpus_are_read_through_the_management_library(made_up_nvml: None) -> None:
    assert nvidia.driver_version() == "580.1"
    assert nvidia.conditions() == [
        {
            "index": 0,
            "name": "Made-up GPU",
            "clock_mhz": 900,
            "highest_clock_mhz": 1980,
            "memory_clock_mhz": 5000,
            "temperature_c": 61,
            "power_w": 250.5,
            "power_limit_w": 700.0,
            "persistence": None,
            "mig": True,
            "throttled_by": ["power cap", "hardware thermal slowdown"],
            "foreign_processes": 1,
        },
        {"index": 1},
    ]


def test_the_gpu_that_is_used_is_the_one_that_cuda_counts_first(made_up_nvml: None) -> None:
    assert nvidia.used_gpu() == {
        "index": 0,
        "name": "Made-up GPU",
        "memory_bytes": 80 << 30,
        "power_limit_w": 700.0,
        "mig": True,
        "counts_energy": True,
    }


def test_without_cuda_only_an_only_gpu_is_known_to_be_used(
    made_up_nvml: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvidia, "CUDA_LIBRARIES", ("libnothing-of-this-name.so",))
    assert nvidia.used_gpu() is None  # there are two
    with pytest.raises(OSError, match="which GPU is used"):
        nvidia.EnergyCounter()


@pytest.mark.parametrize(
    ("provider", "used"), [("CUDAExecutionProvider", [True, False]), ("CPUExecutionProvider", [False, False])]
)
def test_a_gpu_says_whether_it_is_measured_on(
    made_up_nvml: None, monkeypatch: pytest.MonkeyPatch, provider: str, used: list[bool]
) -> None:
    monkeypatch.setattr(identity, "pin", lambda threads: None)
    agent = main.Agent()
    settings = {"threads": 1, "provider": provider}
    request = {"verb": "describe", "runtime": "onnxruntime", "threads": 1, "settings": settings}
    told = agent.answer(request, b"")[0]["software"]
    assert ("gpu" in told) == used[0]
    gpus = agent.answer({"verb": "conditions"}, b"")[0]["conditions"]["gpus"]
    assert [gpu["used"] for gpu in gpus] == used


def test_a_gpu_counts_its_energy(made_up_nvml: None) -> None:
    source = energy.source_for("onnxruntime", "CUDAExecutionProvider")
    assert (source.name, source.scope) == ("nvml", "GPU with its memory (Made-up GPU)")
    for _ in range(2):  # opened anew for every burst
        source.start()
        assert [source.energy_uj(), source.energy_uj()] == [250_000, 500_000]
        source.stop()


def test_without_a_driver_nothing_is_said_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "LIBRARIES", ("libnothing-of-this-name.so",))
    assert nvidia.conditions() is None
    assert nvidia.driver_version() is None
    assert nvidia.used_gpu() is None


# --- the host's end of the link


def test_ssh_servers_above_count_as_the_hosts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {9: "sh", 8: "sshd-session", 7: "a (b) sshd", 6: "sshd", 5: "x"}
    stat = "{} ({}) S {} 1 1 0 -1 0 0 0 0 0 10 20 0 0"
    texts = {f"/proc/{pid}/stat": stat.format(pid, name, pid - 1) for pid, name in names.items()}
    monkeypatch.setattr(os, "getppid", lambda: 9)
    monkeypatch.setattr(system_files, "read", texts.get)
    assert conditions.link_processes() == [9, 8, 6]
    assert conditions._own_time()["parent_s"] == pytest.approx(3 * 30 / os.sysconf("SC_CLK_TCK"))


def test_a_host_that_the_system_does_not_show_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_files, "read", lambda path: None)
    assert conditions._own_time()["parent_s"] is None


# --- boards


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board's files, none at first."""
    for module, name in [(boards, "CPUS"), (boards, "THERMAL"), (boards, "PLATFORM"), (identity, "CPUS")]:
        monkeypatch.setattr(module, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(boards, "GPU_CLOCKS", (str(tmp_path / "devfreq"),))
    monkeypatch.setattr(boards, "is_jetson", lambda: True)
    return tmp_path


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{content}\n")


def add_jetson(board: Path, lowest_khz: int = 729_600, lowest_hz: int = 306_000_000) -> None:
    for cpu in range(2):
        limits = {
            "scaling_min_freq": lowest_khz,
            "scaling_max_freq": 1_497_600,
            "cpuinfo_max_freq": 2_201_600,
        }
        write(board / "cpus" / f"cpu{cpu}" / "cpufreq", dict(limits))
    (board / "cpus" / "cpu2").mkdir()  # switched off by the power mode
    write(board / "devfreq" / "15380000.nvjpg", {"min_freq": 1, "max_freq": 2, "cur_freq": 1})
    gpu = {"min_freq": lowest_hz, "max_freq": 918_000_000, "cur_freq": 612_000_000, "device/load": 423}
    write(board / "devfreq" / "17000000.ga10b", dict(gpu))
    write(board / "thermal" / "thermal_zone0", {"type": "CPU-therm", "temp": 51_500})
    write(board / "thermal" / "thermal_zone1", {"type": "GPU-therm", "temp": 48_250})


@pytest.mark.parametrize(
    ("lowest_khz", "lowest_hz", "locked"),
    [
        (1_497_600, 918_000_000, True),
        (729_600, 918_000_000, False),
        (1_497_600, 306_000_000, False),
    ],
    ids=["held", "processors float", "the GPU floats"],
)
def test_clocks_are_locked_where_their_limits_meet(
    board: Path, lowest_khz: int, lowest_hz: int, locked: bool
) -> None:
    add_jetson(board, lowest_khz, lowest_hz)
    assert boards.clocks_locked() is locked
    assert boards.identity() == {"clocks_locked": locked}  # no power mode is told here
    assert identity.hardware()["clocks_locked"] is locked
    assert conditions.conditions()["clocks_locked"] is locked


def test_a_jetsons_power_mode_is_part_of_its_identity(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "power_mode", lambda: "MODE_15W")
    assert identity.hardware()["power_mode"] == "MODE_15W"
    assert "clocks_locked" not in identity.hardware()  # absent where it is not told


def test_other_machines_have_an_identity_without_either(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_jetson(board)
    monkeypatch.setattr(boards, "is_jetson", lambda: False)
    assert set(identity.hardware()) == {"machine", "cpu_model", "cpu_count", "system"}
    found = conditions.conditions()
    assert found["clocks_locked"] is None
    assert boards.gpu() is None


def test_the_gpu_of_a_jetson_is_told_by_the_board(board: Path) -> None:
    add_jetson(board)
    assert conditions.conditions()["gpus"] == [
        {
            "index": 0,
            "name": "17000000.ga10b",
            "clock_mhz": 612.0,
            "lowest_clock_mhz": 306.0,
            "highest_clock_mhz": 918.0,
            "temperature_c": 48.25,
            "utilisation": 0.423,
        }
    ]


@pytest.mark.parametrize("text", ["nvidia,p3701-0000\0nvidia,tegra234", None, "raspberrypi,5-model-b"])
def test_a_jetson_is_known_by_its_device_tree(monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.setattr(system_files, "read", lambda path: text)
    assert boards.is_jetson() is (text is not None and "tegra" in text)


@pytest.mark.parametrize("place", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
@pytest.mark.parametrize(
    ("bits", "now", "before"),
    [
        ("0", [], []),
        ("50005", ["under-voltage", "throttled"], ["under-voltage", "throttled"]),
        ("80008", ["soft temperature limit"], ["soft temperature limit"]),
        ("20000", [], ["frequency capped"]),
        ("odd", None, None),
    ],
)
def test_a_raspberry_pi_says_what_slows_it_down(
    board: Path, place: str, bits: str, now: list[str] | None, before: list[str] | None
) -> None:
    write(board / "platform" / place, {"get_throttled": bits})
    found = conditions.conditions()
    assert (found["board_throttled_by"], found["board_was_throttled_by"]) == (now, before)


def test_cooling_that_holds_a_clock_down_is_named(board: Path) -> None:
    assert boards.cooled_by() is None
    devices = [("thermal-cpufreq-0", 3), ("thermal-devfreq-0", 0), ("pwm-fan", 2), ("intel_powerclamp", -1)]
    for number, (kind, state) in enumerate(devices):
        files: dict[str, object] = {"type": kind, "cur_state": state, "max_state": 10}
        write(board / "thermal" / f"cooling_device{number}", files)
    assert boards.cooled_by() == ["thermal-cpufreq-0 3/10"]


# --- clusters of processors


def add_clocks(board: Path, *mhz: int) -> list[int]:
    for cpu, highest in enumerate(mhz):
        write(board / "cpus" / f"cpu{cpu}" / "cpufreq", {"cpuinfo_max_freq": 1000 * highest})
    return list(range(len(mhz)))


@pytest.mark.parametrize(
    ("mhz", "clusters"),
    [
        ((), [[0, 1]]),
        ((2400,) * 4, [[0, 1, 2, 3]]),
        ((1800,) * 4 + (2800,) * 3 + (3200,), [[7], [4, 5, 6], [0, 1, 2, 3]]),
        ((5000, 5200, 5000, 5200, 3800, 3800), [[0, 1, 2, 3], [4, 5]]),
    ],
    ids=["unknown", "alike", "phone", "laptop"],
)
def test_processors_of_one_clock_are_a_cluster(
    board: Path, mhz: tuple[int, ...], clusters: list[list[int]]
) -> None:
    assert identity.clusters(add_clocks(board, *mhz) or [0, 1]) == clusters


@pytest.mark.parametrize(
    ("mhz", "threads", "bound"),
    [
        ((2400,) * 4, 2, [2, 3]),
        ((1800,) * 4 + (2800,) * 4, 1, [7]),
        ((5000, 5200, 5000, 5200, 3800, 3800), 1, [3]),
        ((5000, 5200, 5000, 5200, 3800, 3800), 5, [0, 1, 2, 3, 5]),
        ((1800,) * 4 + (2800,) * 3 + (3200,), 2, [6, 7]),
    ],
)
def test_the_fastest_processors_are_measured_on(
    board: Path, monkeypatch: pytest.MonkeyPatch, mhz: tuple[int, ...], threads: int, bound: list[int]
) -> None:
    asked = []
    allowed = set(add_clocks(board, *mhz))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, chosen: asked.append(list(chosen)))
    assert identity.pin(threads) == bound
    assert asked == [bound]


def test_where_a_process_runs_is_told_where_there_are_clusters(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_clocks(board, 1800, 1800, 2800, 2800)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    words = identity.software()["processor_clusters"]
    assert words == "2+3 up to 2800 MHz (here), 0+1 up to 1800 MHz"
    add_clocks(board, 2800, 2800, 2800, 2800)
    assert identity.software()["processor_clusters"] is None


@pytest.mark.parametrize(
    ("zones", "hottest"), [([41_000, 53_500], 53.5), ([-274_000, 45_000, 900_000], 45.0), ([-274_000], None)]
)
def test_the_hottest_zone_that_tells_degrees_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zones: list[int], hottest: float | None
) -> None:
    folders = []
    for number, value in enumerate(zones):
        write(tmp_path / f"thermal_zone{number}", {"temp": value})
        folders.append(str(tmp_path / f"thermal_zone{number}"))
    monkeypatch.setattr(system_files, "entries", lambda folder, prefix="": folders)
    assert conditions._temperature_c() == hottest
