"""The walk of `hwprofile validate`: fresh random networks measured against the model of a profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from devices.statistics import interval
from hwprofile.display import table
from hwprofile.energy import Energy, SpaceEnergy
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency, network_timings, raw_cost
from hwprofile.profile import Profile
from hwprofile.verification import Verifier
from ponas_core.closed_loop import Latency
from ponas_core.complexity import complexity
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import fitted_table
from predictors.metrics import Accuracy, accuracy, coverage
from predictors.size_line import SizeLine

TRIES = 20
"""Draws for each wanted network before a space counts as exhausted."""


@dataclass(frozen=True)
class Validation:
    """A latency model held against networks that it never saw.

    Attributes:
        profile: where the model comes from.
        model: the model.
        networks: the networks.
        measured_ms: their measured latencies, median over processes.
        again_ms: the same measured once more in as many other processes.
        predicted: what the model said.
        baselines: predictions of simpler models, by name, milliseconds.
        level_change: how much slower the device is now than in the profile, by its canaries.
        energies: measured and predicted energies of the networks; None where energy was not asked for.
    """

    profile: Profile
    model: SpaceLatency
    networks: Sequence[Architecture]
    measured_ms: Sequence[float]
    again_ms: Sequence[float]
    predicted: Sequence[Latency]
    baselines: Mapping[str, Sequence[float]]
    level_change: float
    energies: tuple[Sequence[Energy], Sequence[Energy]] | None = None

    @property
    def accuracy(self) -> Accuracy:
        """Agreement of the model with the measurement."""
        return accuracy([found.median_ms for found in self.predicted], self.measured_ms)

    @property
    def noise_floor(self) -> Accuracy:
        """Agreement of the measurement with itself: no model can be seen to be better."""
        return accuracy(self.again_ms, self.measured_ms)

    @property
    def interval_coverage(self) -> float:
        """Share of networks whose measured latency lies in its predicted 95 % interval."""
        low, high = ([getattr(found, end) for found in self.predicted] for end in ("low_ms", "high_ms"))
        return coverage(low, high, self.measured_ms)

    @property
    def energy_accuracy(self) -> dict[str, float] | None:
        """Agreement of the energy model with the measurement, and how often its interval holds it."""
        if self.energies is None:
            return None
        measured, predicted = ([found.median_mj for found in side] for side in self.energies)
        low, high = ([getattr(found, end) for found in self.energies[1]] for end in ("low_mj", "high_mj"))
        return {**asdict(accuracy(predicted, measured)), "interval_coverage": coverage(low, high, measured)}

    def to_json(self) -> dict[str, Any]:
        """The validation as JSON values."""
        return {
            "profile": str(self.profile.path),
            "space": self.model.space.name,
            "networks": len(self.networks),
            **asdict(self.accuracy),
            "interval_coverage": self.interval_coverage,
            "noise_floor_mape": self.noise_floor.mape,
            "baselines": {
                name: asdict(accuracy(ms, self.measured_ms)) for name, ms in self.baselines.items()
            },
            "table": "+".join(self.model.table.measures),
            "held_out_mape": dict(self.model.held_out),
            "level_change": self.level_change,
            **({} if self.energies is None else {"energy": self.energy_accuracy}),
            "why_disturbed": self.profile.why_disturbed(),
            "measurements": [
                {
                    "architecture": str(network),
                    "measured_ms": measured,
                    "again_ms": again,
                    **asdict(predicted),
                }
                for network, measured, again, predicted in zip(
                    self.networks, self.measured_ms, self.again_ms, self.predicted, strict=True
                )
            ],
        }

    def for_people(self) -> str:
        """How good the model is beside its noise floor and simpler models."""
        rows = {"model": self.accuracy, "measurement itself (noise floor)": self.noise_floor}
        rows |= {name: accuracy(ms, self.measured_ms) for name, ms in self.baselines.items()}
        header = ["", "bias", "MAPE", "Spearman", "±2 %", "±5 %", "±10 %"]
        cells = [
            [
                name,
                f"{found.bias:+.2%}",
                f"{found.mape:.2%}",
                f"{found.spearman:.3f}",
                *(f"{share:.0%}" for share in (found.within_2, found.within_5, found.within_10)),
            ]
            for name, found in rows.items()
        ]
        held_out = ", ".join(f"{name} {error:.2%}" for name, error in self.model.held_out.items())
        chosen = f", chosen on held-out networks ({held_out})" if held_out else ""
        lines = [
            f"{len(self.networks)} random networks of {self.model.space.name}, which the model never saw",
            "",
            table(header, cells),
            "",
            f"the model's 95 % interval holds {self.interval_coverage:.0%} of them",
            f"table of block times: {' + '.join(self.model.table.measures)}{chosen}",
            f"level of the device since its profile: {self.level_change:+.1%}",
        ]
        energy = self.energy_accuracy
        if energy is not None:
            lines.append(
                f"energy: bias {energy['bias']:+.2%}, MAPE {energy['mape']:.2%}, Spearman "
                f"{energy['spearman']:.3f}; its 95 % interval holds {energy['interval_coverage']:.0%}"
            )
        why = self.profile.why_disturbed()
        return "\n".join([*lines, *([f"DISTURBED profile: {why}"] if why else [])])


def validate(
    profile: Profile, model: SpaceLatency, verifier: Verifier, count: int, processes: int, seed: int
) -> Validation:
    """Measure fresh random networks, twice, and hold the model against them.

    Args:
        profile: where the model comes from.
        model: the model.
        verifier: measures networks.
        count: how many networks, at least 2.
        processes: processes of each of the two measurements.
        seed: of the random networks.

    Raises:
        UserError: the space has too few networks that the profile does not hold.
    """
    networks = _fresh_networks(model.space, profile, count, seed)
    times = verifier.process_ms(networks, 2 * processes)
    first, again = ([interval(found[half::2])[0] for found in times] for half in (0, 1))
    return Validation(
        profile,
        model,
        networks,
        first,
        again,
        model.predict(networks),
        _baselines(profile, model, networks),
        verifier.levels[-1],
        _energies(profile, networks, verifier),
    )


def _energies(
    profile: Profile, networks: Sequence[Architecture], verifier: Verifier
) -> tuple[list[Energy], list[Energy]] | None:
    """Measured and predicted energies, where they were asked for."""
    model = SpaceEnergy.from_profile(profile, networks[0].space) if verifier.with_energy else None
    if model is None:
        return None
    return [verifier.energies[str(one)] for one in networks], [model.predict(one) for one in networks]


def _fresh_networks(space: SearchSpace, profile: Profile, count: int, seed: int) -> list[Architecture]:
    rng = np.random.default_rng(seed)
    known, found = set(profile.of_kind("network")), dict[str, Architecture]()
    for _ in range(TRIES * count):
        drawn = space.sample(rng)
        if str(drawn) not in known:
            found.setdefault(str(drawn), drawn)
        if len(found) == count:
            return list(found.values())
    raise UserError(
        f"{space.name} has only {len(found)} networks besides those of its profile: "
        f"give --networks {len(found)}"
    )


def _baselines(
    profile: Profile, model: SpaceLatency, networks: Sequence[Architecture]
) -> dict[str, list[float]]:
    """What simpler models say, each fitted on the same measured networks of the profile."""
    plain = raw_cost(model.space, profile)
    found = {"sum of blocks": [plain.total(network.ops) for network in networks]}
    timings = network_timings(profile, model.space)
    if model.held_out:
        alone = fitted_table(model.blocks, timings)
        found["blocks alone, calibrated"] = alone.predict([network.keys for network in networks]).tolist()
    macs = complexity(model.space, "macs")
    measured = [model.space.parse(name) for name in profile.of_kind("network") if profile.usable_visits(name)]
    if len({macs.total(network.ops) for network in measured}) > 1:
        line = SizeLine().fit(
            [macs.total(network.ops) for network in measured], [timing.cost for timing in timings]
        )
        found["macs"] = line.predict([macs.total(network.ops) for network in networks]).tolist()
    return found
