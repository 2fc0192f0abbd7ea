"""How a search came to its network."""

from __future__ import annotations

from itertools import accumulate

from markupsafe import Markup

from hwprofile.report import svg
from hwprofile.report.documents import Evaluated, SearchFile
from hwprofile.report.parts import Facts, Figure, Part, Section, Table, Verdict
from hwprofile.report.words import ms

MOST_DOTS = 2000
MOST_ROWS = 200


def history_section(found: SearchFile, key: str) -> Section:
    """Best so far over evaluations."""
    title = (
        f"{found.method} on {found.space}" if found.method else f"{found.path.parent.name}/{found.path.name}"
    )
    best = list(accumulate((one.score for one in found.history), max))
    parts: list[Part] = []
    if found.chosen is None:
        parts.append(Verdict("note", "Evaluations only, from the journal of a search."))
    caption = f"{len(best)} evaluations in order: every dot is a network, the line is the best so far."
    parts += [Figure(_drawing(found, best), caption), Facts("The search", _facts(found, best))]
    parts.append(_table(found.history, best))
    return Section(key, f"Search: {title}", parts)


def _facts(found: SearchFile, best: list[float]) -> list[tuple[str, str]]:
    rows = [("evaluations", str(len(best))), ("best that was seen", f"{best[-1]:.2f} %")]
    rows.append(("first seen at", f"evaluation {best.index(best[-1]) + 1}"))
    if found.chosen is not None:
        rows += [("found", found.chosen.architecture), ("score", f"{found.chosen.score:.2f} %")]
        if found.chosen.latency_ms is not None:
            rows.append(("latency", f"{ms(found.chosen.latency_ms)} ms"))
    return [*rows, *found.facts]


def _drawing(found: SearchFile, best: list[float]) -> Markup:
    count = len(best)
    x = svg.Axis(0.0, count + 1.0, svg.LEFT, svg.RIGHT)
    y = svg.Axis.around([one.score for one in found.history], svg.BOTTOM, svg.TOP)
    every = -(-count // MOST_DOTS)
    dots = [
        svg.dot(
            x.at(n + 1), y.at(one.score), "circle", f"{n + 1}: {one.architecture}, {one.score:.2f} %", "point"
        )
        for n, one in list(enumerate(found.history))[::every]
    ]
    line = svg.steps([(x.at(n + 1), y.at(value)) for n, value in enumerate(best)], "steps")
    pieces = [svg.frame(x, y, "evaluations", "score, %"), *dots, line]
    return svg.drawing("Search history: score of every evaluated network, and the best so far", pieces)


def _table(history: tuple[Evaluated, ...], best: list[float]) -> Table:
    """The evaluations that became the best so far, and the last."""
    marks = [n for n in range(len(best)) if n == 0 or best[n] > best[n - 1] or n == len(best) - 1]
    rows = [
        [
            str(n + 1),
            history[n].architecture,
            f"{history[n].score:.2f}",
            f"{best[n]:.2f}",
            ms(history[n].latency_ms),
        ]
        for n in marks[-MOST_ROWS:]
    ]
    header = ["evaluation", "network", "score, %", "best so far, %", "latency, ms"]
    return Table("Evaluations that raised the best, and the last", header, rows, words=2, folded=True)
