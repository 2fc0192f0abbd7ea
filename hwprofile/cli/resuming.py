"""The command line that goes on with what was interrupted, as a person can type it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

KEEPING = ("bench", "search", "specialize", "train", "validate")
"""Commands that leave files which the next run goes on with."""


def interrupted_words(arguments: Sequence[str], kept: Path | None = None) -> str:
    """What to say of a command that was interrupted.

    Args:
        arguments: what was typed behind the program's name.
        kept: the file that goes on, where it is known.
    """
    command = command_that_goes_on(arguments, kept)
    if kept is None and "--fresh" in arguments:
        return f"interrupted; begin anew with: {command}"
    if arguments and arguments[0] in KEEPING:
        return f"interrupted; what was written is kept, go on with: {command}"
    return f"interrupted; once more with: {command}"


def command_that_goes_on(arguments: Sequence[str], kept: Path | None = None) -> str:
    """The command line, quoted for a shell; it names the kept file where `--fresh` would begin another."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return f"torchrun ... -m hwprofile {shlex.join(arguments)}"
    words = list(arguments)
    if kept is not None and "--fresh" in words and "--sweep" not in words:
        place = words.index("--fresh")
        has_out = any(word == "--out" or word.startswith("--out=") for word in words)
        words[place : place + 1] = [] if has_out else ["--out", str(kept)]
    return shlex.join([*_program(), *words])


def _program() -> list[str]:
    called = Path(sys.argv[0]).parts[-2:] if sys.argv else ()
    return ["python", "-m", "hwprofile"] if called == ("hwprofile", "__main__.py") else ["hwprofile"]
