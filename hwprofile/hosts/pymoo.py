"""pymoo: networks as integer vectors, their latency as an objective and as a constraint. Milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwprofile.hosts.latency_of_ops import LatencyBudget, LatencyOfOps, median_ms

if TYPE_CHECKING:
    from pymoo.core.problem import ElementwiseProblem


def latency_problem(
    latency: LatencyOfOps,
    loss: Callable[[tuple[int, ...]], float],
    budget: LatencyBudget | None = None,
) -> ElementwiseProblem:
    """A problem whose variables are the op indexes of the layers.

    Objectives are `loss` of the op indexes and the latency in milliseconds, both minimised; with a
    budget, the constraint `G` is the milliseconds above it. Use pymoo's operators for integers, with its
    `RoundingRepair`.
    """
    from pymoo.core.problem import ElementwiseProblem

    class LatencyProblem(ElementwiseProblem):
        """Loss and latency of a network."""

        def _evaluate(self, x: NDArray[np.integer], out: dict[str, Any], *_: Any, **__: Any) -> None:
            ops = tuple(int(op) for op in x)
            out["F"] = [loss(ops), median_ms(latency, ops)]
            if budget is not None:
                out["G"] = [budget.over_ms(ops)]

    counts = np.array(latency.space.op_counts)
    constraints = 0 if budget is None else 1
    return LatencyProblem(
        n_var=len(counts), n_obj=2, n_ieq_constr=constraints, xl=0 * counts, xu=counts - 1, vtype=int
    )
