"""The timing loop: the one place that reads a clock for a measurement.

Warm-up ends when the numbers say so; a sample is so many inferences that it lasts long enough for the
clock; raw samples are returned and judged elsewhere.
"""

import gc
import math
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from devices.agent.loaded import Loaded

Run = Callable[[], Any]

LARGEST_RUNS_PER_SAMPLE = 100000


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
        thread_clock: keep the thread's CPU time beside the wall time (meaningful at one thread).
        evict_bytes: where not 0, so much other data is written before every inference, which is then a sample
            of its own: caches are cold.
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
            its runs together; `warmup_runs` and `settled` of the first visit.
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
            self.warmup = _warm_up(self.run, plan)
        evict = _evictor(plan.evict_bytes) if plan.evict_bytes else None
        runs = 1 if evict else _runs_per_sample(self.warmup["typical_ns"], plan)
        walls: List[int] = []
        cpus: List[int] = []
        while len(walls) < plan.samples and not _is_long(walls, plan):
            if evict:
                evict()
            _sample(self.run, runs, walls, cpus)
        result = {
            "runs_per_sample": runs,
            "wall_ns": walls,
            "warmup_runs": self.warmup["runs"],
            "settled": self.warmup["settled"],
        }
        if plan.thread_clock:
            result["cpu_ns"] = cpus
        return result


_eviction: Dict[int, Any] = {}
"""What evicts other data, kept for the life of the process: to allocate it takes longer than to use it."""


def _evictor(size: int) -> Callable[[], None]:
    """What fills the caches with other data, by writing every byte of a block of this size."""
    import numpy

    if size not in _eviction:
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


def _warm_up(run: Run, plan: Plan) -> Dict[str, Any]:
    """Run until two consecutive windows agree, or the ceiling is reached."""
    start = time.perf_counter_ns()
    runs, window, previous = 0, 3, math.nan
    while True:
        times = []
        for _ in range(window):
            before = time.perf_counter_ns()
            run()
            times.append(time.perf_counter_ns() - before)
        runs += window
        typical = _median(times)
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
