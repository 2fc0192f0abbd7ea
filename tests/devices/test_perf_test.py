"""A phone without Python: the contract of devices, and what is its own; phone, adb and tool are stand-ins."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.connection import DeviceError, LinkLost, NoAnswer, RequestFailed
from devices.device import Device, DeviceProcess
from devices.measurement import Graph
from devices.perf_test.adb_shell import AdbShell
from devices.perf_test.device import LATENCY_DEFINITION, PerfTestDevice
from devices.perf_test.phone import QUESTIONS as STATE
from devices.perf_test.phone import processors
from devices.perf_test.phone import state as phone_state
from devices.perf_test.results import latencies_ns
from devices.rounds import Round, Sampling
from devices.settings import Settings
from tests.devices.made_up_phone import MadeUpPhone, made_up_phone
from tests.devices.stand_in_adb import SERIAL
from tests.devices.test_device import DeviceContract, with_settings


@pytest.fixture(scope="class")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MadeUpPhone]:
    with made_up_phone(tmp_path_factory.mktemp("phone")) as made:
        yield made


@pytest.fixture(scope="class")
def device(request: pytest.FixtureRequest, phone: MadeUpPhone) -> Device:
    return PerfTestDevice(request.cls.name, phone.shell(), request.cls.settings)


@pytest.fixture(scope="class")
def running(device: Device) -> Iterator[DeviceProcess]:
    with device.process() as process:
        yield process


@pytest.mark.slow
class TestPhoneWithoutPython(DeviceContract):
    """The row of `onnxruntime_perf_test`; where its definition of latency differs, a test says so."""

    name = "slate"

    def test_its_definition_of_latency_stands_in_the_identity(self, running: DeviceProcess) -> None:
        assert running.identity["latency_definition"] == LATENCY_DEFINITION

    @pytest.mark.parametrize("samples", [1, 7])
    def test_a_visit_has_the_samples_that_were_asked_for(
        self, running: DeviceProcess, tiny: bytes, samples: int
    ) -> None:
        # the tool writes every run down: short graphs give more samples than were asked for
        running.load("counted", tiny)
        visit = running.time("counted", samples)
        assert len(visit.wall_ns) >= samples
        assert visit.warmup_runs >= 3

    def test_a_sample_is_long_enough_for_the_clock(self, running: DeviceProcess, tiny: bytes) -> None:
        # every run is a sample, however short: more of them make up for the clock
        running.load("short", tiny)
        visit = running.time("short", 9)
        assert visit.runs_per_sample == 1
        assert len(visit.wall_ns) == 100

    def test_times_inside_a_graph_are_told_or_refused(
        self, device: Device, running: DeviceProcess, tiny: bytes
    ) -> None:
        # the runtime has a profiler, but the tool is not asked for it
        with pytest.raises(RequestFailed, match="does not tell the times of nodes"):
            running.node_times("inside", tiny)

    def test_cold_caches_make_every_inference_a_sample(self, device: Device, tiny: bytes) -> None:
        # the tool has nothing that evicts
        with pytest.raises(ValueError, match="warm caches only"):
            with_settings(device, cache="cold")

    def test_a_detailed_process_tells_all_that_a_plain_one_does(
        self, device: Device, running: DeviceProcess
    ) -> None:
        # the tool does not list the providers of its build
        with device.process(detailed=True) as process:
            assert running.software.items() <= process.software.items()

    def test_cpu_time_is_told_at_one_thread_where_the_caller_computes(
        self, device: Device, running: DeviceProcess, tiny: bytes
    ) -> None:
        # the tool tells the load of the whole process only
        running.load("graph", tiny)
        assert running.time("graph", 3).cpu_ns is None


# --- faults


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[MadeUpPhone]:
    with made_up_phone(tmp_path) as made:
        yield made


def on(phone: MadeUpPhone, **changes: Any) -> PerfTestDevice:
    fields: dict[str, Any] = {"settings": Settings(), **changes}
    return PerfTestDevice("slate", phone.shell(), **fields)


def test_nothing_stays_on_the_phone(fresh: MadeUpPhone, tiny: bytes) -> None:
    with on(fresh).process() as process:
        process.load("graph", tiny)
        assert len(fresh.left()) == 1
        process.load("graph", tiny)  # in place of the first
        (folder,) = (fresh.folder / "tmp").iterdir()
        assert [file.suffix for file in folder.iterdir()].count(".onnx") == 1
        process.unload("graph")
        process.unload("graph")
        assert not list(folder.glob("*.onnx"))
    assert fresh.left() == []


@pytest.mark.slow
def test_nothing_stays_on_the_phone_after_an_error(fresh: MadeUpPhone, tiny: bytes) -> None:
    with pytest.raises(ZeroDivisionError), on(fresh).process():
        1 / 0  # noqa: B018  # any error
    assert fresh.left() == []
    with pytest.raises(RequestFailed, match="99 threads"):
        on(fresh, settings=Settings(threads=99)).process().__enter__()
    assert fresh.left() == []


def test_what_an_earlier_round_had_to_leave_is_removed_after_a_day(fresh: MadeUpPhone) -> None:
    for name, age_s in (("hwprofile-old", 100_000), ("hwprofile-new", 1000), ("other", 100_000)):
        (fresh.folder / "tmp" / name).mkdir()
        then = time.time() - age_s
        os.utime(fresh.folder / "tmp" / name, (then, then))
    with on(fresh).process():
        pass
    assert fresh.left() == ["hwprofile-new", "other"]


def test_a_crash_on_one_graph_is_told_and_the_next_one_runs(
    fresh: MadeUpPhone, make_graph: Callable[..., bytes]
) -> None:
    with on(fresh).process() as process:
        with pytest.raises(RequestFailed, match=r"was ended by SIGSEGV"):
            process.load("bad", named(make_graph(), "crash"))
        process.load("good", make_graph())
        assert process.time("good", 2).wall_ns


def test_a_graph_that_takes_too_long(fresh: MadeUpPhone, make_graph: Callable[..., bytes]) -> None:
    slow = named(make_graph(), "endless")
    with on(fresh, graph_timeout_s=1.0).process() as process, pytest.raises(NoAnswer, match="more than 1 s"):
        process.load("bad", slow)
    assert fresh.left() == []


@pytest.mark.slow
def test_a_provider_that_the_build_lacks(fresh: MadeUpPhone, tiny: bytes) -> None:
    device = on(fresh, settings=Settings(provider="XnnpackExecutionProvider"))
    with device.process() as process, pytest.raises(RequestFailed, match="not supported in this build"):
        process.load("graph", tiny)


def test_a_build_without_its_options_says_what_to_do(fresh: MadeUpPhone, tiny: bytes) -> None:
    fresh.program.write_text("#!/bin/sh\necho \"ERROR: Unknown command line flag 'e'\"\nexit 1\n")
    with on(fresh).process() as process, pytest.raises(RequestFailed, match="build another release"):
        process.load("graph", tiny)


def test_a_file_that_is_no_program_for_the_phone(fresh: MadeUpPhone, tiny: bytes) -> None:
    fresh.program.write_bytes(b"\x7fELF of another processor\0\1")
    with on(fresh).process() as process, pytest.raises(RequestFailed, match="cannot be run on this phone"):
        process.load("graph", tiny)


@pytest.mark.parametrize("seconds", ["nan", pytest.param("-0.001", marks=pytest.mark.slow)])
def test_results_that_are_none_are_refused(fresh: MadeUpPhone, tiny: bytes, seconds: str) -> None:
    lines = "".join(f"model,{seconds},1,1,{number}\\n" for number in range(5))
    fresh.program.write_text(f"#!/bin/sh\nprintf '{lines}' > results.csv\n")
    with on(fresh).process() as process, pytest.raises(RequestFailed, match=r"run 0|could not convert"):
        process.load("graph", tiny)


def test_a_phone_that_vanishes_is_lost_and_blames_no_graph(fresh: MadeUpPhone, tiny: bytes) -> None:
    with on(fresh).process() as process:
        process.load("graph", tiny)
        fresh.vanishes()
        with pytest.raises(LinkLost, match="broke off"):
            process.time("graph", 1)
        with pytest.raises(LinkLost, match="switch on USB debugging"):
            process.conditions()


def test_a_file_that_is_absent_is_named(fresh: MadeUpPhone) -> None:
    fresh.program.unlink()
    with pytest.raises(DeviceError, match="onnxruntime_perf_test is no file"):
        on(fresh).process().__enter__()


def test_what_a_phone_tells_of_itself(fresh: MadeUpPhone) -> None:
    with on(fresh).process() as process:
        state = process.conditions()
        assert process.identity["cpu_model"] == "Acme Slate 3 / Chips C900"
        assert process.identity["system"] == "Android"
        assert process.identity["runtime_version"] == "1.22.0"
        assert process.software["os"] == "Android 14 (API 34)"
        told = json.dumps([dict(process.identity), dict(process.software), dict(state)])
    assert SERIAL not in told
    known = ("thermal_status", "battery_percent", "battery_temperature_c", "plugged_in", "screen")
    assert [state[name] for name in known] == [2, 85, 31.5, True, "Awake"]
    assert state["busy_s"] > 0
    assert state["clock_s"] > 0


@pytest.mark.slow
def test_own_processor_time_runs_on(fresh: MadeUpPhone, tiny: bytes) -> None:
    with on(fresh).process() as process:
        process.load("graph", tiny)
        before = process.conditions()["own_s"]
        process.time("graph", 3)
        assert process.conditions()["own_s"] > before > 0


def test_another_build_is_another_device(fresh: MadeUpPhone) -> None:
    first = fresh.shell().build()
    assert first == fresh.shell().build()
    fresh.program.write_text("#!/bin/sh\n")
    assert fresh.shell().build()[1] != first[1]
    assert replace(fresh.shell(), libraries=(), version="1.20.1").build()[0] == "1.20.1"
    assert replace(fresh.shell(), libraries=()).build()[0] is None


@pytest.mark.slow
def test_a_round_goes_on_after_a_graph_that_crashes(
    fresh: MadeUpPhone, make_graph: Callable[..., bytes]
) -> None:
    graphs = [Graph("good", make_graph), Graph("bad", lambda: named(make_graph(), "crash"))]
    reference = Graph("reference", lambda: make_graph((1, 64)))
    work = Round(on(fresh), graphs, reference, np.random.default_rng(0), 1, Sampling(1, 1, 2))
    readings = {reading.graph: reading for reading in work.readings()}
    assert readings["bad"].failure == "refused"
    assert readings["good"].visit is not None
    assert len(work.conditions) == 3


def named(graph: bytes, name: str) -> bytes:
    """A graph with a name that the stand-in knows."""
    model = onnx.load_from_string(graph)
    model.graph.name = name
    data: bytes = model.SerializeToString()
    return data


# --- values


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"serial": "-s"}, "^serial"),
        ({"serial": "a;b"}, "^serial"),
        ({"serial": ""}, "^serial"),
        ({"libraries": ("x/$(id).so",)}, "^libraries"),
        ({"libraries": ("x/-rf",)}, "^libraries"),
        ({"libraries": ("a/l.so", "b/l.so")}, "^libraries: two"),
        ({"program": Path("")}, "^program"),
        ({"version": "latest"}, "^version"),
    ],
)
def test_names_that_a_shell_would_take_for_something_else(fields: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"alias": "slate", "program": Path("tool"), **fields}
    with pytest.raises(ValueError, match=message):
        AdbShell(**given)


def test_lists_of_libraries_come_from_toml() -> None:
    given: Any = ["a.so", "b.so"]
    tool = Path("tool")
    assert AdbShell("slate", tool, given) == AdbShell("slate", tool, ("a.so", "b.so"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"runtime": "litert", "provider": "XNNPACK"}, "runs onnxruntime, not litert"),
        ({"provider": "CUDAExecutionProvider"}, "not CUDAExecutionProvider"),
    ],
)
def test_settings_that_the_tool_cannot_measure(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerfTestDevice("slate", AdbShell("slate", Path("tool")), Settings(**settings))


@given(
    st.lists(st.floats(1e-8, 3000), min_size=1, max_size=40),
    st.text(st.characters(codec="ascii"), max_size=9),
)
def test_results_as_the_tool_writes_them_are_read(seconds: list[float], folder: str) -> None:
    clean = "".join(letter for letter in folder if letter.isprintable())
    text = "".join(f"{clean},{value:g},123,49,{number}\n" for number, value in enumerate(seconds))
    found = latencies_ns(text, len(seconds))
    assert len(found) == len(seconds)
    for nanoseconds, value in zip(found, seconds, strict=True):
        assert abs(nanoseconds - value * 1e9) <= value * 1e9 * 1e-5 + 1
    assert latencies_ns(text + "\nMin Latency: 0.1 s\n", len(seconds)) == found


@given(st.text(max_size=200), st.integers(1, 5))
def test_any_other_text_is_refused_or_gives_times(text: str, runs: int) -> None:
    try:
        found = latencies_ns(text, runs)
    except ValueError:
        return
    assert len(found) == runs
    assert min(found) > 0


@given(st.dictionaries(st.sampled_from(sorted(STATE)), st.text(max_size=120)))
def test_whatever_a_phone_prints_its_state_is_read_without_an_error(texts: dict[str, str]) -> None:
    found = phone_state({**dict.fromkeys(STATE, ""), **texts}, 100.0)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize("seconds", ["nan", "inf", "-0.001", "0", "soon", "1e9", ""])
def test_times_that_are_none_are_refused(seconds: str) -> None:
    with pytest.raises(ValueError, match=r"run 0|could not convert"):
        latencies_ns(f"model,{seconds},1,1,0\n", 1)


def test_processors_are_read_from_lists() -> None:
    assert processors("0-3,6") == [0, 1, 2, 3, 6]
    assert processors("0") == [0]
    for odd in ("", "a-b", "0-", "3-1", "0-99999999"):
        assert processors(odd) is None
