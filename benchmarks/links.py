"""Are the same blocks as fast over SSH as they are when this computer measures itself?

    python benchmarks/links.py [--processes 12] [--space cifar-tiny] [--blocks 12]

Starts an SSH server of its own on the loopback interface, times the same blocks in fresh processes locally
and over SSH in turn, and prints the ratio of the medians of each block with its interval, and that of all
blocks together. A link changes what surrounds a process (another parent, a server that wakes up), and nothing
else: the two must agree within 2 %.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from devices.agent_device import AgentDevice
from devices.links.local import LocalLink
from devices.measurement import Graph
from devices.rounds import Round
from devices.settings import Settings
from devices.statistics import visit_ms
from hwprofile.catalog import default_table, space_named
from hwprofile.display import table
from hwprofile.subjects import SpaceSubject
from tests.devices.ssh_server import ssh_server

LARGEST_DIFFERENCE = 0.02
RESAMPLES = 4000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=12)
    parser.add_argument("--space", default="cifar-tiny")
    parser.add_argument("--blocks", type=int, default=12)
    options = parser.parse_args()
    space = space_named(options.space)
    subject = SpaceSubject(space, default_table(space), options.space, 1, 0)
    names = list(subject.first())[: options.blocks]
    graphs = [subject.graph(name, "block") for name in names]
    with tempfile.TemporaryDirectory() as folder, ssh_server(Path(folder) / "sshd") as server:
        devices = {
            "local": AgentDevice("cpu", LocalLink(), Settings()),
            "ssh": AgentDevice("board", server.link(), Settings()),
        }
        times = measured(devices, graphs, subject.reference(), options.processes)
    report(times)


def measured(
    devices: Mapping[str, AgentDevice], graphs: Sequence[Graph], reference: Graph, processes: int
) -> dict[str, dict[str, list[float]]]:
    """One median a process for every graph over every link, milliseconds; the links take turns."""
    rng = np.random.default_rng(0)
    times: dict[str, dict[str, list[float]]] = {link: {} for link in devices}
    for number in range(processes):
        for link in rng.permutation(list(devices)):
            for reading in Round(devices[link], graphs, reference, rng, number).readings():
                if not reading.is_reference and reading.visit is not None:
                    times[link].setdefault(reading.graph, []).append(visit_ms(reading.visit))
    return times


def report(times: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    rng = np.random.default_rng(1)
    rows, logs = [], []
    for name, local in times["local"].items():
        middle, low, high = ratio(times["ssh"][name], local, rng)
        rows.append([name, f"{np.median(local):.4f} ms", f"{middle:.4f}", f"{low:.4f} to {high:.4f}"])
        logs.append(np.log(np.array(times["ssh"][name])) - np.log(np.array(local)))
    print(table(["block", "local", "ssh / local", "95 % interval"], rows))
    by_process = np.median(np.array(logs), axis=0)  # blocks of one process move together
    draws = np.median(rng.choice(by_process, (RESAMPLES, len(by_process))), axis=1)
    middle, low, high = np.exp([np.median(by_process), *np.quantile(draws, [0.025, 0.975])])
    print(f"\nall blocks, over {len(by_process)} pairs of processes: {middle:.4f} ({low:.4f} to {high:.4f})")
    print(
        "agree" if abs(middle - 1) <= LARGEST_DIFFERENCE else "DO NOT AGREE",
        f"within {LARGEST_DIFFERENCE:.0%}",
    )


def ratio(
    one: Sequence[float], other: Sequence[float], rng: np.random.Generator
) -> tuple[float, float, float]:
    """Ratio of two medians with its 95 % interval, by resampling processes."""
    draws = [np.median(rng.choice(values, (RESAMPLES, len(values))), axis=1) for values in (one, other)]
    low, high = np.quantile(draws[0] / draws[1], [0.025, 0.975])
    return float(np.median(one) / np.median(other)), float(low), float(high)


if __name__ == "__main__":
    main()
