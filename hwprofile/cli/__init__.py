"""The command line: reads arguments, calls one function, prints. Only this folder prints and exits.

Modules that cost time to import are imported by the command that needs them, so that `--help` is quick.
"""

from hwprofile.cli import choosing, devices, learning, looking, measuring, predicting
from hwprofile.cli.group import main

__all__ = ["choosing", "devices", "learning", "looking", "main", "measuring", "predicting"]
