"""Commands that train and judge networks: search, train, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import (
    OpenChoice,
    data_option,
    fleet_option,
    json_option,
    quiet_option,
    search_option,
    space_option,
    together,
)

training_options = together(
    click.option(
        "--epochs", type=click.IntRange(1), default=30, show_default=True, help="Passes over the data."
    ),
    click.option(
        "--batch-size",
        type=click.IntRange(2),
        default=64,
        show_default=True,
        help="Images a step learns from, over all processes.",
    ),
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Parts that a step's images go through the network in, one after another, for less memory; each "
        "part has batch statistics of its own.",
    ),
    click.option(
        "--learning-rate",
        type=click.FloatRange(0, min_open=True),
        default=0.2,
        show_default=True,
        help="Highest one; it warms up, then falls along half a cosine.",
    ),
    click.option(
        "--augment",
        type=click.Choice(["usual", "none"]),
        default="usual",
        show_default=True,
        help="usual: shifted by up to an eighth, colour images mirrored too.",
    ),
    click.option(
        "--accelerator",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="What trains; auto: a GPU where there is one.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        help="Of the processor.  [default: one for small networks, else all]",
    ),
    click.option(
        "--checkpoint-every",
        type=click.FloatRange(0),
        default=20.0,
        show_default=True,
        help="Seconds between two states of the training in its file.",
    ),
    click.option("--mixed-precision", is_flag=True, help="bfloat16 where it is safe; for GPUs."),
    click.option(
        "--seed", type=click.IntRange(0), default=0, show_default=True, help="Of everything random."
    ),
    quiet_option,
)


METHODS = (
    "ponas",
    "padnas",
    "ddpnas",
    "proxyless",
    "random",
    "evolution",
    "spos",
    "reinforce",
    "table-guided",
)


@main.command()
@click.argument("method", type=OpenChoice(METHODS, "hwprofile.searches"))
@space_option
@data_option
@click.option(
    "--evaluator",
    "evaluator_name",
    metavar="tabular[:FILE.csv:COLUMN]",
    help="Known accuracies instead of a training: those that come with the space, or a column of a file.",
)
@click.option(
    "--latency",
    "latency_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Latencies that --budget is about: a .csv with arch,latency_ms, looked up; a file of `hwprofile "
    "fit`; or a profile.",
)
@click.option(
    "--budget",
    "budget_texts",
    multiple=True,
    help="What the network has to hold: 15ms, 800us (these need --latency), 300MMACs, 2.5Mparams, 5MB. "
    "May be repeated.",
)
@click.option(
    "--set",
    "setting_texts",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the method; a wrong one lists them all. May be repeated.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for scores.json, evaluations.jsonl, supernet.npz, supernet.losses.jsonl, result.json.  "
    "[default: search; with --evaluator nothing is written]",
)
@click.option(
    "--table",
    "table_method",
    type=click.Choice(["fitted", "progressive", "one-change"]),
    default="fitted",
    show_default=True,
    help="How ponas fills its score table.",
)
@click.option(
    "--evaluations",
    type=click.IntRange(1),
    help="Networks that are evaluated; ponas with --data: those that fill its table (one-change takes as "
    "many as it takes).  [default: 96; with --evaluator 100]",
)
@click.option(
    "--held-out",
    type=click.IntRange(5),
    help="Further networks that tell how well the table ranks.  [default: 24; with --evaluator none]",
)
@click.option(
    "--context",
    type=click.Choice(["sampled", "largest"]),
    default="sampled",
    show_default=True,
    help="What stands behind the layer that is filled (--table progressive).",
)
@click.option(
    "--fine-tune-steps",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Steps each candidate is trained on before it is evaluated (--table progressive).",
)
@click.option(
    "--sampling",
    type=click.Choice(["fair", "uniform"]),
    default="fair",
    show_default=True,
    help="fair: every candidate of a layer is trained equally often.",
)
@click.option(
    "--paths-per-part",
    is_flag=True,
    help="Each part of a step takes a path of its own; with --accumulate N, that is each of N processes.",
)
@click.option(
    "--distillation",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of what a path learns from the largest path instead of the labels; twice the time.",
)
@click.option(
    "--shared-epochs",
    type=click.IntRange(0),
    help="Last epochs with statistics of batch normalisation that all networks share, so that each works as "
    "it is taken out; 0: each gets its own, from the data.  [default: a quarter]",
)
@fleet_option
@training_options
@json_option
def search(
    method: str,
    space_name: str,
    data_name: str | None,
    evaluator_name: str | None,
    latency_path: Path | None,
    budget_texts: tuple[str, ...],
    setting_texts: tuple[str, ...],
    out: Path | None,
    table_method: Any,
    evaluations: int | None,
    held_out: int | None,
    context: Any,
    fine_tune_steps: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Search for networks: train a supernet on your data, or look among networks of known accuracies.

    \b
    ponas         one supernet, one score table, for every device and budget
    padnas        trains and drops the worst blocks of each layer, in stages
    ddpnas        trains each drawn network for an epoch, and drops by a joint distribution
    proxyless     weights and a distribution over paths learn in turns, the budget as target
    table-guided  tables drawn around a fitted one, each solved exactly (ours)
    evolution     regularised evolution; spos: evolution as in SPOS
    reinforce     a policy that learns from accuracies; random: the baseline

    All leave a score table and, with --data, a supernet: `hwprofile specialize --search DIR` takes networks
    for further devices and budgets from them. Interrupted, the same command goes on.

    \b
    Examples:
      hwprofile search ponas --space digits --data digits --out digits-search
      hwprofile search proxyless --space digits --data digits --budget 1MMACs --out proxyless
      hwprofile search table-guided --space nasbench201 --evaluator tabular:acc.csv:val \\
        --evaluations 105 --latency phone.csv --budget 12ms
      torchrun --nproc-per-node 2 -m hwprofile search ponas --space cifar-tiny --data cifar-10-python.tar.gz
    """
    from hwprofile.learning.pool import Choosing
    from hwprofile.learning.search_command import SearchCommand
    from hwprofile.learning.supernet_search import TableOptions

    report = SearchCommand(
        method=method,
        space_name=space_name,
        data_name=data_name,
        evaluator=evaluator_name,
        choosing=Choosing.typed(latency_path, budget_texts),
        evaluations=evaluations,
        held_out=held_out,
        table=TableOptions(table_method, context=context, fine_tune_steps=fine_tune_steps),
        settings=_settings(setting_texts),
        out=out,
        options=options,
    ).run()
    if report is not None:
        click.echo(json.dumps(report.to_json(), indent=1) if as_json else report.for_people())


def _settings(texts: tuple[str, ...]) -> dict[str, str]:
    """Names and values of what stands behind --set."""
    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.strip():
            raise click.UsageError(f"--set {text}: write NAME=VALUE")
        found[name.strip()] = value
    return found


@main.command()
@space_option
@click.option("--arch", required=True, help="Op indexes (2,2,1,...), block strings, or a name.")
@data_option
@search_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("trained"),
    show_default=True,
    help="Folder for network.onnx, weights.npz and weights.losses.jsonl.",
)
@training_options
@json_option
def train(
    space_name: str,
    arch: str,
    data_name: str | None,
    search_path: Path | None,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Train one network, from nothing or from a supernet, and write it as ONNX with its weights.

    Interrupted, the same command goes on.

    \b
    Examples:
      hwprofile train --space digits --arch 1,1,2,1,2,1 --data digits --out net
      torchrun --nproc-per-node 2 -m hwprofile train --space cifar-tiny --arch 1,1,1,1,1,1 --data mine.npz
    """
    from hwprofile.learning.network_training import run_training

    report = run_training(space_name, arch, data_name, search_path, out, options)
    if report is not None:
        click.echo(json.dumps(report.to_json(), indent=1) if as_json else report.for_people())


@main.command()
@click.argument("onnx", type=click.Path(path_type=Path))
@data_option
@click.option(
    "--split",
    type=click.Choice(["test", "verification", "validation", "training"]),
    default="test",
    show_default=True,
    help="Which part of the data.",
)
@quiet_option
@json_option
def evaluate(onnx: Path, data_name: str | None, split: Any, quiet: bool, as_json: bool) -> None:
    """Count how many images an ONNX file gets right, through ONNX Runtime.

    \b
    Example:
      hwprofile evaluate net/network.onnx --data digits
    """
    from hwprofile.display import notices
    from hwprofile.learning.data import needed
    from hwprofile.learning.evaluation import evaluate_file

    report = evaluate_file(onnx, needed(data_name), split, quiet=quiet, tell=notices(quiet=quiet))
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else report.for_people())
