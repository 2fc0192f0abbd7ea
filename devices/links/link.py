"""What a link is to those who use it: it starts the target's Python, and knows its own failures."""

from __future__ import annotations

import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import IO

_HOME_FOLDERS = re.compile(r"(?<![\w/.-])(/home/|/Users/|/root\b)[^/\s:'\"]*")


class Link(ABC):
    """Starts the agent on a target."""

    @abstractmethod
    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the target's Python with these arguments; stdin and stdout are unbuffered pipes.

        Raises:
            OSError: what starts it here (the interpreter, `ssh`, `adb`) cannot be run.
        """

    def was_lost(self, exit_status: int) -> bool:
        """Whether what `start` gave ended with this status because the target was lost."""
        return False

    def answers(self) -> bool:
        """Whether the target is still reached; asked when the agent is silent."""
        return True

    def give_up(self) -> None:  # noqa: B027  # most links share nothing
        """Forget what is shared with further processes, after the target was lost."""

    def redacted(self, text: str) -> str:
        """A text from the target or the link's program without the names of the host and its users."""
        return _HOME_FOLDERS.sub("~", text)

    def advice(self, text: str) -> str:
        """What a person can do about the link's failure that printed this; empty where that is not known."""
        return ""
