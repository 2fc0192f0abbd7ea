"""Commands that predict latencies: fit, suggest, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import (
    OpenChoice,
    json_option,
    profile_option,
    quiet_option,
    session_of,
    session_options,
    space_option,
    write,
)

SOURCES_HELP = "CSV files (arch,latency_ms) or predictors of other devices; with them few networks suffice."
KINDS = ("auto", "gp", "ridge", "boosting", "forest")


@main.command()
@click.option(
    "--networks",
    "networks_path",
    type=click.Path(path_type=Path),
    help="CSV with the columns arch,latency_ms: what was measured.",
)
@click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path),
    help="Profile whose whole networks were measured, such as of `hwprofile bench --networks`.",
)
@click.option(
    "--space",
    "space_name",
    help="Space of the networks; default: the shipped one that reads them all.",
)
@click.option("--sources", "sources_path", type=click.Path(path_type=Path), help=SOURCES_HELP)
@click.argument("more_sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "kind",
    type=OpenChoice(KINDS, "hwprofile.predictors"),
    default="auto",
    show_default=True,
    help="gp: Gaussian process over groups of features; auto: whichever predicts held-out networks best.",
)
@click.option(
    "--interval",
    type=click.Choice(["scaled", "cv+"]),
    default="scaled",
    show_default=True,
    help="scaled: narrow, from held-out errors; cv+: with a guarantee for finitely many networks.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of folds and trees.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file to write.")
@click.option(
    "--onnx-out",
    type=click.Path(path_type=Path),
    help="Write the predictor as an ONNX graph too: features in, milliseconds out.",
)
@quiet_option
@json_option
def fit(
    networks_path: Path | None,
    profile_path: Path | None,
    space_name: str | None,
    sources_path: Path | None,
    more_sources: tuple[Path, ...],
    kind: str,
    interval: str,
    seed: int,
    out: Path,
    onnx_out: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fit a latency predictor on measured networks, for `hwprofile predict MODEL`.

    \b
    Examples:
      hwprofile fit --space fbnet --networks measured.csv --out model.json
      hwprofile fit --profile networks.profile.jsonl --out model.json
      hwprofile fit --networks ten.csv --sources old1.csv old2.csv --out model.json
    """
    from hwprofile import fitting
    from hwprofile.networks_csv import measured_networks
    from hwprofile.profile import Profile

    if (networks_path is None) == (profile_path is None):
        raise click.UsageError("give either --networks FILE.csv or --profile PROFILE")
    if profile_path is not None and space_name is not None:
        raise click.UsageError("a profile says what its space is: leave --space away")
    if profile_path is not None:
        measured = fitting.measured_in(Profile.load(profile_path))
    else:
        assert networks_path is not None
        measured = measured_networks(networks_path, space_name)
    sources = fitting.sources_from(
        _sources(sources_path, more_sources), measured.space_name, seed, quiet=quiet
    )
    saved = fitting.fit(measured, kind, interval, seed, sources, quiet=quiet)
    fitting.save(saved, out)
    if onnx_out is not None:
        fitting.export(saved, onnx_out)
    click.echo(json.dumps(fitting.to_json(saved), indent=1) if as_json else fitting.for_people(saved))


@main.command()
@space_option
@click.option("--count", type=click.IntRange(1), default=10, show_default=True, help="How many networks.")
@click.option("--sources", "sources_path", type=click.Path(path_type=Path), help=SOURCES_HELP)
@click.argument("more_sources", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the random networks from which is chosen.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="CSV file to write (column arch); default: print."
)
@quiet_option
def suggest(
    space_name: str,
    count: int,
    sources_path: Path | None,
    more_sources: tuple[Path, ...],
    seed: int,
    out: Path | None,
    quiet: bool,
) -> None:
    """Choose which networks to measure, so that their latencies tell most about all others.

    \b
    Example, a new device from ten networks:
      hwprofile suggest --space fbnet --count 10 --sources old1.csv old2.csv --out ten.csv
      hwprofile bench --space fbnet --networks ten.csv --out ten.profile.jsonl
      hwprofile fit --profile ten.profile.jsonl --sources old1.csv old2.csv --out model.json
    """
    from hwprofile import fitting
    from hwprofile.networks_csv import architectures_csv

    files = _sources(sources_path, more_sources)
    text = architectures_csv(fitting.suggest(space_name, count, files, seed, quiet=quiet))
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text)


def _sources(first: Path | None, more: tuple[Path, ...]) -> list[Path]:
    if more and first is None:
        raise click.UsageError(f"what is {more[0]}? Files of other devices come after --sources")
    return [] if first is None else [first, *more]


@main.command()
@click.argument("model_path", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@session_options
@space_option
@profile_option
@click.option(
    "--kind",
    type=click.Choice(["table", "fitted"]),
    help="table: the calibrated additive table, which `hwprofile export` writes too; fitted: MODEL.  "
    "[default: fitted with MODEL, else table]",
)
@click.option(
    "--networks",
    "networks_path",
    type=click.Path(path_type=Path),
    help="CSV with a column `arch`: op indexes or block strings.",
)
@click.option(
    "--onnx",
    "onnx_paths",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Predict this ONNX file instead, from a profile of kernels. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write arch,latency_ms,low_ms,high_ms (of MODEL: and interval,out_of_range) here; default: print.",
)
@json_option
def predict(
    model_path: Path | None,
    space_name: str,
    profile_path: Path | None,
    kind: str | None,
    networks_path: Path | None,
    onnx_paths: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Predict the latency of networks, one row each, in order.

    Networks of a space are predicted by MODEL, a file of `hwprofile fit`, which knows its space; or from a
    profile of the space's blocks. Any ONNX file is predicted from a profile of fused kernels, and the answer
    says how much of it rests on measurements; operators that nothing is known of are named.

    \b
    Examples:
      hwprofile predict model.json --networks nets.csv --out latencies.csv
      hwprofile predict --space proxyless --networks nets.csv --out latencies.csv
      hwprofile predict --onnx net.onnx
    """
    if (networks_path is None) == (not onnx_paths):
        raise click.UsageError("give either --networks FILE.csv or --onnx FILE.onnx")
    if onnx_paths and out is not None:
        raise click.UsageError("--out takes the rows of --networks; with --onnx give --json")
    if onnx_paths and kind is not None:
        raise click.UsageError("--kind is for --networks: ONNX files are predicted from a profile of kernels")
    if onnx_paths and model_path is not None:
        raise click.UsageError("MODEL predicts --networks of its space; leave it away with --onnx")
    if onnx_paths:
        _predict_onnx(onnx_paths, profile_path, options, as_json=as_json)
        return
    if as_json:
        raise click.UsageError("--json is for --onnx; rows of --networks are CSV")
    if kind is not None and (kind == "fitted") != (model_path is not None):
        raise click.UsageError("--kind fitted takes a MODEL of `hwprofile fit`, and --kind table takes none")
    assert networks_path is not None
    if model_path is not None:
        from hwprofile import fitting

        text = fitting.predict(fitting.load(model_path), networks_path, quiet=options["quiet"])
    else:
        text = session_of(options).predict(space_name, profile_path, networks_path)
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text)


def _predict_onnx(
    files: tuple[Path, ...], profile_path: Path | None, options: dict[str, Any], *, as_json: bool
) -> None:
    from hwprofile.onnx_prediction import for_people, to_json

    found, profile = session_of(options).predict_onnx(files, profile_path)
    click.echo(json.dumps(to_json(found, profile), indent=1) if as_json else for_people(found, profile))
