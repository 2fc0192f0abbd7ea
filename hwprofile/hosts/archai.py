"""Archai: evaluators whose answers are **seconds**, as its own latency evaluators answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hwprofile.errors import UserError
from hwprofile.hosts.latency_of_ops import LatencyOfOps, median_ms

if TYPE_CHECKING:
    from archai.discrete_search.api import ArchaiModel, ModelEvaluator
MS_PER_S = 1000
Method = TypeVar("Method", bound=Callable[..., float])


def latency_evaluator(latency: LatencyOfOps) -> ModelEvaluator:
    """Predicted latency in **seconds** of models whose `archid` is a network of a space.

    An `archid` is op indexes (`2,2,1`), block strings, or the name of a network; another one is a UserError.
    """
    from archai.discrete_search.api import ModelEvaluator

    class LatencyEvaluator(ModelEvaluator):
        """Latency of a network of a space."""

        @_overriding
        def evaluate(self, arch: ArchaiModel, budget: float | None = None) -> float:
            """Predicted latency, seconds; `budget` is a share of the work, and there is none to share."""
            try:
                ops = latency.space.parse(arch.archid).ops
            except ValueError as error:
                raise UserError(f"no network of {latency.space.name}: {error}") from error
            return median_ms(latency, ops) / MS_PER_S

    return LatencyEvaluator()


def module_evaluator(profile: Path, example_inputs: Sequence[Any]) -> ModelEvaluator:
    """Predicted latency in **seconds** of models whose `arch` is a `torch.nn.Module`.

    Args:
        profile: of kernels (`hwprofile bench --kernels`).
        example_inputs: the arguments of the module's `forward`.
    """
    from archai.discrete_search.api import ModelEvaluator

    from hwprofile.hosts.torch_models import ModuleLatency

    latency = ModuleLatency.from_profile(profile)

    class ModuleEvaluator(ModelEvaluator):
        """Latency of a torch module."""

        @_overriding
        def evaluate(self, arch: ArchaiModel, budget: float | None = None) -> float:
            """Predicted latency, seconds; a lower bound where operators have no model."""
            return latency.predict(arch.arch, example_inputs).median_ms / MS_PER_S

    return ModuleEvaluator()


def _overriding(method: Method) -> Method:
    """Mark a method as `overrides` does: Archai refuses a class without the mark.

    The release of `overrides` that Archai pins finds base classes in the bytecode of modules only.
    """
    method.__override__ = True  # type: ignore[attr-defined]  # a mark on a function
    return method
