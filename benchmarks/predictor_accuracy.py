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
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.published import SPACES, published
from hwprofile.description import Description, background_of, rows_of
from hwprofile.display import table
from ponas_core.features import Features
from predictors.estimators.gaussian_process import GroupedGaussianProcess
from predictors.estimators.ridge import PENALTIES
from predictors.metrics import accuracy, coverage
from predictors.sources import Sources

RESULTS = Path(__file__).parent / "results" / "predictors.jsonl"
MODELS, SIZES = ("gp", "ridge", "boosting", "forest"), (20, 100, 900)
ALL = "ridge, all"
KNOWN = "gp, others known"
"""With the data set's other devices as sources; only when asked for."""
MOST_KNOWN = 1000
MEASURES = ("spearman", "kendall", "mape", "within_5", "within_10", "coverage", "fit_s", "predict_us")
Task = tuple[str, str, int, str, int]
"""Data set, device, networks, model, seed."""


@cache
def features(name: str) -> tuple[Features, Features]:
    """Of all networks of a data set, and of networks that nobody measured."""
    data = published(name)
    return data.space.describe(data.networks), background_of(data.space, 0)


def measure(task: Task) -> dict[str, Any]:
    """Fit one model, and hold its predictions against measurements that it has not seen."""
    name, device, size, kind, seed = task
    described, background = features(name)
    latency_ms = published(name).latency_ms[device]
    learned, tested = published(name).split(device, seed)
    learned = learned if kind == ALL else learned[:size]
    truth = latency_ms[tested]
    row = {"data": name, "device": device, "networks": size, "model": kind, "seed": seed}
    if kind == ALL:
        ridge = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
        predicted = ridge.fit(described.values[learned], latency_ms[learned]).predict(
            described.values[tested]
        )
        return row | _accuracy(predicted, truth)
    # one fit with the members of CV+ gives both kinds of intervals
    sources = others(name, device) if kind == KNOWN else None
    description = Description(published(name).space, background, sources)
    rows = rows_of(described, sources)
    model = description.unfitted(kind.split(",")[0], "cv+" if kind == "gp" else "scaled", seed)
    started = time.perf_counter()
    model.fit(rows[learned], latency_ms[learned])
    fit_s = time.perf_counter() - started
    started = time.perf_counter()
    predicted = model.predict(rows[tested])
    microseconds = 1e6 * (time.perf_counter() - started) / len(tested)
    row |= _accuracy(predicted, truth) | {"fit_s": fit_s, "predict_us": microseconds}
    if isinstance(model, GroupedGaussianProcess) and model.interval_basis_ == "cv+":
        row |= _interval("cv+", model.predict_interval(rows[tested]), predicted, truth)
        model.interval_basis_ = "cross-validated"
        standard = model.posterior_.left_out_mean * model._sd_ms + model._mean_ms
        errors = np.sort(np.abs(standard - np.asarray(latency_ms[learned])))
        half = errors[min(int(np.ceil(0.95 * (len(errors) + 1))), len(errors)) - 1]
        row |= _interval("constant", np.column_stack([predicted - half, predicted + half]), predicted, truth)
    return row | _interval("", model.predict_interval(rows[tested]), predicted, truth)


@cache
def line(name: str, device: str) -> Any:
    """The Gaussian process of a device that many networks were measured on."""
    described, background = features(name)
    learned = published(name).split(device, 0)[0][:MOST_KNOWN]
    model = Description(published(name).space, background).unfitted("gp", "none")
    return model.fit(described.values[learned], published(name).latency_ms[device][learned])


def others(name: str, device: str) -> Sources:
    """All other devices of a data set."""
    return Sources.of([line(name, other) for other in published(name).latency_ms if other != device])


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
