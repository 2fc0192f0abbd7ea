"""What a real bench on a fleet costs its client, against boards: boards are of paper, and answer at once.

Dask, the fleet's own code, the profile and its writer are the real ones; only what measures is made up.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.fleet_at_scale.boards import START_S, board_processes, process
from benchmarks.fleet_at_scale.fresh import PAGE_BYTES, TICK_S, Watch, costs_of, processor_s, resident_bytes
from benchmarks.fleet_at_scale.made_up import GRAPHS, SAMPLES, header, readings, round_end
from benchmarks.fleet_at_scale.profiles import PaperSubject
from benchmarks.fleet_at_scale.slopes import Series
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import bench
from hwprofile.bench_plan import BenchPlan
from hwprofile.display import SilentProgress
from hwprofile.fleet.board import Wanted
from hwprofile.fleet.boards import Boards
from hwprofile.fleet.device import FleetDevice
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.profile import Profile
from hwprofile.profile_writer import ProfileWriter

HERE = "benchmarks.fleet_at_scale.fleet"
ROUNDS_A_BOARD = 2
LOOKS = 10
COSTS = {
    "client_s": ("fleet's client, a round", "s"),
    "look_s": ("fleet's client, to see who is there", "s"),
    "scheduler_s": ("fleet's scheduler, a round", "s"),
    "scheduler_bytes": ("fleet's scheduler, memory", "bytes"),
    "client_bytes": ("fleet's client, memory", "bytes"),
}
"""Costs in words, with the unit."""


def nobody(text: str) -> None:
    """Tell nobody."""


def campaign(watch: Watch, boards: int, graphs: int) -> None:
    """One profile, measured by so many boards, two rounds each."""
    goal = Goal(rounds=ROUNDS_A_BOARD * boards, most_rounds=ROUNDS_A_BOARD * boards + 3)
    with ExitStack() as stack:
        scheduler, address = stack.enter_context(process("scheduler"))
        board_processes(stack, address, boards)
        path = Path(stack.enter_context(TemporaryDirectory())) / "paper.profile.jsonl"
        fleet = stack.enter_context(Scheduler(address, nobody))
        fleet.client.wait_for_workers(boards, timeout=START_S)
        device = FleetDevice(Boards(fleet, Wanted("paper", Settings()), nobody))
        if len(device.boards.first().identity) == 0:
            raise AssertionError("boards say what they are")
        before, scheduler_s = resident_bytes(scheduler), processor_s(scheduler)
        with watch("client"):
            report = bench(device, PaperSubject(graphs), path, goal, SilentProgress())
        watch.costs["scheduler_s"] = max(processor_s(scheduler) - scheduler_s, TICK_S)
        watch.costs["scheduler_bytes"] = float(max(resident_bytes(scheduler, "VmHWM") - before, PAGE_BYTES))
        with watch("look"):
            for _ in range(LOOKS):
                device.boards.look()
    watch.costs["look_s"] /= LOOKS
    rounds = len(report.profile.ends)
    for cost in ("client_s", "scheduler_s"):
        watch.costs[cost] /= rounds


def plan(watch: Watch, boards: int) -> None:
    """What decides and keeps in the client, without Dask: boards land one by one and each asks."""
    rounds, rng = ROUNDS_A_BOARD * boards, np.random.default_rng(0)
    subject, flying = PaperSubject(GRAPHS), Counter[str]()
    latencies_ms = {name: float(rng.uniform(1, 30)) for name in subject.first()}
    given = list(readings(latencies_ms, 0, SAMPLES, rng))
    with TemporaryDirectory() as folder:
        profile = Profile(Path(folder) / "paper.profile.jsonl", header(subject.name, rounds))
        with ProfileWriter(profile) as writer, watch("plan"):
            bench_plan, flights = BenchPlan(subject, writer), deque[tuple[str, list[str]]]()
            number = 0
            while True:
                while len(flights) < boards and (names := bench_plan.wanted(flying)):
                    flights.append((f"board{(number + len(flights)) % boards}", names))
                    flying.update(names)
                if not flights:
                    break
                board, names = flights.popleft()
                flying.subtract(names)
                for reading in given:
                    if reading.is_reference or reading.graph in names:
                        writer.reading(replace(reading, process=number + 1), "block", number)
                end = round_end(GRAPHS, number)
                bench_plan.end_round(number, end["conditions"], end["seconds"], board)
                number += 1
    if number < rounds:
        raise AssertionError("every round lands")
    watch.costs["plan_s"] /= number


def plan_series(boards: Sequence[int]) -> Iterator[Series]:
    """Seconds a round of what decides and keeps, against boards that do not land at the same time."""
    costs = tuple(costs_of(f"{HERE}:plan", 1, boards=count)["plan_s"] for count in boards)
    yield Series("fleet's plan and profile, a round", "s", "boards", tuple(map(float, boards)), costs)


def series(boards: Sequence[int]) -> Iterator[Series]:
    """Costs against boards, of a space as large as `proxyless`."""
    found = [costs_of(f"{HERE}:campaign", 1, boards=count, graphs=GRAPHS) for count in boards]
    for cost, (what, unit) in COSTS.items():
        yield Series(what, unit, "boards", tuple(map(float, boards)), tuple(one[cost] for one in found))
