"""What the doctor says of what a device tells."""

from __future__ import annotations

from typing import Any

import pytest

from devices.diagnosis import WEIGHTS, Examination, Weight, findings
from devices.measurement import Visit

MS = 1_000_000
IDENTITY = {"cpu_count": 4, "threads": 1}
STEADY = Visit(1, (MS,) * 3, (MS,) * 3, 5, True)


def examined(
    state: dict[str, Any] | None = None,
    software: dict[str, Any] | None = None,
    identity: dict[str, Any] | None = None,
    busy: list[dict[str, Any]] | None = None,
    probes: list[list[Visit]] | None = None,
) -> Examination:
    return Examination(IDENTITY | (identity or {}), software or {}, state or {}, busy or [], probes or [])


@pytest.mark.parametrize(
    ("given", "weight", "what", "cure"),
    [
        (
            examined(identity={"emulated": "qemu", "machine": "aarch64"}),
            "serious",
            "an emulator (qemu), not of the aarch64 processor",
            "on the processor itself",
        ),
        (
            examined({"governor": "powersave"}),
            "serious",
            "governor powersave",
            "frequency-set -g performance",
        ),
        (
            examined({"cpu_limit_mhz": 1500.0, "cpu_highest_mhz": 3000.0}),
            "serious",
            "limited to 1500 of 3000 MHz",
            "cpupower",
        ),
        (examined({"turbo": True}), "minor", "turbo is on", "boost"),
        (examined({"power_mode": "15W"}), "serious", "power mode 15W", "nvpmodel -m 0"),
        (examined({"clocks_locked": False}), "serious", "follow the load", "sudo jetson_clocks"),
        (
            examined({"board_throttled_by": ["under-voltage"], "board_was_throttled_by": ["under-voltage"]}),
            "serious",
            "slowed down just now by under-voltage",
            "stronger supply",
        ),
        (
            examined({"board_throttled_by": [], "board_was_throttled_by": ["throttled"]}),
            "minor",
            "since it was started, by throttled",
            "fan",
        ),
        (examined({"cooled_by": ["thermal-cpufreq-0 3/10"]}), "serious", "thermal-cpufreq-0 3/10", "cool"),
        (examined({"gpus": [{"index": 0, "name": "GPU", "mig": True}]}), "note", "(MIG)", "idle"),
        (examined({"temperature_c": 91.0}), "serious", "91 °C", "cool"),
        (examined({"throttle_count": 3}), "minor", "because of heat", "cooling"),
        (examined({"cpu_quota": 1.5}), "serious", "may use 1.5 processors", "without a quota"),
        (examined({"cpu_quota": 8.0}), "note", "may use 8 processors", "without a quota"),
        (
            examined({"affinity": [0, 1, 2, 3]}, identity={"threads": 4}),
            "minor",
            "every processor",
            "--threads",
        ),
        (
            examined(busy=[{"pid": 77, "name": "updatedb", "processors": 0.9}]),
            "serious",
            "updatedb (90% of a processor, process 77)",
            "kill -STOP 77",
        ),
        (examined(busy=[{"pid": 77, "name": "top", "processors": 0.1}]), "minor", "top", "kill -STOP 77"),
        (examined({"memory_available_bytes": 100_000_000}), "serious", "only 100 MB", "stop programs"),
        (examined(software={"virtual_machine": True}), "minor", "virtual machine", "repeat"),
        (examined(software={"clock_source": "hpet"}), "minor", "clock source is hpet", "echo tsc"),
        (
            examined({"gpus": [{"index": 0, "name": "GPU", "throttled_by": ["power cap"]}]}),
            "serious",
            "slowed down by power cap",
            "nvidia-smi",
        ),
        (
            examined({"gpus": [{"index": 0, "name": "GPU", "foreign_processes": 2}]}),
            "serious",
            "2 other programs compute on GPU 0",
            "stop them",
        ),
        (examined({"gpus": [{"index": 0, "persistence": 0}]}), "minor", "switched off", "nvidia-smi -pm 1"),
    ],
)
def test_what_disturbs_is_named_with_its_cure(
    given: Examination, weight: Weight, what: str, cure: str
) -> None:
    (found,) = findings(given)
    assert found.weight == weight
    assert what in found.what
    assert cure in found.cure
    assert found.effect


@pytest.mark.parametrize(
    "given",
    [
        examined(),
        examined({"governor": "performance", "turbo": False, "power_mode": "MAXN", "temperature_c": 40.0}),
        examined({"clocks_locked": True, "board_throttled_by": [], "board_was_throttled_by": []}),
        examined(
            {"clocks_locked": None, "board_throttled_by": None, "cooled_by": [], "gpus": [{"mig": False}]}
        ),
        examined({"cpu_quota": None, "affinity": [0, 1, 2, 3], "gpus": None, "throttle_count": 0}),
        examined(software={"virtual_machine": None, "clock_source": "arch_sys_counter"}),
        examined(busy=[{"pid": 1, "name": "init", "processors": 0.01}]),
    ],
)
def test_what_does_not_disturb_is_not_named(given: Examination) -> None:
    assert findings(given) == []


def test_a_steady_probe_says_that_the_precision_can_be_reached() -> None:
    (found,) = findings(examined(probes=[[STEADY] * 5] * 3))
    assert found.weight == "note"
    assert "can be reached" in found.effect


@pytest.mark.parametrize(
    "probes",
    [
        [[STEADY, Visit(1, (2 * MS,) * 3, None, 5, True)] * 3] * 3,
        [[STEADY] * 5, [Visit(1, (2 * MS,) * 3, None, 5, True)] * 5],
        [[Visit(1, (MS, 3 * MS, MS), (MS,) * 3, 5, True)] * 5],
    ],
    ids=["within", "between", "preempted"],
)
def test_an_unsteady_probe_is_serious(probes: list[list[Visit]]) -> None:
    (found,) = findings(examined(probes=probes))
    assert found.weight == "serious"


def test_what_matters_most_comes_first() -> None:
    found = findings(
        examined(
            {"governor": "powersave", "turbo": True},
            probes=[[STEADY] * 5],
            software={"virtual_machine": True},
        )
    )
    weights = [WEIGHTS.index(one.weight) for one in found]
    assert weights == sorted(weights)
    assert len(found) == 4
