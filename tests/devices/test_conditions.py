"""What the agent reads of a system's own files, and of NVIDIA's library."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devices.agent import boards, conditions, nvidia, system_files


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
int nvmlDeviceGetCurrentClocksThrottleReasons(gpu g, unsigned long long *bits) {
  *bits = 0x01 | 0x04 | 0x40; return 0;
}
int nvmlDeviceGetComputeRunningProcesses(gpu g, unsigned int *count, process *found) {
  found[0].pid = 1; found[1].pid = getpid(); *count = 2; return 0;
}
"""
"""As much of NVIDIA's management library as is asked; the second GPU cannot be opened."""


@pytest.fixture
def made_up_nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    (tmp_path / "nvml.c").write_text(NVML)
    library = tmp_path / "libnvml.so"
    subprocess.run([compiler, "-w", "-shared", "-fPIC", "-o", library, tmp_path / "nvml.c"], check=True)
    monkeypatch.setattr(nvidia, "LIBRARIES", (str(library),))


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
            "persistence": None,
            "throttled_by": ["power cap", "hardware thermal slowdown"],
            "foreign_processes": 1,
        },
        {"index": 1},
    ]


def test_without_a_driver_nothing_is_said_of_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "LIBRARIES", ("libnothing-of-this-name.so",))
    assert nvidia.conditions() is None
    assert nvidia.driver_version() is None
