"""Commands that predict latencies: fit, suggest, predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import (
    json_option,
    profile_option,
    session_of,
    session_options,
    space_option,
    write,
)

KINDS = ("auto", "gp", "ridge", "boosting", "forest")


@main.command()
@click.option(
    "--networks",
    "networks_path",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with the columns arch,latency_ms: what was measured.",
)
@click.option(
    "--space",
    "space_name",
    help="Space of the networks; default: the shipped one that reads them all.",
)
@click.option(
    "--model",
    "kind",
    type=click.Choice(KINDS),
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
@json_option
def fit(
    networks_path: Path,
    space_name: str | None,
    kind: str,
    interval: str,
    seed: int,
    out: Path,
    onnx_out: Path | None,
    as_json: bool,
) -> None:
    """Fit a latency predictor on measured networks, for `hwprofile predict MODEL`.

    \b
    Example:
      hwprofile fit --space fbnet --networks measured.csv --out model.json
    """
    from hwprofile import fitting
    from hwprofile.network_files import measured_networks

    saved = fitting.fit(measured_networks(networks_path, space_name), kind, interval, seed)
    fitting.save(saved, out)
    if onnx_out is not None:
        fitting.export(saved, onnx_out)
    click.echo(json.dumps(fitting.to_json(saved), indent=1) if as_json else fitting.for_people(saved))


@main.command()
@click.argument("model_path", metavar="[MODEL]", required=False, type=click.Path(path_type=Path))
@session_options
@space_option
@profile_option
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
    help="Write arch,latency_ms,low_ms,high_ms here; default: print.",
)
@json_option
def predict(
    model_path: Path | None,
    space_name: str,
    profile_path: Path | None,
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
    if onnx_paths and model_path is not None:
        raise click.UsageError("MODEL predicts --networks of its space; leave it away with --onnx")
    if onnx_paths:
        _predict_onnx(onnx_paths, profile_path, options, as_json=as_json)
        return
    if as_json:
        raise click.UsageError("--json is for --onnx; rows of --networks are CSV")
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
