"""Commands that choose and write networks: specialize, pareto, export."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import (
    data_option,
    device_options,
    drawn,
    json_option,
    plot_option,
    profile_option,
    scores_option,
    search_option,
    session_of,
    session_options,
    session_with_defaults,
    space_option,
    strict_option,
)
from hwprofile.errors import NotTrustworthy


@main.command()
@session_options
@space_option
@profile_option
@scores_option
@click.option(
    "--budget",
    "budget_texts",
    multiple=True,
    required=True,
    help="Upper limit with its unit: 15ms, 800us, 300MMACs, 5MB, 60%. May be repeated.",
)
@click.option("--measure/--no-measure", default=True, help="Measure what is chosen, and correct the model.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("specialized"),
    show_default=True,
    help="Folder for result.json and network.onnx.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the exported random weights.")
@search_option
@data_option
@click.option(
    "--fine-tune",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Epochs that the chosen network learns on by itself, from --data.",
)
@strict_option
@json_option
def specialize(
    space_name: str,
    profile_path: Path | None,
    scores_name: str | None,
    budget_texts: tuple[str, ...],
    measure: bool,
    out: Path,
    seed: int,
    search_path: Path | None,
    data_name: str | None,
    fine_tune: int,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the most accurate network that holds a budget, export it, and measure that it does.

    Benches first if there is no profile. A measured network that breaks the budget corrects the model, and
    the search goes on. With --search the network has the weights that the search has trained; with --data
    the best candidates are checked on images that the search did not see, and the file on test images.

    \b
    Examples:
      hwprofile specialize --budget 60%
      hwprofile specialize --space proxyless --scores macs --budget 5ms --out small/
      hwprofile specialize --space digits --search digits-search --data digits --budget 80us
    """
    from hwprofile.budget import parse_budget
    from hwprofile.learning.scores_and_weights import ScoresAndWeights

    budgets = [parse_budget(text) for text in budget_texts]
    source = ScoresAndWeights(scores_name, search_path, data_name, fine_tune, seed)
    result = session_of(options).specialize(
        space_name, profile_path, source, budgets, measure=measure, out=out
    )
    click.echo(json.dumps(result.to_json(), indent=1) if as_json else result.for_people())
    if strict and result.holds_budget is False:
        raise NotTrustworthy("the measured network does not hold the budget")


@main.command()
@session_options
@space_option
@profile_option
@scores_option
@search_option
@plot_option
@json_option
def pareto(
    space_name: str,
    profile_path: Path | None,
    scores_name: str | None,
    search_path: Path | None,
    plot: bool | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Show every network that no other beats in both latency and score.

    \b
    Example:
      hwprofile pareto --space nasbench-macro
    """
    from hwprofile.front import for_people, to_json
    from hwprofile.learning.scores_and_weights import ScoresAndWeights

    source = ScoresAndWeights(scores_name, search_path)
    front = session_of(options).pareto(space_name, profile_path, source)
    text = json.dumps(to_json(front), indent=1) if as_json else drawn(partial(for_people, front), plot)
    click.echo(text)


@main.command()
@space_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["onnx", "ofa-yaml", "csv", "npz", "parquet", "nni"]),
    default="onnx",
    show_default=True,
    help="onnx: one network; the others: the latency table of the space.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="File to write.")
@click.option("--arch", help="The network: op indexes (2,2,1,...), block strings, a name, or a cell.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of a network's random weights.")
@search_option
@profile_option
@click.option(
    "--model",
    "model_path",
    type=click.Path(path_type=Path),
    help="Write the table that is nearest to this predictor of `hwprofile fit`, and say how far it is off.",
)
@device_options
def export(
    space_name: str,
    form: str,
    out: Path,
    arch: str | None,
    seed: int,
    search_path: Path | None,
    profile_path: Path | None,
    model_path: Path | None,
    **options: Any,
) -> None:
    """Write a network as an ONNX file, or the latency table of a space for other people's code.

    A network (--arch) has the weights of a search (--search) or of its space, else random ones; of the device
    options it takes --batch.

    A table (--format) is the calibrated one that `hwprofile predict` adds up, in milliseconds, from the
    profile of the device: every entry is the corrected latency of a block. ofa-yaml has the keys of
    ProxylessNAS and Once-for-All, nni the mappings that NNI's expressions take; csv, npz and parquet hold
    latencies by layer and op. Of another predictor (--model) it is the additive part.

    \b
    Examples:
      hwprofile export --space nasbench-macro --arch 2,2,2,1,2,2,0,2 --out net.onnx
      hwprofile export --space ponas --arch PONAS-A --out net.onnx
      hwprofile export --space nasbench201 --arch 342101 --out cell.onnx
      hwprofile export --space proxyless --format ofa-yaml --out mine.yaml
      hwprofile export --space proxyless --device table:pixel1.yaml --format npz --out pixel1.npz
    """
    if form == "onnx":
        if arch is None:
            raise click.UsageError("give --arch, the network to write, or the --format of a latency table")
        if profile_path is not None or model_path is not None:
            raise click.UsageError("--profile and --model are for latency tables: give --format too")
        click.echo(_exported(space_name, arch, out, seed, search_path, options["batch"]))
        return
    if arch is not None or search_path is not None:
        raise click.UsageError(
            f"--format {form} writes the table of a whole space: leave --arch and --search away"
        )
    if model_path is not None:
        if profile_path is not None:
            raise click.UsageError("--model and --profile exclude each other")
        click.echo(_exported_model(space_name, model_path, form, out))
        return
    session = session_with_defaults(options)
    click.echo(session.export_table(space_name, profile_path, form, out))


def _exported_model(space_name: str, model_path: Path, form: str, out: Path) -> str:
    from hwprofile.catalog import space_named
    from hwprofile.tables.export import export_table
    from hwprofile.tables.projection import projected_table

    table, words = projected_table(model_path, space_named(space_name))
    return f"{export_table(table, form, out, model_path)}\n{words}"


def _exported(space_name: str, arch: str, out: Path, seed: int, search_path: Path | None, batch: int) -> str:
    from hwprofile.learning.scores_and_weights import ScoresAndWeights, export_typed

    return export_typed(space_name, arch, out, ScoresAndWeights(search=search_path, seed=seed), batch)
