"""Pieces of drawings: elements whose texts are escaped, axes, and a frame with ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 480.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 466.0, 14.0, 280.0
"""Of the plotting area, in the drawing's own units."""
MOST_TICKS = 7
SMALLEST_ROOM = 1e-9
"""What an axis shows at least on both sides of its values."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Values along a stretch of a drawing.

    Attributes:
        low: value at `start`.
        high: value at `end`; above `low`.
        start: in units of the drawing.
        end: likewise.
        log: whether equal ratios, not equal differences, are equally long; `low` is positive then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(
        cls, values: Iterable[float], start: float, end: float, *, margin: float = 0.06, log: bool = False
    ) -> Axis:
        """An axis that holds all values, with some room at both ends."""
        found = list(values)
        low, high = min(found), max(found)
        if log:
            room = max((high / low) ** margin, 1.02)
            return cls(low / room, high * room, start, end, log)
        room = max(margin * (high - low), 1e-3 * max(abs(low), abs(high)), SMALLEST_ROOM)
        return cls(max(0.0, low - room) if low >= 0 else low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Where a value lies."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values within."""
        return self._log_ticks() if self.log else _round_values(self.low, self.high)

    def _log_ticks(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            found = [digit * 10.0**power for power in powers for digit in digits]
            inside = [value for value in found if self.low <= value <= self.high]
            if len(inside) <= MOST_TICKS:
                return inside if len(inside) > 1 else _round_values(self.low, self.high)
        return inside[:: -(-len(inside) // MOST_TICKS)]


def _round_values(low: float, high: float) -> list[float]:
    raw = (high - low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(digit * power for digit in (1, 2, 2.5, 5, 10) if digit * power >= raw)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def element(tag: str, inner: Markup | str = "", /, **attributes: object) -> Markup:
    """An element; what stands inside and in attributes is escaped. `class_` is class, `_` stands for `-`."""
    pairs = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    written = Markup("").join(Markup(' {}="{}"').format(name, _plain(value)) for name, value in pairs)
    start = Markup("<") + Markup(tag) + written  # tags are ours, never a file's
    return start + Markup("/>") if inner == "" else start + Markup(">{}</{}>").format(escape(inner), tag)


def _plain(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value


def group(pieces: Iterable[Markup], **attributes: object) -> Markup:
    """Several elements as one."""
    return element("g", Markup("").join(pieces), **attributes)


def label(text: str, x: float, y: float, anchor: str = "middle", **attributes: object) -> Markup:
    """A text."""
    return element("text", text, x=x, y=y, text_anchor=anchor, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line; `kind` is its class."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def path(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    """Straight lines from point to point."""
    return element("path", d="M" + "L".join(f"{x:.2f},{y:.2f}" for x, y in points), class_=kind)


def steps(points: list[tuple[float, float]], kind: str) -> Markup:
    """From point to point, sideways first."""
    corners = [points[0]]
    for x, y in points[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return path(corners, kind)


def dot(x: float, y: float, mark: str, title: str, kind: str, **attributes: object) -> Markup:
    """A mark that says what it is when pointed at: `circle`, `square` or `diamond`."""
    said = element("title", title)
    if mark == "circle":
        return element("circle", said, cx=x, cy=y, r=4.0, class_=kind, **attributes)
    if mark == "square":
        return element("rect", said, x=x - 3.5, y=y - 3.5, width=7.0, height=7.0, class_=kind, **attributes)
    corners = f"M{x:.2f},{y - 5.5:.2f}l5.5,5.5l-5.5,5.5l-5.5,-5.5z"
    return element("path", said, d=corners, class_=kind, **attributes)


def frame(x: Axis, y: Axis, x_title: str, y_title: str) -> Markup:
    """Grid, ticks with their values, and titles of both axes."""
    pieces = []
    for value in x.ticks():
        at = x.at(value)
        pieces += [line(at, TOP, at, BOTTOM, "grid"), label(f"{value:.4g}", at, BOTTOM + 16)]
    for value in y.ticks():
        at = y.at(value)
        pieces += [line(LEFT, at, RIGHT, at, "grid"), label(f"{value:.4g}", LEFT - 7, at + 4, "end")]
    pieces += [line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), line(LEFT, TOP, LEFT, BOTTOM, "axis")]
    pieces.append(label(x_title, (LEFT + RIGHT) / 2, BOTTOM + 38, class_="title"))
    middle = (TOP + BOTTOM) / 2
    pieces.append(label(y_title, 13, middle, class_="title", transform=f"rotate(-90 13 {middle:.0f})"))
    return group(pieces, aria_hidden="true")


def drawing(name: str, pieces: Iterable[Markup], height: float = HEIGHT) -> Markup:
    """A whole drawing; `name` is what it is called where it cannot be seen."""
    return element(
        "svg",
        Markup("").join(pieces),
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_label=name,
        class_="chart",
    )
