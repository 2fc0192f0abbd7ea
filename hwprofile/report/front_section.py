"""The Pareto front of a profile's space, with a budget that a reader can move."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from hwprofile import front
from hwprofile.catalog import scores_named
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.report import svg
from hwprofile.report.documents import ResultFile
from hwprofile.report.parts import FrontRow, FrontView, Part, Section, Verdict
from hwprofile.report.words import interval, ms, score, score_title
from ponas_core.score_table import Scores, ScoreTable, ScoreTableError
from ponas_core.space import SearchSpace

MOST_NETWORKS = 300
"""Of a longer front, as many are shown, evenly spread."""
MOST_WHISKERS = 40
PROXY = "macs"


def scores_for(
    space: SearchSpace, tables: Sequence[ScoreTable], result: ResultFile | None
) -> tuple[Scores, str | None]:
    """What the front maximises, and what to say of it.

    What the result maximised, where that is at hand; else the accuracies that come with the space; else the
    table of a search; else a proxy.
    """
    fitting = [table for table in tables if _fits(table, space)]
    for table in fitting:
        if result is not None and table.meaning == result.score_meaning:
            return Scores(table), None
    if result is not None and result.score_kind == "macs-proxy":
        return scores_named(space, PROXY), None
    try:
        return scores_named(space, None), None
    except UserError:
        if fitting:
            return Scores(fitting[0]), None
        proxy = f"{space.name} comes without accuracies: multiply-accumulates stand in for them."
        return scores_named(space, PROXY), proxy


def _fits(table: ScoreTable, space: SearchSpace) -> bool:
    try:
        table.check(space)
    except ScoreTableError:
        return False
    return True


def front_section(
    latency: SpaceLatency, tables: Sequence[ScoreTable], result: ResultFile | None, name: str, key: str
) -> Section:
    """The exact front by the profile's model; a result's budget and network are marked on it."""
    scores, notice = scores_for(latency.space, tables, result)
    found = front.front_of(latency, scores)
    view = _view(found, result)
    parts: list[Part] = [view] if notice is None else [Verdict("note", notice), view]
    return Section(key, f"Pareto front: {name}", parts)


def _view(found: front.Front, result: ResultFile | None) -> FrontView:
    shown, kind = _shown(found, result), found.scores.table.kind
    times = [found.latencies[index].median_ms for index in shown]
    values = [found.values[index] for index in shown]
    limit = result.budget_ms if result else None
    extent = [*times, *([limit] if limit else []), *([result.chosen.predicted.median_ms] if result else [])]
    x = svg.Axis.around(extent, svg.LEFT, svg.RIGHT)
    y = svg.Axis.around([*values, *([result.chosen.score] if result else [])], svg.BOTTOM, svg.TOP)
    budget = limit if limit is not None else times[len(times) // 2]
    chosen = result.chosen.architecture if result else None
    rows = [_row(found, index, kind, is_chosen=str(found.architectures[index]) == chosen) for index in shown]
    return FrontView(
        _drawing(found, shown, x, y, budget, result),
        _caption(found, len(shown), result),
        ["network", "predicted, ms", score_title(kind), "95 % interval, ms"],
        rows,
        budget,
        x.at(times[0]),
        x.at(max(extent)),
        times[0],
        max(extent),
    )


def _shown(found: front.Front, result: ResultFile | None) -> list[int]:
    """Which networks: all, or evenly spread ones with the chosen network among them."""
    count, last = len(found.values), MOST_NETWORKS - 1
    if count <= MOST_NETWORKS:
        return list(range(count))
    spread = {round(number * (count - 1) / last) for number in range(MOST_NETWORKS)}
    chosen = result.chosen.architecture if result else None
    return sorted(spread | {n for n, network in enumerate(found.architectures) if str(network) == chosen})


def _row(found: front.Front, index: int, kind: str, *, is_chosen: bool) -> FrontRow:
    latency, value = found.latencies[index], found.values[index]
    cells = [
        str(found.architectures[index]),
        ms(latency.median_ms),
        score(value, kind).removesuffix(" %"),
        interval(latency),
    ]
    title = score_title(kind).removesuffix(", %")
    words = (
        f"{found.architectures[index]}, predicted {ms(latency.median_ms)} ms, {title} {score(value, kind)}"
    )
    return FrontRow(latency.median_ms, cells, words, is_chosen)


def _caption(found: front.Front, shown: int, result: ResultFile | None) -> str:
    count = len(found.values)
    words = f"{count} networks that no other beats in both predicted latency and score"
    words += f"; {shown} of them are shown, and the budget chooses among these" if shown < count else ""
    words += f". A score is: {found.scores.table.meaning.rstrip('.')}."
    if result is not None:
        words += (
            " The diamond is the network that was chosen: measuring corrects the model, so it need not be "
            "the best within the budget by prediction."
        )
    return words


def _drawing(
    found: front.Front,
    shown: list[int],
    x: svg.Axis,
    y: svg.Axis,
    budget_ms: float,
    result: ResultFile | None,
) -> Markup:
    kind = found.scores.table.kind
    points = [(x.at(found.latencies[n].median_ms), y.at(found.values[n])) for n in shown]
    pieces = [svg.frame(x, y, "predicted latency, ms", score_title(kind)), svg.steps(points, "steps")]
    if len(shown) <= MOST_WHISKERS:
        low, high = x.low, x.high
        pieces += [
            svg.line(x.at(max(low, one.low_ms)), up, x.at(min(high, one.high_ms)), up, "whisker")
            for one, (_, up) in zip((found.latencies[n] for n in shown), points, strict=True)
        ]
    at = x.at(budget_ms)
    pieces.append(svg.line(at, svg.TOP, at, svg.BOTTOM, "budget"))
    for n, (across, up) in zip(shown, points, strict=True):
        words = (
            f"{found.architectures[n]}: {ms(found.latencies[n].median_ms)} ms, {score(found.values[n], kind)}"
        )
        pieces.append(svg.dot(across, up, "circle", words, "point"))
    if result is not None:
        one = result.chosen
        words = f"chosen: {one.architecture}, {ms(one.predicted.median_ms)} ms, {score(one.score, kind)}"
        pieces.append(svg.dot(x.at(one.predicted.median_ms), y.at(one.score), "diamond", words, "chosen"))
    return svg.drawing(f"Pareto front of {found.space.name}: score against predicted latency", pieces)
