"""What the commands do, as one object in Python: a device, a goal, and the walks over them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from devices.device import Device, identity_differences
from devices.runtimes.catalog import RUNTIMES
from devices.schedule import Goal
from hwprofile import display, places
from hwprofile.bench import BenchOptions, BenchReport, bench
from hwprofile.bench_plan import Subject
from hwprofile.budget import Budget
from hwprofile.catalog import (
    default_table,
    finished_profile,
    space_named,
    unfinished_path,
)
from hwprofile.energy import SpaceEnergy
from hwprofile.errors import BadInput, BudgetInfeasible, Interrupted, UserError
from hwprofile.fleet.device import Benched, FleetDevice
from hwprofile.front import Front, front_of
from hwprofile.latency import SpaceLatency
from hwprofile.learning.scores_and_weights import ScoresAndWeights
from hwprofile.matching import EnergyUnknown, check_fits, device_header
from hwprofile.networks_csv import latencies_csv, ops_in
from hwprofile.profile import Profile
from hwprofile.result import Result
from hwprofile.specialize import Specialization, Specializer
from hwprofile.subjects import (
    KernelsSubject,
    ModelsSubject,
    NetworksSubject,
    SpaceSubject,
)
from hwprofile.tables.device import TableDevice, TableLatency, TableOrigin
from hwprofile.tables.export import export_table
from hwprofile.tables.space_table import SpaceTable
from hwprofile.validation import Validation, validate
from hwprofile.verification import Verifier
from ponas_core.solve import Infeasible
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    from hwprofile.onnx_prediction import FilePrediction

Spaced: TypeAlias = str | SearchSpace
"""A space as it is typed, or one made in Python, which profiles know by its own name."""


def session_goal(precision: float, rounds: int) -> Goal:
    """Precision aimed at and fewest rounds; the most rounds follow."""
    return Goal(precision=precision, rounds=rounds, most_rounds=rounds + 3)


@dataclass(frozen=True)
class Session:
    """A device with the goal of its measurements.

    Attributes:
        device: where is measured; boards of a fleet for `bench` alone.
        goal: how precisely.
        calibrate: whole networks that the solver picks for calibration.
        inline: whether block times are read inside running networks too.
        energy: whether the energy of every graph is read too.
        quiet: no progress, no notices.
    """

    device: Benched
    goal: Goal = Goal()
    calibrate: int = 10
    inline: bool = False
    energy: bool = False
    quiet: bool = False

    def bench(
        self,
        space_name: Spaced,
        files: Sequence[Path] | None = None,
        kernels: int | None = None,
        networks: Path | None = None,
        *,
        fresh: bool = False,
        out: Path | None = None,
    ) -> BenchReport:
        """Measure a space, ONNX files, so many kernels, or the networks in a CSV file into a profile.

        A finished profile is given back.

        Raises:
            UserError: a name or file is unusable, or `out` holds another device's profile.
            DeviceUnreachable: the device's agent cannot be started.
            Interrupted: Ctrl-C; what was measured is kept.
            EnergyUnknown: energy is wanted, and the device does not tell any.
        """
        subject: Subject
        if files is not None:
            subject = ModelsSubject.from_paths(files)
        elif networks is not None:
            subject = NetworksSubject.from_file(networks, str(space_name), self.device.settings.batch)
        elif kernels is not None:
            subject = KernelsSubject(kernels, self.device.settings.batch)
        else:
            subject = self._subject(space_named(space_name), space_name)
        return self.bench_subject(subject, fresh=fresh, out=out)

    def bench_subject(self, subject: Subject, *, fresh: bool = False, out: Path | None = None) -> BenchReport:
        """Measure any subject; see `bench`."""
        if self.inline and not subject.inline:
            raise UserError("--inline looks into the networks of a space: give --space alone")
        path = out or self._path(subject, fresh=fresh)
        if out is not None and fresh and out.exists():
            raise UserError(f"{out} exists: with --fresh give a new --out, or leave --out away")
        with self._progress(f"bench {subject.name}") as progress:
            try:
                report = bench(
                    self.device, subject, path, self.goal, progress, BenchOptions(energy=self.energy)
                )
            except KeyboardInterrupt as error:
                raise Interrupted(path) from error
        self._tell(report.profile.notice)
        if report.was_finished:
            self._tell(f"{path} was finished {places.age_in_words(path)} ago; measure anew with --fresh")
        return report

    @property
    def one_device(self) -> Device:
        """Where single networks are measured; a fleet measures whole rounds."""
        if isinstance(self.device, FleetDevice):
            raise UserError("a fleet measures profiles alone (`hwprofile bench`): leave --fleet away")
        return self.device

    def _path(self, subject: Subject, *, fresh: bool) -> Path:
        if not fresh:
            wanted = {"inline": subject.inline, "energy": self.energy}
            known = finished_profile(self.device, subject.name, subject.first(), **wanted)
            if known is not None:
                return known.path
            unfinished = unfinished_path(self.device, subject.name, subject.first(), **wanted)
            if unfinished is not None:
                return unfinished
        return places.fresh_profile_path(self.device.name, subject.name, self.device.settings)

    def profile(self, space: SearchSpace, space_name: Spaced, path: Path | None) -> Profile:
        """The given profile, else the newest that fits, else one benched now."""
        if path is not None:
            profile = Profile.load(path)
            self._tell(profile.notice)
            if self.energy and profile.header.energy is None:
                raise EnergyUnknown(
                    f"no energy source on this device was read for {path}; measure anew: "
                    "hwprofile bench --energy (where energy comes from: docs/energy.md)"
                )
            if not profile.finished:
                self._tell(f"{path} is unfinished; `hwprofile bench --out {path}` goes on with it")
            here = device_header(self.device, profile.header.subject).identity
            differences = identity_differences(profile.header.identity, here)
            if differences:
                self._tell(f"{path} was measured elsewhere ({'; '.join(differences)}): answers are for there")
            return profile
        known = finished_profile(
            self.device, space.name, space.keyed_blocks, inline=self.inline, energy=self.energy
        )
        return known or self.bench(space_name).profile

    def latency(
        self, space: SearchSpace, space_name: Spaced, path: Path | None
    ) -> tuple[SpaceLatency | TableLatency, Profile | TableOrigin]:
        """The latency model of a space on this device, and what it rests on: a profile, or a table."""
        if not isinstance(self.device, TableDevice):
            profile = self.profile(space, space_name, path)
            return SpaceLatency.from_profile(profile, space), profile
        if path is not None:
            raise UserError(f"--device {self.device.name} needs no profile: leave --profile away")
        table = self.device.table(space)
        self._tell(table.notice and f"{self.device.path}: {table.notice}")
        return TableLatency(table), self.device.origin(space)

    def specialize(
        self,
        space_name: Spaced,
        profile_path: Path | None,
        source: ScoresAndWeights,
        budgets: Sequence[Budget],
        *,
        measure: bool = True,
        out: Path = Path(),
    ) -> Result:
        """The best network within all budgets: solved, exported and, with `measure`, measured.

        Writes `result.json` and `network.onnx` into `out`.

        Raises:
            BudgetInfeasible: no network holds the budgets; the message gives the smallest reachable value.
            BadInput: energy is limited, and the device or the profile tells none.
            UserError: something named is unusable.
        """
        for budget in budgets:
            self._tell(budget.notice)
        limited = next((budget.text for budget in budgets if budget.quantity == "energy_mj"), None)
        if limited is not None and isinstance(self.device, TableDevice):
            raise BadInput(f"budget {limited}: no energy source on this device: a table tells latencies only")
        if limited is not None and not self.energy:
            try:
                return replace(self, energy=True).specialize(
                    space_name, profile_path, source, budgets, measure=measure, out=out
                )
            except EnergyUnknown as error:
                raise BadInput(f"budget {limited}: {error}") from error
        space = space_named(space_name)
        supernet, scores = source.found(space, self._tell)
        latency, profile = self.latency(space, space_name, profile_path)
        if measure and profile_path is not None and isinstance(profile, Profile):
            # one that was found or benched here fits already
            check_fits(
                profile,
                device_header(self.device, space.name, energy=self.energy),
                "measure with --device, or --no-measure",
            )
        energy = self._space_energy(profile, space)
        specializer = Specializer(latency, scores, budgets, energy)
        if not specializer.binding:
            self._tell(specializer.not_binding_words())
        found = self._specialization(specializer, profile, space_name, measure=measure)
        batch = self.device.settings.batch
        written = source.export(
            found.chosen.architecture, supernet, out / "network.onnx", batch, quiet=self.quiet
        )
        result = Result(found, budgets, scores, profile, written)
        result.save(out / "result.json")
        return result

    def _specialization(
        self, specializer: Specializer, profile: Profile | TableOrigin, space_name: Spaced, *, measure: bool
    ) -> Specialization:
        try:
            if not measure or isinstance(profile, TableOrigin):
                return specializer.from_model()
            subject = self._subject(specializer.space, space_name)
            with self._progress("measure winners") as progress:
                verifier = Verifier(self.one_device, subject, profile, progress, self.energy)
                return specializer.from_measurements(verifier)
        except Infeasible as error:
            raise BudgetInfeasible(specializer.infeasible_words(error)) from error

    def pareto(self, space_name: Spaced, profile_path: Path | None, source: ScoresAndWeights) -> Front:
        """Every network that no other beats in both predicted latency and score."""
        space = space_named(space_name)
        _, scores = source.found(space, self._tell)
        return front_of(self.latency(space, space_name, profile_path)[0], scores)

    def export_table(self, space_name: str, profile_path: Path | None, form: str, out: Path) -> str:
        """Write the table that predicts the networks of a space; what was written, in words.

        Raises:
            UserError: the format cannot say a block, or needs a library that is missing.
        """
        latency, origin = self.latency(space_named(space_name), space_name, profile_path)
        if isinstance(latency, TableLatency):
            table = latency.table
        else:
            assert isinstance(origin, Profile)
            why = origin.why_disturbed()
            self._tell(why and f"{origin.path} was DISTURBED, and so is the table: {why}")
            table = SpaceTable.from_latency(latency, origin)
        return export_table(table, form, out, origin.path)

    def validate(
        self, space_name: Spaced, profile_path: Path | None, networks: int, processes: int, seed: int
    ) -> Validation:
        """Measure fresh random networks against the latency model.

        Raises:
            UserError: the profile is of another device, or the space has too few networks.
            DeviceUnreachable: the device fails on one of them.
        """
        space = space_named(space_name)
        profile = self.profile(space, space_name, profile_path)
        if profile_path is not None:
            header = device_header(self.device, space.name, energy=self.energy)
            check_fits(profile, header, "validate on the device it is of")
        model = SpaceLatency.from_profile(profile, space)
        with self._progress("validate") as progress:
            subject = self._subject(space, space_name)
            verifier = Verifier(self.one_device, subject, profile, progress, self.energy)
            return validate(profile, model, verifier, networks, processes, seed)

    def predict(self, space_name: str, profile_path: Path | None, networks: Path) -> str:
        """Predicted latencies of the networks in a CSV file (`arch`), as CSV: one row each, in order.

        Where the profile holds energies, a column `energy_mj` predicts these too.

        Raises:
            UserError: the file has no column `arch`, or a row names no network of the space.
        """
        space = space_named(space_name)
        with self._progress(f"read {networks}") as progress:
            progress.advance(0, 1, "")
            names, ops = ops_in(networks, space)  # before anything is measured: the file may be unusable
        latency, profile = self.latency(space, space_name, profile_path)
        with self._progress("predict") as progress:
            progress.advance(0, 2, f"{len(names)} networks")
            energy = self._space_energy(profile, space)
            notes = {} if energy is None else {"energy_mj": energy.predict_ops(ops).tolist()}
            found = latency.predict_ops(ops)
            progress.advance(1, 2, "write them down")
            return latencies_csv(names, *found, notes)

    def predict_onnx(
        self, files: Sequence[Path], profile_path: Path | None
    ) -> tuple[list[FilePrediction], Profile]:
        """Predicted latencies of ONNX files, and the profile of kernels that they rest on.

        Raises:
            UserError: a file is unusable, or there is no profile of kernels.
        """
        from hwprofile.onnx_prediction import model_of, newest_profile, predictions

        profile = newest_profile(self.one_device) if profile_path is None else Profile.load(profile_path)
        return predictions(files, model_of(profile)), profile

    def _space_energy(self, profile: Profile | TableOrigin, space: SearchSpace) -> SpaceEnergy | None:
        """The energy model; where energy was not asked for, a profile that lacks some is no error."""
        if isinstance(profile, TableOrigin):
            return None
        try:
            return SpaceEnergy.from_profile(profile, space)
        except UserError as error:
            if self.energy:
                raise
            self._tell(f"energies are left out: {error}")
            return None

    def _subject(self, space: SearchSpace, origin: Spaced) -> SpaceSubject:
        runtime = RUNTIMES.get(self.device.settings.runtime)  # a recording may be of one that is not here
        if self.inline and not (runtime and runtime.profiles_nodes):
            able = ", ".join(name for name, runtime in RUNTIMES.items() if runtime.profiles_nodes)
            raise UserError(f"--inline needs a runtime that tells the times of nodes: {able}")
        table, batch = default_table(space), self.device.settings.batch
        name = origin if isinstance(origin, str) else origin.name
        return SpaceSubject(space, table, name, batch, self.calibrate, self.inline)

    def _progress(self, title: str) -> AbstractContextManager[display.SilentProgress | display.BarProgress]:
        return display.progress(title, quiet=self.quiet)

    def _tell(self, text: str | None) -> None:
        display.notices(quiet=self.quiet)(text)
