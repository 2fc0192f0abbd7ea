"""The latency table of a space as a heat map, layer by op."""

from __future__ import annotations

from hwprofile.profile import Profile
from hwprofile.report.parts import HEAT_LEVELS, HeatCell, HeatMap, Section, Table
from hwprofile.report.words import ABSENT, ms
from ponas_core.space import Layer, SearchSpace


def table_section(profile: Profile, space: SearchSpace, name: str, key: str) -> Section:
    """Measured latencies of all blocks of a space; what has none is marked as such, never 0."""
    columns = list(dict.fromkeys(str(block) for layer in space.layers for block in layer.blocks))
    measured = [_median(profile, layer, op) for layer in space.layers for op in range(len(layer.blocks))]
    known = [value for value in measured if value is not None]
    shades = _Shades(min(known, default=0.0), max(known, default=0.0))
    rows = [
        (
            layer.name,
            f"{layer.place.shape_in} to {layer.place.channels_out}",
            _row(profile, layer, columns, shades),
        )
        for layer in space.layers
    ]
    caption = (
        "Median latency of every candidate block by itself, in milliseconds. “skip” is an identity: it "
        f"leaves no operator, so there is nothing to measure. {ABSENT}: the layer has no such candidate."
    )
    return Section(
        key,
        f"Latency table: {name}",
        [HeatMap(caption, columns, rows, shades.legend()), _fixed(profile, space)],
    )


class _Shades:
    """Shades of latencies, evenly spaced from the lowest to the highest."""

    def __init__(self, low_ms: float, high_ms: float) -> None:
        self._low, self._step = low_ms, (high_ms - low_ms) / HEAT_LEVELS

    def level(self, latency_ms: float) -> int:
        """The shade of a latency."""
        if not self._step:
            return 0
        return min(HEAT_LEVELS - 1, int((latency_ms - self._low) / self._step))

    def legend(self) -> list[str]:
        """From which latency on each shade is."""
        return [ms(self._low + number * self._step) for number in range(HEAT_LEVELS)]


def _row(profile: Profile, layer: Layer, columns: list[str], shades: _Shades) -> list[HeatCell]:
    ops = {str(block): op for op, block in enumerate(layer.blocks)}
    return [_cell(profile, layer, ops[name], shades) if name in ops else HeatCell(ABSENT) for name in columns]


def _cell(profile: Profile, layer: Layer, op: int, shades: _Shades) -> HeatCell:
    key = layer.key(op)
    if key is None:
        return HeatCell("skip", note="an identity: no operator")
    if key not in profile.kinds:
        return HeatCell("not measured")
    verdict = profile.verdict(key)
    if verdict.summary is None:
        return HeatCell(verdict.status, note="no successful measurement")
    found = verdict.summary
    note = "" if verdict.status == "ok" else f"{verdict.status}: {ms(found.low_ms)} to {ms(found.high_ms)} ms"
    return HeatCell(ms(found.median_ms), shades.level(found.median_ms), note)


def _median(profile: Profile, layer: Layer, op: int) -> float | None:
    key = layer.key(op)
    summary = profile.verdict(key).summary if key in profile.kinds else None
    return summary.median_ms if summary and key is not None else None


def _fixed(profile: Profile, space: SearchSpace) -> Table:
    rows = [
        [layer.name, str(layer.blocks[0]), str(layer.place.shape_in), ms(_median(profile, layer, 0))]
        for layer in space.fixed_layers
    ]
    return Table("Layers that every network has", ["layer", "block", "input", "median, ms"], rows, words=3)
