"""Are two profiles different? A test for every graph over processes, corrected for their number.

A process is the unit: repeats inside one say nothing of another. Five processes a side give a poor estimate
of one graph's spread; so the spreads of all graphs inform each other (the moderated t-test of Smyth 2004,
Statistical Applications in Genetics and Molecular Biology 3(1), article 3), and the p-values are corrected
with Holm's step-down method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import polygamma, psi, stdtr

Change: TypeAlias = Literal["slower", "faster", "same"]
SMALLEST_SD = 1e-4
"""Relative spread between processes below which clocks say nothing."""


@dataclass(frozen=True, slots=True)
class GraphChange:
    """One graph in two profiles.

    Attributes:
        graph: its name.
        before_ms: geometric mean over processes in the first profile.
        after_ms: in the second.
        p: corrected p-value of there being no difference.
        change: `slower` and `faster` only where that is significant and at least the minimum effect.
    """

    graph: str
    before_ms: float
    after_ms: float
    p: float
    change: Change

    @property
    def ratio(self) -> float:
        """Second over first."""
        return self.after_ms / self.before_ms


def compared(
    before_ms: Mapping[str, Sequence[float]],
    after_ms: Mapping[str, Sequence[float]],
    smallest_effect: float = 0.03,
    false_alarms: float = 0.05,
) -> list[GraphChange]:
    """Every graph that both profiles hold, the greatest slowdown first.

    Args:
        before_ms: one median a process of every graph, milliseconds; at least two processes.
        after_ms: the same of the second profile.
        smallest_effect: relative differences below this are no change, however certain.
        false_alarms: probability of naming any graph where nothing changed.
    """
    names = [name for name in before_ms if min(len(before_ms[name]), len(after_ms.get(name, ()))) >= 2]
    if not names:
        return []
    logs = [(np.log(before_ms[name]), np.log(after_ms[name])) for name in names]
    differences = np.array([after.mean() - before.mean() for before, after in logs])
    freedom = np.array([before.size + after.size - 2 for before, after in logs], np.float64)
    squares = [before.var() * before.size + after.var() * after.size for before, after in logs]
    variances = np.maximum(np.array(squares) / freedom, SMALLEST_SD**2)
    scale = np.sqrt([1 / before.size + 1 / after.size for before, after in logs])
    moderated, total_freedom = _moderated(variances, freedom)
    t = np.abs(differences) / (np.sqrt(moderated) * scale)
    corrected = _holm(2 * stdtr(total_freedom, -t))
    found = [
        GraphChange(
            name,
            float(np.exp(logs[index][0].mean())),
            float(np.exp(logs[index][1].mean())),
            float(corrected[index]),
            _change(
                float(np.expm1(differences[index])), float(corrected[index]), smallest_effect, false_alarms
            ),
        )
        for index, name in enumerate(names)
    ]
    return sorted(found, key=lambda one: one.ratio, reverse=True)


def _change(effect: float, p: float, smallest_effect: float, false_alarms: float) -> Change:
    if p >= false_alarms:
        return "same"
    if effect >= smallest_effect:
        return "slower"
    return "faster" if 1 / (1 + effect) - 1 >= smallest_effect else "same"


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
