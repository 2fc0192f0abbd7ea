"""hwprofile: how long does every candidate block take on my device, and which network holds my budget?

`import hwprofile as hw` has the names of `hwprofile.api`, which is imported when one of them is asked for.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwprofile.api import *  # noqa: F403  # what `__getattr__` gives

ROOMS = ("devices", "predictors", "ponas_core")
API = (
    "bench",
    "bench_blocks",
    "bench_kernels",
    "device",
    "latency_model",
    "load_profile",
    "pareto",
    "predict_onnx",
    "space",
    "specialize",
    "validate",
    "Architecture",
    "BudgetInfeasible",
    "Device",
    "DeviceUnreachable",
    "Front",
    "Latency",
    "LatencyModel",
    "LayerTable",
    "Profile",
    "Result",
    "SearchSpace",
    "UserError",
    "Validation",
)
"""The stable names; a test holds them against `hwprofile.api`."""


def _check_rooms() -> None:
    """Refuse to run with a stranger's package under the name of one of our rooms."""
    here = Path(__file__).resolve().parent.parent
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        places = list(spec.submodule_search_locations or []) if spec else []
        found = Path(places[0]).resolve() if places else Path(spec.origin or "?") if spec else None
        if found != here / room:
            raise ImportError(
                f"hwprofile needs its own package {room!r}, but Python finds {found or 'none'}: "
                f"rename that folder or file, or run from another folder (expected {here / room})"
            )


_check_rooms()


class _Package(ModuleType):
    """This package, in which a module of ours (`hwprofile.bench`) never takes the place of a stable name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in API and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name not in API:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from hwprofile import api

        return getattr(api, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *API})


sys.modules[__name__].__class__ = _Package
