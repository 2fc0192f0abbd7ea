"""A computer with made-up RAPL counters: what it uses follows from time and computing."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import IO

from devices.links.local import LocalLink

IDLE_W, BUSY_W = 10.0, 20.0
"""Power of the made-up package, and what a processor adds that computes for this process."""
RANGE_UJ = 300_000
"""So small that the counter wraps around many times in a burst."""

MADE_UP = f"""
import builtins, io, os, time
def made_up_uj():
    joules = {IDLE_W} * time.monotonic() + {BUSY_W} * time.process_time()
    return int(1e6 * joules) % {RANGE_UJ}
package = "/sys/class/powercap/intel-rapl:0"
files = {{
    package + "/name": lambda: "package-0",
    package + "/energy_uj": made_up_uj,
    package + "/max_energy_range_uj": lambda: {RANGE_UJ},
    package + ":0/name": lambda: "core",
    package + ":0/energy_uj": made_up_uj,
}}
folders = {{"/sys/class/powercap": ["intel-rapl", "intel-rapl:0", "intel-rapl:0:0"]}}
def made_up_open(path, *rest, real=open, **more):
    return io.StringIO(str(files[path]()) + "\\n") if path in files else real(path, *rest, **more)
def made_up_listdir(path=".", real=os.listdir):
    return folders[path] if path in folders else real(path)
builtins.open, os.listdir = made_up_open, made_up_listdir
"""
STUCK = MADE_UP.replace('"/energy_uj": made_up_uj', '"/energy_uj": lambda: 7')
"""The same with a counter that stands still."""


_start = LocalLink.start
"""What it is before a test puts another computer in its place."""


class EnergyLink(LocalLink):
    """This computer, with some code run before the agent comes, and short bursts."""

    def __init__(self, before: str = MADE_UP, burst_ms: float = 10.0) -> None:
        self.before, self.burst_ms = before, burst_ms

    def start(self, arguments: Sequence[str], stderr: IO[bytes]) -> subprocess.Popen[bytes]:
        flag, program, *rest = arguments
        shorter = f"from devices.agent import energy\nenergy.Rapl.burst_ms = {self.burst_ms}\nmain(token)"
        program = f"{self.before}\n{program.replace('main(token)', shorter)}"
        return _start(self, [flag, program, *rest], stderr)


NO_SOURCE = MADE_UP + 'folders["/sys/class/powercap"] = []\n'
"""The same without counters."""
JETSON = (
    MADE_UP
    + """
files["/proc/device-tree/compatible"] = lambda: "nvidia,p3768-0000\\0nvidia,tegra234"
files["/var/lib/nvpmodel/status"] = lambda: "pmode:0002 fmode:quiet"
files["/etc/nvpmodel.conf"] = lambda: "< POWER_MODEL ID=2 NAME=15W >"
files["/sys/class/devfreq/17000000.gpu/min_freq"] = lambda: 306000000
files["/sys/class/devfreq/17000000.gpu/max_freq"] = lambda: 612000000
folders["/sys/class/devfreq"] = ["17000000.gpu"]
"""
)
"""The same as a Jetson in a small power mode, with a GPU whose clock floats."""
