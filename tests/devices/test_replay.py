"""The device made of paper."""

from __future__ import annotations

from dataclasses import replace

import pytest
from numpy.random import default_rng

from devices.connection import NoEnergySource, RequestFailed
from devices.measurement import EnergySource, EnergyVisit, Graph, NodeTimes, Visit
from devices.replay import Recorded, ReplayDevice
from devices.rounds import Round
from devices.settings import Settings

MS = 1_000_000


def visit(*wall_ms: float) -> Visit:
    wall = tuple(round(ms * MS) for ms in wall_ms)
    return Visit(2, wall, wall, 5, True)


def no_graph() -> bytes:
    raise AssertionError("a recording needs no graph")


RECORDED = [
    Recorded(
        {"a": visit(1, 2, 3, 4, 5, 6, 7, 8, 9), "b": visit(4, 5, 6)},
        "reference",
        [visit(level)] * 4,
        {"net": NodeTimes(("layer/conv",), ((7,), (8,)), (9, 9))},
        [{"clock_s": 0.0}, {"clock_s": 1.0}],
        {"a": EnergyVisit(9, 10**8, 5000, "rapl", 10**8, 1000)},
    )
    for level in (1.0, 1.1)
]


@pytest.fixture
def device() -> ReplayDevice:
    return ReplayDevice("replay", Settings(), {"recording": "of a test"}, {}, RECORDED)


def graph(name: str) -> Graph:
    return Graph(name, lambda: b"")


def test_a_round_gets_back_what_was_recorded(device: ReplayDevice) -> None:
    measuring = Round(
        device, [graph("a"), graph("b")], graph("reference"), default_rng(0), 1, profiled=[graph("net")]
    )
    readings = list(measuring.readings())
    visits = {
        reading.graph: reading.visit for reading in readings if reading.visit and not reading.is_reference
    }
    assert visits == {name: RECORDED[0].visits[name] for name in ("a", "b")}
    assert [reading.visit for reading in readings if reading.is_reference] == [visit(1.0)] * 4
    assert [reading.inside for reading in readings if reading.is_inside] == [RECORDED[0].insides["net"]]
    assert [state["clock_s"] for state in measuring.conditions] == [0.0, 1.0, 1.0]


def test_every_process_is_handed_out_once(device: ReplayDevice) -> None:
    for level in (1.0, 1.1):
        with device.process() as process:
            process.load("reference", b"")
            assert process.time("reference", 3) == visit(level)
    with device.process() as process:
        assert process.identity == {"recording": "of a test"}
        with pytest.raises(RequestFailed, match="holds 2 processes, and more are asked for"):
            process.load("reference", b"")


def test_what_was_not_recorded_is_refused(device: ReplayDevice) -> None:
    with device.process() as process:
        with pytest.raises(RequestFailed, match="no samples of other"):
            process.load("visited other", b"")
        with pytest.raises(RequestFailed, match="visited a is not loaded"):
            process.time("visited a", 1)
        with pytest.raises(RequestFailed, match="no times inside a"):
            process.node_times("a", b"")
        with pytest.raises(RequestFailed, match="which programs"):
            process.busy_processes(0.1)


def test_a_recording_ends(device: ReplayDevice) -> None:
    with device.process() as process:
        process.load("visited b", b"")
        for ms in (4, 5, 6):
            assert process.time("visited b", 3) == visit(ms)
        with pytest.raises(RequestFailed, match="no samples of this moment"):
            process.time("visited b", 3)
        process.load("reference", b"")
        for _ in range(4):
            process.time("reference", 3)
        with pytest.raises(RequestFailed, match="no further visit of the reference"):
            process.time("reference", 3)
        process.unload("visited b")
        with pytest.raises(RequestFailed, match="is not loaded"):
            process.time("visited b", 1)


def test_recorded_energies_are_given_back(device: ReplayDevice) -> None:
    graphs = [graph("a"), graph("b")]
    measuring = Round(device, graphs, graph("reference"), default_rng(0), 1, powered=graphs)
    found = {reading.graph: reading for reading in measuring.readings() if reading.is_energy}
    assert found["a"].energy == RECORDED[0].energies["a"]
    assert found["b"].error == "the recording has no energy of b"


def test_a_recording_says_what_told_its_energies(device: ReplayDevice) -> None:
    source = EnergySource("rapl", "processor package", 1.0)
    assert replace(device, source=source).process().energy_source() == source
    with pytest.raises(NoEnergySource, match="on this device: the recording holds no energy"):
        device.process().energy_source()
