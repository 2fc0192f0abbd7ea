"""From a profile with energies to an energy model of its space: the same calibrated table, in millijoules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from devices.measurement import EnergyVisit
from devices.statistics import energy_mj, interval
from hwprofile.errors import UserError
from hwprofile.latency import additive_cost, architecture_of, block_numbers
from hwprofile.profile import Profile
from ponas_core.cost import CostTable
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import ENERGY, CalibratedTable, Floats, MeasuredNetwork, fitted_table


@dataclass(frozen=True, slots=True)
class Energy:
    """A measured or predicted energy of one inference with its 95 % interval, idle included, millijoules."""

    median_mj: float
    low_mj: float
    high_mj: float

    @classmethod
    def measured(cls, visits: Sequence[EnergyVisit]) -> Energy:
        """Over processes, one visit each."""
        return cls(*interval([energy_mj(visit) for visit in visits]))

    def to_json(self) -> dict[str, float]:
        """The energy as JSON values, as latencies are written."""
        return {"median": self.median_mj, "low": self.low_mj, "high": self.high_mj}


@dataclass(frozen=True)
class SpaceEnergy:
    """Energies of the networks of a space, from a profile.

    Attributes:
        source: name of what told the energies.
        table: the calibrated table.
        cost: its corrected block energies as an additive cost, what the solver sees.
    """

    source: str
    table: CalibratedTable
    cost: CostTable

    @classmethod
    def from_profile(cls, profile: Profile, space: SearchSpace) -> SpaceEnergy | None:
        """Fit on the energies of blocks and whole networks; None where the profile was made without.

        Raises:
            UserError: the profile lacks the energy of a block of the space.
        """
        if profile.header.energy is None:
            return None
        blocks = {
            key: block_numbers(space, key, _block_mj(profile, key), ENERGY) for key in space.keyed_blocks
        }
        networks = [
            MeasuredNetwork(architecture_of(profile, space, name).keys, tuple(energies.values()))
            for name in profile.of_kind("network")
            if (energies := profile.process_mj(name))
        ]
        table = fitted_table(blocks, networks, (ENERGY,))
        cost = additive_cost(space, table.block_costs_.__getitem__, table.intercept_, "energy_mj")
        return cls(profile.header.energy.name, table, cost)

    def predict(self, architecture: Architecture) -> Energy:
        """Predicted energy of a network with its 95 % interval."""
        (median,) = self.table.predict([architecture.keys]).tolist()
        ((low, high),) = self.table.predict_interval([architecture.keys]).tolist()
        return Energy(median, low, high)

    def predict_ops(self, ops: NDArray[np.integer]) -> Floats:
        """Predicted energies of very many networks, mJ: (networks, layers) op indexes to (networks,)."""
        return self.cost.totals(np.asarray(ops, np.intp))


def _block_mj(profile: Profile, key: str) -> float:
    summary = profile.energy_summary(key)
    if summary is None:
        errors = profile.errors.get(key)
        raise UserError(
            f"{profile.path} has no energy for {key}{f': {errors[-1]}' if errors else ''}; measure it: "
            f"hwprofile bench --space {profile.header.space} --energy --fresh"
        )
    return summary.median_mj
