"""The sum: 1,000 devices, 100 spaces, 10^9 samples; and which limit is met first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.fleet_at_scale.made_up import GRAPHS, ROUNDS, SAMPLES
from benchmarks.fleet_at_scale.slopes import Series
from hwprofile.fleet.bench import ROUND_S
from hwprofile.profile_lines import LARGEST_FILE_BYTES

DEVICES, SPACES = 1_000, 100
PROFILES = DEVICES * SPACES
IN_A_PROFILE = GRAPHS * ROUNDS * SAMPLES
TASKS = PROFILES * ROUNDS
PAYLOAD_BYTES = 10_000_000
"""About what the graphs of a round of `proxyless` are as ONNX."""
MEMORY_BYTES = 16e9
"""Of a machine on which limits are looked at."""
LOOK_UPS = 2
"""Of a bench: a finished profile, and an unfinished one."""
BY_ROUNDS = "samples, by rounds"


@dataclass(frozen=True, slots=True)
class Sum:
    """A cost of everything.

    Attributes:
        what: in words.
        one: what one costs.
        total: what all cost.
        unit: `s` or `bytes`.
        basis: where that comes from.
    """

    what: str
    one: float
    total: float
    unit: str
    basis: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit and where it is met.

    Attributes:
        what: the limit.
        where: in words, where it is met.
        used: how much of it 1,000 devices and 10^9 samples use; above 1 it breaks.
        basis: where that comes from.
    """

    what: str
    where: str
    used: float
    basis: str


class Costs:
    """Measured series, asked by their names."""

    def __init__(self, series: Sequence[Series]) -> None:
        self._series = {(one.what, one.unit, one.against): one for one in series}

    def near(self, what: str, unit: str, against: str, size: float) -> float:
        """Cost at the measured size that is nearest."""
        found = self._series[what, unit, against]
        return min(zip(found.sizes, found.costs, strict=True), key=lambda pair: abs(pair[0] - size))[1]

    def at(self, what: str, unit: str, against: str, size: float) -> tuple[float, str]:
        """Cost at a size by the law of the series, and words on what that rests on."""
        law = self._series[what, unit, against].law
        how = f"extrapolated {size / law.largest:.2g}-fold" if size > law.largest else "by its law"
        return law.at(size), f"{how}, slope {law.slope:.2f}, ×÷ {law.factor_at(size):.2f}"

    def size_at(self, what: str, unit: str, against: str, cost: float) -> tuple[float, str]:
        """The size at which a cost is reached by the law of the series, and the same words."""
        law = self._series[what, unit, against].law
        size = law.centre * math.exp(math.log(cost / law.scale) / law.slope)
        return size, self.at(what, unit, against, size)[1]


def sums(costs: Costs) -> Iterator[Sum]:
    """What 1,000 devices and 100 spaces cost, one profile of some 10^4 samples each."""
    measured = f"measured at {IN_A_PROFILE} samples, × {PROFILES}"
    for what, unit in (
        ("profile, file", "bytes"), ("profile, write", "s"), ("profile, load", "s"), ("profile, judge", "s"),
        ("profile, medians of all graphs", "s"),
    ):  # fmt: skip
        one = costs.near(what, unit, BY_ROUNDS, IN_A_PROFILE)
        yield Sum(what, one, one * PROFILES, unit, measured)
    one, basis = costs.at("profile, load", "bytes", BY_ROUNDS, IN_A_PROFILE)
    yield Sum("profile, all held in memory at once", one, one * PROFILES, "bytes", basis)
    one, basis = costs.at("loop of a bench", "s", BY_ROUNDS, IN_A_PROFILE)
    yield Sum("loop of a bench, writing included", one, one * PROFILES, "s", basis)
    one = costs.near("find the profiles of a device and space", "s", "files", PROFILES)
    yield Sum(f"find a profile, × {LOOK_UPS}", one, one * PROFILES * LOOK_UPS, "s", "measured, most files")
    one = costs.near("fit, table of a space", "s", "rounds", ROUNDS)
    yield Sum("fit, table of a space", one, one * PROFILES, "s", f"measured, × {PROFILES}")
    for who in ("scheduler", "client"):
        one, basis = costs.at(f"fleet's {who}, a round", "s", "boards", DEVICES)
        yield Sum(f"fleet's {who}, {TASKS} rounds", one, one * TASKS, "s", basis)


def limits(costs: Costs) -> list[Limit]:
    """Limits, the one that is exceeded most at the top.

    Rates are those of one processor that does nothing else.
    """
    memory = f"{MEMORY_BYTES / 1e9:.0f} GB"
    found = []
    for who in ("scheduler", "client"):
        one, basis = costs.at(f"fleet's {who}, a round", "s", "boards", DEVICES)
        found.append(
            Limit(
                f"one processor of the fleet's {who}, {DEVICES} boards and rounds of {ROUND_S:.0f} s",
                f"{1 / one:.0f} rounds a second, so rounds of {one * DEVICES:.0f} s from all boards",
                one * DEVICES / ROUND_S,
                basis,
            )
        )
    one, basis = costs.at("fleet's scheduler, memory", "bytes", "boards", DEVICES)
    found.append(
        Limit(
            f"memory of the fleet's scheduler ({memory}), {DEVICES} boards",
            f"{one / 1e9:.2g} GB",
            one / MEMORY_BYTES,
            basis,
        )
    )
    one = costs.near("scheduler, a waiting task", "bytes", "bytes a task", PAYLOAD_BYTES)
    found.append(
        Limit(
            f"scheduler's {memory}, if {ROUNDS} rounds a board of {PAYLOAD_BYTES / 1e6:.0f} MB each waited",
            f"at {MEMORY_BYTES / one:.0f} rounds that wait",
            one * DEVICES * ROUNDS / MEMORY_BYTES,
            f"{one / 1e6:.1f} MB a waiting task, measured",
        )
    )
    for what, unit, most, words in (
        ("profile, load", "bytes", MEMORY_BYTES, f"memory to load one profile ({memory})"),
        ("profile, file", "bytes", float(LARGEST_FILE_BYTES), "largest file that is read (1 GB)"),
    ):
        size, basis = costs.size_at(what, unit, BY_ROUNDS, most)
        found.append(Limit(words, f"at {size:.2g} samples in one profile", IN_A_PROFILE / size, basis))
    return sorted(found, key=lambda limit: -limit.used)
