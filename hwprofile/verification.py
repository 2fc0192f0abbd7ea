"""Whole networks measured in fresh processes, outside a profile: to choose, to confirm, to read the level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from devices.connection import DeviceError
from devices.device import Device
from devices.measurement import EnergyVisit, Graph, Visit
from devices.patience import Patience
from devices.rounds import Round
from devices.statistics import interval, level_change, visit_ms
from hwprofile.bench_plan import Progress
from hwprofile.energy import Energy
from hwprofile.errors import DeviceUnreachable
from hwprofile.profile import Profile
from hwprofile.subjects import SpaceSubject
from ponas_core.closed_loop import Latency
from ponas_core.space import Architecture


@dataclass
class Verifier:
    """Measures networks together with the profile's canaries.

    Attributes:
        device: where.
        subject: gives the graphs.
        profile: its canaries tell whether the machine's level has moved since.
        progress: told after every network.
        with_energy: whether the energy of the networks is read too.
        levels: the level's change read at each measurement, 0.05 for 5 % slower than in the profile.
        energies: energy of every network, of its last measurement.
        rng: gives the order.
        patience: how long a device that went away is waited for.
    """

    device: Device
    subject: SpaceSubject
    profile: Profile
    progress: Progress
    with_energy: bool = False
    levels: list[float] = field(default_factory=list)
    energies: dict[str, Energy] = field(default_factory=dict)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    patience: Patience = Patience()

    def measure(self, architectures: Sequence[Architecture], processes: int) -> list[Latency]:
        """Measure networks in so many fresh processes each.

        Raises:
            DeviceUnreachable: the device fails on one of them.
        """
        return [Latency(*interval(times)) for times in self.process_ms(architectures, processes)]

    def process_ms(self, architectures: Sequence[Architecture], processes: int) -> list[list[float]]:
        """One median a process for every network, milliseconds; reads the level along."""
        names = [str(architecture) for architecture in architectures]
        canaries = [name for name in self._canaries() if name not in names]
        visits = self._visits(names, canaries, processes)
        self.levels.append(self._level({name: visits[name] for name in self._canaries()}))
        return [[visit_ms(visit) for visit in visits[name]] for name in names]

    def _visits(
        self, names: Sequence[str], canaries: Sequence[str], processes: int
    ) -> Mapping[str, list[Visit]]:
        graphs = [self._graph(name) for name in (*names, *canaries)]
        powered = graphs[: len(names)] if self.with_energy else []
        visits: dict[str, list[Visit]] = {graph.name: [] for graph in graphs}
        energies: dict[str, list[EnergyVisit]] = {graph.name: [] for graph in powered}
        for number in range(processes):
            try:
                measuring = Round(
                    self.device,
                    graphs,
                    self.subject.reference(),
                    self.rng,
                    number,
                    powered=powered,
                    identity=self.profile.header.identity,
                    patience=self.patience,
                    tell=self.progress.notice,
                )
                for reading in measuring.readings():
                    if reading.error is not None:
                        raise DeviceUnreachable(
                            f"device {self.device.name}, {reading.graph}: {reading.error}"
                        )
                    if reading.energy is not None:
                        energies[reading.graph].append(reading.energy)
                    elif reading.visit is not None and not reading.is_reference:
                        visits[reading.graph].append(reading.visit)
                        self._tell(number, visits, len(graphs) * processes)
            except DeviceError as error:
                raise DeviceUnreachable(f"device {self.device.name}: {error}") from error
        self.energies |= {name: Energy.measured(found) for name, found in energies.items()}
        return visits

    def _tell(self, number: int, visits: Mapping[str, list[Visit]], total: int) -> None:
        done = sum(map(len, visits.values()))
        self.progress.advance(done, total, f"process {number + 1}")

    def _graph(self, name: str) -> Graph:
        return self.subject.graph(name, "network")

    def _canaries(self) -> list[str]:
        roles = self.profile.chosen or {}
        return [name for name, role in roles.items() if role == "canary" and self.profile.usable_visits(name)]

    def _level(self, now: Mapping[str, Sequence[Visit]]) -> float:
        if not now:
            return 0.0
        before = [list(self.profile.process_ms(name).values()) for name in now]
        return level_change(before, [[visit_ms(visit) for visit in visits] for visits in now.values()])
