"""A new device from a few samples: every published device in turn is the new one, the others are known.

    python -m benchmarks.few_shot                     # both data sets, ten seeds
    python -m benchmarks.few_shot --data fbnet --seeds 2

Known devices: a Gaussian process fitted on 1,000 networks of each. On the new one, 10 or 20 networks are
measured: suggested ones (of 2,000 that a seed draws) beside random ones of the same pool. A new device
never knows itself; `no siblings` also leaves out what shares its name up to the last `_` (1080ti_1 and
1080ti_32, silver_4114 and silver_4210r).

What counts: networks that nobody learned from (see `benchmarks.published`), the middle 80 % of them by
latency; Spearman's correlation there as a share of that of a ridge regression on 3,000 measured networks of
the device. `better`: suggested networks beside random ones of the same device and seed.
"""

from __future__ import annotations

import argparse
import multiprocessing
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from benchmarks.published import described, features, published
from hwprofile.display import table
from predictors.metrics import accuracy, spearman
from predictors.suggestion import suggest

SPACES = ("fbnet", "nasbench201")
COUNTS, CANDIDATES, RIDGE_ROWS = (10, 20), 2000, 3000
ONE_HOT = {"fbnet": "layers", "nasbench201": "edges"}
"""The group of features with one column for each choice."""
MIDDLE = (0.1, 0.9)
SOURCES = ("all others", "no siblings", "none")
Indexes = NDArray[np.intp]


class Row(NamedTuple):
    """One fit on a few networks of a device."""

    data: str
    device: str
    sources: str
    chosen: str
    networks: int
    seed: int
    share_of_ridge: float
    within_10: float


def sources_of(name: str, device: str, kind: str) -> list[str]:
    """Devices that are known while this one is new."""
    family = {other: other.rsplit("_", 1)[0] for other in published(name).latency_ms}
    if kind == "none":
        return []
    return [
        other
        for other in family
        if other != device and (kind == "all others" or family[other] != family[device])
    ]


def ridge_spearman(name: str, device: str, middle: Indexes) -> float:
    """What a ridge regression on 3,000 networks reaches."""
    all_networks, _ = features(name)
    one_hot = all_networks.values[:, [group == ONE_HOT[name] for group in all_networks.groups]]
    learned, measured_ms = (
        published(name).split(device, 0)[0][:RIDGE_ROWS],
        published(name).latency_ms[device],
    )
    ridge = RidgeCV(np.logspace(-4, 4, 17)).fit(one_hot[learned], measured_ms[learned])
    return spearman(ridge.predict(one_hot[middle]), measured_ms[middle])


def measure(task: tuple[str, str, int]) -> list[Row]:
    """All fits on a new device."""
    name, device, seeds = task
    measured_ms = published(name).latency_ms[device]
    pool, tested = published(name).split(device, 0)
    low, high = np.quantile(measured_ms[tested], MIDDLE)
    middle = tested[(low <= measured_ms[tested]) & (measured_ms[tested] <= high)]
    ridge = ridge_spearman(name, device, middle)
    rows = []
    for kind in SOURCES:
        description, rows_of_all = described(name, sources_of(name, device, kind))
        model = description.unfitted("gp", "none")
        prior = model.prior_rows(rows_of_all[pool])
        for seed in range(seeds):
            draw = np.random.default_rng(seed).permutation(len(pool))
            candidates = np.random.default_rng(seed).choice(len(pool), CANDIDATES, replace=False)
            suggested = candidates[suggest(prior[candidates], max(COUNTS))]
            order = {"suggested": suggested, "random": draw}
            for (chosen, indexes), count in product(order.items(), COUNTS):
                few = pool[indexes[:count]]
                predicted_ms = model.fit(rows_of_all[few], measured_ms[few]).predict(rows_of_all[middle])
                found = accuracy(predicted_ms, measured_ms[middle])
                rows.append(
                    Row(name, device, kind, chosen, count, seed, found.spearman / ridge, found.within_10)
                )
    return rows


def by_setting(rows: list[Row]) -> str:
    """Means over devices and seeds, and the device with the smallest."""
    lines = []
    for kind, count in product(SOURCES, COUNTS):
        these = [row for row in rows if (row.sources, row.networks) == (kind, count)]
        share = {(row.device, row.chosen, row.seed): row.share_of_ridge for row in these}
        pairs = [
            share[device, "suggested", seed] > share[device, "random", seed] for device, _, seed in share
        ]
        for chosen in ("suggested", "random"):
            devices: dict[str, list[float]] = {}
            for row in these:
                if row.chosen == chosen:
                    devices.setdefault(row.device, []).append(row.share_of_ridge)
            means = {device: float(np.mean(shares)) for device, shares in devices.items()}
            worst = min(means, key=lambda device: means[device])
            spread = float(np.mean([np.std(shares) for shares in devices.values()]))
            within = float(np.mean([row.within_10 for row in these if row.chosen == chosen]))
            lines.append(
                [
                    kind, str(count), chosen, f"{np.mean(list(means.values())):.3f}", f"{spread:.3f}",
                    f"{means[worst]:.3f} ({worst})", f"{100 * within:.1f}",
                    f"{100 * np.mean(pairs):.0f} %" if chosen == "suggested" else "",
                ]
            )  # fmt: skip
    head = [
        "known devices",
        "K",
        "networks",
        "of ridge's",
        "between seeds",
        "worst device",
        "±10 %",
        "better",
    ]
    return table(head, lines)


def main() -> None:
    """Print one table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    for name in given.data:
        described(name, list(published(name).latency_ms))  # before the processes fork
        tasks = [(name, device, given.seeds) for device in published(name).quiet()]
        with multiprocessing.get_context("fork").Pool(given.processes) as workers:
            rows = [row for rows in workers.imap_unordered(measure, tasks, 1) for row in rows]
        print(f"\n{name}, quiet devices ({', '.join(published(name).quiet())}), {given.seeds} seeds")
        print(by_setting(rows), flush=True)


if __name__ == "__main__":
    main()
