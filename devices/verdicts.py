"""Verdicts: what a graph's row ends as, and whether a whole profile was measured in quiet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from devices.disturbances import Cause, Disturbance
from devices.measurement import Visit
from devices.statistics import Summary, is_contended, summarise

Status: TypeAlias = Literal["ok", "noisy", "contended", "throttled", "timeout", "failed"]
STATUSES: tuple[Status, ...] = ("ok", "noisy", "contended", "throttled", "timeout", "failed")

FEWEST_OK = 0.75
"""Share of rows that must be as precise as wanted for a profile to be called quiet."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of one graph.

    Attributes:
        clean: its visits in undisturbed rounds.
        disturbed: its visits in disturbed rounds.
        failures: visits that failed.
        timeouts: those of them that took longer than a graph may.
        causes: what disturbed each of the disturbed visits, in their order; empty where it is not known.
    """

    clean: tuple[Visit, ...] = ()
    disturbed: tuple[Visit, ...] = ()
    failures: int = 0
    timeouts: int = 0
    causes: tuple[frozenset[Cause], ...] = ()

    @property
    def usable(self) -> tuple[Visit, ...]:
        """The visits that statistics speak of: undisturbed ones, or all while those are fewer than two."""
        return self.clean if len(self.clean) >= 2 else self.clean + self.disturbed


@dataclass(frozen=True, slots=True)
class Verdict:
    """Latency of one graph, and how far to trust it.

    Attributes:
        status: `ok`; `noisy`: the interval is wider than wanted; `contended`: most samples were preempted, or
            the thermometers disagree; `throttled`: the clock was lowered; `timeout`, `failed`: no latency.
        summary: None where there is no latency.
    """

    status: Status
    summary: Summary | None


def verdict(progress: Progress, precision: float, boards_half_width: float = 0.0) -> Verdict:
    """What a graph's row ends as.

    Args:
        progress: what is known of it.
        precision: wanted relative half width of the interval.
        boards_half_width: what boards that differ add to the interval, relative.
    """
    usable = progress.usable
    if not usable:
        return Verdict("timeout" if progress.timeouts else "failed", None)
    summary = summarise(usable).widened(boards_half_width)
    if _mostly("throttled", progress):
        return Verdict("throttled", summary)
    if _mostly("canary", progress) or np.mean([is_contended(visit) for visit in usable]) > 0.5:
        return Verdict("contended", summary)
    return Verdict("ok" if summary.half_width <= precision else "noisy", summary)


def _mostly(cause: Cause, progress: Progress) -> bool:
    """Whether most of the visits that count come from rounds so disturbed."""
    if progress.usable == progress.clean:
        return False
    return sum(cause in causes for causes in progress.causes) > len(progress.usable) / 2


def why_disturbed(
    rounds: Mapping[int, Sequence[Disturbance]], wanted: int, statuses: Mapping[Status, int]
) -> str | None:
    """Why a profile as a whole is disturbed, for people; None when it is quiet.

    Args:
        rounds: what disturbed each round.
        wanted: how many undisturbed rounds were wanted.
        statuses: how many rows ended how.
    """
    clean = sum(not found for found in rounds.values())
    if rounds and clean < min(wanted, len(rounds)):
        causes = Counter(found.cause for disturbed in rounds.values() for found in disturbed)
        cause = causes.most_common(1)[0][0]
        reason = next(found.reason for all_ in rounds.values() for found in all_ if found.cause == cause)
        return f"only {clean} of {len(rounds)} rounds were undisturbed; {reason}"
    rows, ok = sum(statuses.values()), statuses.get("ok", 0)
    if rows and ok < FEWEST_OK * rows:
        others = {status: count for status, count in statuses.items() if status != "ok" and count}
        words = ", ".join(f"{count} {status}" for status, count in others.items())
        return f"only {ok} of {rows} rows are as precise as wanted ({words})"
    return None


def why_emulated(identity: Mapping[str, Any]) -> str | None:
    """Why times of this identity say nothing of a processor, for people; None where nothing is emulated."""
    emulator = identity.get("emulated")
    if not emulator:
        return None
    return (
        f"its times are those of an emulator ({emulator}), not of the {identity.get('machine')} processor "
        "that it plays: they are never to be trusted for a budget"
    )
