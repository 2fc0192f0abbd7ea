"""Two profiles beside each other."""

from __future__ import annotations

from markupsafe import Markup

from hwprofile.comparison import Comparison, compare
from hwprofile.errors import UserError
from hwprofile.report import svg
from hwprofile.report.parts import Facts, Figure, Part, Section, Table, Verdict
from hwprofile.report.views import ProfileView
from hwprofile.report.words import ms

SMALLEST_EFFECT, FALSE_ALARMS = 0.03, 0.05
"""As `hwprofile compare` has them."""


def comparison_section(first: ProfileView, second: ProfileView, key: str) -> Section:
    """The second profile held against the first, whatever their devices."""
    title = f"Two profiles: {second.name} against {first.name}"
    try:
        found = compare(first.profile, second.profile, SMALLEST_EFFECT, FALSE_ALARMS, across=True)
    except UserError as error:
        return Section(key, title, [Verdict("note", f"They cannot be compared: {error}.")])
    parts: list[Part] = [Verdict("bad", f"DISTURBED: {reason}.") for reason in found.disturbed]
    parts.append(_figure(found, first, second))
    parts.append(Facts("All together", _facts(found)))
    parts.append(_table(found, first, second))
    return Section(key, title, parts)


def _facts(found: Comparison) -> list[tuple[str, str]]:
    changes = [graph.change for graph in found.found.graphs]
    differences = [("differs", difference) for difference in found.differences]
    return [
        ("level of all graphs", f"{100 * found.found.level:+.1f} % ({found.found.level_change})"),
        ("graphs in both", str(len(changes))),
        ("slower beside the others", str(changes.count("slower"))),
        ("faster beside the others", str(changes.count("faster"))),
        ("in one profile only", str(len(found.missing))),
        *(differences or [("identities", "equal: one device, one set of settings")]),
    ]


def _figure(found: Comparison, first: ProfileView, second: ProfileView) -> Figure:
    graphs = found.found.graphs
    x = svg.Axis.around([graph.before_ms for graph in graphs], svg.LEFT, svg.RIGHT, log=True)
    y = svg.Axis.around([graph.after_ms for graph in graphs], svg.BOTTOM, svg.TOP, log=True)
    low, high = max(x.low, y.low), min(x.high, y.high)
    titles = (f"{first.profile.path.name}, ms", f"{second.profile.path.name}, ms")
    pieces = [svg.frame(x, y, *titles)]
    if low < high:
        pieces.append(svg.line(x.at(low), y.at(low), x.at(high), y.at(high), "diagonal"))
    pieces += [
        svg.dot(
            x.at(graph.before_ms),
            y.at(graph.after_ms),
            _MARKS[graph.change],
            f"{graph.graph}: {ms(graph.before_ms)} ms, {ms(graph.after_ms)} ms",
            "point" if graph.change == "same" else "chosen",
        )
        for graph in graphs
    ]
    caption = (
        "Each mark is a graph that both hold; both scales are logarithmic. On the line both take as long. "
        "Squares became slower beside the others, diamonds faster."
    )
    return Figure(_drawn(pieces), caption)


_MARKS = {"same": "circle", "slower": "square", "faster": "diamond"}


def _drawn(pieces: list[Markup]) -> Markup:
    return svg.drawing("Scatter plot: latencies of one profile against those of the other", pieces)


def _table(found: Comparison, first: ProfileView, second: ProfileView) -> Table:
    rows = [
        [
            graph.graph,
            graph.change,
            ms(graph.before_ms),
            ms(graph.after_ms),
            f"{100 * (graph.ratio - 1):+.1f} %",
            f"{100 * graph.beside_others:+.1f} %",
        ]
        for graph in found.found.graphs
    ]
    names = (first.profile.path.name, second.profile.path.name)
    header = ["graph", "change", *(f"{name}, ms" for name in names), "difference", "beside others"]
    return Table("Graph by graph", header, rows, words=2, folded=True)
