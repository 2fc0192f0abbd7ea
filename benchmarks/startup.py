"""How long commands take from the start of the process, beside `import numpy, onnx`.

python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HWPROFILE = [sys.executable, "-m", "hwprofile"]


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out")
        specialize = [*HWPROFILE, "specialize", "--no-measure", "--out", out, "--budget", "60%"]
        commands = {
            "import numpy, onnx": [sys.executable, "-c", "import numpy, onnx"],
            "hwprofile --help": [*HWPROFILE, "--help"],
            "specialize --no-measure, cifar-tiny, trained": specialize,
            "specialize --no-measure, nasbench-macro": [*specialize, "--space", "nasbench-macro"],
            "specialize --no-measure, proxyless": [*specialize, "--space", "proxyless", "--scores", "macs"],
        }
        for space in ("cifar-tiny", "nasbench-macro", "proxyless"):
            subprocess.run([*HWPROFILE, "bench", "--space", space], check=True, capture_output=True)
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(arguments.repeats):  # in turn, so that a drift of the machine meets all alike
            for name, command in commands.items():
                times[name].append(seconds(command))
    base = statistics.median(times["import numpy, onnx"])
    print(f"{'':<42}{'median':>9}{'least':>9}{'most':>9}{'ratio':>8}")
    for name, found in times.items():
        middle = statistics.median(found)
        print(f"{name:<42}{middle:>7.3f} s{min(found):>7.3f} s{max(found):>7.3f} s{middle / base:>8.2f}")


if __name__ == "__main__":
    main()
