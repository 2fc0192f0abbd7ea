"""The timing loop: the one place that reads a clock for a measurement.

Warm-up ends when the numbers say so; a sample is so many inferences that it lasts long enough for the
clock; raw samples are returned and judged elsewhere. Where a graph brings its device's own clock (CUDA
events), that one times the samples, and the host's clock only decides how long warm-up lasts.
"""

import gc
import math
import threading
import time
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, List, Optional, Tuple

from devices.agent import requests
from devices.agent.loaded import Loaded

Run = Callable[[], Any]

LARGEST_RUNS_PER_SAMPLE = 100000
LONGEST_VISIT_MS = 600000.0
WHOLES = {
    "samples": (1, 10000),
    "fewest_samples": (1, 10000),
    "warmup_runs": (0, 100000),
    "rewarm_runs": (0, 1000),
    "evict_bytes": (0, 1 << 30),
}
NUMBERS = {
    "visit_ms": (0.0, LONGEST_VISIT_MS),
    "sample_ms": (0.0, 10000.0),
    "warmup_ms": (0.0, 60000.0),
    "settle": (0.0, 1.0),
    "ceiling_ms": (0.0, 60000.0),
    "rewarm_ms": (0.0, 10000.0),
}
"""Lowest and highest value of each field of a plan: no request lasts for ever or fills memory."""

PARTS = ("h2d_ns", "d2h_ns", "enqueue_ns")
"""What a device may tell beside its samples: copies to it, copies back, and the host's work to start one."""


@dataclass(frozen=True)
class Plan:
    """How one graph is timed at one visit; every duration in milliseconds.

    Attributes:
        samples: how many samples are taken, where a visit is not long.
        fewest_samples: how many at least.
        visit_ms: after so long a visit ends with the fewest samples.
        sample_ms: shortest duration of one sample; so many inferences are timed together.
        warmup_runs: fewest inferences before the first sample.
        warmup_ms: shortest warm-up.
        settle: the warm-up ends when the medians of two consecutive windows differ by less.
        ceiling_ms: longest warm-up, settled or not.
        rewarm_runs: fewest untimed inferences at every later visit.
        rewarm_ms: shortest time for them.
        thread_clock: keep the thread's CPU time beside the wall time (meaningful at one thread, and where
            the host's clock times the samples).
        evict_bytes: where not 0, so much other data is written before every inference, which is then a sample
            of its own: caches are cold. The device's caches, where a graph knows how to fill them.
    """

    samples: int = 10
    fewest_samples: int = 2
    visit_ms: float = 12.0
    sample_ms: float = 1.0
    warmup_runs: int = 3
    warmup_ms: float = 5.0
    settle: float = 0.02
    ceiling_ms: float = 300.0
    rewarm_runs: int = 2
    rewarm_ms: float = 1.0
    thread_clock: bool = True
    evict_bytes: int = 0

    def __post_init__(self) -> None:
        """Raise RequestError for a value of another type or out of its limits."""
        values = vars(self)
        for name, (fewest, most) in WHOLES.items():
            requests.whole(values, name, fewest, most)
        for name, (lowest, highest) in NUMBERS.items():
            requests.number(values, name, lowest, highest)
        requests.truth(values, "thread_clock")
        if self.samples * self.sample_ms > LONGEST_VISIT_MS:
            raise requests.RequestError("samples x sample_ms is over {:.0f} ms".format(LONGEST_VISIT_MS))

    @classmethod
    def from_request(cls, sent: Dict[str, Any]) -> "Plan":
        """The plan in a request, all fields optional; RequestError for an unknown or a wrong one."""
        requests.only(sent, [field.name for field in fields(cls)])
        return cls(**sent)


class Timed:
    """A loaded graph that is visited several times: warmed up until steady at first, briefly later."""

    def __init__(self, graph: Loaded) -> None:
        """Store the graph."""
        self.graph = graph
        self.run = graph.run
        self.warmup: Dict[str, Any] = {}

    def visit(self, plan: Plan) -> Dict[str, Any]:
        """Warm up and take the samples of one visit.

        Returns:
            `runs_per_sample`; `wall_ns` and, with the thread clock, `cpu_ns`: one total a sample, for all of
            its runs together; `warmup_runs` and `settled` of the first visit. Where the device tells them,
            `h2d_ns`, `d2h_ns` and `enqueue_ns`: of one inference each, as many as there are samples, taken
            after these.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self._visit(plan)
        finally:
            if collecting:
                gc.enable()

    def _visit(self, plan: Plan) -> Dict[str, Any]:
        if self.warmup:
            # other graphs ran since, and cooled the caches
            _run_for(self.run, plan.rewarm_runs, plan.rewarm_ms)
        else:
            self.warmup = _warm_up(self._typical_ns, plan)
        evict = self._evictor(plan.evict_bytes) if plan.evict_bytes else None
        runs = 1 if evict else _runs_per_sample(self.warmup["typical_ns"], plan)
        walls: List[int] = []
        cpus: List[int] = []
        while len(walls) < plan.samples and not _is_long(walls, plan):
            if evict:
                evict()
            self._sample(runs, walls, cpus)
        result = {
            "runs_per_sample": runs,
            "wall_ns": walls,
            "warmup_runs": self.warmup["runs"],
            "settled": self.warmup["settled"],
        }
        if plan.thread_clock and cpus:
            result["cpu_ns"] = cpus
        result.update(self._parts(len(walls)))
        return result

    def _sample(self, runs: int, walls: List[int], cpus: List[int]) -> None:
        """One sample by the device's clock where there is one, else by the host's."""
        if self.graph.span_ns is None:
            _sample(self.run, runs, walls, cpus)
        else:
            walls.append(max(1, self.graph.span_ns(runs)))  # below its resolution a clock of events says 0

    def _typical_ns(self, runs: int) -> float:
        """What one of so many inferences typically takes, nanoseconds."""
        if self.graph.span_ns is not None:
            return max(1, self.graph.span_ns(runs)) / float(runs)
        times = []
        for _ in range(runs):
            before = time.perf_counter_ns()
            self.run()
            times.append(time.perf_counter_ns() - before)
        return _median(times)

    def _evictor(self, size: int) -> Callable[[], None]:
        evict = self.graph.evict
        return _evictor(size) if evict is None else lambda: evict(size)

    def _parts(self, count: int) -> Dict[str, List[int]]:
        """So many of each part that the device tells, apart from the samples: these are inference only."""
        if self.graph.parts_ns is None:
            return {}
        self.graph.parts_ns()  # the first one pays for pages that were never touched
        told = [self.graph.parts_ns() for _ in range(count)]
        return {name: [part[name] for part in told] for name in PARTS if all(name in part for part in told)}


def elapsed_ns(action: Callable[[], Any]) -> int:
    """What an action takes by the host's clock, for parts that a device's clock cannot tell."""
    start = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - start


_eviction: Dict[int, Any] = {}
"""What evicts other data, kept for the life of the process: to allocate it takes longer than to use it."""


def _evictor(size: int) -> Callable[[], None]:
    """What fills the caches with other data, by writing every byte of a block of this size."""
    import numpy

    if size not in _eviction:
        _eviction.clear()  # one block, whatever sizes are asked for
        _eviction[size] = numpy.zeros(size, numpy.uint8)
    data = _eviction[size]

    def evict() -> None:
        numpy.add(data, 1, out=data)

    return evict


def _is_long(walls: List[int], plan: Plan) -> bool:
    """Whether a visit may end with fewer samples than planned."""
    return len(walls) >= plan.fewest_samples and sum(walls) >= plan.visit_ms * 1e6


def _run_for(run: Run, runs: int, duration_ms: float) -> None:
    """At least so many runs and so long."""
    end = time.perf_counter_ns() + duration_ms * 1e6
    done = 0
    while done < runs or time.perf_counter_ns() < end:
        run()
        done += 1


def _sample(run: Run, runs: int, walls: List[int], cpus: List[int]) -> None:
    cpu = time.thread_time_ns()
    wall = time.perf_counter_ns()
    for _ in range(runs):
        run()
    walls.append(time.perf_counter_ns() - wall)
    cpus.append(time.thread_time_ns() - cpu)


def _warm_up(typical_ns: Callable[[int], float], plan: Plan) -> Dict[str, Any]:
    """Run until two consecutive windows agree, or the ceiling is reached.

    Args:
        typical_ns: runs so many inferences and tells what one of them typically takes.
        plan: when to end.
    """
    start = time.perf_counter_ns()
    runs, window, previous = 0, 3, math.nan
    while True:
        typical = typical_ns(window)
        runs += window
        elapsed_ms = (time.perf_counter_ns() - start) / 1e6
        enough = runs >= plan.warmup_runs and elapsed_ms >= plan.warmup_ms
        settled = abs(typical - previous) < plan.settle * previous  # never while previous is NaN
        if (enough and settled) or elapsed_ms > plan.ceiling_ms:
            return {"runs": runs, "settled": settled, "typical_ns": typical}
        previous = typical
        # a window lasts about as long as a sample, so that short graphs are not judged by three runs
        window = max(3, min(_runs_per_sample(typical, plan), 1000))


def _runs_per_sample(typical_ns: float, plan: Plan) -> int:
    needed = -(-plan.sample_ms * 1e6 // max(typical_ns, 1.0))
    return int(max(1, min(needed, LARGEST_RUNS_PER_SAMPLE)))


def _median(values: List[int]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return float(ordered[middle])
    return (ordered[middle - 1] + ordered[middle]) / 2.0


# --- energy: a phase of its own, since whatever reads power takes time too

WARMING_MS = 20.0
SHORTEST_STEP_MS = 1.0
LONGEST_SILENCE_MS = 1000.0
"""A source that has not moved for so long does not count."""


def burst(run: Run, source: Any, duration_ms: float) -> Dict[str, int]:
    """Run back to back, and count runs, time and energy from one renewal of a source to a later one.

    A source renews its count now and then. What is counted between two moments at which it was just renewed
    is right up to the steps in which it is looked at, however seldom that is.

    Args:
        run: one inference.
        source: `start`, `energy_uj`, `stop` and `resolution_ms` (`energy.Source`).
        duration_ms: shortest time between the two moments.

    Returns:
        `runs`, `wall_ns` and `energy_uj`.

    Raises:
        ValueError: the source does not move.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        _run_for(run, 3, WARMING_MS)
        source.start()
        try:
            return _between_renewals(run, source, duration_ms * 1e6)
        finally:
            source.stop()
    finally:
        if collecting:
            gc.enable()


def idle(source: Any, duration_ms: float) -> Dict[str, int]:
    """The same with the process waiting: `wall_ns` and `energy_uj`."""
    found = burst(lambda: time.sleep(_step_ms(source) / 1e3), source, duration_ms)
    return {"wall_ns": found["wall_ns"], "energy_uj": found["energy_uj"]}


def _between_renewals(run: Run, source: Any, duration_ns: float) -> Dict[str, int]:
    step_ns = _step_ms(source) * 1e6
    runs, last_uj, renewed_ns = 0, source.energy_uj(), time.perf_counter_ns()
    first: Optional[Tuple[int, int, int]] = None
    while True:
        end = time.perf_counter_ns() + step_ns
        while True:
            run()
            runs += 1
            if time.perf_counter_ns() >= end:
                break
        now_uj, now_ns = source.energy_uj(), time.perf_counter_ns()
        if now_uj == last_uj:
            if now_ns - renewed_ns > LONGEST_SILENCE_MS * 1e6:
                raise ValueError(
                    "the energy source does not move: it tells {} uJ all the time".format(now_uj)
                )
            continue
        last_uj, renewed_ns = now_uj, now_ns
        if first is None:
            first = (runs, now_ns, now_uj)
        elif now_ns - first[1] >= duration_ns:
            return {"runs": runs - first[0], "wall_ns": now_ns - first[1], "energy_uj": now_uj - first[2]}


def _step_ms(source: Any) -> float:
    """How long to run between two looks at a source."""
    return max(float(source.resolution_ms) / 2, SHORTEST_STEP_MS)


class Integral:
    """Energy out of power that is told now and then, added up by a thread (trapezoids)."""

    def __init__(self, power_uw: Callable[[], Optional[int]], interval_ms: float) -> None:
        """Store what tells microwatts, None where it cannot just now, and how often to ask it."""
        self._power_uw = power_uw
        self._interval_s = interval_ms / 1e3
        self._energy_uj = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._add_up, daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def energy_uj(self) -> int:
        """Microjoules up to the last time that power was told."""
        return int(self._energy_uj)

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        self._thread.join()

    def _add_up(self) -> None:
        before: Optional[Tuple[int, int]] = None
        while not self._end.wait(0 if before is None else self._interval_s):
            now_ns, power = time.perf_counter_ns(), self._power_uw()
            if power is None:  # the next reading that succeeds spans the gap
                self._end.wait(self._interval_s)
                continue
            if before is not None:
                self._energy_uj += (before[1] + power) / 2 * (now_ns - before[0]) / 1e9
            before = (now_ns, power)
