"""What a section of a report consists of: values that the page's template knows how to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from markupsafe import Markup

HEAT_LEVELS = 8
"""Shades of a heat map; the style sheet has as many."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sentence that must not be overlooked."""

    mood: Literal["good", "bad", "note"]
    text: str
    kind: str = "verdict"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values; folded: closed until a reader opens it."""

    title: str
    rows: Sequence[tuple[str, str]]
    folded: bool = False
    kind: str = "facts"


@dataclass(frozen=True, slots=True)
class Table:
    """Text in rows and columns.

    Attributes:
        caption: what it shows.
        header: one title a column.
        rows: one text a column.
        words: so many columns from the left hold words; the others hold figures.
        folded: whether it is closed until a reader opens it.
        shares: of each row, length of a bar in its last column, 0 to 1; empty for no bars.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1
    folded: bool = False
    shares: Sequence[float] = ()
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class HeatCell:
    """One cell of a heat map.

    Attributes:
        text: what stands in it.
        level: its shade, 0 to `HEAT_LEVELS` - 1; None where there is no latency.
        note: what a reader should know besides; empty for nothing.
    """

    text: str
    level: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Cells by layer and op.

    Attributes:
        caption: what it shows.
        columns: titles of the columns.
        rows: name of the layer, what stands beside it, and its cells.
        legend: what each shade stands for, the lightest first.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[HeatCell]]]
    legend: Sequence[str]
    kind: str = "heat"


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its caption."""

    drawing: Markup
    caption: str
    kind: str = "figure"


@dataclass(frozen=True, slots=True)
class FrontRow:
    """A network of a front: milliseconds as a number for the slider, all else as text.

    Attributes:
        latency_ms: predicted.
        cells: one a column.
        words: the network in one line, for what the slider says.
        chosen: whether a result chose it.
    """

    latency_ms: float
    cells: Sequence[str]
    words: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class FrontView:
    """A Pareto front, a budget to move along it, and the best network within.

    Attributes:
        drawing: the front; a line with the class `budget` is the budget.
        caption: what it shows.
        header: titles of the table's columns.
        rows: the networks, latency rising.
        budget_ms: where the budget stands first.
        left, right: of the drawing, in its own units, where the first and last latency of `low_ms` to
            `high_ms` lie.
        low_ms: the smallest budget.
        high_ms: the largest.
    """

    drawing: Markup
    caption: str
    header: Sequence[str]
    rows: Sequence[FrontRow]
    budget_ms: float
    left: float
    right: float
    low_ms: float
    high_ms: float
    kind: str = "front"


Part: TypeAlias = Verdict | Facts | Table | HeatMap | Figure | FrontView


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with what stands under it.

    Attributes:
        key: name for links within the page.
        title: the heading.
        parts: what stands under it.
    """

    key: str
    title: str
    parts: Sequence[Part]
