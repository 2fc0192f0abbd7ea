"""Rounds on the real processor: order, thermometers, and graphs that fail."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np
import pytest

from devices.agent_device import AgentDevice, AgentProcess
from devices.connection import AgentDied, LinkLost, RequestFailed
from devices.device import Device
from devices.links.local import LocalLink
from devices.measurement import Graph, Visit
from devices.patience import Patience
from devices.rounds import IdentityChanged, Reading, Round, Sampling
from devices.settings import Settings

ONE_SAMPLE = Sampling(samples=1, passes=1)


class WatchedLink(LocalLink):
    """This computer; remembers the processes that it started."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        self.started.append(super().start(arguments, stderr))
        return self.started[-1]

    def kill_last(self) -> None:
        """What a target's kernel does to a process that takes too much memory."""
        self.started[-1].kill()
        self.started[-1].wait()


@pytest.fixture
def link() -> WatchedLink:
    return WatchedLink()


@pytest.fixture
def device(link: WatchedLink) -> Device:
    return AgentDevice("cpu", link, Settings())


@pytest.fixture
def reference(tiny: bytes) -> Graph:
    return Graph("reference", lambda: tiny)


@pytest.fixture
def graphs(tiny: bytes) -> list[Graph]:
    return [Graph(f"graph{index}", lambda: tiny) for index in range(6)]


@pytest.fixture
def deadly(link: WatchedLink, tiny: bytes) -> Graph:
    """Its process ends before it is loaded."""

    def onnx() -> bytes:
        link.kill_last()
        return tiny

    return Graph("deadly", onnx)


def refused() -> bytes:
    return b"no graph at all"


def readings_of(
    device: Device, graphs: Sequence[Graph], reference: Graph, seed: int = 0, first_process: int = 0
) -> list[Reading]:
    rng = np.random.default_rng(seed)
    return list(Round(device, graphs, reference, rng, first_process, ONE_SAMPLE).readings())


def names(readings: Sequence[Reading]) -> list[str]:
    return [reading.graph for reading in readings if not reading.is_reference]


# --- order and thermometers


def test_a_round_reads_every_graph_once(device: Device, graphs: list[Graph], reference: Graph) -> None:
    readings = readings_of(device, graphs, reference, first_process=4)
    assert sorted(names(readings)) == [graph.name for graph in graphs]
    assert all(reading.visit is not None and reading.error is None for reading in readings)
    assert {reading.process for reading in readings} == {4}


def test_a_round_is_one_fresh_process(
    device: Device, graphs: list[Graph], reference: Graph, link: WatchedLink
) -> None:
    readings_of(device, graphs, reference)
    readings_of(device, graphs, reference)
    assert len({process.pid for process in link.started}) == len(link.started) == 2
    assert all(process.returncode is not None for process in link.started)


def test_the_order_is_the_generators(device: Device, graphs: list[Graph], reference: Graph) -> None:
    orders = [names(readings_of(device, graphs, reference, seed)) for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize(
    ("group", "passes", "pattern"),
    [
        (12, 1, "R......R"),
        (2, 1, "R..R..R..R"),
        (4, 1, "R....R..R"),
        (12, 3, "RRR......R"),
        (4, 2, "RR....RR..R"),
    ],
)
def test_the_reference_is_read_before_every_pass_and_at_the_end(
    device: Device, graphs: list[Graph], reference: Graph, group: int, passes: int, pattern: str
) -> None:
    sampling = Sampling(samples=1, passes=passes, group=group)
    readings = list(Round(device, graphs, reference, np.random.default_rng(0), 0, sampling).readings())
    assert "".join("R" if reading.is_reference else "." for reading in readings) == pattern
    assert {reading.graph for reading in readings if reading.is_reference} == {"reference"}


def test_the_reference_may_be_one_of_the_graphs(device: Device, graphs: list[Graph]) -> None:
    readings = readings_of(device, graphs, graphs[0])
    assert sorted(names(readings)) == [graph.name for graph in graphs]
    assert all(reading.error is None for reading in readings)


def test_a_round_of_nothing_starts_nothing(device: Device, reference: Graph, link: WatchedLink) -> None:
    assert readings_of(device, [], reference) == []
    assert link.started == []


def test_every_visit_has_the_samples_of_all_passes(
    device: Device, graphs: list[Graph], reference: Graph
) -> None:
    sampling = Sampling(samples=2, passes=3)
    readings = Round(device, graphs[:2], reference, np.random.default_rng(0), 0, sampling).readings()
    counts = [(reading.is_reference, len(reading.visit.wall_ns)) for reading in readings if reading.visit]
    assert counts == [(True, 2)] * 3 + [(False, 6)] * 2 + [(True, 2)]


def test_graphs_are_made_when_they_are_needed_and_once(device: Device, tiny: bytes, reference: Graph) -> None:
    made = []

    def making(name: str) -> Callable[[], bytes]:
        def onnx() -> bytes:
            made.append(name)
            return tiny

        return onnx

    drawn = [Graph(name, making(name)) for name in "abc"]
    one_by_one = Sampling(samples=1, group=1)
    readings = Round(device, drawn, reference, np.random.default_rng(0), 0, one_by_one).readings()
    for seen in (0, 1, 2):
        next(reading for reading in readings if not reading.is_reference)
        assert len(made) == seen + 1
    assert sorted(made) == list("abc")


def test_a_round_that_is_left_early_ends_its_process(
    device: Device, graphs: list[Graph], reference: Graph, link: WatchedLink
) -> None:
    iterator = Round(device, graphs, reference, np.random.default_rng(0), 0, ONE_SAMPLE).readings()
    next(iter(iterator))
    assert link.started[0].poll() is None
    del iterator
    assert link.started[0].returncode is not None


# --- inside graphs


def test_graphs_are_looked_into_at_the_end(
    device: Device, graphs: list[Graph], reference: Graph, link: WatchedLink
) -> None:
    rng = np.random.default_rng(0)
    measuring = Round(device, graphs, reference, rng, 0, ONE_SAMPLE, profiled=graphs[:2])
    readings = list(measuring.readings())
    inside = [reading for reading in readings if reading.is_inside]
    assert sorted(reading.graph for reading in inside) == ["graph0", "graph1"]
    assert readings[-2:] == inside
    assert all(reading.inside is not None and reading.visit is None for reading in inside)
    assert len(link.started) == 1


def test_a_graph_that_cannot_be_looked_into_costs_only_itself(
    device: Device, graphs: list[Graph], reference: Graph
) -> None:
    measuring = Round(
        device,
        [],
        reference,
        np.random.default_rng(0),
        0,
        ONE_SAMPLE,
        profiled=[Graph("bad", refused), *graphs],
    )
    readings = [reading for reading in measuring.readings() if reading.is_inside]
    assert {reading.graph: reading.failure for reading in readings if reading.error} == {"bad": "refused"}
    assert len(readings) == 1 + len(graphs)


def test_conditions_are_read_before_between_and_after_groups(
    device: Device, graphs: list[Graph], reference: Graph
) -> None:
    in_threes = Sampling(samples=1, passes=1, group=3)
    measuring = Round(device, graphs, reference, np.random.default_rng(0), 7, in_threes)
    list(measuring.readings())
    assert len(measuring.conditions) == 1 + 2 + 1
    assert {state["process"] for state in measuring.conditions} == {7}
    clocks = [state["clock_s"] for state in measuring.conditions]
    assert clocks == sorted(clocks)


# --- graphs that fail


def test_a_graph_that_takes_too_long_is_a_timeout_and_costs_only_itself(
    link: WatchedLink, graphs: list[Graph], reference: Graph, make_graph: Callable[..., bytes]
) -> None:
    device = AgentDevice("cpu", link, Settings(), graph_timeout_s=0.5)

    def stopped() -> bytes:
        os.kill(link.started[-1].pid, signal.SIGSTOP)
        return make_graph()

    readings = readings_of(device, [*graphs, Graph("slow", stopped)], reference)
    failed = [reading for reading in readings if reading.error is not None]
    assert [(reading.graph, reading.failure) for reading in failed] == [("slow", "timeout")]
    assert "no answer within 0.5 s" in str(failed[0].error)
    assert sorted(names(readings)) == sorted(["slow", *(graph.name for graph in graphs)])


def test_a_graph_that_the_runtime_refuses_costs_only_itself(
    device: Device, graphs: list[Graph], reference: Graph, link: WatchedLink
) -> None:
    readings = readings_of(device, [*graphs, Graph("bad", refused)], reference)
    failed = [reading for reading in readings if reading.error is not None]
    assert [(reading.graph, reading.visit) for reading in failed] == [("bad", None)]
    assert sorted(names(readings)) == ["bad", *(graph.name for graph in graphs)]
    assert len(link.started) == 1
    assert readings[-1].is_reference


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_that_kills_its_process_costs_only_itself(
    device: Device, graphs: list[Graph], reference: Graph, deadly: Graph, link: WatchedLink, seed: int
) -> None:
    readings = readings_of(device, [*graphs, deadly], reference, seed, first_process=3)
    failed = [reading for reading in readings if reading.error is not None]
    assert [(reading.graph, reading.visit, reading.process) for reading in failed] == [("deadly", None, 3)]
    assert "process died" in str(failed[0].error)
    assert sorted(names(readings)) == ["deadly", *(graph.name for graph in graphs)]
    after = readings[readings.index(failed[0]) + 1 :]
    assert {reading.process for reading in after} <= {4}
    assert len(link.started) == (2 if after else 1)


def test_after_a_death_the_reference_is_read_again_at_once(
    device: Device, graphs: list[Graph], reference: Graph, deadly: Graph
) -> None:
    readings = readings_of(device, [*graphs, deadly], reference)
    assert readings[0].graph == "deadly"  # it dies while its group is loaded
    pattern = "".join("R" if reading.is_reference else "." for reading in readings[1:])
    assert pattern == "R" + "." * len(graphs) + "R"


def test_a_round_of_deadly_graphs_comes_to_an_end(
    device: Device, reference: Graph, deadly: Graph, link: WatchedLink
) -> None:
    readings = readings_of(device, [dataclasses.replace(deadly, name=name) for name in "abc"], reference)
    assert [reading.process for reading in readings if reading.error] == [0, 1, 2]
    assert len(link.started) == 3


@pytest.mark.parametrize("killed", [True, False])
def test_a_reference_that_cannot_be_read_ends_the_round(
    device: Device, graphs: list[Graph], deadly: Graph, link: WatchedLink, killed: bool
) -> None:
    broken = deadly if killed else Graph("reference", refused)
    with pytest.raises(AgentDied if killed else RequestFailed):
        readings_of(device, graphs, broken)
    assert len(link.started) == 1
    assert all(process.returncode is not None for process in link.started)


def test_an_agent_that_cannot_be_started_ends_the_round(
    device: Device, graphs: list[Graph], reference: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", os.devnull)
    with pytest.raises(AgentDied, match="cannot be started"):
        readings_of(device, graphs, reference)


def test_answers_that_contradict_each_other_cost_only_their_graph(
    device: Device, graphs: list[Graph], reference: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = AgentProcess.time, 0

    def changing(process: AgentProcess, name: str, samples: int) -> Visit:
        nonlocal calls
        calls += name.endswith("graph0")
        visit = real(process, name, samples)
        return dataclasses.replace(visit, runs_per_sample=calls) if name.endswith("graph0") else visit

    monkeypatch.setattr(AgentProcess, "time", changing)
    rng = np.random.default_rng(0)
    readings = list(Round(device, graphs[:2], reference, rng, 0, Sampling(samples=1, passes=2)).readings())
    failed = [reading for reading in readings if reading.failure]
    assert [reading.graph for reading in failed] == ["graph0"]
    assert "contradict each other" in (failed[0].error or "")
    assert sorted(names(readings)) == ["graph0", "graph1"]


# --- devices that go away


class LostLink(WatchedLink):
    """This computer, where a death by SIGKILL is the loss of the target."""

    def was_lost(self, exit_status: int) -> bool:
        return exit_status == -signal.SIGKILL


@dataclasses.dataclass
class Slept:
    """Waits in no time."""

    seconds: list[float] = dataclasses.field(default_factory=list)

    def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class Losing:
    """Makes a graph whose target is lost so many times in the middle of it."""

    def __init__(self, link: WatchedLink, times: int) -> None:
        self.link, self.left = link, times

    def __call__(self, onnx: bytes) -> Callable[[], bytes]:
        def lost() -> bytes:
            if self.left:
                self.left -= 1
                self.link.kill_last()
            return onnx

        return lost


def with_patience(
    device: Device, graphs: Sequence[Graph], reference: Graph, slept: Slept, **fields: Any
) -> tuple[Round, list[str]]:
    told: list[str] = []
    patience = Patience((1.0, 2.0, 4.0), (0.5,), slept)
    rng = np.random.default_rng(0)
    return Round(
        device, graphs, reference, rng, 5, ONE_SAMPLE, patience=patience, tell=told.append, **fields
    ), told


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_link_blames_no_graph_and_the_round_goes_on(
    graphs: list[Graph], reference: Graph, tiny: bytes, times: int
) -> None:
    link, slept = LostLink(), Slept()
    device = AgentDevice("cpu", link, Settings())
    losing = Graph("losing", Losing(link, times)(tiny))
    measuring, told = with_patience(device, [*graphs, losing], reference, slept)
    readings = list(measuring.readings())
    assert all(reading.error is None for reading in readings)
    assert sorted(names(readings)) == sorted(["losing", *(graph.name for graph in graphs)])
    assert {reading.process for reading in readings if not reading.is_reference} <= {5, 5 + times}
    assert slept.seconds == [1.0, 2.0, 4.0][:times]
    assert len(told) == times
    assert "the link was lost" in told[0]
    assert "the next attempt is in 1 s" in told[0]


def test_what_is_inside_graphs_is_asked_again_after_a_loss(
    graphs: list[Graph], reference: Graph, tiny: bytes
) -> None:
    link, slept = LostLink(), Slept()
    device = AgentDevice("cpu", link, Settings())
    losing = Graph("losing", Losing(link, 1)(tiny))
    measuring, _ = with_patience(device, [], reference, slept, profiled=[losing, *graphs[:1]])
    inside = [reading for reading in measuring.readings() if reading.is_inside]
    assert sorted(reading.graph for reading in inside) == ["graph0", "losing"]
    assert all(reading.error is None for reading in inside)


def test_patience_ends_where_nothing_is_measured_any_more(
    graphs: list[Graph], reference: Graph, tiny: bytes
) -> None:
    link, slept = LostLink(), Slept()
    device = AgentDevice("cpu", link, Settings())
    losing = Graph("losing", Losing(link, 100)(tiny))
    measuring, _ = with_patience(device, [losing], reference, slept)
    with pytest.raises(LinkLost):
        list(measuring.readings())
    assert slept.seconds == [1.0, 2.0, 4.0]


def test_only_failures_without_progress_use_patience_up(
    graphs: list[Graph], reference: Graph, tiny: bytes
) -> None:
    link, slept = LostLink(), Slept()
    device = AgentDevice("cpu", link, Settings())
    drawn = [Graph(f"losing{number}", Losing(link, 1)(tiny)) for number in range(5)]
    one_by_one = Sampling(samples=1, passes=1, group=1)
    measuring, _ = with_patience(device, drawn, reference, slept)
    measuring.sampling = one_by_one
    readings = list(measuring.readings())
    assert len(names(readings)) == 5
    assert slept.seconds == [1.0] * 5


def test_an_agent_that_dies_on_the_reference_is_tried_again_a_few_times(
    device: Device, graphs: list[Graph], link: WatchedLink, tiny: bytes
) -> None:
    slept = Slept()
    measuring, _ = with_patience(device, graphs, Graph("reference", Losing(link, 1)(tiny)), slept)
    assert sorted(names(list(measuring.readings()))) == [graph.name for graph in graphs]
    measuring, _ = with_patience(device, graphs, Graph("reference", Losing(link, 9)(tiny)), slept)
    with pytest.raises(AgentDied):
        list(measuring.readings())
    assert slept.seconds == [0.5, 0.5]


def test_a_device_that_comes_back_as_another_is_refused(
    graphs: list[Graph], reference: Graph, tiny: bytes
) -> None:
    link, slept = LostLink(), Slept()
    device = AgentDevice("cpu", link, Settings())
    with device.process() as process:
        identity = dict(process.identity)
    measuring, _ = with_patience(device, graphs, reference, slept, identity=identity)
    assert len(names(list(measuring.readings()))) == len(graphs)
    other = {**identity, "power_mode": "MAXN"}
    measuring, _ = with_patience(device, graphs, reference, slept, identity=other)
    with pytest.raises(IdentityChanged, match=r"power_mode: MAXN / None, before / now"):
        list(measuring.readings())
    assert slept.seconds == []


def test_a_bench_waits_two_minutes_for_a_board() -> None:
    assert 110 <= sum(Patience().lost_s) <= 130
