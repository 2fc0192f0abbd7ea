"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hwprofile.errors import UserError

if TYPE_CHECKING:
    from devices.device import Device
    from hwprofile.fleet.device import Benched
    from hwprofile.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])


def together(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, shown in this order."""

    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


class OpenChoice(click.ParamType):  # type: ignore[type-arg]  # older versions of click take none
    """One of our names, or one that another package brings.

    Args:
        names: ours.
        group: of entry points.
    """

    name = "choice"

    def __init__(self, names: Sequence[str], group: str) -> None:
        """Store the names; entry points are looked for when somebody asks."""
        self._names, self._group = names, group

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """The known names, as click shows a choice."""
        names = "|".join(self._known())
        return f"{{{names}}}" if param.param_type_name == "argument" else f"[{names}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name; a usage error lists the known ones."""
        if value not in self._names and value not in self._known():
            self.fail(f"{value!r} is not one of {', '.join(self._known())}.", param, ctx)
        return str(value)

    def _known(self) -> list[str]:
        from importlib.metadata import entry_points

        return [
            *self._names,
            *sorted({entry.name for entry in entry_points(group=self._group)} - {*self._names}),
        ]


quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notices.")
device_options = together(
    click.option(
        "--device",
        "device_name",
        default="cpu",
        show_default=True,
        help="One of `hwprofile devices`; replay:FILE plays a profile back; table:FILE is a latency table.",
    ),
    click.option(
        "--runtime", help="What runs the graphs: one of `hwprofile devices`; default: the device's own."
    ),
    click.option(
        "--provider",
        help="How the runtime executes: an execution provider, `compile`, ...; default: the device's own.",
    ),
    click.option(
        "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads of one inference."
    ),
    click.option(
        "--batch", type=click.IntRange(1), default=1, show_default=True, help="Inputs of one inference."
    ),
    click.option(
        "--dtype",
        type=click.Choice(["fp32", "fp16", "int8"]),
        default="fp32",
        show_default=True,
        help="Arithmetic; int8 is quantised after training (QDQ); fp16 only where the runtime has it.",
    ),
    click.option(
        "--calibration-inputs",
        type=click.Path(path_type=Path),
        help="An .npz of inputs by name, (samples, ...), that set the ranges of int8; default: random.",
    ),
    click.option(
        "--cache",
        type=click.Choice(["warm", "cold"]),
        default="warm",
        show_default=True,
        help="cold: other data fills the caches before every inference.",
    ),
    click.option(
        "--graph-timeout",
        type=click.FloatRange(0, min_open=True),
        default=300.0,
        show_default=True,
        help="Seconds that loading or timing one graph may take.",
    ),
    quiet_option,
)
session_options = together(
    device_options,
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
    click.option(
        "--inline",
        is_flag=True,
        help="Read block times inside running networks too (ONNX Runtime, TensorRT).",
    ),
    click.option(
        "--energy", is_flag=True, help="Read the energy of every graph too, where the device tells it."
    ),
)
space_option = click.option(
    "--space",
    "space_name",
    default="cifar-tiny",
    show_default=True,
    help="One of `hwprofile spaces`, or the path of your own .toml file.",
)
profile_option = click.option(
    "--profile",
    "profile_path",
    type=click.Path(path_type=Path),
    help="Use this profile; default: the newest that fits, benched first if there is none.",
)
scores_option = click.option(
    "--scores",
    "scores_name",
    metavar="macs|FILE",
    help="What to maximise: a .csv with arch,accuracy, a .json score table, or `macs` as a proxy; "
    "default: the accuracies that come with the space.",
)
data_option = click.option(
    "--data",
    "data_name",
    metavar="digits|PATH",
    help="Labelled images: `digits`, a folder or archive of CIFAR-10/100, an .npz, a folder a class.",
)
search_option = click.option(
    "--search",
    "search_path",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Take the weights that `hwprofile search` has left in this folder.",
)
fleet_option = click.option(
    "--fleet",
    metavar="ADDRESS",
    help="Of a Dask scheduler, such as tcp://host:8786: its workers share the work (docs/fleet.md).",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
strict_option = click.option("--strict", is_flag=True, help="Exit with 3 if the result is not trustworthy.")


plot_option = click.option(
    "--plot/--no-plot",
    default=None,
    help="Draw in plain text too.  [default: on a terminal that is wide enough]",
)
_DRAWN_LINE = re.compile("│|█$")


def drawn(make: Callable[[bool], str], plot: bool | None) -> str:
    """Text with drawings or without: as typed, else with those that fit into the terminal."""
    if plot is not None:
        return make(plot)
    if not sys.stdout.isatty():
        return make(False)
    text = make(True)
    widest = max((len(line) for line in text.splitlines() if _DRAWN_LINE.search(line)), default=0)
    return text if widest <= shutil.get_terminal_size().columns else make(False)


def device_of(options: dict[str, Any]) -> Device:
    """The device that the options of a command stand for."""
    from hwprofile.chosen_device import chosen_device

    return chosen_device(options["device_name"], **_how(options))


def _how(options: dict[str, Any]) -> dict[str, Any]:
    """How graphs are run on a device."""
    return {
        "runtime": options["runtime"],
        "provider": options["provider"],
        "threads": options["threads"],
        "batch": options["batch"],
        "precision": options["dtype"],
        "cache": options["cache"],
        "calibration_inputs": options["calibration_inputs"],
        "graph_timeout_s": options["graph_timeout"],
    }


def _benched(options: dict[str, Any]) -> Benched:
    """The device, or the boards of a fleet, which are let go when the command ends."""
    if options.get("fleet") is None:
        if options.get("boards"):
            raise click.UsageError("--board names boards of a fleet: give --fleet too")
        return device_of(options)
    from hwprofile.chosen_device import fleet_device

    return click.get_current_context().with_resource(
        fleet_device(
            options["fleet"],
            options["device_name"],
            only=options["boards"],
            energy=options["energy"],
            quiet=options["quiet"],
            **_how(options),
        )
    )


def session_of(options: dict[str, Any]) -> Session:
    """What the options of a measuring command stand for."""
    from hwprofile.session import Session, session_goal

    goal = session_goal(options["precision_percent"] / 100, options["rounds"])
    return Session(
        _benched(options),
        goal,
        options["calibrate"],
        options["inline"],
        options["energy"],
        quiet=options["quiet"],
    )


def session_with_defaults(options: dict[str, Any]) -> Session:
    """A session of a command that seldom measures: it has no options for the goal."""
    from hwprofile.session import Session

    return Session(device_of(options), quiet=options["quiet"])


def write(path: Path, text: str) -> None:
    """Write a file that a user named."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
