"""The root command, and how errors end a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.interrupts import let_imports_finish
from hwprofile.cli.resuming import command_that_goes_on, interrupted_words
from hwprofile.errors import Interrupted, UserError
from hwprofile.project import project_defaults

INTERRUPTED = 130


class _Group(click.Group):
    """Turns a UserError into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        let_imports_finish()
        typed = _typed(*args, **kwargs)
        try:
            return super().main(*args, **{**kwargs, "standalone_mode": False})
        except UserError as error:
            goes_on = f"; go on with: {command_that_goes_on(typed, error.kept)}" if error.kept else ""
            click.echo(f"hwprofile: {error}{goes_on}", err=True)
            sys.exit(error.exit_code)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except (click.Abort, KeyboardInterrupt) as error:
            kept = error.kept if isinstance(error, Interrupted) else None
            click.echo(f"hwprofile: {interrupted_words(typed, kept)}", err=True)
            _end_links()
            # an interpreter interrupted inside an extension may crash while it is torn down; all files and
            # processes are closed by now
            sys.stdout.flush()
            os._exit(INTERRUPTED)


def _typed(args: Sequence[str] | None = None, *_: Any, **__: Any) -> list[str]:
    """What was typed behind the program's name; a program that calls us gives it as an argument."""
    return list(sys.argv[1:] if args is None else args)


def _end_links() -> None:
    """End connections that are shared by several processes, where there are any."""
    masters = sys.modules.get("devices.links.ssh_masters")
    if masters is not None:
        masters.end_all()


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
