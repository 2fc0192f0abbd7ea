"""The walk of `hwprofile bench`: device and graphs in, profile file out; resumable at any moment."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from devices.connection import AgentDied, DeviceError
from devices.device import Device
from devices.diagnosis import board_findings
from devices.measurement import Graph
from devices.patience import Patience
from devices.rounds import IdentityChanged, Round
from devices.schedule import Goal
from hwprofile.bench_plan import BenchPlan, Progress, Subject
from hwprofile.errors import DeviceUnreachable
from hwprofile.fleet.bench import FleetBench
from hwprofile.fleet.device import Benched, FleetDevice
from hwprofile.matching import check_fits, device_header
from hwprofile.profile import Kind, Profile
from hwprofile.profile_lines import ProfileError
from hwprofile.profile_writer import ProfileWriter


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """What may be chosen about a bench besides its subject and goal.

    Attributes:
        seed: of the order of the graphs.
        energy: whether the energy of every graph is read too.
        patience: how long a device that goes away is waited for.
    """

    seed: int = 0
    energy: bool = False
    patience: Patience = Patience()


@dataclass(frozen=True)
class BenchReport:
    """What a bench did.

    Attributes:
        profile: the finished profile.
        wall_s: time spent by this call.
        resumed: whether the file had been begun before.
        was_finished: whether nothing was left to do.
    """

    profile: Profile
    wall_s: float
    resumed: bool
    was_finished: bool


@dataclass
class _Bench:
    device: Device
    plan: BenchPlan
    progress: Progress
    rng: np.random.Generator
    patience: Patience

    @property
    def profile(self) -> Profile:
        return self.plan.profile

    def rounds(self) -> Iterator[None]:
        """Measure until nothing waits; pauses after every round."""
        while waiting := self.plan.waiting():
            self._round(waiting)
            yield
        self.plan.end()

    def _round(self, waiting: Sequence[str]) -> None:
        """Measure what this round still lacks, and close it."""
        number, started, kinds = self.profile.current_round, time.monotonic(), self.plan.kinds()
        inside = self.plan.to_look_into(waiting)
        measuring = Round(
            self.device,
            self._graphs(_lacking(self.profile.visits, waiting, number), kinds),
            self.plan.subject.reference(),
            self.rng,
            self.profile.last_process + 1,
            profiled=self._graphs(_lacking(self.profile.insides, inside, number), kinds),
            identity=self.profile.header.identity,
            patience=self.patience,
            tell=self.progress.notice,
            powered=self._graphs(self._to_power(waiting, number), kinds),
        )
        steps = len(waiting) * (1 if self.profile.header.energy is None else 2) + len(inside)
        measured = self._measured_in(number)
        for reading in measuring.readings():
            self.plan.writer.reading(reading, kinds.get(reading.graph, "block"), number)
            measured += not reading.is_reference
            self._tell(number, measured, steps)
        self.plan.end_round(number, measuring.conditions, time.monotonic() - started)

    def _to_power(self, waiting: Sequence[str], number: int) -> list[str]:
        """The graphs whose energy this round still lacks; what failed in it is left alone."""
        if self.profile.header.energy is None:
            return []
        failed = {name for name in waiting if self.profile.visits.get(name, {}).get(number, 0) is None}
        return [name for name in _lacking(self.profile.energies, waiting, number) if name not in failed]

    def _graphs(self, names: Sequence[str], kinds: Mapping[str, Kind]) -> list[Graph]:
        return [self.plan.graph(name, kinds[name]) for name in names]

    def _measured_in(self, number: int) -> int:
        """How much a round that goes on has measured already."""
        measured: Sequence[Mapping[str, Mapping[int, object]]] = (
            self.profile.visits, self.profile.insides, self.profile.energies,
        )  # fmt: skip
        return sum(number in rounds for by_name in measured for rounds in by_name.values())

    def _tell(self, number: int, measured: int, in_round: int) -> None:
        rounds = max(self.profile.header.goal.rounds + 1, number + 1)
        self.progress.advance(
            number * in_round + measured,
            rounds * in_round,
            f"round {number + 1}, {measured} of {in_round} graphs",
        )


def _lacking(had: Mapping[str, Mapping[int, Any]], names: Sequence[str], number: int) -> list[str]:
    """The names that a round has not seen yet."""
    return [name for name in names if name not in had or number not in had[name]]


def bench(
    device: Benched,
    subject: Subject,
    path: Path,
    goal: Goal,
    progress: Progress,
    options: BenchOptions = BenchOptions(),
) -> BenchReport:
    """Measure a subject on a device into a profile file, or go on with the one that is there.

    Args:
        device: where.
        subject: what.
        path: the profile's file.
        goal: precision and rounds aimed at.
        progress: told after every reading, and at the start how a board is set where nobody may want that.
        options: what else there is to choose.

    Raises:
        ProfileError: the file is unusable, or was measured on another device or with other settings.
        DeviceUnreachable: the device's agent cannot be started, or the device went away for long.
        EnergyUnknown: energy is wanted, and the device does not tell any.
    """
    return exhausted(bench_in_rounds(device, subject, path, goal, progress, options))


def exhausted(rounds: Generator[None, None, BenchReport]) -> BenchReport:
    """Let a bench go through to its end."""
    while True:
        try:
            next(rounds)
        except StopIteration as end:
            report: BenchReport = end.value
            return report


def bench_in_rounds(
    device: Benched,
    subject: Subject,
    path: Path,
    goal: Goal,
    progress: Progress,
    options: BenchOptions = BenchOptions(),
) -> Generator[None, None, BenchReport]:
    """The same as `bench`, pausing after every round: so that several can be interleaved in time."""
    started = time.monotonic()
    resumed = Profile.was_begun(path)
    begun = Profile.load(path) if resumed else None
    header = device_header(
        device,
        subject.name,
        subject.space,
        goal,
        inline=subject.inline,
        detailed=not resumed,
        energy=options.energy or _reads_energy(begun),
    )
    profile = begun or Profile(path, header)
    if resumed:
        check_fits(profile, header)
        _check_blocks(profile, subject)
    if not profile.finished:
        for finding in board_findings(header.identity):
            progress.notice(f"{finding.what}: {finding.effect}; {finding.cure}")
        try:
            with ProfileWriter(profile) as writer:
                rng = np.random.default_rng([options.seed, profile.current_round])
                plan = BenchPlan(subject, writer)
                if isinstance(device, FleetDevice):
                    boards, seed = device.boards, options.seed
                    yield from FleetBench(boards, plan, progress, seed, options.patience).rounds()
                else:
                    yield from _Bench(device, plan, progress, rng, options.patience).rounds()
        except IdentityChanged as error:
            raise ProfileError(
                f"device {device.name}: {error}: measurements of two do not mix. What was measured is "
                f"kept in {path}: set the device back and type the same command, or measure anew with --fresh"
            ) from error
        except AgentDied as error:
            raise DeviceUnreachable(
                f"device {device.name}: {error}; what was measured is kept", kept=path
            ) from error
        except DeviceError as error:
            raise DeviceUnreachable(f"device {device.name}: {error}") from error
        except OSError as error:
            raise ProfileError(f"cannot write {path}: {error.strerror}; what was written is kept") from error
        return BenchReport(profile, time.monotonic() - started, resumed, was_finished=False)
    return BenchReport(profile, time.monotonic() - started, resumed, was_finished=True)


def _reads_energy(begun: Profile | None) -> bool:
    """Whether a profile that goes on is one with energy."""
    return begun is not None and not begun.finished and begun.header.energy is not None


def _check_blocks(profile: Profile, subject: Subject) -> None:
    """Raise ProfileError where a profile holds blocks of another space of the same name."""
    known = subject.first()
    foreign = [name for name in profile.of_kind("block") if name not in known]
    if foreign:
        raise ProfileError(
            f"{profile.path} holds blocks that {subject.name} lacks, such as {foreign[0]}; if the space was "
            "changed since, use --fresh, or another --out"
        )
