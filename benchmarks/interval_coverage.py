"""How often does a 95 % interval of the median over processes hold the truth? A simulation.

A graph's latency differs from process to process (memory layout) by a few per cent; a process's own median
is known almost exactly. Given n process medians, which interval should a profile state? Compared: order
statistics of the median (what `devices.statistics.interval` does), the percentile bootstrap of the median,
and Student's t around the mean of the logarithms.

    python benchmarks/interval_coverage.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from devices.statistics import interval

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def _normal(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    return rng.normal(0.0, 0.015, size)


def _outliers(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """One process in ten is 3 to 8 % slower."""
    slow = (rng.random(size) < 0.1) * rng.uniform(0.03, 0.08, size)
    return _normal(rng, size) + np.asarray(slow, np.float64)


def _two_levels(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Layout falls into one of two levels 3 % apart."""
    return np.asarray(rng.normal(0.0, 0.004, size) + 0.03 * (rng.random(size) < 0.5), np.float64)


WORLDS: dict[str, Draw] = {"normal 1.5 %": _normal, "10 % outliers": _outliers, "two levels": _two_levels}


def bootstrap(logs: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    picks = rng.integers(logs.shape[1], size=(400, logs.shape[1]))
    medians = np.median(logs[:, picks], axis=2)
    low, high = np.percentile(medians, [2.5, 97.5], axis=1)
    return low, high


def student(logs: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    del rng
    n = logs.shape[1]
    half = stdtrit(n - 1, 0.975) * logs.std(axis=1, ddof=1) / np.sqrt(n)
    return logs.mean(axis=1) - half, logs.mean(axis=1) + half


def order(logs: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    del rng
    ends = np.array([interval(row)[1:] for row in np.exp(logs).tolist()])
    return np.log(ends[:, 0]), np.log(ends[:, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"{'processes differ by':<20}{'n':>3}{'interval':>12}{'of median':>11}{'of mean':>9}{'half':>12}")
    for world, draw in WORLDS.items():
        truth = draw(rng, (1, 1_000_000))
        for n in (5, 7, 9, 12):
            logs = draw(rng, (arguments.trials, n))
            for name, method in (("order", order), ("bootstrap", bootstrap), ("student", student)):
                low, high = method(logs, rng)
                shares = [
                    float(np.mean((low <= centre) & (centre <= high)))
                    for centre in (np.median(truth), truth.mean())
                ]
                width = float(np.mean(high - low)) / 2
                print(f"{world:<20}{n:>3}{name:>12}{shares[0]:>11.1%}{shares[1]:>9.1%}{width:>12.2%}")


if __name__ == "__main__":
    main()
