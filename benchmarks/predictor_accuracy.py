"""Every model x every published data set x how many networks were measured: how good, how sure, how quick.

    python -m benchmarks.predictor_accuracy                      # everything, five seeds; results are kept
    python -m benchmarks.predictor_accuracy --data fbnet --sizes 20 100 --seeds 2
    python -m benchmarks.predictor_accuracy --data fbnet --sizes 100 --models "gp, others known"
    python -m benchmarks.predictor_accuracy --tables             # only the tables, from what was kept

FBNet and Once-for-All train on rows 0-2999 and are tested on the last 1,000. NAS-Bench-201 is split by class
of isomorphic cells, connected cells only, and tested on 3,000 cells of the other half of the classes. `ridge,
all` is a ridge regression on every training row, one seed: about the ceiling that a device's noise leaves.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.published import SPACES, described, published
from hwprofile.display import table
from predictors.estimators.gaussian_process import GroupedGaussianProcess
from predictors.estimators.ridge import PENALTIES
from predictors.metrics import accuracy, coverage

RESULTS = Path(__file__).parent / "results" / "predictors.jsonl"
MODELS, SIZES = ("gp", "ridge", "boosting", "forest"), (20, 100, 900)
ALL = "ridge, all"
KNOWN = "gp, others known"
"""With the data set's other devices as sources; only when asked for."""
MEASURES = ("spearman", "kendall", "mape", "within_5", "within_10", "coverage", "fit_s", "predict_us")
Task = tuple[str, str, int, str, int]
"""Data set, device, networks, model, seed."""


def measure(task: Task) -> dict[str, Any]:
    """Fit one model, and hold its predictions against measurements that it has not seen."""
    name, device, size, kind, seed = task
    latency_ms = published(name).latency_ms[device]
    others = [other for other in published(name).latency_ms if other != device]
    description, rows = described(name, others if kind == KNOWN else ())
    learned, tested = published(name).split(device, seed)
    learned = learned if kind == ALL else learned[:size]
    truth = latency_ms[tested]
    row = {"data": name, "device": device, "networks": size, "model": kind, "seed": seed}
    if kind == ALL:
        ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(rows[learned], latency_ms[learned])
        return row | _accuracy(ridge.predict(rows[tested]), truth)
    model = description.unfitted(kind.split(",")[0], seed=seed)
    started = time.perf_counter()
    model.fit(rows[learned], latency_ms[learned])
    fit_s = time.perf_counter() - started
    started = time.perf_counter()
    predicted = model.predict(rows[tested])
    microseconds = 1e6 * (time.perf_counter() - started) / len(tested)
    row |= _accuracy(predicted, truth) | {"fit_s": fit_s, "predict_us": microseconds}
    if kind == "gp":
        assert isinstance(model, GroupedGaussianProcess)
        jackknife = description.unfitted("gp", "cv+", seed).fit(rows[learned], latency_ms[learned])
        row |= _interval("cv+", jackknife.predict_interval(rows[tested]), predicted, truth)
        # of constant width: the same share of the errors where each network in turn is left out
        errors = np.sort(np.abs(model.left_out_ms_ - latency_ms[learned]))
        half = errors[min(int(np.ceil(0.95 * (len(errors) + 1))), len(errors)) - 1]
        row |= _interval("constant", np.column_stack([predicted - half, predicted + half]), predicted, truth)
    return row | _interval("", model.predict_interval(rows[tested]), predicted, truth)


def _accuracy(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> dict[str, float]:
    found = accuracy(predicted, truth)
    return {
        "spearman": found.spearman,
        "kendall": float(kendalltau(predicted, truth).statistic),
        "mape": found.mape,
        "within_5": found.within_5,
        "within_10": found.within_10,
    }


def _interval(
    name: str, interval_ms: NDArray[np.float64], predicted: NDArray[np.float64], truth: NDArray[np.float64]
) -> dict[str, float]:
    low, high = interval_ms.T
    covered, width = coverage(low, high, truth), float(np.median((high - low) / predicted))
    return {f"coverage_{name}".rstrip("_"): covered, f"width_{name}".rstrip("_"): width}


def tasks(names: Sequence[str], sizes: Sequence[int], models: Sequence[str], seeds: int) -> list[Task]:
    """What there is to measure; the model that is to be judged first."""
    columns = [(name, device) for name in names for device in published(name).latency_ms]
    ceilings: list[Task] = [(*column, max(SIZES), ALL, 0) for column in columns]
    return ceilings + [
        (*column, size, kind, seed)
        for kind in models
        for size in sizes
        for column in columns
        for seed in range(seeds)
    ]


def main() -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--models", nargs="+", choices=(*MODELS, KNOWN), default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--tables", action="store_true")
    given = parser.parse_args()
    rows = [json.loads(line) for line in given.out.read_text().splitlines()] if given.out.exists() else []
    had = {tuple(row[name] for name in ("data", "device", "networks", "model", "seed")) for row in rows}
    waiting = [task for task in tasks(given.data, given.sizes, given.models, given.seeds) if task not in had]
    if waiting and not given.tables:
        given.out.parent.mkdir(exist_ok=True)
        with multiprocessing.Pool(given.processes) as pool, given.out.open("a") as file:
            for number, row in enumerate(pool.imap_unordered(measure, waiting), start=1):
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                print(f"\r{number}/{len(waiting)}", end="", flush=True)
        print()
    rows = [row for row in rows if row["data"] in given.data]
    for name in given.data:
        print(f"\n{name}, quiet devices ({', '.join(published(name).quiet())})")
        print(
            by_model(
                [row for row in rows if row["data"] == name and row["device"] in published(name).quiet()]
            )
        )
        print(f"\n{name}, by device: Gaussian process beside the ceiling")
        print(by_device([row for row in rows if row["data"] == name]))
        print(f"\n{name}, 95 % intervals of the Gaussian process, all devices")
        print(by_interval([row for row in rows if row["data"] == name and row["model"] == "gp"]))


def _mean(rows: Sequence[dict[str, Any]], what: str) -> float:
    """Mean over devices of the mean over seeds."""
    devices = dict.fromkeys(row["device"] for row in rows)
    return float(
        np.mean([np.mean([row[what] for row in rows if row["device"] == device]) for device in devices])
    )


def by_model(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each model and number of networks."""
    lines = []
    for size, kind in dict.fromkeys((row["networks"], row["model"]) for row in rows):
        these = [row for row in rows if (row["networks"], row["model"]) == (size, kind)]
        shown = {"spearman": ".3f", "kendall": ".3f", "fit_s": ".2f", "predict_us": ".0f"}
        line = [kind, "all" if kind == ALL else str(size)]
        for what in (
            "spearman",
            "kendall",
            "mape",
            "within_5",
            "within_10",
            "coverage",
            "fit_s",
            "predict_us",
        ):
            known = [row for row in these if what in row]
            scale = 1 if what in shown else 100
            line.append(format(scale * _mean(known, what), shown.get(what, ".1f")) if known else "")
        lines.append(line)
    head = ["model", "N", "Spearman", "Kendall", "MAPE %", "±5 %", "±10 %", "covered %", "fit s", "us each"]
    return table(head, lines)


def by_device(rows: Sequence[dict[str, Any]]) -> str:
    """Spearman and ±10 % of the Gaussian process, ridge and the ceiling."""
    sizes = sorted({row["networks"] for row in rows})
    lines = []
    for device in dict.fromkeys(row["device"] for row in rows):
        line = [device]
        columns = [*(("gp", size) for size in sizes), *(("ridge", size) for size in sizes), (ALL, max(SIZES))]
        for kind, size in columns:
            these = [
                row for row in rows if (row["device"], row["model"], row["networks"]) == (device, kind, size)
            ]
            shown = f"{_mean(these, 'spearman'):.3f} / {100 * _mean(these, 'within_10'):.1f}" if these else ""
            line.append(shown)
        lines.append(line)
    heads = [f"{kind} {size}" for kind in ("gp", "ridge") for size in sizes]
    return table(["device", *heads, ALL], lines)


def by_interval(rows: Sequence[dict[str, Any]]) -> str:
    """Coverage: mean, and the device with the smallest; and median width, of three kinds of intervals."""
    lines = []
    for size in dict.fromkeys(row["networks"] for row in rows):
        these = [row for row in rows if row["networks"] == size]
        for kind, suffix in (("scaled", ""), ("CV+", "_cv+"), ("constant width", "_constant")):
            devices = {
                device: float(np.mean([row[f"coverage{suffix}"] for row in these if row["device"] == device]))
                for device in dict.fromkeys(row["device"] for row in these)
            }
            worst = min(devices, key=lambda device: devices[device])
            lines.append(
                [
                    str(size), kind, f"{100 * np.mean(list(devices.values())):.1f}",
                    f"{100 * devices[worst]:.1f} ({worst})", f"{100 * _mean(these, f'width{suffix}'):.1f}",
                ]
            )  # fmt: skip
    return table(["N", "interval", "covered %", "worst device", "median width %"], lines)


if __name__ == "__main__":
    main()
