"""A package of somebody else: a runtime, a link and a preset for hwprofile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from devices.links.link import Link
from devices.links.local import started
from devices.presets import Preset
from devices.runtimes.runtime import Runtime


class Nap(Runtime):
    """Sleeps as long as the graph is large."""

    name = "nap"
    agent_file = Path(__file__).with_name("agent_half.py")
    description = "sleeps a nanosecond a byte"
    requirement = "hwprofile-nap"
    providers = ("deep", "light")
    in_caller = ()
    precisions = ("fp32",)
    profiles_nodes = False

    def prepare(self, onnx: bytes, precision: str, calibration: Mapping[str, Any]) -> bytes:
        """The length of the file."""
        return str(len(onnx)).encode()


@dataclass(frozen=True, slots=True)
class ShellLink(Link):
    """Another Python of this computer, started by a shell."""

    alias: str
    nice: int = 0

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start it, less important than others."""
        return started(["nice", "-n", str(self.nice), sys.executable, *arguments], stderr)


COUCH = Preset("a couch", "shell", "nap", example="--set nice=5")
