"""How long predictions take: a million networks from the table, and learning from hundreds of networks.

    python benchmarks/predictions.py

The table is that of a made-up profile of proxyless, the networks are random. `op indexes`: from an array to
latencies and intervals. `hwprofile predict`: the whole command, from a CSV file to a CSV file. `fit`: a
Gaussian process on networks of FBNet as HELP measured them on one device, its intervals included; left out
where the published table is absent.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.published import published
from devices.catalog import device
from devices.settings import Settings
from hwprofile.description import Description
from hwprofile.latency import SpaceLatency
from hwprofile.matching import device_header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile

SPACE = "proxyless"
DEVICE = "silver_4114"


def seconds(run: Callable[[], object]) -> float:
    """How long a call takes."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def table_seconds(networks: int, folder: Path) -> dict[str, float]:
    """Predictions from an array, and by the command from a file."""
    space, rng = shipped_space(SPACE), np.random.default_rng(0)
    header = device_header(device("cpu", Settings()), space.name, SPACE)
    profile = write_made_up_profile(folder / "made_up.profile.jsonl", space, header)
    ops = np.column_stack([rng.integers(len(layer.blocks), size=networks) for layer in space.layers])
    latency, source = SpaceLatency.from_profile(profile, space), folder / "networks.csv"
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch"])
        writer.writerows([",".join(map(str, row))] for row in ops.tolist())
    command = [sys.executable, "-m", "hwprofile", "predict", "--space", SPACE, "--quiet"]
    command += ["--profile", str(profile.path), "--networks", str(source), "--out", str(folder / "out.csv")]
    return {
        f"{networks} predictions from op indexes": seconds(lambda: latency.predict_ops(ops)),
        f"{networks} predictions by hwprofile predict": seconds(lambda: subprocess.run(command, check=True)),
    }


def fit_seconds(count: int) -> dict[str, float]:
    """Learning from published networks, held-out ones and all; nothing where they are absent."""
    try:
        data = published("fbnet")
    except FileNotFoundError:
        return {}
    description = Description.of(data.space, 0)
    rows, latencies_ms = description.rows(data.networks[:count]), data.latency_ms[DEVICE][:count]
    model = description.unfitted("gp")
    return {f"fit to {count} networks": seconds(lambda: model.fit(rows, latencies_ms))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=1_000_000)
    parser.add_argument("--learned", type=int, default=900)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = table_seconds(arguments.networks, Path(folder))
    for name, value in (found | fit_seconds(arguments.learned)).items():
        print(f"{name:<45} {value:8.2f} s")


if __name__ == "__main__":
    main()
