"""NNI 3: a profiler of its model spaces, in milliseconds, whose expectation NNI differentiates.

The choices of the model space have our names of layers as labels and our block strings as values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from hwprofile.errors import UserError
from hwprofile.hosts.latency_of_ops import LatencyOfOps, choices_of
from ponas_core.cost import CostTable

if TYPE_CHECKING:
    from nni.nas.profiler import ExpressionProfiler


class AdditiveLatency(LatencyOfOps, Protocol):
    """A latency model that is a sum over layers, as NNI's expressions are."""

    @property
    def cost(self) -> CostTable:
        """What every layer's op adds, and what every network costs besides, ms."""


def latency_profiler(model_space: Any, latency: AdditiveLatency) -> ExpressionProfiler:
    """A profiler whose `profile(sample)` is the predicted latency of a sample, milliseconds.

    Args:
        model_space: NNI's; its mutables are looked up by label.
        latency: the latency model; what NNI evaluates is its additive cost.

    Raises:
        UserError: the model space has no choice with a layer's label, or one that offers other blocks.
    """
    from nni.mutable import MutableExpression
    from nni.nas.profiler import ExpressionProfiler

    known = model_space.simplify()
    expression: Any = latency.cost.fixed
    for (layer, blocks), row in zip(choices_of(latency.space).items(), latency.cost.rows, strict=True):
        if layer not in known:
            raise UserError(
                f"the model space has no choice labelled {layer}, a layer of {latency.space.name}"
            )
        costs = dict(zip(blocks, row.tolist(), strict=True))
        strange = [value for value in known[layer].values if value not in costs]
        if strange:
            raise UserError(f"{layer} offers {strange[0]!r}, which it lacks; it has {', '.join(blocks)}")
        cases = {value: costs[value] for value in known[layer].values}
        expression = expression + MutableExpression.switch_case(known[layer], cases)
    profiler = ExpressionProfiler(model_space)
    profiler.expression = expression
    return profiler
