"""The network that a specialisation chose: what it promises, and where its time goes."""

from __future__ import annotations

from hwprofile.latency import SpaceLatency
from hwprofile.report.documents import ResultFile
from hwprofile.report.parts import Facts, Part, Section, Table, Verdict
from hwprofile.report.views import ProfileView
from hwprofile.report.words import ABSENT, interval, ms, percent, score, score_title
from ponas_core.space import Architecture


def network_section(result: ResultFile, view: ProfileView | None, key: str) -> Section:
    """A result; its layers have latencies where a profile of its space was given too."""
    parts: list[Part] = [_verdict(result)]
    if result.disturbed:
        parts.append(Verdict("bad", f"Its profile was DISTURBED: {result.disturbed}."))
    parts.append(Facts("The chosen network", _facts(result)))
    latency = view.latency if view else None
    architecture = _architecture(result, latency)
    if latency is not None and architecture is not None:
        parts.append(_layers(architecture, latency))
    else:
        parts.append(_blocks(result))
    parts.append(_candidates(result))
    return Section(key, f"Chosen network: {result.space} on {result.device}", parts)


def _verdict(result: ResultFile) -> Verdict:
    limits = " and ".join(result.budget_text)
    if result.holds is None:
        return Verdict("note", f"Predicted only: nothing was measured. Budget: {limits}.")
    if result.holds:
        return Verdict("good", f"Holds the budget of {limits}, as measured in fresh processes.")
    return Verdict("bad", f"Does NOT hold the budget of {limits}.")


def _facts(result: ResultFile) -> list[tuple[str, str]]:
    chosen, measured = result.chosen, result.measured
    rows = [("architecture", chosen.architecture)]
    if measured is not None:
        rows.append(("measured", f"{ms(measured.median_ms)} ms (95 %: {interval(measured)})"))
    rows.append(("predicted", f"{ms(chosen.predicted.median_ms)} ms (95 %: {interval(chosen.predicted)})"))
    if result.budget_ms is not None:
        rows.append(("budget", f"{ms(result.budget_ms)} ms"))
    rows.append((score_title(result.score_kind).removesuffix(", %"), score(chosen.score, result.score_kind)))
    rows.append(("a score is", result.score_meaning))
    weights = "trained" if result.weights == "trained" else "random: an architecture only, untrained"
    rows.append(("weights", weights))
    if result.counted_percent is not None:
        rows.append(("counted on images", f"{result.counted_percent:.2f} % right"))
    return rows


def _architecture(result: ResultFile, latency: SpaceLatency | None) -> Architecture | None:
    if latency is None:
        return None
    try:
        return latency.space.parse(result.chosen.architecture)
    except ValueError:
        return None  # the space was changed since


def _layers(architecture: Architecture, latency: SpaceLatency) -> Table:
    """Where the time goes: the model's latency of every layer, and what a network pays once."""
    costs = latency.table.block_costs_
    rows, times = [], list[float]()
    for layer, op in architecture.chain:
        block_key = layer.key(op)
        time = None if block_key is None else costs[block_key]
        rows.append([layer.name, str(layer.blocks[op]), "skip" if time is None else ms(time)])
        times.append(0.0 if time is None else time)
    rows.append(["once", "paid by every network", ms(latency.table.intercept_)])
    times.append(latency.table.intercept_)
    longest, whole = max(times) or 1.0, latency.median_ms(architecture)
    shown = [
        [*row, ABSENT if row[2] == "skip" else percent(time / whole)]
        for row, time in zip(rows, times, strict=True)
    ]
    return Table(
        "Where its time goes: latency of every layer by the calibrated model",
        ["layer", "block", "ms", "share"],
        shown,
        words=2,
        shares=[max(0.0, time) / longest for time in times],
    )


def _blocks(result: ResultFile) -> Table:
    rows = [[str(number), block] for number, block in enumerate(result.blocks)]
    caption = "Its blocks; give a profile of the same space too, and this shows where the time goes"
    return Table(caption, ["layer", "block"], rows, words=2)


def _candidates(result: ResultFile) -> Table:
    rows = [
        [one.role, one.architecture, ms(one.predicted.median_ms), interval(one.predicted), f"{one.score:.2f}"]
        for one in result.candidates
    ]
    header = ["network", "architecture", "predicted, ms", "95 % interval, ms", score_title(result.score_kind)]
    return Table("Beside others", header, rows, words=2)
