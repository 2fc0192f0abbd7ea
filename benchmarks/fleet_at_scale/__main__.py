"""1,000 devices, 100 spaces, 10^9 samples on paper: what profiles, look-ups, a scheduler and fits cost.

Real code runs at growing sizes on made-up numbers, each in a fresh process; laws are fitted to processor
seconds and memory on log-log paper, and only these are extrapolated. Linux only (reads /proc).

    python -m benchmarks.fleet_at_scale --out scale.json --plot scale.svg
    python -m benchmarks.fleet_at_scale --part boards --part fleet --out boards.json
    python -m benchmarks.fleet_at_scale --read boards.json --read others.json --plot scale.svg
    python -m benchmarks.fleet_at_scale --quick
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.fleet_at_scale import boards, drawing, fits, fleet, look_ups, profiles, total
from benchmarks.fleet_at_scale.slopes import Series
from hwprofile.display import table

Part = Callable[[bool], Iterator[Series]]


def _profiles(quick: bool) -> Iterator[Series]:
    return profiles.series((0.25, 0.5) if quick else (1, 3, 10, 30), 1 if quick else 2)


def _spread(quick: bool) -> Iterator[Series]:
    return profiles.spread_series((0.25, 0.5) if quick else (3, 10, 30, 60), 1)


def _loop(quick: bool) -> Iterator[Series]:
    if quick:
        return profiles.loop_series((5, 10), (10, 30), 1)
    return profiles.loop_series((30, 100, 300, 1000), (300, 1000, 3000, 10_000), 1)


def _look_ups(quick: bool) -> Iterator[Series]:
    return look_ups.series((100, 300) if quick else (1000, 3000, 10_000, 30_000, 100_000), 1)


def _boards(quick: bool) -> Iterator[Series]:
    if quick:
        return boards.series((2, 4), (10, 20), (1000, 10_000), 20, 0.3)
    payloads = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
    return boards.series((10, 20, 50, 100), (100, 300, 1000, 3000), payloads, 600, 4.0)


def _plan(quick: bool) -> Iterator[Series]:
    return fleet.plan_series((1, 2) if quick else (30, 100, 300, 1000))


def _fleet(quick: bool) -> Iterator[Series]:
    return fleet.series((1, 2) if quick else (5, 10, 20, 50, 100))


def _fits(quick: bool) -> Iterator[Series]:
    if quick:
        return fits.series((0.2, 0.4), (10, 20), 1)
    return fits.series((1, 3, 10, 30), (100, 300, 1000, 3000), 1)


PARTS: Mapping[str, Part] = {
    "profiles": _profiles, "spread": _spread, "loop": _loop, "look-ups": _look_ups,
    "boards": _boards, "plan": _plan, "fleet": _fleet, "fits": _fits,
}  # fmt: skip


def in_words(value: float, unit: str) -> str:
    """A cost with a unit that a person reads."""
    large = {"s": ((3600, "h"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))}
    sizes = large.get(unit, ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")))
    size, word = next((pair for pair in sizes if value >= pair[0]), sizes[-1])
    return f"{value / size:.3g} {word}"


def rows_of(series: Sequence[Series]) -> str:
    """Every series as a line: sizes, costs, slope."""
    rows = [
        [
            one.what,
            one.against,
            f"{one.sizes[0]:.4g} to {one.sizes[-1]:.4g}",
            in_words(one.costs[0], one.unit),
            in_words(one.costs[-1], one.unit),
            f"{one.law.slope:.2f} ± {one.law.half_width:.2f}",
        ]
        for one in series
    ]
    return table(["cost of", "against", "sizes", "of the smallest", "of the largest", "slope"], rows, 3)


def summary(series: Sequence[Series]) -> str:
    """The sum and the limits."""
    costs = total.Costs(series)
    lines = [
        [one.what, in_words(one.one, one.unit), in_words(one.total, one.unit), one.basis]
        for one in total.sums(costs)
    ]
    found = total.limits(costs)
    limits = [[one.what, f"{one.used:.2g}", one.where] for one in found]
    basis = [f"{one.what}: {one.basis}" for one in found]
    title = f"{total.DEVICES} devices, {total.SPACES} spaces, {total.IN_A_PROFILE} samples each"
    first, second = table(["cost of", "one", "all", ""], lines), table(["limit", "used", ""], limits)
    return "\n\n".join([title, first, second, "\n".join(basis)])


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether it runs, no figures")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be repeated")
    parser.add_argument(
        "--read", type=Path, action="append", default=[], help="files of --out: measured before"
    )
    parser.add_argument("--out", type=Path, help="all measured numbers, JSON")
    parser.add_argument("--plot", type=Path, help="a drawing of the costs of a profile, SVG")
    arguments = parser.parse_args(given)
    series: list[Series] = []
    for path in arguments.read:
        for one in json.loads(path.read_text("utf-8")):
            numbers = {name: tuple(one[name]) for name in ("sizes", "costs")}
            series.append(Series(**{**one, **numbers}))
    for name in arguments.part or (() if arguments.read else PARTS):
        found = list(PARTS[name](arguments.quick))
        print(rows_of(found), end="\n\n", flush=True)
        series += found
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([asdict(one) for one in series], indent=1) + "\n", "utf-8")
    if arguments.plot is not None:
        drawing.draw(series, total.BY_ROUNDS, arguments.plot)
    if arguments.part is None:
        print("Sizes are tiny: these are no figures." if arguments.quick else "", summary(series), sep="\n")


if __name__ == "__main__":
    main()
