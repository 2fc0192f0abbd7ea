"""What a fleet costs, and whether it measures what a computer measures of itself.

    python -m benchmarks.fleet_bench cost [--repeats 3] [--space proxyless]
    python -m benchmarks.fleet_bench agreement [--space proxyless] [--rounds 8]

`cost`: the same bench here and on a fleet of one board (a real Dask scheduler and worker on this computer),
in turn; prints the ratio of their wall times. `agreement`: two boards, each on a processor of its own, and
this computer on the same two, in turn; prints how many graphs agree within their intervals, and by how much
the medians differ. Both start processes of their own and end them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from devices.statistics import interval
from hwprofile.display import table
from hwprofile.profile import Profile
from tests.hwprofile.fleet.dask_cluster import DaskCluster

LARGEST_RATIO = 1.3
WIDE = "90"
"""Precision in per cent that every graph reaches: so both benches take the same number of rounds."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["cost", "agreement"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--space", default="proxyless")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.what == "cost":
            cost(Path(folder), options.space, options.repeats)
        else:
            agreement(Path(folder), options.space, options.rounds)


def bench(out: Path, space: str, rounds: int, more: Sequence[str], processor: int | None = None) -> float:
    """Bench a space into a file as a user does; seconds."""
    command = [sys.executable, "-m", "hwprofile", "bench", "--space", space, "--rounds", str(rounds)]
    pinned = [] if processor is None else ["taskset", "-c", str(processor)]
    started = time.monotonic()
    subprocess.run(
        [*pinned, *command, "--precision", WIDE, "--out", str(out), "-q", *more],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "HWPROFILE_HOME": str(out.parent / "home")},
    )
    return time.monotonic() - started


def cost(folder: Path, space: str, repeats: int) -> None:
    rows, ratios, by_visit = [], [], []
    with DaskCluster(folder) as cluster:
        cluster.add_worker("one", {"hwprofile-cpu": 1})
        cluster.ready()
        for number in range(repeats):
            here = bench(folder / f"here{number}.jsonl", space, 5, [])
            there = bench(folder / f"there{number}.jsonl", space, 5, ["--fleet", cluster.address])
            profiles = [Profile.load(folder / f"{where}{number}.jsonl") for where in ("here", "there")]
            visits = [sum(map(len, profile.visits.values())) for profile in profiles]
            ratios.append(there / here)
            by_visit.append(there / visits[1] / (here / visits[0]))
            rows.append(
                [
                    f"{here:.1f} s",
                    f"{there:.1f} s",
                    *map(str, visits),
                    f"{ratios[-1]:.3f}",
                    f"{by_visit[-1]:.3f}",
                ]
            )
    header = ["here", "fleet of one", "visits here", "visits there", "ratio", "ratio by visit"]
    print(table(header, rows, left=0))
    middle, visit = float(np.median(ratios)), float(np.median(by_visit))
    print(f"\n{space}: a fleet of one takes {middle:.2f} times as long (at most {LARGEST_RATIO} is wanted),")
    print(f"by visit, as benches stop after more rounds or fewer: {visit:.2f} times")


def agreement(folder: Path, space: str, rounds: int) -> None:
    """Two boards for half of the rounds each; this computer for the other half, on each processor in turn."""
    with DaskCluster(folder) as cluster:
        for processor in range(2):
            prefix = ("taskset", "-c", str(processor))
            cluster.add_worker(f"board{processor}", {"hwprofile-cpu": 1}, prefix=prefix)
        cluster.ready()
        bench(folder / "fleet.jsonl", space, rounds, ["--fleet", cluster.address])
    for processor in range(2):
        bench(folder / f"here{processor}.jsonl", space, max(2, rounds // 2), [], processor)
    fleet, *here = (Profile.load(folder / f"{name}.jsonl") for name in ("fleet", "here0", "here1"))
    ratios, inside, closer = {}, [], []
    for name in fleet.names:
        local = [ms for profile in here if name in profile.visits for ms in profile.process_ms(name).values()]
        if not local:
            continue  # each bench picks networks of its own
        found = fleet.summary(name)
        median, low, high = interval(local)
        ratios[name] = found.median_ms / median
        inside.append(found.low_ms <= high and low <= found.high_ms)
        _, own_low, own_high = interval(list(fleet.process_ms(name).values()))
        closer.append(own_low <= high and low <= own_high)
    spread = fleet.board_spread
    print(f"{space}: {len(ratios)} graphs on a fleet of {', '.join(fleet.boards)}, and here")
    print(f"intervals that meet: {sum(inside)} of {len(inside)}; without what boards add: {sum(closer)}")
    quantiles = np.quantile(list(ratios.values()), [0.05, 0.5, 0.95])
    print("fleet / here: median {1:.3f}, 90 % of the graphs within {0:.3f} to {2:.3f}".format(*quantiles))
    levels = ", ".join(f"{board} {level:+.1%}" for board, level in spread.levels.items())
    print(f"boards against their middle: {levels}; that adds ±{spread.half_width:.1%} to every interval")


if __name__ == "__main__":
    main()
