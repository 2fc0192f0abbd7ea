"""What an adapter needs of a latency model: a space, and the latencies of its networks, in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hwprofile.catalog import space_named
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.tables.device import PREFIX, TableDevice, TableLatency
from hwprofile.tables.values import Floats
from ponas_core.space import SearchSpace


class LatencyOfOps(Protocol):
    """Latencies of the networks of a space: a profile's (`SpaceLatency`), or a table's (`TableLatency`)."""

    @property
    def space(self) -> SearchSpace:
        """The space."""

    def predict_ops(self, ops: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Latencies (networks,) and 95 % intervals (networks, 2) of op indexes (networks, layers), ms."""


def latency_of(file: Path | str, space: str | None = None) -> LatencyOfOps:
    """The latency model of a file.

    Args:
        file: a profile of a space, or `table:FILE`, a published table.
        space: name or file of the space; None for the one that the profile names. A table names none.

    Raises:
        UserError: the file is unusable, lacks a block, or is of another space.
    """
    if str(file).startswith(PREFIX):
        if space is None:
            raise UserError(f"{file} names no space: say which, for example space='proxyless'")
        device = TableDevice.from_file(Path(str(file).removeprefix(PREFIX)))
        return TableLatency(device.table(space_named(space)))
    profile = Profile.load(Path(file))
    known = space or profile.header.space
    if known is None:
        raise UserError(
            f"{file} holds {profile.header.subject}, and adapters need the blocks of a space: "
            "hwprofile bench --space SPACE"
        )
    return SpaceLatency.from_profile(profile, space_named(known))


def ops_of(space: SearchSpace, choice: Mapping[str, object]) -> tuple[int, ...]:
    """Op indexes of what a host chose: a block string for every layer, by the layer's name.

    Raises:
        UserError: a layer is missing, or lacks the block.
    """
    ops = []
    for layer in space.layers:
        if layer.name not in choice:
            raise UserError(f"no block is chosen for {layer.name}, a layer of {space.name}")
        blocks, chosen = list(map(str, layer.blocks)), str(choice[layer.name])
        if chosen not in blocks:
            raise UserError(f"{layer.name} has no {chosen}; it has {', '.join(blocks)}")
        ops.append(blocks.index(chosen))
    return tuple(ops)


def choices_of(space: SearchSpace) -> dict[str, list[str]]:
    """The block strings of every layer, by the layer's name: what a host chooses from."""
    return {layer.name: list(map(str, layer.blocks)) for layer in space.layers}


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """A latency limit, as hosts ask for it: by how much a network is over.

    Attributes:
        latency: the latency model.
        budget_ms: the limit.
        surely: whether the upper end of the 95 % interval must hold it, rather than the prediction.
    """

    latency: LatencyOfOps
    budget_ms: float
    surely: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError unless the budget is a positive number."""
        if not 0 < self.budget_ms < float("inf"):
            raise ValueError(f"a budget is a positive number of milliseconds, got {self.budget_ms}")

    def over_ms(self, ops: Sequence[int]) -> float:
        """Milliseconds above the budget; negative or 0 where the network holds it."""
        median, (_, high) = median_and_interval_ms(self.latency, ops)
        return (high if self.surely else median) - self.budget_ms


def median_and_interval_ms(latency: LatencyOfOps, ops: Sequence[int]) -> tuple[float, tuple[float, float]]:
    """Predicted latency of one network and its 95 % interval, ms; UserError for no network of the space."""
    try:
        checked = latency.space.architecture(ops).ops
    except (ValueError, TypeError) as error:
        raise UserError(f"no network of {latency.space.name}: {error}") from error
    medians, intervals = latency.predict_ops(np.array([checked], np.intp))
    return float(medians[0]), (float(intervals[0, 0]), float(intervals[0, 1]))


def median_ms(latency: LatencyOfOps, ops: Sequence[int]) -> float:
    """Predicted latency of one network, ms; UserError for no network of the space."""
    return median_and_interval_ms(latency, ops)[0]
