"""The root command, and how errors end a run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from hwprofile.cli.interrupts import let_imports_finish
from hwprofile.errors import UserError
from hwprofile.project import project_defaults

INTERRUPTED = 130


class _Group(click.Group):
    """Turns a UserError into one sentence and its exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        let_imports_finish()
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
            _end_links()
            # an interpreter interrupted inside an extension may crash while it is torn down; all files and
            # processes are closed by now
            sys.stdout.flush()
            os._exit(INTERRUPTED)


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
