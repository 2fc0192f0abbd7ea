"""What every device promises; a new one is one class of one line, a new runtime one of two."""

from __future__ import annotations

import getpass
import json
import re
import socket
import statistics
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any, ClassVar

import pytest

from devices import catalog
from devices.connection import RequestFailed
from devices.device import Device, DeviceProcess
from devices.runtimes.catalog import RUNTIMES
from devices.settings import Settings

IMPOSSIBLE = 10_000
"""More threads than any device has processors."""


@pytest.fixture(scope="class")
def device(request: pytest.FixtureRequest) -> Device:
    return catalog.device(request.cls.name, request.cls.settings)


@pytest.fixture(scope="class")
def running(device: Device) -> Iterator[DeviceProcess]:
    with device.process() as process:
        yield process


def with_settings(device: Any, **changes: Any) -> Device:
    """The same device with other settings."""
    changed: Device = replace(device, settings=replace(device.settings, **changes))
    return changed


def with_threads(device: Device, threads: int) -> Device:
    return with_settings(device, threads=threads)


class DeviceContract:
    """A device's tests: subclass with the name that people type, and settings for another runtime."""

    name: ClassVar[str]
    settings: ClassVar[Settings] = Settings()

    # --- what it says of itself

    def test_identity_names_hardware_runtime_and_every_setting(
        self, device: Device, running: DeviceProcess
    ) -> None:
        hardware = {"machine", "cpu_model", "cpu_count", "system"}
        assert set(running.identity) >= hardware | {"runtime", "runtime_version"}
        assert running.identity["runtime"] == device.settings.runtime
        assert re.match(r"\d+\.\d+", running.identity["runtime_version"])
        assert asdict(device.settings).items() <= running.identity.items()

    def test_identity_carries_the_settings_that_were_chosen(self, device: Device) -> None:
        with with_settings(device, batch=7).process() as process:
            assert process.identity["batch"] == 7

    def test_two_fresh_processes_have_one_identity(self, device: Device, running: DeviceProcess) -> None:
        with device.process() as other:
            assert other.identity == running.identity
            assert other.software == running.software

    def test_no_host_or_user_is_named(self, running: DeviceProcess) -> None:
        told = json.dumps([dict(running.identity), dict(running.software), dict(running.conditions())])
        words = set(re.findall(r"[\w.-]+", told.lower()))
        assert not words & {socket.gethostname().lower(), socket.getfqdn().lower(), getpass.getuser().lower()}
        assert "/" not in "".join(words)

    def test_what_it_says_is_json_without_nan(self, running: DeviceProcess) -> None:
        told = [dict(running.identity), dict(running.software), dict(running.conditions())]
        assert json.loads(json.dumps(told, allow_nan=False)) == told

    def test_the_process_is_bound_to_as_many_processors_as_threads(self, running: DeviceProcess) -> None:
        affinity = running.conditions()["affinity"]
        if affinity is None:
            pytest.skip("this system does not bind processes to processors")
        assert len(affinity) == 1

    # --- graphs

    def test_a_graph_loads_times_and_unloads(self, running: DeviceProcess, tiny: bytes) -> None:
        running.load("once", tiny)
        running.time("once", 1)
        running.unload("once")
        with pytest.raises(RequestFailed, match="once"):
            running.time("once", 1)

    @pytest.mark.parametrize("samples", [1, 7])
    def test_a_visit_has_the_samples_that_were_asked_for(
        self, running: DeviceProcess, tiny: bytes, samples: int
    ) -> None:
        running.load("counted", tiny)
        visit = running.time("counted", samples)
        assert len(visit.wall_ns) == samples
        assert visit.warmup_runs >= 3

    def test_a_sample_is_long_enough_for_the_clock(self, running: DeviceProcess, tiny: bytes) -> None:
        running.load("short", tiny)
        visit = running.time("short", 9)
        assert visit.runs_per_sample > 1
        assert statistics.median(visit.wall_ns) >= 500_000  # half of what is aimed at

    def test_several_graphs_are_loaded_at_once(self, running: DeviceProcess, tiny: bytes) -> None:
        for name in ("left", "right"):
            running.load(name, tiny)
        for name in ("left", "right", "left"):
            assert running.time(name, 1).wall_ns
        running.unload("left")
        assert running.time("right", 1).wall_ns

    def test_a_graph_that_is_refused_leaves_the_next_one_well(
        self, running: DeviceProcess, tiny: bytes
    ) -> None:
        with pytest.raises(RequestFailed):
            running.load("bad", b"no graph at all")
        with pytest.raises(RequestFailed, match="bad"):
            running.time("bad", 1)
        running.load("good", tiny)
        assert running.time("good", 1).wall_ns

    def test_times_inside_a_graph_are_told_or_refused(
        self, device: Device, running: DeviceProcess, tiny: bytes
    ) -> None:
        if not RUNTIMES[device.settings.runtime].profiles_nodes:
            with pytest.raises(RequestFailed, match="does not tell the times of nodes"):
                running.node_times("inside", tiny)
            return
        found = running.node_times("inside", tiny)
        assert found.nodes
        assert all(sum(run) <= whole for run, whole in zip(found.us, found.run_us, strict=True))

    def test_cold_caches_make_every_inference_a_sample(self, device: Device, tiny: bytes) -> None:
        with with_settings(device, cache="cold").process() as process:
            process.load("graph", tiny)
            visit = process.time("graph", 4)
        assert visit.runs_per_sample == 1
        assert len(visit.wall_ns) == 4

    # --- what else runs there

    def test_other_programs_are_told(self, running: DeviceProcess) -> None:
        for program in running.busy_processes(0.05):
            assert set(program) == {"pid", "name", "processors"}

    def test_a_detailed_process_tells_all_that_a_plain_one_does(
        self, device: Device, running: DeviceProcess
    ) -> None:
        with device.process(detailed=True) as process:
            assert running.software.items() <= process.software.items()
            if device.settings.runtime == "onnxruntime":
                assert device.settings.provider in process.software["providers"]

    # --- threads

    def test_cpu_time_is_told_at_one_thread(self, running: DeviceProcess, tiny: bytes) -> None:
        running.load("graph", tiny)
        visit = running.time("graph", 3)
        assert visit.cpu_ns is not None
        assert all(cpu > 0 for cpu in visit.cpu_ns)

    def test_cpu_time_is_not_told_at_two_threads(
        self, device: Device, running: DeviceProcess, tiny: bytes
    ) -> None:
        if running.identity["cpu_count"] < 2:
            pytest.skip("the device has one processor")
        with with_threads(device, 2).process() as process:
            process.load("graph", tiny)
            assert process.time("graph", 1).cpu_ns is None

    def test_more_threads_than_processors_are_refused(self, device: Device) -> None:
        message = rf"{IMPOSSIBLE} threads asked for, but this process may use only \d+ processors"
        with pytest.raises(RequestFailed, match=message):
            with_threads(device, IMPOSSIBLE).process().__enter__()


class TestCpu(DeviceContract):
    name = "cpu"


class TestCpuWithLiteRt(DeviceContract):
    name = "cpu"
    settings = Settings(runtime="litert", provider="XNNPACK")


class TestCpuWithPyTorch(DeviceContract):
    name = "cpu"
    settings = Settings(runtime="pytorch", provider="eager")
