"""Commands that show what there is: profiles, spaces, and reports of it all."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import drawn, json_option, plot_option, strict_option, write
from hwprofile.errors import NotTrustworthy, RegressionFound


@main.command()
@click.argument("profile_path", metavar="PROFILE", type=click.Path(path_type=Path))
@plot_option
@strict_option
@json_option
def show(profile_path: Path, plot: bool | None, strict: bool, as_json: bool) -> None:
    """Show a profile as a table: median, interval, spread, status, share of a typical network.

    \b
    Example:
      hwprofile show cpu-proxyless.profile.jsonl
    """
    from hwprofile.profile import Profile
    from hwprofile.show import for_people, to_json

    profile = Profile.load(profile_path)
    text = json.dumps(to_json(profile), indent=1) if as_json else drawn(partial(for_people, profile), plot)
    click.echo(text)
    why = profile.why_disturbed()
    if strict and (why or set(profile.status_counts()) - {"ok"}):
        raise NotTrustworthy(f"the profile was disturbed: {why}" if why else "not every row is ok")


@main.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--min-effect",
    "effect_percent",
    type=click.FloatRange(0, 100),
    default=3.0,
    show_default=True,
    help="Differences below so many per cent are no change.",
)
@click.option(
    "--false-alarms",
    "false_alarm_percent",
    type=click.FloatRange(0, 50, min_open=True),
    default=5.0,
    show_default=True,
    help="Of 100 comparisons in which nothing changed, so many may call a graph slower.",
)
@click.option("--across", is_flag=True, help="Compare although devices or settings differ, and say in what.")
@strict_option
@json_option
def compare(
    before: Path,
    after: Path,
    effect_percent: float,
    false_alarm_percent: float,
    across: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Say what became slower or faster between two profiles; exit with 5 if anything became slower.

    A test over processes for the level of all graphs, and one for every graph beside the others, corrected
    for their number.

    \b
    Example:
      hwprofile compare before.profile.jsonl after.profile.jsonl
    """
    from hwprofile.comparison import compare as compare_profiles
    from hwprofile.profile import Profile

    found = compare_profiles(
        Profile.load(before),
        Profile.load(after),
        effect_percent / 100,
        false_alarm_percent / 100,
        across=across,
    )
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else found.for_people())
    if strict and found.disturbed:
        raise NotTrustworthy("; ".join(found.disturbed))
    if found.regression:
        raise RegressionFound(found.regression)


@main.command()
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("report.html"),
    show_default=True,
    help="HTML file to write.",
)
def report(paths: tuple[Path, ...], out: Path) -> None:
    """Make one HTML page of what was measured, predicted, searched and chosen.

    Any mix in any order: profiles, models of `fit`, outputs of `validate --json`, folders of `search` and
    `specialize` or their result.json. The page opens from disk and loads nothing.

    \b
    Examples:
      hwprofile report cpu.profile.jsonl --out report.html
      hwprofile report before.profile.jsonl after.profile.jsonl demo/result.json --out report.html
    """
    from hwprofile.report.page import report as page_of

    write(out, page_of(paths))
    click.echo(f"{out}: open it in a browser")


@main.command()
@json_option
def spaces(as_json: bool) -> None:
    """List the search spaces that come with hwprofile, and those of other packages.

    \b
    Example:
      hwprofile spaces
    """
    from hwprofile import listings

    click.echo(json.dumps(listings.spaces(), indent=1) if as_json else listings.spaces_table())
