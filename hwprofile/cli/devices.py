"""Commands about devices: list, add, show, remove, check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from hwprofile.cli.group import main
from hwprofile.cli.options import fleet_option, json_option
from hwprofile.errors import BadInput, DeviceUnreachable

if TYPE_CHECKING:
    from hwprofile.device_check import Step


@main.group(invoke_without_command=True)
@fleet_option
@json_option
@click.pass_context
def devices(context: click.Context, fleet: str | None, as_json: bool) -> None:
    """List, add, show, remove and check devices; alone it lists them.

    \b
    Examples:
      hwprofile devices
      hwprofile devices --fleet tcp://host:8786
      hwprofile devices add jetson --host orin.local
      hwprofile devices check jetson
    """
    if context.invoked_subcommand is None:
        _list(fleet, as_json)
    elif as_json:
        raise click.UsageError(f"write --json behind {context.invoked_subcommand}")
    elif fleet is not None:
        raise click.UsageError("--fleet goes with `hwprofile devices` and `devices list`")


@devices.command("list")
@fleet_option
@json_option
def list_devices(fleet: str | None, as_json: bool) -> None:
    """List devices and runtimes, and what each still needs; connects to none.

    With --fleet it lists the boards and evaluators of a fleet: who is free, busy, silent, lost.

    \b
    Examples:
      hwprofile devices list
      hwprofile devices list --fleet tcp://host:8786
    """
    _list(fleet, as_json)


def _list(fleet: str | None, as_json: bool) -> None:
    from hwprofile import listings

    if fleet is not None:
        from hwprofile.fleet.listing import listing

        found = listing(fleet)
        click.echo(json.dumps(found.to_json(), indent=1) if as_json else found.for_people())
        return
    click.echo(json.dumps(listings.all_devices(), indent=1) if as_json else listings.devices_table())


@devices.command()
@click.argument("name")
@click.option("--preset", help="What kind of device it is: cpu, gpu, jetson, phone, pi; default: its name.")
@click.option("--link", help="How to reach it: local, ssh, adb, adb-shell; default: the preset's.")
@click.option("--host", help="Name or address, or a Host of your ~/.ssh/config (ssh).")
@click.option("--user", help="Account there (ssh, adb).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of its SSH server (ssh, adb).")
@click.option("--jump", metavar="HOST", help="Host to go through (ssh).")
@click.option(
    "--python", metavar="PATH", help="The Python to use there, such as that of a virtual environment."
)
@click.option("--serial", help="Which phone, as `adb devices` lists it (adb, adb-shell).")
@click.option(
    "--program",
    metavar="PATH",
    type=click.Path(resolve_path=True),
    help="The program to push to the phone (adb-shell).",
)
@click.option(
    "--library",
    "libraries",
    metavar="PATH",
    type=click.Path(resolve_path=True),
    multiple=True,
    help="A library to push beside the program; may be repeated (adb-shell).",
)
@click.option("--set", "more", metavar="KEY=VALUE", multiple=True, help="Anything else that the link takes.")
@click.option("--runtime", help="What runs the graphs there by default; default: the preset's.")
@click.option("--provider", help="How the runtime executes by default; default: its first.")
@click.option("--replace", is_flag=True, help="Overwrite a device of this name.")
@click.option(
    "--check/--no-check", "is_checked", default=False, help="Check it at once.  [default: no-check]"
)
def add(
    name: str,
    preset: str | None,
    link: str | None,
    more: tuple[str, ...],
    runtime: str | None,
    provider: str | None,
    replace: bool,
    is_checked: bool,
    **given: Any,
) -> None:
    """Add a device under a name of your choice; nothing is connected to.

    \b
    Examples:
      hwprofile devices add jetson --host orin.local
      hwprofile devices add kitchen --preset pi --host 192.168.1.20 --user pi
      hwprofile devices add server --host gpu1 --runtime tensorrt --jump gate
    """
    from hwprofile import known_devices

    options = {key: value for key, value in given.items() if value not in (None, ())} | _pairs(more)
    spec = known_devices.Addition(name, preset, link, runtime, provider, options).spec()
    known_devices.add(spec, replace=replace)
    click.echo(f"{name} is added: {spec.link}, {spec.runtime or 'onnxruntime'}")
    if is_checked:
        _check(name, None, None, as_json=False)
    else:
        click.echo(f"Next: hwprofile devices check {name}")
        click.echo(f"      hwprofile bench --device {name}")


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for (key, equals, _), text in zip(pairs, texts, strict=True):
        if not key or not equals:
            raise BadInput(f"--set takes KEY=VALUE, got {text!r}")
    return {key: value for key, _, value in pairs}


@devices.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show how a device is reached, and where its profiles lie.

    \b
    Example:
      hwprofile devices show jetson
    """
    from hwprofile import listings

    found = listings.device(name)
    click.echo(json.dumps(found, indent=1) if as_json else listings.device_lines(found))


@devices.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a device; its profiles stay.

    \b
    Example:
      hwprofile devices remove kitchen
    """
    from hwprofile import known_devices

    kept = known_devices.remove(name)
    click.echo(f"{name} is removed")
    if kept:
        click.echo("Its profiles are kept:")
        for path in kept:
            click.echo(f"  {path}")


@devices.command()
@click.argument("name")
@click.option("--runtime", help="What shall run the graphs; default: the device's own.")
@click.option("--provider", help="How the runtime shall execute; default: the device's own.")
@json_option
def check(name: str, runtime: str | None, provider: str | None, as_json: bool) -> None:
    """Try a device step by step: link, Python, runtime, providers, one timed graph, conditions.

    Stops at the first step that does not hold, says what to do, and exits with 6.

    \b
    Example:
      hwprofile devices check jetson
    """
    _check(name, runtime, provider, as_json=as_json)


def _check(name: str, runtime: str | None, provider: str | None, *, as_json: bool) -> None:
    from hwprofile.chosen_device import device_check

    steps: list[Step] = []
    for step in device_check(name, runtime, provider).steps():
        steps.append(step)
        if not as_json:
            click.echo(step.for_people())
    ok = steps[-1].ok
    if as_json:
        click.echo(json.dumps({"device": name, "ok": ok, "steps": [x.to_json() for x in steps]}, indent=1))
    if not ok:
        raise DeviceUnreachable(f"device {name} stopped at {steps[-1].name}: {steps[-1].found}")
    if not as_json:
        click.echo(f"{name} is ready: hwprofile bench --device {name}")
