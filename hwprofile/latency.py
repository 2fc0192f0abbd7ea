"""From a profile to a latency model of its space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from devices.statistics import group_ms, interval, widened
from hwprofile.errors import UserError
from hwprofile.profile import Profile
from ponas_core.closed_loop import Latency
from ponas_core.cost import CostTable
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import ALONE, INSIDE, CalibratedTable, Floats, MeasuredNetwork, chosen_table
from predictors.chain_table import ChainTable


@dataclass(frozen=True)
class SpaceLatency:
    """Latencies of the networks of a space, from a profile.

    Attributes:
        space: the space.
        blocks: what is known of each block, by its key.
        table: the calibrated table.
        held_out: mean absolute relative error on held-out networks of each table that was tried; empty where
            the profile has no times inside networks, and so no choice.
        cost: its corrected block latencies as an additive cost, what the solver sees.
        boards_half_width: what boards that differ add to every interval, relative.
    """

    space: SearchSpace
    blocks: Mapping[str, Mapping[str, float]]
    table: CalibratedTable
    held_out: Mapping[str, float]
    cost: CostTable
    boards_half_width: float = 0.0

    @classmethod
    def from_profile(cls, profile: Profile, space: SearchSpace) -> SpaceLatency:
        """Fit on the blocks and whole networks of a profile.

        Raises:
            UserError: the profile lacks a block of the space, or was measured on another space.
        """
        if profile.header.subject != space.name:
            raise UserError(
                f"{profile.path} holds {profile.header.subject}, not {space.name}: "
                f"give --space {profile.header.subject}, or another --profile"
            )
        measured = _block_ms(space, profile)
        inside = inside_ms(space, profile)
        blocks = {
            key: block_numbers(space, key, latency_ms) | ({INSIDE: inside[key]} if key in inside else {})
            for key, latency_ms in measured.items()
            if key in space.keyed_blocks
        }
        table, held_out = chosen_table(blocks, network_timings(profile, space))
        return cls(
            space,
            blocks,
            table,
            held_out,
            additive_cost(space, table.block_costs_.__getitem__, table.intercept_),
            profile.board_spread.half_width,
        )

    @property
    def measures(self) -> Sequence[str]:
        """Which latencies of a block the table uses."""
        return self.table.measures

    @property
    def process_sd(self) -> float:
        """Relative spread of a network's latency between processes."""
        return self.table.process_sd_

    def median_ms(self, architecture: Architecture) -> float:
        """Predicted latency of a network."""
        return self.predict([architecture])[0].median_ms

    def predict(self, architectures: Sequence[Architecture]) -> list[Latency]:
        """Predicted latencies with their 95 % intervals."""
        ops = np.array([architecture.ops for architecture in architectures], np.intp)
        medians, intervals = self.predict_ops(ops.reshape(-1, len(self.space.layers)))
        return [
            Latency(median, low, high)
            for median, (low, high) in zip(medians.tolist(), intervals.tolist(), strict=True)
        ]

    def predict_ops(self, ops: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Predicted latencies and 95 % intervals of very many networks, milliseconds.

        Args:
            ops: (networks, layers) op indexes.

        Returns:
            (networks,) and (networks, 2).

        Raises:
            ValueError: a wrong number of layers, or an op that a layer lacks.
        """
        medians, intervals = self._chain_table.predict_with_interval(ops)
        if not self.boards_half_width:
            return medians, intervals
        ends = widened(medians, intervals[:, 0], intervals[:, 1], self.boards_half_width)
        return medians, np.stack(ends, axis=1)

    @cached_property
    def _chain_table(self) -> ChainTable:
        fixed = [key for layer in self.space.fixed_layers if (key := layer.key(0)) is not None]
        layers = [[layer.key(op) for op in range(len(layer.blocks))] for layer in self.space.layers]
        return ChainTable(self.table, fixed, layers)


def measured_blocks(profile: Profile) -> list[str]:
    """Keys of the blocks with at least one successful measurement."""
    return [name for name in profile.of_kind("block") if profile.usable_visits(name)]


def block_numbers(space: SearchSpace, key: str, measured: float, measure: str = ALONE) -> dict[str, float]:
    """What a table knows of a block: what was measured of it, under the measure's name, and its sizes."""
    layer, op = space.keyed_blocks[key]
    recipe, place = layer.recipe(op), layer.place
    shape_out = recipe.output(place.shape_in)
    activations = place.shape_in.channels * place.shape_in.pixels + shape_out.channels * shape_out.pixels
    return {
        measure: measured,
        "blocks": 1.0,
        "weight_bytes": float(recipe.stored_bytes),
        "activation_bytes": 4.0 * activations,
    }


def inside_ms(space: SearchSpace, profile: Profile) -> dict[str, float]:
    """Latency of every block that was seen inside a running network: the median over places and processes."""
    from ponas_core.onnx_graph import layer_of

    seen: dict[str, list[float]] = {}
    for name in profile.insides:
        architecture = architecture_of(profile, space, name)
        keys = {layer.name: layer.key(op) for layer, op in architecture.chain}
        for times in profile.usable_insides(name):
            for layer, latency_ms in group_ms(times, layer_of).items():
                key = keys.get(layer)
                if key is not None:
                    seen.setdefault(key, []).append(latency_ms)
    return {key: interval(found)[0] for key, found in seen.items()}


def raw_cost(space: SearchSpace, profile: Profile) -> CostTable:
    """Latencies of the blocks alone as an additive cost, uncorrected."""
    return additive_cost(space, _block_ms(space, profile).__getitem__, 0.0)


def network_timings(profile: Profile, space: SearchSpace) -> list[MeasuredNetwork]:
    """The whole networks of a profile that were measured."""
    timings = []
    for name in profile.of_kind("network"):
        process_ms = tuple(profile.process_ms(name).values())
        if process_ms:
            timings.append(MeasuredNetwork(architecture_of(profile, space, name).keys, process_ms))
    return timings


def architecture_of(profile: Profile, space: SearchSpace, name: str) -> Architecture:
    """A network of a profile; UserError where the space lacks it."""
    try:
        return space.parse(name)
    except ValueError as error:
        raise UserError(
            f"{profile.path} holds the network {name}, which {space.name} lacks ({error}); "
            "the space was changed since: bench anew with --fresh"
        ) from error


def additive_cost(
    space: SearchSpace, block_cost: Callable[[str], float], fixed: float, name: str = "latency_ms"
) -> CostTable:
    """Costs of blocks by key as an additive cost; an identity leaves no operator, so it costs nothing."""

    def of(key: str | None) -> float:
        return 0.0 if key is None else block_cost(key)

    fixed += sum(of(layer.key(0)) for layer in space.fixed_layers)
    rows = tuple(np.array([of(layer.key(op)) for op in range(len(layer.blocks))]) for layer in space.layers)
    return CostTable(name, fixed, rows)


def _block_ms(space: SearchSpace, profile: Profile) -> dict[str, float]:
    """Latency of every measured block; UserError unless those of the space are among them."""
    measured = {name: profile.summary(name).median_ms for name in measured_blocks(profile)}
    missing = [key for key in space.keyed_blocks if key not in measured]
    if missing:
        errors = profile.errors.get(missing[0])
        why = f": {errors[-1]}" if errors else ""
        raise UserError(
            f"{profile.path} has no latency for {missing[0]}{why}"
            f"{f' and {len(missing) - 1} more blocks' if len(missing) > 1 else ''}; measure them: "
            f"hwprofile bench --space {profile.header.space or space.name} --fresh"
        )
    return measured
