"""The costs of a profile against its samples, as a drawing on log-log paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.fleet_at_scale.slopes import Series
from hwprofile.report import svg

DRAWN = ("loop of a bench", "profile, write", "profile, load", "profile, judge")
COLOURS = ("#b3261e", "#1b6ca8", "#3a7d2c", "#8a5a00")
STYLE = (
    "text{font:12px sans-serif;fill:#333}.grid{stroke:#ddd}.axis{stroke:#333}"
    ".law{fill:none;stroke-width:1.5}.linear{fill:none;stroke:#999;stroke-dasharray:4 4}"
)


def draw(all_series: Sequence[Series], against: str, path: Path) -> None:
    """Write an SVG file of processor seconds, with a line of slope 1 beside them.

    Raises:
        OSError: the file cannot be written.
    """
    drawn = [one for one in all_series if one.what in DRAWN and one.unit == "s" and one.against == against]
    x = svg.Axis.around([size for one in drawn for size in one.sizes], svg.LEFT, svg.RIGHT, log=True)
    costs = [cost for one in drawn for cost in one.costs]
    y = svg.Axis.around(costs, svg.BOTTOM, svg.TOP, log=True)
    pieces = [svg.element("style", STYLE), svg.frame(x, y, against, "seconds of processor")]
    bottom = min(costs) * 1.5
    ends = (x.low, min(x.high, x.low * y.high / bottom))
    pieces.append(svg.path([(x.at(end), y.at(bottom * end / x.low)) for end in ends], "linear"))
    for number, (one, colour) in enumerate(zip(drawn, COLOURS, strict=False)):
        points = [(x.at(size), y.at(cost)) for size, cost in zip(one.sizes, one.costs, strict=True)]
        pieces.append(svg.group([svg.path(points, "law")], stroke=colour))
        pieces += [svg.element("circle", cx=px, cy=py, r=3.0, fill=colour) for px, py in points]
        said = f"{one.what}: slope {one.law.slope:.2f} ± {one.law.half_width:.2f}"
        at = (svg.LEFT + 12, svg.TOP + 16 + 16 * number)
        pieces.append(svg.label(said, *at, "start", style=f"fill:{colour}"))
    size = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {svg.WIDTH:.0f} {svg.HEIGHT:.0f}"}
    inner = svg.group(pieces)
    path.write_text(
        str(svg.element("svg", inner, role="img", aria_label="costs of a profile", **size)) + "\n"
    )
