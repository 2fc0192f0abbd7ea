"""Are two profiles different? One test for the level of all graphs, one for every graph beside the others.

A process is the unit: repeats inside one say nothing of another. What all graphs of a process have in
common (its memory layout, the state of the machine) is its level; levels are compared with Welch's test,
and taken off before single graphs are compared. Five processes a side give a poor estimate of one graph's
spread, so spreads of all graphs inform each other (the moderated t-test of Smyth 2004, Statistical
Applications in Genetics and Molecular Biology 3(1), article 3). Tests are one-sided, since a gate asks for
one direction; p-values are corrected with Holm's step-down method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, psi, stdtr

Change: TypeAlias = Literal["slower", "faster", "same"]
Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
OUTLYING_SDS = 3.0
"""Robust standard deviations from the median beyond which a process counts as just that far away."""
FEWEST_FOR_LEVEL = 10
"""Graphs of a process whose median says what they have in common."""
SMALLEST_SD = 1e-4
"""Relative spread between processes below which clocks say nothing."""


Times: TypeAlias = Mapping[str, Mapping[int, float]]
"""One median of every graph and process, milliseconds: by the graph's name, then the process's number."""


@dataclass(frozen=True, slots=True)
class GraphChange:
    """One graph in two profiles.

    Attributes:
        graph: its name.
        before_ms: median over processes in the first profile.
        after_ms: in the second.
        beside_others: how much slower it became than the level of all graphs did, 0.05 for 5 %.
        p: corrected p-value of there being no such difference in this direction.
        change: `slower` and `faster` only where that is significant and at least the minimum effect.
    """

    graph: str
    before_ms: float
    after_ms: float
    beside_others: float
    p: float
    change: Change

    @property
    def ratio(self) -> float:
        """Second over first."""
        return self.after_ms / self.before_ms


@dataclass(frozen=True, slots=True)
class Compared:
    """Two profiles beside each other.

    Attributes:
        graphs: every graph that both hold, the one that lost most beside the others first.
        level: how much slower all graphs became together, 0.05 for 5 %; 0 where they are too few to tell.
        level_p: p-value of the level not having changed in this direction.
        level_change: `slower` and `faster` only where that is significant and at least the minimum effect.
    """

    graphs: tuple[GraphChange, ...]
    level: float
    level_p: float
    level_change: Change


def compared(
    before_ms: Times, after_ms: Times, smallest_effect: float = 0.03, false_alarms: float = 0.05
) -> Compared:
    """Compare every graph that both profiles hold at least twice.

    Args:
        before_ms: the first profile.
        after_ms: the second.
        smallest_effect: relative differences below this are no change, however certain.
        false_alarms: probability of calling any graph slower where nothing changed; the same of calling any
            faster, and of the level.
    """
    names = [name for name in before_ms if min(len(before_ms[name]), len(after_ms.get(name, ()))) >= 2]
    if not names:
        return Compared((), 0.0, 1.0, "same")
    logs = [_logs({name: times[name] for name in names}) for times in (before_ms, after_ms)]
    middles = {name: float(np.median([*logs[0][name].values(), *logs[1][name].values()])) for name in names}
    levels = [_levels(side, middles) for side in logs]
    level, level_p = _level_test(*levels)
    sides = _winsorised(
        [(_beside(logs[0][name], levels[0]), _beside(logs[1][name], levels[1])) for name in names]
    )
    differences = np.array([after.mean - before.mean for before, after in sides])
    p = _p_values(sides, differences)
    graphs = [
        GraphChange(
            name,
            float(np.exp(np.median(list(logs[0][name].values())))),
            float(np.exp(np.median(list(logs[1][name].values())))),
            float(np.expm1(differences[index])),
            float(p[index]),
            _change(float(np.expm1(differences[index])), float(p[index]), smallest_effect, false_alarms),
        )
        for index, name in enumerate(names)
    ]
    graphs.sort(key=lambda one: one.beside_others, reverse=True)
    return Compared(tuple(graphs), level, level_p, _change(level, level_p, smallest_effect, false_alarms))


def _logs(times: Times) -> dict[str, dict[int, float]]:
    return {name: {process: float(np.log(ms)) for process, ms in of.items()} for name, of in times.items()}


def _levels(logs: Mapping[str, Mapping[int, float]], middles: Mapping[str, float]) -> dict[int, float]:
    """How far each process stands from the middles, the median over its graphs, where these are enough."""
    apart: dict[int, list[float]] = {}
    for name, of_graph in logs.items():
        for process, log in of_graph.items():
            apart.setdefault(process, []).append(log - middles[name])
    enough = {process: found for process, found in apart.items() if len(found) >= FEWEST_FOR_LEVEL}
    return {process: float(np.median(found)) for process, found in enough.items()}


def _beside(logs: Mapping[int, float], levels: Mapping[int, float]) -> NDArray[np.float64]:
    """A graph's logarithms with the level of each process taken off; the mean level, where it has none."""
    usual = float(np.mean(list(levels.values()))) if levels else 0.0
    return np.array([log - levels.get(process, usual) for process, log in logs.items()])


def _level_test(before: Mapping[int, float], after: Mapping[int, float]) -> tuple[float, float]:
    """Difference of two profiles' levels and its p-value, by Welch's test over processes."""
    if min(len(before), len(after)) < 2:
        return 0.0, 1.0
    sides = [np.array(list(levels.values())) for levels in (before, after)]
    errors = [max(float(side.var(ddof=1)), SMALLEST_SD**2) / side.size for side in sides]
    freedom = sum(errors) ** 2 / sum(
        error**2 / (side.size - 1) for error, side in zip(errors, sides, strict=True)
    )
    difference = float(sides[1].mean() - sides[0].mean())
    return float(np.expm1(difference)), float(stdtr(freedom, -abs(difference) / np.sqrt(sum(errors))))


def _p_values(sides: Sequence[tuple[_Side, _Side]], differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corrected p-values of there being no difference in the direction that was seen."""
    freedom = np.array([before.kept + after.kept - 2 for before, after in sides], np.float64)
    squares = np.array([before.squares + after.squares for before, after in sides])
    variances = np.maximum(squares / np.maximum(freedom, 1), SMALLEST_SD**2)
    scale = np.sqrt([1 / before.kept + 1 / after.kept for before, after in sides])
    moderated, total_freedom = _moderated(variances, np.maximum(freedom, 1))
    return _holm(stdtr(total_freedom, -np.abs(differences) / (np.sqrt(moderated) * scale)))


def _change(effect: float, p: float, smallest_effect: float, false_alarms: float) -> Change:
    if p >= false_alarms:
        return "same"
    if effect >= smallest_effect:
        return "slower"
    return "faster" if 1 / (1 + effect) - 1 >= smallest_effect else "same"


@dataclass(frozen=True, slots=True)
class _Side:
    """One graph in one profile: mean and sum of squares of its logarithms, and how many were not drawn in."""

    mean: float
    squares: float
    kept: int


def _winsorised(pairs: Sequence[Pair]) -> list[tuple[_Side, _Side]]:
    """Graphs with outlying processes drawn in: one that a burst slowed down would hide a change.

    How far is outlying follows from the graph's own median deviation, and from that of all graphs where its
    own is smaller by chance. Processes that were drawn in add nothing to the degrees of freedom (Yuen 1974,
    Biometrika 61(1)).
    """
    own = [_deviation(pair) for pair in pairs]
    common = float(np.median(own))
    limits = [OUTLYING_SDS * max(common, deviation) for deviation in own]
    return [
        (_side(before, limit), _side(after, limit))
        for (before, after), limit in zip(pairs, limits, strict=True)
    ]


def _deviation(pair: Pair) -> float:
    """Standard deviation of a normal distribution with the same median deviation from each side's median."""
    apart = np.concatenate([np.abs(side - np.median(side)) for side in pair])
    return 1.4826 * float(np.median(apart))


def _side(logs: NDArray[np.float64], limit: float) -> _Side:
    middle = np.median(logs)
    drawn_in = np.clip(logs, middle - limit, middle + limit)
    kept = max(1, int(np.sum(np.abs(logs - middle) <= limit)))
    return _Side(float(drawn_in.mean()), float(drawn_in.var() * drawn_in.size), kept)


def _moderated(
    variances: NDArray[np.float64], freedom: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variances drawn towards their common value, and the degrees of freedom that they then have.

    The common value and its weight follow from two moments of the logarithms (Smyth 2004, section 6.2).
    """
    if variances.size < 3:
        return variances, freedom
    logs = np.log(variances) - psi(freedom / 2) + np.log(freedom / 2)
    excess = logs.var(ddof=1) - float(polygamma(1, freedom / 2).mean())
    if excess <= 0:  # all graphs spread alike, as far as can be seen
        common = float(np.exp(logs.mean()))
        return np.full_like(variances, common), np.full_like(freedom, freedom.sum())
    weight = 2 * _trigamma_inverse(excess)
    common = float(np.exp(logs.mean() + psi(weight / 2) - np.log(weight / 2)))
    total = np.minimum(weight + freedom, freedom.sum())
    return (weight * common + freedom * variances) / (weight + freedom), total


def _trigamma_inverse(value: float) -> float:
    """Where the trigamma function takes a value, by Newton's method on its reciprocal (Smyth, appendix)."""
    at = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, at))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, at))
        at += step
        if abs(step) < 1e-8 * at:
            break
    return at


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corrected so that the smallest is below a level no more often than it says, whatever their number."""
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(steps, 1.0)
    return corrected
