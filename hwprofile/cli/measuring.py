"""Commands that measure: bench, validate, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import (
    device_of,
    device_options,
    fleet_option,
    json_option,
    profile_option,
    session_of,
    session_options,
    space_option,
    strict_option,
)
from hwprofile.errors import NotTrustworthy

KERNELS = 240


@main.command()
@session_options
@space_option
@click.option(
    "--onnx",
    "onnx_path",
    type=click.Path(path_type=Path),
    help="Bench this ONNX file, or every one in this folder, instead of a space.",
)
@click.argument("more_onnx", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--networks",
    "networks_path",
    type=click.Path(path_type=Path),
    help="Bench the whole networks in this CSV file (column arch), not the blocks of the space.",
)
@click.option("--kernels", is_flag=True, help="Bench fused kernels over many shapes instead of a space.")
@click.option(
    "--kernel-count", type=click.IntRange(1), default=KERNELS, show_default=True, help="How many kernels."
)
@click.option(
    "--sweep",
    "sweep_texts",
    metavar="AXIS=V,V",
    multiple=True,
    help="Bench every combination into a profile of its own: threads=1,2 batch=1,8 dtype=fp32,int8 ...",
)
@fleet_option
@click.option(
    "--board",
    "boards",
    metavar="NAME",
    multiple=True,
    help="Use this board of the fleet, and no others; may be repeated.",
)
@click.option("--fresh", is_flag=True, help="Measure anew into a new file; old ones are kept.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the profile here.")
@strict_option
@json_option
def bench(
    space_name: str,
    onnx_path: Path | None,
    more_onnx: tuple[Path, ...],
    networks_path: Path | None,
    kernels: bool,
    kernel_count: int,
    sweep_texts: tuple[str, ...],
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
      hwprofile bench --space proxyless --runtime litert --dtype int8
      hwprofile bench --onnx model.onnx more_models/
      hwprofile bench --space nasbench201 --networks ten.csv
      hwprofile bench --kernels
      hwprofile bench --sweep threads=1,2 --sweep batch=1,8
      hwprofile bench --fleet tcp://host:8786 --device jetson
    """
    from hwprofile.bench_report import for_people, to_json
    from hwprofile.sweep import Sweep, combinations, parse_axes

    if more_onnx and onnx_path is None:
        raise click.UsageError(f"what is {more_onnx[0]}? ONNX files come after --onnx")
    if kernels + (onnx_path is not None) + (networks_path is not None) > 1:
        raise click.UsageError("--kernels, --networks and --onnx exclude each other")
    if sweep_texts and out is not None:
        raise click.UsageError("--sweep writes several profiles: leave --out away")
    files = None if onnx_path is None else [onnx_path, *more_onnx]
    chosen = combinations(parse_axes(sweep_texts))
    sessions = [
        session_of({**options, **settings}) for settings in chosen
    ]  # all are checked before one is used
    reports = [
        session.bench(
            space_name, files, kernel_count if kernels else None, networks_path, fresh=fresh, out=out
        )
        for session in sessions
    ]
    if sweep_texts:
        sweep = Sweep(list(zip(chosen, reports, strict=True)))
        click.echo(json.dumps(sweep.to_json(), indent=1) if as_json else sweep.for_people())
    else:
        click.echo(json.dumps(to_json(reports[0]), indent=1) if as_json else for_people(reports[0]))
    if strict:
        _check_trustworthy([to_json(report) for report in reports])


def _check_trustworthy(reports: list[dict[str, Any]]) -> None:
    for facts in reports:
        if set(facts["status"]) - {"ok"}:
            raise NotTrustworthy(f"{facts['profile']}: not every row is ok: {facts['status']}")
        if facts["why_disturbed"]:
            raise NotTrustworthy(f"{facts['profile']} was disturbed: {facts['why_disturbed']}")


@main.command()
@session_options
@space_option
@profile_option
@click.option(
    "--networks", type=click.IntRange(2), default=30, show_default=True, help="How many random networks."
)
@click.option(
    "--processes",
    type=click.IntRange(2),
    default=5,
    show_default=True,
    help="Fresh processes of each of the two measurements of a network.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random networks.")
@strict_option
@json_option
def validate(
    space_name: str,
    profile_path: Path | None,
    networks: int,
    processes: int,
    seed: int,
    strict: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure fresh random networks, and hold the latency model against them.

    Every network is measured twice; how far the two are apart is the noise floor below which no model can be
    seen to be better.

    \b
    Example:
      hwprofile validate --space proxyless --inline
    """
    found = session_of(options).validate(space_name, profile_path, networks, processes, seed)
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else found.for_people())
    why = found.profile.why_disturbed()
    if strict and why:
        raise NotTrustworthy(f"the profile was disturbed: {why}")


@main.command()
@device_options
@strict_option
@json_option
def doctor(strict: bool, as_json: bool, **options: Any) -> None:
    """Say what on a device will disturb a measurement, how much, and the command that stops it.

    \b
    Example:
      hwprofile doctor
    """
    from hwprofile.chosen_device import examine

    found = examine(device_of(options), quiet=options["quiet"])
    click.echo(json.dumps(found.to_json(), indent=1) if as_json else found.for_people())
    if strict and found.is_serious:
        raise NotTrustworthy("what is measured now will not be precise; the serious findings say why")
