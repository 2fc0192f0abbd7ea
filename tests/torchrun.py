"""Processes that the real `torchrun` starts on this computer, and what kills them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ponas_core.network_weights import WeightsFile

ROOT = Path(__file__).parents[1]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
END_S = 900


def several(count: int, module: str, *arguments: object) -> list[str]:
    """The command line of so many processes."""
    return [*TORCHRUN, "--standalone", "--nproc-per-node", str(count), "-m", module, *map(str, arguments)]


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end, which is a good one; what was printed."""
    output, errors = process.communicate(timeout=END_S)
    assert process.returncode == 0, errors
    return output


def workers(agent: int) -> list[int]:
    """The processes that `torchrun` has started, in the order of their ranks."""
    return [int(child) for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split()]


@contextmanager
def begun(command: Sequence[str], file: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that has left a state of its training in a file, and trains on; it is killed then."""
    with start(command) as process:
        until(lambda: file.exists() or process.poll() is not None)
        yield process
    about = WeightsFile.load(file).about
    assert 0 < about["step"] < about["steps"]  # it was killed on the way


def kill_all(process: subprocess.Popen[str]) -> None:
    """A process and what it has started, at once."""
    for number in (process.pid, *workers(process.pid)):
        os.kill(number, signal.SIGKILL)
    process.communicate(timeout=END_S)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + END_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
