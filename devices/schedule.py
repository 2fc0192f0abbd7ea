"""Which graphs are measured next: a pure function of what has been measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from devices.verdicts import Progress, verdict


@dataclass(frozen=True, slots=True)
class Goal:
    """When a graph is known well enough.

    Attributes:
        precision: wanted half width of the 95 % interval of the median, relative.
        rounds: undisturbed rounds that every graph gets at least.
        most_rounds: visits after which a graph is left as it is, precise or not.
        most_failures: failed visits after which a graph is given up.
    """

    precision: float = 0.02
    rounds: int = 5
    most_rounds: int = 8
    most_failures: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError for goals that cannot be reached or say nothing."""
        if not 0 < self.precision < 1:
            raise ValueError(f"precision is a share between 0 and 1 (0.02 is 2 %), got {self.precision}")
        if self.rounds < 2:
            raise ValueError(f"an interval needs at least 2 rounds (processes), got {self.rounds}")
        if self.most_rounds < self.rounds:
            raise ValueError(f"most_rounds {self.most_rounds} is below rounds {self.rounds}")
        if self.most_failures < 1:
            raise ValueError(f"most_failures is at least 1, got {self.most_failures}")


def finished_by_counts(successes: int, failures: int, goal: Goal) -> bool | None:
    """Whether a graph needs no further visit, as far as counts tell; None where it matters what they showed.

    So most graphs of most rounds are decided without asking what disturbed each round, which is judged anew
    for all rounds after every one.

    Args:
        successes: its visits that gave samples.
        failures: those that gave none.
        goal: what is wanted.
    """
    if failures >= goal.most_failures or successes >= goal.most_rounds:
        return True
    return False if successes < goal.rounds else None


def is_finished(progress: Progress, goal: Goal) -> bool:
    """Whether a graph needs no further visit.

    A disturbance that stayed for all the wanted rounds is not waited out: what was measured under it counts
    as far as it goes, and the profile says that it was disturbed.
    """
    known = finished_by_counts(len(progress.clean) + len(progress.disturbed), progress.failures, goal)
    if known is not None:
        return known
    stays = not progress.clean and len(progress.disturbed) >= goal.rounds
    if len(progress.clean) < goal.rounds and not stays:
        return False
    return verdict(progress, goal.precision).status == "ok"


def pending(graphs: Sequence[str], progress: Mapping[str, Progress], goal: Goal) -> tuple[str, ...]:
    """Names of the graphs that the next round shall visit, in the given order."""
    return tuple(name for name in graphs if not is_finished(progress.get(name, Progress()), goal))
