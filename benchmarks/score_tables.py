"""Score tables filled from few evaluations of whole networks, on the published accuracies of NAS-Bench-Macro.

    python -m benchmarks.score_tables                     # everything, 40 seeds: two minutes on two cores
    python -m benchmarks.score_tables --seeds 10 --signals 0.15 1.0

A table is filled from a noisy signal and judged by the truth, the mean accuracy of three training seeds:
Spearman's correlation over the 3,969 distinct networks, and regret, in points, of the network chosen under
each of 14 limits of 35 to 100 million multiply-accumulates to the best one there: mean (worst) over limits
and seeds.

Signals: `none`, the truth; `one seed`, the accuracy of one training seed (of three in turn), verified on
another one; `0.15`, `0.5`, `1.0`, the truth with Gaussian noise of so many points, verified with independent
noise. Chosen by: greedy descents (`benchmarks.baselines`), the exact solver, the best observed of the exact
solver's top 8 distinct networks, and the same shrunk towards the table (`ponas_core.verification`); the last
takes the table's error from networks left out where the table was fitted, else from 24 further evaluations.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import (
    fixed_ridge,
    least_loss,
    least_loss_per_cost,
    one_hot,
    progressive_with_own_contexts,
)
from hwprofile.display import table as aligned
from ponas_core.accuracies import KnownAccuracies, accuracies_from_csv, published_accuracies
from ponas_core.complexity import complexity
from ponas_core.cost import Limit
from ponas_core.evaluation import Evaluator, TabularEvaluator
from ponas_core.held_out import Residuals, residuals_of, spearman
from ponas_core.sampling import Band, random_sample
from ponas_core.score_table import ScoreTable, log_error
from ponas_core.solve import best
from ponas_core.space_file import shipped_space
from ponas_core.table_estimation import largest_network, middle_network, one_change_table, progressive_table
from ponas_core.table_fit import fitted_estimate
from ponas_core.verification import verify

RESULTS = Path(__file__).parent / "results" / "score_tables.jsonl"
SPACE = shipped_space("nasbench-macro")
MACS = complexity(SPACE, "macs")
LIMITS = [Limit(MACS, mmacs * 1e6) for mmacs in np.linspace(35, 100, 14)]
BAND = Band(MACS, 30e6)
"""From just below the smallest limit."""
CONTEXTS, HELD_OUT, VERIFIED = 6, 24, 8
SEED_SD = 0.15
"""Mean standard deviation between the published training seeds."""
SIGNALS = ("none", "one seed", "0.15", "0.5", "1.0")
CHOICES = ("least loss", "loss per MAC", "exact", "verify 8", "shrunk 8")

Method = Callable[[Evaluator, np.random.Generator], ScoreTable]
METHODS: dict[str, Method] = {
    "progressive, own contexts": lambda evaluator, rng: progressive_with_own_contexts(
        SPACE, evaluator, rng, CONTEXTS
    ),
    "progressive": lambda evaluator, rng: progressive_table(SPACE, evaluator, rng, contexts=CONTEXTS),
    "one change, largest": lambda evaluator, rng: one_change_table(SPACE, evaluator, largest_network(SPACE)),
    "one change, middle": lambda evaluator, rng: one_change_table(SPACE, evaluator, middle_network(SPACE)),
    "ridge 0.2 towards 0": lambda evaluator, rng: fixed_ridge(SPACE, evaluator, rng, 96),
    "fitted, 48": lambda evaluator, rng: fitted_estimate(SPACE, evaluator, rng, 48),
    "fitted, 96": lambda evaluator, rng: fitted_estimate(SPACE, evaluator, rng, 96),
    "fitted, 96 above 30 M": lambda evaluator, rng: fitted_estimate(SPACE, evaluator, rng, 96, bands=[BAND]),
}


class Truth(NamedTuple):
    """Published accuracies, mean and by training seed.

    Attributes:
        known: of all networks, the mean.
        by_seed: of all networks, one training seed each.
        distinct: (3969, entries) one-hot rows of one spelling of every network.
        accuracy: (3969,) theirs.
        best: the best accuracy within each limit.
    """

    known: KnownAccuracies
    by_seed: list[KnownAccuracies]
    distinct: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    best: list[float]


@cache
def truth() -> Truth:
    known = published_accuracies(SPACE)
    assert known is not None
    packed = resources.files("ponas_core.data").joinpath("nasbench-macro.csv.gz").read_bytes()
    text = gzip.decompress(packed).decode()
    columns = [accuracies_from_csv(SPACE, text, f"acc{n}", f"training seed {n}") for n in range(3)]
    one_spelling = {architecture.keys: architecture for architecture in SPACE.enumerate()}
    networks = list(one_spelling.values())
    best_within = [max(known.values[ops] for ops in known.values if limit.holds(ops)) for limit in LIMITS]
    accuracy = np.array([known.values[network.ops] for network in networks])
    return Truth(known, columns, one_hot(SPACE, networks), accuracy, best_within)


def signal(name: str, seed: int) -> tuple[Evaluator, Evaluator, float]:
    """What fills the table, what verifies, and the noise of both in points."""
    if name == "none":
        return TabularEvaluator(truth().known), TabularEvaluator(truth().known), 0.0
    if name == "one seed":
        fill, check = (TabularEvaluator(truth().by_seed[(seed + other) % 3]) for other in (0, 1))
        return fill, check, SEED_SD
    noise_sd = float(name)
    fill, check = (TabularEvaluator(truth().known, noise_sd, 2 * seed + other) for other in (0, 1))
    return fill, check, noise_sd


def table_sd(table: ScoreTable, evaluator: Evaluator, noise_sd: float, seed: int) -> float:
    """How far the table is off, by networks that did not fill it."""
    if "left_out" in table.provenance:
        return residuals_of(table).table_sd(noise_sd)
    networks = random_sample(SPACE, np.random.default_rng([seed, 1]), HELD_OUT)
    predicted = np.array([table.total(network.ops) for network in networks])
    observed = log_error([evaluator.accuracy(network) for network in networks])
    return Residuals.of(predicted, observed).table_sd(noise_sd)


def measure(task: tuple[str, str, int]) -> dict[str, Any]:
    """Fill one table and choose from it under every limit."""
    name, method, seed = task
    fill, check, noise_sd = signal(name, seed)
    table = METHODS[method](fill, np.random.default_rng(seed))
    table.check(SPACE)
    error = table_sd(table, fill, noise_sd, seed)
    regrets: dict[str, list[float]] = {choice: [] for choice in CHOICES}
    for limit, highest in zip(LIMITS, truth().best, strict=True):
        found = verify(SPACE, table, [limit], check, noise_sd=noise_sd, count=VERIFIED, table_sd=error)
        chosen = {
            "least loss": least_loss(table.rows, limit),
            "loss per MAC": least_loss_per_cost(table.rows, limit),
            "exact": best(table.rows, [limit]).choices,
            "verify 8": max(found.candidates, key=lambda candidate: candidate.observed).architecture.ops,
            "shrunk 8": found.chosen.architecture.ops,
        }
        for choice, ops in chosen.items():
            regrets[choice].append(highest - truth().known.values[ops])
    ranked = spearman(truth().distinct @ np.concatenate(table.rows), truth().accuracy)
    return {
        "signal": name, "table": method, "seed": seed, "spearman": ranked,
        "evaluations": table.provenance["evaluations"], "regrets": regrets,
    }  # fmt: skip


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """One line for each signal and table: means over seeds; regrets over limits too, with the worst."""
    lines = []
    for name, method in product(SIGNALS, METHODS):
        these = [row for row in rows if (row["signal"], row["table"]) == (name, method)]
        if not these:
            continue
        regrets = {choice: np.array([row["regrets"][choice] for row in these]) for choice in CHOICES}
        lines.append(
            [
                name, method, f"{np.mean([row['evaluations'] for row in these]):.0f}",
                f"{np.mean([row['spearman'] for row in these]):.3f}",
                *(f"{found.mean():.3f} ({found.max():.2f})" for found in regrets.values()),
            ]
        )  # fmt: skip
    return aligned(["noise", "table", "evaluations", "Spearman", *CHOICES], lines, left=2)


def main() -> None:
    """Print the table and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--signals", nargs="+", choices=SIGNALS, default=list(SIGNALS))
    parser.add_argument("--tables", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    truth()  # before the processes fork
    tasks = list(product(given.signals, given.tables, range(given.seeds)))
    with multiprocessing.get_context("fork").Pool(given.processes) as workers:
        rows = list(workers.imap_unordered(measure, tasks, 4))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    print(summary(rows))


if __name__ == "__main__":
    main()
