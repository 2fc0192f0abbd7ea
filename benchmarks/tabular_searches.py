"""What searches find in published tables, at a fixed number of evaluations; every method, many seeds.

    python -m benchmarks.tabular_searches cells            # NAS-Bench-201, 105 evaluations, 200 seeds
    python -m benchmarks.tabular_searches cells-budgets    # ... under latency budgets of published devices
    python -m benchmarks.tabular_searches macro            # NAS-Bench-Macro, 50 and 100, with MACs budgets
    python -m benchmarks.tabular_searches ddpnas           # NAS-Bench-201, at what DDPNAS itself costs

Cells are searched by their validation accuracy after 12 epochs and judged by their test accuracy after 200,
as in Dong and Yang (ICLR 2020): so an evaluation is cheap, and not quite what is wanted. NAS-Bench-Macro is
searched by one training seed and judged by the mean of three, which has its own noise of 0.15 points. Equal
seeds give equal results. Every run is checked: no more evaluations than allowed, no budget broken, whatever
was evaluated. Differences between methods are paired by seed, with the standard error of their mean.

Settings of the table-guided search (share of random networks, drawing tables, traits of cells) were chosen
on these same tables; those of the others are published ones. `HWPROFILE_TEST_DATA` is where the tables lie.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.published import rows
from hwprofile.display import table
from ponas_core.accuracies import KnownAccuracies
from ponas_core.cell_space import CELL_SPACES, OpSpace
from ponas_core.evaluation import Ledger, TabularEvaluator
from ponas_core.searches.candidates import ListedCandidates
from ponas_core.searches.ddpnas import Ddpnas
from ponas_core.searches.interface import Search
from ponas_core.searches.methods import METHODS
from ponas_core.space_file import shipped_space

Floats = NDArray[np.float64]
SETS = {"c10": "CIFAR-10", "c100": "CIFAR-100"}
EVALUATIONS = 105
DDPNAS_COSTS = (42, 112)
"""Evaluations that DDPNAS takes for a cell, with three and with eight samplings a round."""
MACRO_BUDGETS = [float(mmacs) for mmacs in range(35, 90, 5)]
ROUNDING_MS = 1e-9
"""Published budgets are written with five decimals, latencies with as many digits as they have."""


@dataclass(frozen=True, eq=False)
class Table:
    """A table of accuracies to search in.

    Attributes:
        space: the space.
        ops: (networks, places) op indexes.
        signals: what searches see, one of these by seed.
        truth: what they are judged by, per cent.
    """

    space: OpSpace
    ops: NDArray[np.intp]
    signals: Sequence[Floats]
    truth: Floats

    @cached_property
    def everything(self) -> ListedCandidates:
        """All networks."""
        return ListedCandidates(self.space, self.ops)

    def under(self, costs: Floats, limit: float) -> ListedCandidates:
        """The networks that hold a budget; those without a cost are none."""
        there = np.isfinite(costs)
        return ListedCandidates.under(self.space, self.ops[there], costs[there], limit, "cost")

    @cached_property
    def place(self) -> dict[tuple[int, ...], int]:
        """Row of every network."""
        return {tuple(ops): row for row, ops in enumerate(self.ops.tolist())}

    @cached_property
    def known(self) -> list[KnownAccuracies]:
        """Every signal by network."""
        return [
            KnownAccuracies(dict(zip(self.place, signal.tolist(), strict=True)), "published")
            for signal in self.signals
        ]

    def found(self, search: Search, candidates: ListedCandidates, evaluations: int, seed: int) -> float:
        """True accuracy of what a search finds, checked that it kept to its evaluations and the budget."""
        ledger = Ledger(TabularEvaluator(self.known[seed % len(self.known)]), most=evaluations)
        ops = search.run(candidates, ledger, np.random.default_rng(seed)).ops
        assert ledger.evaluations <= evaluations
        assert all(candidates.holds(asked.ops) for asked, _ in ledger.history)
        assert candidates.holds(ops)
        return float(self.truth[self.place[ops]])


@cache
def cells() -> dict[str, Table]:
    """NAS-Bench-201 on each data set."""
    edges = ("e01", "e02", "e12", "e03", "e13", "e23")
    found = rows("nb201_acc.csv.gz")
    ops = np.array([[int(row[edge]) for edge in edges] for row in found], np.intp)

    def column(name: str) -> Floats:
        return np.array([float(row[name]) for row in found])

    space = CELL_SPACES["nasbench201"]
    return {data: Table(space, ops, [column(f"{data}_val12")], column(f"{data}_test200")) for data in SETS}


@cache
def cell_latencies() -> dict[str, Floats]:
    """Latency in ms of every cell by device, nan where it was not measured."""
    found = rows("nb201_latency.csv.gz")
    devices = [name for name in found[0] if name != "idx"]
    return {name: np.array([float(row[name] or "nan") for row in found]) for name in devices}


@cache
def macro() -> tuple[Table, Floats]:
    """NAS-Bench-Macro, and the multiply-accumulates of its networks in millions."""
    found = rows("nbmacro.csv.gz")
    ops = np.array([[int(op) for op in row["arch"]] for row in found], np.intp)
    signals = [np.array([float(row[f"acc{seed}"]) for row in found]) for seed in range(3)]
    truth = np.array([float(row["acc_mean"]) for row in found])
    mmacs = np.array([float(row["flops"]) / 1e6 for row in found])
    return Table(shipped_space("nasbench-macro"), ops, signals, truth), mmacs


Run = Callable[[Search, int], list[float]]
"""What a search finds in one seed, one number a column."""


def on_cells(evaluations: int, search: Search, seed: int) -> list[float]:
    """True accuracy of what is found, on every data set."""
    return [one.found(search, one.everything, evaluations, seed) for one in cells().values()]


def on_cells_with_budgets(evaluations: int, search: Search, seed: int) -> list[float]:
    """Mean regret over devices and budgets, on every data set, in points."""
    regrets: dict[str, list[float]] = {data: [] for data in SETS}
    for row in rows("nb201_optimum_public.csv"):
        one, limit = cells()[row["dataset"]], float(row["budget_ms"]) + ROUNDING_MS
        candidates = one.under(cell_latencies()[row["device"]], limit)
        regrets[row["dataset"]].append(
            float(row["opt_test"]) - one.found(search, candidates, evaluations, seed)
        )
    return [float(np.mean(values)) for values in regrets.values()]


def on_macro(search: Search, seed: int) -> list[float]:
    """Regret in points with 50 and 100 evaluations, and with 100 its mean over MACs budgets."""
    one, mmacs = macro()
    best = one.truth.max()
    free = [best - one.found(search, one.everything, count, seed) for count in (50, 100)]
    limited = [
        one.truth[mmacs <= budget].max() - one.found(search, one.under(mmacs, budget), 100, seed)
        for budget in MACRO_BUDGETS
    ]
    return [*free, float(np.mean(limited))]


def over_seeds(run: Run, searches: dict[str, Search], seeds: int, jobs: int) -> dict[str, Floats]:
    """What every search finds: name to (seeds, columns)."""
    with multiprocessing.Pool(jobs) as pool:
        return {
            name: np.array(pool.map(partial(run, search), range(seeds), chunksize=1))
            for name, search in searches.items()
        }


def told(found: dict[str, Floats], columns: Sequence[str], against: str, better: int) -> str:
    """A table: mean and standard deviation over seeds, and how much better than another, paired by seed."""
    lines = []
    for name, values in found.items():
        line = [name]
        for column in range(len(columns)):
            line.append(f"{values[:, column].mean():.3f} ± {values[:, column].std(ddof=1):.3f}")
            gain = better * (values[:, column] - found[against][:, column])
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            line.append("" if name == against else f"{gain.mean():+.3f} ± {error:.3f}")
        lines.append(line)
    heads = [head for column in columns for head in (column, f"better than {against}")]
    return table(["search", *heads], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["cells", "cells-budgets", "macro", "ddpnas"])
    parser.add_argument("--seeds", type=int, help="default: 200; with budgets 20, each over all of them")
    parser.add_argument("--evaluations", type=int, default=EVALUATIONS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--against", default="evolution", choices=list(METHODS))
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    names = list(dict.fromkeys([options.against, *options.methods]))
    searches = {name: METHODS[name]() for name in names}
    sets = list(SETS.values())
    runs: dict[str, tuple[Run, list[str], int, int]] = {
        "cells": (partial(on_cells, options.evaluations), [f"{name}, test %" for name in sets], 1, 200),
        "cells-budgets": (
            partial(on_cells_with_budgets, options.evaluations),
            [f"{name}, regret" for name in sets],
            -1,
            20,
        ),
        "macro": (on_macro, ["50 free, regret", "100 free, regret", "100 with budgets, regret"], -1, 200),
    }
    if options.what == "ddpnas":
        for evaluations in DDPNAS_COSTS:
            rivals: dict[str, Search] = {"random": METHODS["random"](), **ddpnas_ways()}
            print(f"\n{evaluations} evaluations")
            found = over_seeds(partial(on_cells, evaluations), rivals, options.seeds or 200, options.jobs)
            print(told(found, [f"{name}, test %" for name in sets], "random", 1), flush=True)
        return
    run, columns, better, seeds = runs[options.what]
    found = over_seeds(run, searches, options.seeds or seeds, options.jobs)
    print(told(found, columns, options.against, better))


def ddpnas_ways() -> dict[str, Search]:
    """DDPNAS by its published rules, and with what is better."""
    return {
        "ddpnas": Ddpnas(),
        "ddpnas, regression": Ddpnas(credit="regression"),
        "ddpnas, regression, 14 checked": Ddpnas(credit="regression", checked=14),
    }


if __name__ == "__main__":
    main()
