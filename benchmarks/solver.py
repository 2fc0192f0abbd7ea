"""How long exact solving takes on the ProxylessNAS space (2.2e17 networks).

Latencies are made up but of realistic size (rising with computation, each block off by up to 30 %). Two kinds
of scores: `concave` like accuracies, and `macs`, almost proportional to the costs, which makes fronts long.
Beside it, from their own publications: PONAS "around 10 seconds" per specialised network (README),
Once-for-All 9.84 s by evolution (issue 40 of its repository).

    python benchmarks/solver.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np

from ponas_core.complexity import complexity
from ponas_core.cost import CostTable, Limit
from ponas_core.solve import ScoreRows, best, k_best, pareto_front
from ponas_core.space_file import shipped_space


def instance(kind: str, seed: int) -> tuple[ScoreRows, CostTable]:
    """Scores and latencies of one made-up device."""
    rng = np.random.default_rng(seed)
    macs = complexity(shipped_space("proxyless"), "macs")
    latency = tuple(row / 4e7 * rng.uniform(0.8, 1.3, row.size) + 0.02 * (row > 0) for row in macs.rows)
    if kind == "macs":
        return tuple(row / 1e6 for row in macs.rows), CostTable("latency_ms", 0.5, latency)
    scores = tuple(np.sqrt(row / 1e6) * rng.uniform(0.9, 1.1, row.size) for row in macs.rows)
    return scores, CostTable("latency_ms", 0.5, latency)


def median_ms(run: Callable[[], object], repeats: int) -> float:
    """Median duration of a call."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def measure(kind: str, repeats: int) -> dict[str, float | str]:
    """Durations for one kind of scores, over several made-up devices."""
    rows = []
    for seed in range(3):
        scores, cost = instance(kind, seed)
        front = pareto_front(scores, cost)
        low, high = front[0].costs["latency_ms"], front[-1].costs["latency_ms"]
        limit = Limit(cost, low + 0.45 * (high - low))
        free = Limit(CostTable("params", 0.0, cost.rows), 1e9)
        exact, program = best(scores, [limit]), best(scores, [limit, free])
        rows.append(
            {
                "one_budget_ms": median_ms(lambda s=scores, x=limit: best(s, [x]), repeats),  # type: ignore[misc] # bound now
                "eight_best_ms": median_ms(lambda s=scores, x=limit: k_best(s, [x], 8), repeats),  # type: ignore[misc] # bound now
                "front_ms": median_ms(lambda s=scores, c=cost: pareto_front(s, c), repeats),  # type: ignore[misc] # bound now
                "highs_ms": median_ms(lambda s=scores, x=[limit, free]: best(s, x), 3),  # type: ignore[misc] # bound now
                "front_size": float(len(front)),
                "score_minus_highs": exact.score - program.score,
            }
        )
    return {"scores": kind} | {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = [measure(kind, arguments.repeats) for kind in ("concave", "macs")]
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    columns = list(found[0])
    print("  ".join(f"{column:>17}" for column in columns))
    for row in found:
        print("  ".join(f"{v:>17.4g}" if isinstance(v, float) else f"{v:>17}" for v in row.values()))


if __name__ == "__main__":
    main()
