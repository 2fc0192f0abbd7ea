"""Budgets as people type them: `15ms`, `2mJ`, `300MMACs`, `5MB`, `60%`; and what they bind."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from hwprofile.errors import BadInput

Quantity: TypeAlias = Literal["latency_ms", "latency_share", "energy_mj", "macs", "params", "stored_bytes"]

_UNITS: dict[str, tuple[Quantity, int]] = {
    "us": ("latency_ms", -3),
    "µs": ("latency_ms", -3),
    "ms": ("latency_ms", 0),
    "s": ("latency_ms", 3),
    "%": ("latency_share", -2),
    "uj": ("energy_mj", -3),
    "µj": ("energy_mj", -3),
    "mj": ("energy_mj", 0),
    "j": ("energy_mj", 3),
    "kmacs": ("macs", 3),
    "mmacs": ("macs", 6),
    "gmacs": ("macs", 9),
    "mflops": ("macs", 6),
    "gflops": ("macs", 9),
    "kparams": ("params", 3),
    "mparams": ("params", 6),
    "kb": ("stored_bytes", 3),
    "mb": ("stored_bytes", 6),
}
"""What a unit is of, and the power of ten that it stands for."""
_EXACT_UNITS = {
    "latency_ms": "ms",
    "energy_mj": "mJ",
    "macs": "MMACs",
    "params": "Mparams",
    "stored_bytes": "MB",
}
_PATTERN = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|nan|[+-]?inf)\s*([A-Za-zµ%]*)\s*", re.IGNORECASE
)
EXAMPLES = "15ms, 800us, 2mJ, 300MMACs, 5MB, 60%"


@dataclass(frozen=True, slots=True)
class Budget:
    """An upper limit.

    Attributes:
        text: as typed.
        quantity: what is limited; `latency_share` is a share of the most accurate network's latency.
        at_most: the limit, in the unit that stands in the quantity's name.
    """

    text: str
    quantity: Quantity
    at_most: float

    @property
    def notice(self) -> str | None:
        """What a person should know about how the budget was read."""
        if self.text.lower().rstrip().endswith("flops"):
            return f"{self.text} is read as multiply-accumulates, which the field also calls FLOPs"
        return None


def parse_budget(text: str) -> Budget:
    """Read a budget.

    Raises:
        BadInput: no number, no unit, an unknown unit, or a number that is no limit.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise BadInput(f"budget {text!r} is not a number with a unit; write for example {EXAMPLES}")
    number, unit = float(match[1]), match[2].lower()
    if not unit:
        raise BadInput(f"budget {text!r} needs a unit: {match[1]}ms? Write for example {EXAMPLES}")
    if match[2] == "MJ":  # other units are read in any case, but nobody means megajoules
        raise BadInput(f"budget {text!r} is in megajoules; millijoules are mJ. Write for example {EXAMPLES}")
    if unit not in _UNITS:
        raise BadInput(f"budget {text!r} has an unknown unit; write for example {EXAMPLES}")
    if not math.isfinite(number) or number <= 0:
        raise BadInput(f"budget {text!r} is not a positive number; write for example {EXAMPLES}")
    quantity, power = _UNITS[unit]
    return Budget(text.strip(), quantity, _shifted(match[1], power))


def _shifted(number: str, power: int) -> float:
    """A finite number in text times a power of ten, rounded once: `7.71328` and 6 is 7713280 exactly."""
    mantissa, _, exponent = number.lower().partition("e")
    return float(f"{mantissa}e{int(exponent or 0) + power}")


def exactly(quantity: str, value: float) -> str:
    """A value with its unit and all of its digits: as a budget it is read back as this very value."""
    unit = _EXACT_UNITS[quantity]
    _, power = _UNITS[unit.lower()]
    digits = Decimal(repr(float(value))).scaleb(-power)
    # an integer is written without a point
    return f"{digits.normalize() if digits else 0:f} {unit}"


def in_words(quantity: str, value: float) -> str:
    """A value with a unit that a person would choose."""
    if quantity == "latency_ms":
        unit, scale = ("us", 1e3) if value < 0.1 else ("ms", 1.0) if value < 1e4 else ("s", 1e-3)
        return f"{value * scale:.4g} {unit}"
    if quantity == "energy_mj":
        unit, scale = ("uJ", 1e3) if value < 0.1 else ("mJ", 1.0) if value < 1e4 else ("J", 1e-3)
        return f"{value * scale:.4g} {unit}"
    if quantity == "macs":
        return f"{value / 1e6:.4g} MMACs"
    if quantity == "params":
        return f"{value / 1e6:.4g} Mparams"
    return f"{value / 1e6:.4g} MB"
