"""pymoo's NSGA-II on score and latency, with a latency budget as its constraint.

    pip install pymoo
    hwprofile bench --space cifar-tiny --out mine.profile.jsonl
    python examples/hosts/pymoo_search.py mine.profile.jsonl 0.2     # milliseconds

Multiply-accumulates stand in for accuracy here: put your own score in their place.
"""

import sys

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize

from hwprofile.catalog import scores_named
from hwprofile.hosts.latency_of_ops import LatencyBudget, latency_of
from hwprofile.hosts.pymoo import latency_problem


def main(file: str, budget_ms: float) -> None:
    """Search, and print the front."""
    latency = latency_of(file)
    score = scores_named(latency.space, "macs").table
    problem = latency_problem(latency, lambda ops: -score.total(ops), LatencyBudget(latency, budget_ms))
    algorithm = NSGA2(
        pop_size=40,
        sampling=IntegerRandomSampling(),
        crossover=SBX(vtype=float, repair=RoundingRepair()),
        mutation=PM(vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    found = minimize(problem, algorithm, ("n_gen", 15), seed=0)
    for ops, (_, latency_ms) in zip(np.atleast_2d(found.X), np.atleast_2d(found.F), strict=True):
        sys.stdout.write(f"front {latency.space.architecture(ops.astype(int))} {latency_ms:.9g} ms\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
