"""Drawings of characters, for terminals: no colour, no control sequences, aligned."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 60, 14
BAR = 24
POINT, STEP, BLOCK = "●", "·", "█"


def bars(values: Sequence[float], width: int = BAR) -> list[str]:
    """A bar for each value that is not negative, the largest `width` long; nothing for 0."""
    largest = max(values, default=0.0) or 1.0
    return [BLOCK * max(round(width * value / largest), 1 if value > 0 else 0) for value in values]


def steps(
    xs: Sequence[float],
    ys: Sequence[float],
    x_title: str,
    y_title: str,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """Points, and the highest value up to every place between them.

    Args:
        xs: at least one, rising.
        ys: one for each of them, rising.
        x_title: what `xs` are.
        y_title: what `ys` are.
        width: characters from the first to the last of `xs`.
        height: lines from the lowest to the highest of `ys`.
    """
    columns = [_cell(x, xs[0], xs[-1], width) for x in xs]
    lines = [height - 1 - _cell(y, ys[0], ys[-1], height) for y in ys]
    canvas = [[" "] * width for _ in range(height)]
    ends = [*columns[1:], width]
    for start, end, line in zip(columns, ends, lines, strict=True):
        canvas[line][start:end] = STEP * (end - start)
    for column, line in zip(columns, lines, strict=True):
        canvas[line][column] = POINT
    return _framed(
        canvas, (f"{ys[-1]:.4g}", f"{ys[0]:.4g}"), (f"{xs[0]:.4g}", f"{xs[-1]:.4g}"), x_title, y_title
    )


def _cell(value: float, low: float, high: float, count: int) -> int:
    return round((count - 1) * (value - low) / ((high - low) or 1.0))


def _framed(
    canvas: list[list[str]], y_ends: tuple[str, str], x_ends: tuple[str, str], x_title: str, y_title: str
) -> str:
    margin = max(map(len, y_ends))
    names = [y_ends[0], *[""] * (len(canvas) - 2), y_ends[1]]
    rows = [f"{name:>{margin}} │{''.join(row)}" for name, row in zip(names, canvas, strict=True)]
    width = len(canvas[0])
    between = f"{x_title:^{width - len(x_ends[0]) - len(x_ends[1])}}"
    axis = [f"{'':>{margin}} └{'─' * width}", f"{'':>{margin}}  {x_ends[0]}{between}{x_ends[1]}"]
    return "\n".join(line.rstrip() for line in [f"{'':>{margin}} {y_title}", *rows, *axis])
