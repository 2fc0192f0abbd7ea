"""From a profile to a latency model of its space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.statistics import visit_ms
from hwprofile.errors import UserError
from hwprofile.profile import Profile
from hwprofile.subjects import cost_from_blocks
from ponas_core.closed_loop import Latency
from ponas_core.cost import CostTable
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import CalibratedTable, NetworkTiming


@dataclass(frozen=True)
class SpaceLatency:
    """Latencies of the networks of a space, from a profile.

    Attributes:
        space: the space.
        table: the calibrated table.
        sums: plain sums of the blocks as an additive cost, the solver's currency.
    """

    space: SearchSpace
    table: CalibratedTable
    sums: CostTable

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
        block_ms = {
            name: profile.summary(name).median_ms
            for name in profile.of_kind("block")
            if profile.usable_visits(name)
        }
        sums = cost_from_blocks(space, block_ms)
        return cls(space, CalibratedTable().fit(block_ms, network_timings(profile, space)), sums)

    @property
    def process_sd(self) -> float:
        """Relative spread of a network's latency between processes."""
        return self.table.process_sd_

    def median_ms(self, architecture: Architecture) -> float:
        """Predicted latency of a network."""
        return self.predict([architecture])[0].median_ms

    def predict(self, architectures: Sequence[Architecture]) -> list[Latency]:
        """Predicted latencies with their 95 % intervals."""
        if not architectures:
            return []
        ops = np.array([architecture.ops for architecture in architectures])
        median, half = self.table.predict(self.sums.totals(ops))
        return [
            Latency(float(middle), float(middle / (1 + width)), float(middle * (1 + width)))
            for middle, width in zip(median, half, strict=True)
        ]

    def corrected_ms(self, sums_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predicted latencies from plain sums."""
        return self.table.corrected_ms(sums_ms)

    def largest_sum_ms(self, limit_ms: float) -> float:
        """The solver's limit on the plain sum for a limit on the predicted latency."""
        return self.table.largest_sum_ms(limit_ms)


def network_timings(profile: Profile, space: SearchSpace) -> list[NetworkTiming]:
    """The whole networks of a profile that were measured."""
    timings = []
    for name in profile.of_kind("network"):
        process_ms = tuple(visit_ms(visit) for visit in profile.usable_visits(name))
        if process_ms:
            timings.append(NetworkTiming(space.parse(name).keys, process_ms))
    return timings
