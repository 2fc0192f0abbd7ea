"""From raw samples to medians, intervals and verdicts.

The independent unit is the process: samples of one process share its memory layout, so more of them do not
narrow what a fresh process will show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit

from devices.measurement import EnergyVisit, NodeTimes, Visit

Milliseconds = TypeVar("Milliseconds", float, NDArray[np.float64])

CONFIDENCE = 0.95
PREEMPTED_RATIO = 1.05
"""Wall over thread CPU time beyond which another program had the processor during a sample."""
FEWEST_FOR_ORDER = 5
"""Processes from which on order statistics of the median reach the confidence, nearly."""
UNKNOWN_HALF_WIDTH = 1.0
"""Relative half width stated for a single process, whose spread cannot be known."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Latency of one graph over processes.

    Attributes:
        median_ms: median over processes of each process's median.
        low_ms: lower end of the 95 % interval of the median that a fresh process shows.
        high_ms: upper end.
        processes: how many.
        spread: standard deviation between processes, relative.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    processes: int
    spread: float

    @property
    def half_width(self) -> float:
        """Half of the interval, relative to the median."""
        return (self.high_ms - self.low_ms) / (2 * self.median_ms)

    def widened(self, half_width: float) -> Summary:
        """The same with a further, independent doubt, such as that between boards."""
        low, high = widened(self.median_ms, self.low_ms, self.high_ms, half_width)
        return replace(self, low_ms=float(low), high_ms=float(high))


def widened(
    median_ms: Milliseconds, low_ms: Milliseconds, high_ms: Milliseconds, half_width: float
) -> tuple[Milliseconds, Milliseconds]:
    """The ends of 95 % intervals with a further, independent doubt; distances add up as their squares do.

    Args:
        median_ms: one or (networks,).
        low_ms: lower ends.
        high_ms: upper ends.
        half_width: relative, as `log(1 + half_width)` above and below.
    """
    doubt = np.log1p(half_width) ** 2
    below, above = np.log(np.divide(median_ms, low_ms)), np.log(np.divide(high_ms, median_ms))
    low = median_ms * np.exp(-np.sqrt(below**2 + doubt))
    high = median_ms * np.exp(np.sqrt(above**2 + doubt))
    return low, high


def unpreempted(visit: Visit) -> NDArray[np.bool_]:
    """Which samples had the processor for themselves; all of them where the thread clock is absent."""
    if visit.cpu_ns is None:
        return np.ones(len(visit.wall_ns), np.bool_)
    wall, cpu = np.asarray(visit.wall_ns), np.asarray(visit.cpu_ns)
    return np.asarray(wall <= PREEMPTED_RATIO * np.maximum(cpu, 1), np.bool_)


def is_contended(visit: Visit) -> bool:
    """Whether fewer than half of the samples were unpreempted."""
    return bool(unpreempted(visit).mean() < 0.5)


def visit_ms(visit: Visit) -> float:
    """Median latency of one inference over the samples that were not preempted.

    Where every sample was, the thread's CPU time stands in: it leaves out what other programs took. A thread
    clock that stood still tells nothing, and the wall time counts.
    """
    times = np.asarray(visit.wall_ns, np.float64)
    clean = times[unpreempted(visit)]
    if clean.size:
        times = clean
    elif visit.cpu_ns is not None and np.median(visit.cpu_ns) > 0:
        times = np.asarray(visit.cpu_ns, np.float64)
    return float(np.median(times)) / visit.runs_per_sample / 1e6


def interval(process_ms: Sequence[float]) -> tuple[float, float, float]:
    """Median over processes and the 95 % interval of it, from order statistics.

    Distribution-free, and hardly moved by the one process in ten that another program slows down
    (Hettmansperger and Sheather 1986, Statistics & Probability Letters 4; compared with Student's t and the
    bootstrap in `benchmarks/interval_coverage.py`). Five processes reach 93.75 %, the whole range. Fewer
    would claim too much: there the interval is Student's t on logarithms.

    Args:
        process_ms: one median a process, milliseconds.
    """
    ordered = np.sort(np.asarray(process_ms, np.float64))
    centre = float(np.median(ordered))
    if ordered.size < FEWEST_FOR_ORDER:
        factor = _student_factor(ordered)
        return centre, centre / factor, centre * factor
    rank, weight = _interval_ranks(ordered.size)
    low = (1 - weight) * ordered[rank - 1] + weight * ordered[rank]
    high = (1 - weight) * ordered[-rank] + weight * ordered[-rank - 1]
    return centre, float(low), float(high)


def _student_factor(process_ms: NDArray[np.float64]) -> float:
    """What the centre is multiplied with and divided by for an interval over few processes."""
    count = process_ms.size
    if count == 1:
        return 1 + UNKNOWN_HALF_WIDTH
    spread = np.log(process_ms).std(ddof=1) / np.sqrt(count)
    return float(np.exp(stdtrit(count - 1, 0.5 + CONFIDENCE / 2) * spread))


def _interval_ranks(count: int) -> tuple[int, float]:
    """Rank whose order statistics span the interval, and the weight of the next one inside."""
    # [x_rank, x_(count + 1 - rank)] covers the median with this probability, whatever the distribution
    covered = [1 - 2 * float(bdtr(rank - 1, count, 0.5)) for rank in range(1, count // 2 + 1)]
    rank = sum(share >= CONFIDENCE for share in covered)
    if rank == 0:
        return 1, 0.0
    share = (covered[rank - 1] - CONFIDENCE) / (covered[rank - 1] - covered[rank])
    return rank, (count - rank) * share / (rank + (count - 2 * rank) * share)


def summarise(visits: Sequence[Visit]) -> Summary:
    """Latency over the processes of these visits, one a process, at least one."""
    process_ms = [visit_ms(visit) for visit in visits]
    median, low, high = interval(process_ms)
    spread = float(np.log(process_ms).std(ddof=1)) if len(process_ms) > 1 else float("nan")
    return Summary(median, low, high, len(visits), spread)


def part_ms(visits: Sequence[Visit], part: str) -> float | None:
    """What a part of one inference takes besides computing: the median over processes of each one's median.

    Args:
        visits: one a process.
        part: `h2d_ns`, `d2h_ns` or `enqueue_ns`.

    Returns:
        Milliseconds; None where no visit tells it.
    """
    told = [column for visit in visits if (column := getattr(visit, part)) is not None]
    return float(np.median([np.median(column) for column in told])) / 1e6 if told else None


@dataclass(frozen=True, slots=True)
class EnergySummary:
    """Energy of one inference over processes.

    Attributes:
        median_mj: median over processes, what the idle target uses included, millijoules.
        low_mj: lower end of its 95 % interval.
        high_mj: upper end.
        dynamic_mj: the same median without what the idle process used in as much time; may be below 0 where
            an inference adds less than the source scatters.
        processes: how many.
    """

    median_mj: float
    low_mj: float
    high_mj: float
    dynamic_mj: float
    processes: int

    @property
    def half_width(self) -> float:
        """Half of the interval, relative to the median."""
        return (self.high_mj - self.low_mj) / (2 * self.median_mj)


def energy_mj(visit: EnergyVisit) -> float:
    """Energy of one inference, idle included, millijoules."""
    return visit.energy_uj / visit.runs / 1e3


def dynamic_mj(visit: EnergyVisit) -> float:
    """Energy of one inference without what an idle process uses in as much time, millijoules."""
    return (visit.energy_uj - visit.idle_uj / visit.idle_ns * visit.wall_ns) / visit.runs / 1e3


def summarise_energy(visits: Sequence[EnergyVisit]) -> EnergySummary:
    """Energy over the processes of these visits, one a process, at least one."""
    median, low, high = interval([energy_mj(visit) for visit in visits])
    dynamic = float(np.median([dynamic_mj(visit) for visit in visits]))
    return EnergySummary(median, low, high, dynamic, len(visits))


def group_ms(times: NodeTimes, group_of: Callable[[str], str | None]) -> dict[str, float]:
    """Latency of groups of nodes inside a graph, mean over the runs that nothing slowed down.

    Most profilers tell whole microseconds, so a mean says more than a median of the same few numbers.

    Args:
        times: what the profiler told.
        group_of: group of a node by its name; a node without one (a runtime adds such) goes with the node
            before it, or after it at the beginning.
    """
    us = np.asarray(times.us, np.float64)
    whole = us.sum(axis=1)
    quiet = whole <= PREEMPTED_RATIO * np.median(whole)
    means_ms = us[quiet].mean(axis=0) / 1e3
    groups = [group_of(node) for node in times.nodes]
    current = next((group for group in groups if group is not None), "")
    found: dict[str, float] = {}
    for group, latency_ms in zip(groups, means_ms, strict=True):
        current = current if group is None else group
        found[current] = found.get(current, 0.0) + float(latency_ms)
    return found


def level_change(before_ms: Sequence[Sequence[float]], now_ms: Sequence[Sequence[float]]) -> float:
    """How much slower the same graphs are now than before: 0.05 is 5 % slower.

    Args:
        before_ms: per graph, one median a process, at least one.
        now_ms: the same graphs in the same order, measured again.
    """
    shifts = [
        np.log(np.median(now)) - np.log(np.median(before))
        for before, now in zip(before_ms, now_ms, strict=True)
    ]
    return float(np.expm1(np.mean(shifts)))
