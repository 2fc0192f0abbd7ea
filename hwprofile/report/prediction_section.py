"""Predicted against measured latencies: of a validation, of a profile's own networks, of a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from hwprofile import fitting
from hwprofile.catalog import family_named
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency, architecture_of
from hwprofile.profile import Profile
from hwprofile.profile_lines import LARGEST_COUNT
from hwprofile.report import svg
from hwprofile.report.documents import ValidationFile
from hwprofile.report.parts import Facts, Figure, Part, Section, Table, Verdict
from hwprofile.report.words import interval, ms, percent
from ponas_core.closed_loop import Latency
from predictors.metrics import accuracy
from predictors.model_file import SavedModel

MOST_ROWS = 200
"""Networks that a table lists; a drawing shows them all."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A network as it was measured and predicted; a side without an interval has three equal numbers."""

    name: str
    measured: Latency
    predicted: Latency


def validation_section(found: ValidationFile, key: str) -> Section:
    """A model held against networks that it never saw."""
    pairs = [Pair(one.architecture, _exactly(one.measured_ms), one.predicted) for one in found.measurements]
    figures = found.figures
    facts = [
        ("networks", f"{len(pairs)}, drawn at random, never seen by the model"),
        ("mean error", percent(figures["mape"], 2)),
        (
            "noise floor",
            f"{percent(found.noise_floor, 2)}: two measurements of one network differ by as much",
        ),
        ("bias", f"{100 * figures['bias']:+.2f} %"),
        ("rank correlation", f"{figures['spearman']:.3f} (Spearman)"),
        ("within ±10 %", percent(figures["within_10"], 0)),
        ("95 % interval holds", percent(figures["interval_coverage"], 0)),
    ]
    parts: list[Part] = []
    if found.disturbed:
        parts.append(Verdict("bad", f"DISTURBED profile: {found.disturbed}."))
    caption = (
        "Each point is a network; bars are the model's 95 % intervals. On the diagonal the prediction is the "
        "measurement; within the band they differ by no more than the noise floor."
    )
    parts += [Figure(_scatter(pairs, found.noise_floor), caption), Facts("How good the model is", facts)]
    if found.baselines:
        parts.append(_baselines(found))
    parts.append(_table(pairs))
    return Section(key, f"Predicted against measured: {found.space}, networks never seen", parts)


def networks_section(profile: Profile, latency: SpaceLatency, name: str, key: str) -> Section | None:
    """The whole networks of a profile beside its own model; None where it holds fewer than two."""
    names = [text for text in profile.of_kind("network") if profile.usable_visits(text)]
    if len(names) < 2:
        return None
    predicted = latency.predict([architecture_of(profile, latency.space, text) for text in names])
    measured = [profile.summary(text) for text in names]
    pairs = [
        Pair(text, Latency(one.median_ms, one.low_ms, one.high_ms), said)
        for text, one, said in zip(names, measured, predicted, strict=True)
    ]
    caption = (
        "Each point is a network that was measured into the profile; bars are 95 % intervals of both. These "
        "networks calibrate the model, so this shows its fit; hwprofile validate holds it against others, "
        "and measures the noise floor."
    )
    return Section(
        key,
        f"Predicted against measured: {name}",
        [Figure(_scatter(pairs, None), caption), _agreement(pairs), _table(pairs)],
    )


def model_section(path: Path, saved: SavedModel, key: str) -> Section:
    """A fitted predictor beside the networks that it was fitted on."""
    title = f"Model: {path.name}, of {saved.space}"
    told = fitting.to_json(saved)
    errors = sorted(told["held_out_errors"].items(), key=lambda pair: pair[1])
    rows = [[name, percent(error, 2), "chosen" if name == told["chosen"] else ""] for name, error in errors]
    table = Table("Error on networks that were held out", ["model", "mean error", ""], rows)
    facts = Facts("The model", [("measured networks", str(told["networks"])), ("interval", told["interval"])])
    try:
        pairs = _fitted_pairs(saved)
    except (UserError, ValueError) as error:
        return Section(
            key, title, [Verdict("note", f"its networks cannot be predicted: {error}"), facts, table]
        )
    caption = (
        "Each point is a network that the model was fitted on, so this shows its fit; what it is worth on "
        "others is the error on held-out networks."
    )
    return Section(key, title, [Figure(_scatter(pairs, None), caption), facts, table, _table(pairs)])


def _fitted_pairs(saved: SavedModel) -> list[Pair]:
    space = family_named(saved.space)
    if not saved.networks:
        raise ValueError("it holds none")
    if not all(isinstance(time, int | float) and 0 < time <= LARGEST_COUNT for time in saved.latencies_ms):
        raise ValueError("it holds latencies that are none")
    predicted = fitting.predicted_ms(saved, space, [space.parse(text) for text in saved.networks])
    return [
        Pair(name, _exactly(measured), _exactly(said))
        for name, measured, said in zip(saved.networks, saved.latencies_ms, predicted.tolist(), strict=True)
    ]


def _exactly(latency_ms: float) -> Latency:
    return Latency(latency_ms, latency_ms, latency_ms)


def _agreement(pairs: Sequence[Pair]) -> Facts:
    found = accuracy([one.predicted.median_ms for one in pairs], [one.measured.median_ms for one in pairs])
    rows = [
        ("networks", f"{len(pairs)}, which calibrate the model"),
        ("mean error", percent(found.mape, 2)),
        ("bias", f"{100 * found.bias:+.2f} %"),
        ("rank correlation", f"{found.spearman:.3f} (Spearman)"),
        ("noise floor", "not known: give the output of hwprofile validate --json"),
    ]
    return Facts("How well the model fits", rows)


def _baselines(found: ValidationFile) -> Table:
    rows = [("model", found.figures), *found.baselines.items()]
    cells = [
        [name, percent(one["mape"], 2), f"{100 * one['bias']:+.2f} %", f"{one['spearman']:.3f}"]
        for name, one in rows
    ]
    noise = ["noise floor", percent(found.noise_floor, 2), "", ""]
    header = ["prediction by", "mean error", "bias", "Spearman"]
    return Table("Beside simpler models", header, [*cells, noise])


def _table(pairs: Sequence[Pair]) -> Table:
    shown = sorted(pairs, key=lambda pair: pair.measured.median_ms)[:MOST_ROWS]
    rows = [
        [
            pair.name,
            ms(pair.measured.median_ms),
            ms(pair.predicted.median_ms),
            interval(pair.predicted),
            f"{100 * (pair.predicted.median_ms / pair.measured.median_ms - 1):+.1f} %",
        ]
        for pair in shown
    ]
    header = ["network", "measured, ms", "predicted, ms", "95 % interval, ms", "off by"]
    title = f"The {len(shown)} networks" + (f" of {len(pairs)}" if len(shown) < len(pairs) else "")
    return Table(f"{title}, the fastest first", header, rows, folded=True)


def _scatter(pairs: Sequence[Pair], noise_floor: float | None) -> Markup:
    values = [one for pair in pairs for side in (pair.measured, pair.predicted) for one in _ends(side)]
    x = svg.Axis.around(values, svg.LEFT, svg.RIGHT)
    y = svg.Axis(x.low, x.high, svg.BOTTOM, svg.TOP)
    pieces = [svg.frame(x, y, "measured, ms", "predicted, ms")]
    if noise_floor is not None:
        pieces.append(_band(x, y, noise_floor))
    pieces.append(svg.line(svg.LEFT, svg.BOTTOM, svg.RIGHT, svg.TOP, "diagonal"))
    pieces += [_whiskers(pair, x, y) for pair in pairs]
    pieces += [_point(pair, x, y) for pair in pairs]
    return svg.drawing(f"Scatter plot: predicted against measured latency of {len(pairs)} networks", pieces)


def _ends(found: Latency) -> tuple[float, float, float]:
    return found.low_ms, found.median_ms, found.high_ms


def _band(x: svg.Axis, y: svg.Axis, share: float) -> Markup:
    """Where predictions are off by no more than a share, cut at the frame."""
    share = min(share, 0.99)
    above, below = 1 + share, 1 - share
    corners = [(x.low, x.low * above), (x.high / above, x.high), (x.high, x.high), (x.high, x.high * below)]
    corners += [(x.low / below, x.low), (x.low, x.low)] if x.low else [(0.0, 0.0)]
    return svg.path([(x.at(one), y.at(other)) for one, other in corners], "band")


def _whiskers(pair: Pair, x: svg.Axis, y: svg.Axis) -> Markup:
    across, up = x.at(pair.measured.median_ms), y.at(pair.predicted.median_ms)
    pieces = [
        svg.line(across, y.at(pair.predicted.low_ms), across, y.at(pair.predicted.high_ms), "whisker"),
        svg.line(x.at(pair.measured.low_ms), up, x.at(pair.measured.high_ms), up, "whisker"),
    ]
    return svg.group(pieces)


def _point(pair: Pair, x: svg.Axis, y: svg.Axis) -> Markup:
    words = (
        f"{pair.name}: measured {ms(pair.measured.median_ms)} ms, predicted {ms(pair.predicted.median_ms)} ms"
    )
    return svg.dot(x.at(pair.measured.median_ms), y.at(pair.predicted.median_ms), "circle", words, "point")
