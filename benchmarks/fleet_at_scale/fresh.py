"""What real code costs in a fresh process: seconds of its processor, and memory at its peak (Linux).

Seconds are those of the processor that the process used (`process_time`): others who use the same machine
move them far less than what a clock on the wall shows. Memory is what the peak of the step lies above the
resident memory before it.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 900
KIB = 1024
PAGE_BYTES, TICK_S = os.sysconf("SC_PAGE_SIZE"), 1 / os.sysconf("SC_CLK_TCK")
"""The least that memory, and a process's time, is told by; less is told as this."""


class Watch:
    """Costs of named steps; `with watch("load"):` around each.

    Attributes:
        costs: NAME_s and NAME_bytes of every step; a step that is watched several times adds up its seconds.
    """

    def __init__(self) -> None:
        self.costs: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Watch one step."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
        before, started = resident_bytes(os.getpid()), time.process_time()
        yield
        seconds = time.process_time() - started
        peak = resident_bytes(os.getpid(), "VmHWM")
        self.costs[f"{name}_s"] = self.costs.get(f"{name}_s", 0.0) + seconds
        self.costs[f"{name}_bytes"] = max(
            self.costs.get(f"{name}_bytes", 0.0), float(peak - before), PAGE_BYTES
        )


def resident_bytes(process: int, field: str = "VmRSS") -> int:
    """Resident memory of a process, or its peak (`VmHWM`)."""
    lines = Path(f"/proc/{process}/status").read_text("ascii").splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith(f"{field}:")]
    return int(found) * KIB


def processor_s(process: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def costs_of(task: str, repeats: int = 1, **arguments: object) -> Mapping[str, float]:
    """Costs of a task in fresh processes, the least of each over the repeats.

    Args:
        task: module:function, as `benchmarks.fleet_at_scale.profiles:life`; it is given a Watch first.
        repeats: how many processes.
        arguments: further ones, JSON values.

    Raises:
        CalledProcessError: the task failed; its own error is on stderr.
    """
    found = [_run(task, arguments) for _ in range(repeats)]
    return {name: min(one[name] for one in found) for name in found[0]}


def _run(task: str, arguments: Mapping[str, object]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.fleet_at_scale.fresh", task, json.dumps(arguments)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    # one thread: sums of processor time would depend on how many wait for each other
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=True
    )
    costs: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return costs


def main(arguments: Sequence[str]) -> None:
    """Do one task here, and print what it cost."""
    module, _, function = arguments[0].partition(":")
    watch = Watch()
    getattr(importlib.import_module(module), function)(watch, **json.loads(arguments[1]))
    print(json.dumps(watch.costs))


if __name__ == "__main__":
    main(sys.argv[1:])
