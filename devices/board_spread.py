"""Several boards of one kind measured the same graphs: how far they are apart, and what that leaves open.

A round runs on one board. Its level is how slow it was on the whole: the median over graphs of the log of
each graph's latency over that graph's middle. Levels of rounds, grouped by board, are a one-way layout with
random effects: what the boards differ by is what their means scatter beyond the scatter of rounds (Searle,
Casella and McCulloch 1992, Variance Components, section 3.6; the estimate is not below 0).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import stdtrit

from devices.statistics import CONFIDENCE

DISAGREEMENT = 0.05
"""How far a board's level is from the middle before it is named."""
CERTAIN = 3.0
"""Standard errors of its level that this must be, too."""


@dataclass(frozen=True, slots=True)
class BoardSpread:
    """How far boards are apart.

    Attributes:
        levels: how much slower each board is than the middle of all: 0.02 for 2 %, in the order of names;
            empty for one board.
        sd: standard deviation between boards, relative, without what rounds scatter.
        half_width: half of the 95 % interval of the middle over boards like these, relative; 0 for one board.
        disagreeing: how much slower than the middle each board is that stands apart; of two, than the other.
    """

    levels: Mapping[str, float] = field(default_factory=dict)
    sd: float = 0.0
    half_width: float = 0.0
    disagreeing: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, latency_ms: Mapping[str, Mapping[int, float]], boards: Mapping[int, str]) -> BoardSpread:
        """The spread that rounds show.

        Args:
            latency_ms: by graph and round.
            boards: by round, the board that it ran on.
        """
        levels = _levels_of_rounds(latency_ms, boards)
        of_boards = {board: np.array(found) for board, found in sorted(_by_board(levels, boards).items())}
        if len(of_boards) < 2:
            return cls()
        means = {board: float(found.mean()) for board, found in of_boards.items()}
        within, between = _variances(list(of_boards.values()))
        middle = float(np.median(list(means.values())))
        count = len(means)
        student = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2))
        return cls(
            {board: float(np.expm1(mean - middle)) for board, mean in means.items()},
            float(np.sqrt(between)),
            float(np.expm1(student * np.sqrt(between / count))),
            _disagreeing(means, {board: within / found.size for board, found in of_boards.items()}),
        )

    @property
    def in_words(self) -> str:
        """The boards that stand apart, for people; empty where none does."""
        return ", ".join(
            f"{board} is {abs(apart):.1%} {'slower' if apart > 0 else 'faster'} than the others"
            for board, apart in self.disagreeing.items()
        )


def _by_board(levels: Mapping[int, float], boards: Mapping[int, str]) -> dict[str, list[float]]:
    """What rounds show, by the board that they ran on."""
    found: dict[str, list[float]] = {}
    for number, level in levels.items():
        found.setdefault(boards[number], []).append(level)
    return found


def _levels_of_rounds(
    latency_ms: Mapping[str, Mapping[int, float]], boards: Mapping[int, str]
) -> dict[int, float]:
    """By round, the log of how slow it was; graphs that one board alone saw say nothing."""
    apart: dict[int, list[float]] = {}
    for of_graph in latency_ms.values():
        logs = {number: float(np.log(ms)) for number, ms in of_graph.items() if number in boards}
        of_boards = [np.median(found) for found in _by_board(logs, boards).values()]
        if len(of_boards) < 2:
            continue
        middle = float(np.mean(of_boards))
        for number, log in logs.items():
            apart.setdefault(number, []).append(log - middle)
    return {number: float(np.median(found)) for number, found in apart.items()}


def _variances(groups: list[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> tuple[float, float]:
    """Within groups and between them, by the analysis of variance; one round a board leaves all between."""
    sizes = np.array([group.size for group in groups])
    total, count = int(sizes.sum()), len(groups)
    means = np.array([group.mean() for group in groups])
    within = 0.0
    if total > count:
        within = float(sum(((group - group.mean()) ** 2).sum() for group in groups)) / (total - count)
    grand = float((sizes * means).sum()) / total
    mean_square = float((sizes * (means - grand) ** 2).sum()) / (count - 1)
    rounds_each = (total - float((sizes**2).sum()) / total) / (count - 1)
    return within, max(0.0, (mean_square - within) / rounds_each)


def _disagreeing(means: Mapping[str, float], variances: Mapping[str, float]) -> dict[str, float]:
    """Boards far from the middle of all; of two, which have none, both are far from each other."""
    found = {}
    middle = float(np.median(list(means.values())))
    for board, mean in means.items():
        apart = (mean - middle) * (2 if len(means) == 2 else 1)
        if abs(np.expm1(apart)) > DISAGREEMENT and abs(apart) > CERTAIN * np.sqrt(variances[board]):
            found[board] = float(np.expm1(apart))
    return found
