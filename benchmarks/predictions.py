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
import pytest

from devices.catalog import device
from devices.settings import Settings
from hwprofile.bench import device_header
from hwprofile.latency import SpaceLatency
from ponas_core.space_file import shipped_space
from predictors.estimators.gaussian_process import GroupedGaussianProcess
from tests.benchmarks.published import fbnet, rows
from tests.hwprofile.made_up import write_made_up_profile

SPACE = "proxyless"
DEVICE = "silver_4114"
BACKGROUND = 2000


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
    """Learning from published networks; nothing where they are absent."""
    try:
        networks = fbnet()[:count]
        latency_ms = {row["idx"]: float(row[DEVICE]) for row in rows("fbnet_latency.csv.gz")}
    except pytest.skip.Exception:
        return {}
    space, rng = shipped_space("fbnet"), np.random.default_rng(0)
    described = space.describe([architecture for architecture, _ in networks])
    background = space.describe([space.sample(rng) for _ in range(BACKGROUND)])
    names = list(dict.fromkeys(described.groups))
    model = GroupedGaussianProcess(
        [names.index(group) for group in described.groups],
        background.values,
        {names.index(group): covariance for group, covariance in described.alike.items()},
    )
    times_ms = [latency_ms[row["idx"]] for _, row in networks]
    return {f"fit to {len(networks)} networks": seconds(lambda: model.fit(described.values, times_ms))}


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
