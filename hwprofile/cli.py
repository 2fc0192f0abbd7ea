"""The command line: reads arguments, calls one function, prints. Only this module prints and exits.

Modules that cost time to import are imported by the command that needs them, so that `--help` is quick.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hwprofile.errors import NotTrustworthy, UserError
from hwprofile.project import project_defaults

if TYPE_CHECKING:
    from hwprofile.session import Session

INTERRUPTED = 130
Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns a UserError into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except UserError as error:
            click.echo(f"hwprofile: {error}", err=True)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt):
            click.echo(
                "hwprofile: interrupted; what was measured is kept, the same command goes on", err=True
            )
            # an interpreter interrupted inside an extension may crash while it is torn down; all files and
            # processes are closed by now
            sys.stdout.flush()
            os._exit(INTERRUPTED)


def _together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


_session_options = _together(
    click.option(
        "--device", "device_name", default="cpu", show_default=True, help="One of `hwprofile devices`."
    ),
    click.option(
        "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of one inference."
    ),
    click.option(
        "--batch", type=click.IntRange(1), default=1, show_default=True, help="Inputs of one inference."
    ),
    click.option(
        "--precision",
        "precision_percent",
        type=click.FloatRange(0, 100, min_open=True, max_open=True),
        default=2.0,
        show_default=True,
        help="Wanted half width of every 95 % interval, in per cent.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(2),
        default=5,
        show_default=True,
        help="Fewest rounds; each is a fresh process.",
    ),
    click.option(
        "--calibrate",
        type=click.IntRange(2),
        default=10,
        show_default=True,
        help="Whole networks that the solver picks to calibrate the table.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notices."),
)
_space_option = click.option(
    "--space",
    "space_name",
    default="nasbench-macro",
    show_default=True,
    help="One of `hwprofile spaces`, or the path of your own .toml file.",
)
_profile_option = click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path),
    help="Use this profile; default: the newest that fits, benched first if there is none.",
)
_scores_option = click.option(
    "--scores",
    "scores_name",
    metavar="macs|FILE",
    help="What to maximise: a .csv with arch,accuracy, a .json score table, or `macs` as a proxy; "
    "default: the accuracies that come with the space.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
_strict_option = click.option("--strict", is_flag=True, help="Exit with 3 if the result is not trustworthy.")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hwprofile")
@click.pass_context
def main(context: click.Context) -> None:
    """Measure every candidate block on your device; find the best network that holds your budget.

    \b
    Example:
      hwprofile specialize --budget 60%
    """
    defaults = project_defaults(Path.cwd())
    context.default_map = dict.fromkeys(main.commands, defaults)


@main.command()
@_session_options
@_space_option
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(path_type=Path),
    help="Bench this ONNX file, or every one in this folder, instead of a space.",
)
@click.argument("more_onnx", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fresh", is_flag=True, help="Measure anew into a new file; old ones are kept.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the profile here.")
@_strict_option
@_json_option
def bench(
    space_name: str,
    onnx_path: Path | None,
    more_onnx: tuple[Path, ...],
    fresh: bool,
    out: Path | None,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure every distinct block and a few whole networks into a profile.

    Goes on where an interrupted run stopped, and gives a finished profile back as it is.

    \b
    Examples:
      hwprofile bench --space proxyless
      hwprofile bench --onnx model.onnx more_models/
    """
    from hwprofile.bench_report import for_people, to_json

    if more_onnx and onnx_path is None:
        raise click.UsageError(f"what is {more_onnx[0]}? ONNX files come after --onnx")
    session = _session(options)
    files = None if onnx_path is None else [onnx_path, *more_onnx]
    report = session.bench(space_name, files, fresh=fresh, out=out)
    facts = to_json(report)
    click.echo(json.dumps(facts, indent=1) if as_json else for_people(report))
    if strict and set(facts["status"]) - {"ok"}:
        raise NotTrustworthy(f"not every row is ok: {facts['status']}")


@main.command()
@_session_options
@_space_option
@_profile_option
@_scores_option
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
@_strict_option
@_json_option
def specialize(
    space_name: str,
    profile_path: Path | None,
    scores_name: str | None,
    budget_texts: tuple[str, ...],
    measure: bool,
    out: Path,
    seed: int,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the most accurate network that holds a budget, export it, and measure that it does.

    Benches first if there is no profile. A measured network that breaks the budget corrects the model, and
    the search goes on.

    \b
    Examples:
      hwprofile specialize --budget 60%
      hwprofile specialize --space proxyless --scores macs --budget 5ms --out small/
    """
    from hwprofile.budget import parse_budget

    budgets = [parse_budget(text) for text in budget_texts]
    result = _session(options).specialize(
        space_name, profile_path, scores_name, budgets, measure=measure, out=out, seed=seed
    )
    click.echo(json.dumps(result.to_json(), indent=1) if as_json else result.for_people())
    if strict and result.holds_budget is False:
        raise NotTrustworthy("the measured network does not hold the budget")


@main.command()
@_session_options
@_space_option
@_profile_option
@_scores_option
@_json_option
def pareto(
    space_name: str, profile_path: Path | None, scores_name: str | None, as_json: bool, **options: Any
) -> None:
    """Show every network that no other beats in both latency and score.

    \b
    Example:
      hwprofile pareto --space nasbench-macro
    """
    from hwprofile.front import for_people, to_json

    front = _session(options).pareto(space_name, profile_path, scores_name)
    click.echo(json.dumps(to_json(front), indent=1) if as_json else for_people(front))


@main.command()
@_session_options
@_space_option
@_profile_option
@click.option(
    "--networks",
    "networks_path",
    type=click.Path(path_type=Path),
    required=True,
    help="CSV with a column `arch`: op indexes or block strings.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write arch,latency_ms,low_ms,high_ms here; default: print.",
)
def predict(
    space_name: str, profile_path: Path | None, networks_path: Path, out: Path | None, **options: Any
) -> None:
    """Predict the latency of networks, one row each, in order.

    \b
    Example:
      hwprofile predict --space proxyless --networks nets.csv --out latencies.csv
    """
    text = _session(options).predict(space_name, profile_path, networks_path)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text)


@main.command()
@_json_option
def spaces(as_json: bool) -> None:
    """List the search spaces that come with hwprofile.

    \b
    Example:
      hwprofile spaces
    """
    from hwprofile import listings

    click.echo(json.dumps(listings.spaces(), indent=1) if as_json else listings.spaces_table())


@main.command()
@_json_option
def devices(as_json: bool) -> None:
    """List the devices, and what each still needs.

    \b
    Example:
      hwprofile devices
    """
    from hwprofile import listings

    click.echo(json.dumps(listings.devices(), indent=1) if as_json else listings.devices_table())


@main.command()
@_space_option
@click.option("--arch", required=True, help="Op indexes (2,2,1,...) or block strings.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="ONNX file to write.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random weights.")
@click.option(
    "--batch", type=click.IntRange(1), default=1, show_default=True, help="Inputs of one inference."
)
def export(space_name: str, arch: str, out: Path, seed: int, batch: int) -> None:
    """Write an architecture as an ONNX file with random weights.

    \b
    Example:
      hwprofile export --space nasbench-macro --arch 2,2,2,1,2,2,0,2 --out net.onnx
    """
    from hwprofile.export import export_onnx, parse_architecture

    architecture = parse_architecture(space_name, arch)
    export_onnx(architecture, out, seed, batch)
    click.echo(
        f"{out}: {architecture.space.name} {architecture}, architecture only, untrained (random weights)"
    )


def _session(options: dict[str, Any]) -> Session:
    """What the options of a measuring command stand for."""
    from hwprofile.session import Session, session_device, session_goal

    device = session_device(options["device_name"], options["threads"], options["batch"])
    goal = session_goal(options["precision_percent"] / 100, options["rounds"])
    return Session(device, goal, options["calibrate"], quiet=options["quiet"])


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


if __name__ == "__main__":
    main()
