"""The Python API: what the commands do, as functions.

    from hwprofile import api as hw

    device = hw.device("cpu", threads=2)
    profile = hw.bench(device, "proxyless")
    model = hw.latency_model(profile)
    result = hw.specialize(device, "proxyless", ["15ms"], scores="macs")

Wherever a device or a space is asked for, its name will do. What rests on measurements (`on`) takes a
profile, or a device: then the newest profile that fits is used, and one is measured if there is none. An
interrupted call goes on when it is made again. Errors are `UserError`s, with the sentences of the commands.
Nothing is shown unless `quiet=False`. Every keyword means what the option of its name does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from devices.agent_device import GRAPH_TIMEOUT_S
from devices.device import Device
from hwprofile.budget import EXAMPLES, parse_budget
from hwprofile.catalog import space_named
from hwprofile.chosen_device import chosen_device
from hwprofile.errors import BadInput, BudgetInfeasible, DeviceUnreachable, UserError
from hwprofile.front import Front
from hwprofile.latency import SpaceLatency
from hwprofile.latency_model import LatencyModel
from hwprofile.learning.scores_and_weights import ScoresAndWeights
from hwprofile.own_blocks import Block, BlocksSubject, Inputs
from hwprofile.profile import Profile
from hwprofile.recording import replay_device
from hwprofile.result import Result
from hwprofile.session import Session, session_goal
from hwprofile.subjects import KernelsSubject
from hwprofile.tables.values import LayerTable
from hwprofile.validation import Validation
from ponas_core.closed_loop import Latency
from ponas_core.space import Architecture, SearchSpace

if TYPE_CHECKING:
    from hwprofile.onnx_prediction import FilePrediction

__all__ = [
    "Architecture",
    "BudgetInfeasible",
    "Device",
    "DeviceUnreachable",
    "Front",
    "Latency",
    "LatencyModel",
    "LayerTable",
    "Profile",
    "Result",
    "SearchSpace",
    "UserError",
    "Validation",
    "bench",
    "bench_blocks",
    "bench_kernels",
    "device",
    "latency_model",
    "load_profile",
    "pareto",
    "predict_onnx",
    "space",
    "specialize",
    "validate",
]


def device(
    name: str = "cpu",
    *,
    runtime: str | None = None,
    provider: str | None = None,
    threads: int = 1,
    batch: int = 1,
    dtype: Literal["fp32", "fp16", "int8"] = "fp32",
    cache: Literal["warm", "cold"] = "warm",
    calibration_inputs: str | Path | None = None,
    graph_timeout_s: float = GRAPH_TIMEOUT_S,
) -> Device:
    """A device with the settings that it measures with; nothing is connected to yet.

    Args:
        name: one of `hwprofile devices`; `replay:FILE` plays a profile back; `table:FILE` is a latency table.
        runtime: what runs the graphs; None for the device's own.
        provider: how the runtime executes; None for the device's own, or else the runtime's first.
        threads: of one inference.
        batch: inputs of one inference.
        dtype: arithmetic.
        cache: `cold`: other data fills the caches before every inference.
        calibration_inputs: an .npz of inputs by name that set the ranges of int8.
        graph_timeout_s: how long loading or timing one graph may take.

    Raises:
        UserError: no such device, runtime or setting; or a file is unusable.
        DeviceUnreachable: the device's preset still needs something.
    """
    return chosen_device(
        name,
        runtime=runtime,
        provider=provider,
        threads=threads,
        batch=batch,
        precision=dtype,
        cache=cache,
        calibration_inputs=None if calibration_inputs is None else Path(calibration_inputs),
        graph_timeout_s=graph_timeout_s,
    )


def space(name: str | Path) -> SearchSpace:
    """A space of `hwprofile spaces` by its name, or your own by the path of its TOML file.

    Raises:
        UserError: no such space, or one of cells; the message lists the known ones.
    """
    return space_named(str(name))


def load_profile(path: str | Path) -> Profile:
    """A profile that was measured before.

    Raises:
        UserError: the file is none, or damaged; the message names the line.
    """
    return Profile.load(Path(path))


def bench(
    device: Device | str = "cpu",
    space: SearchSpace | str | Path = "cifar-tiny",
    *,
    precision: float = 0.02,
    rounds: int = 5,
    calibrate: int = 10,
    inline: bool = False,
    energy: bool = False,
    fresh: bool = False,
    out: str | Path | None = None,
    quiet: bool = True,
) -> Profile:
    """Measure every distinct block of a space and a few whole networks.

    A finished profile that fits is given back as it is, and an unfinished one is gone on with.

    Args:
        device: where.
        space: what; a path is kept in the profile, which then knows where its space is.
        precision: wanted half width of every 95 % interval, as a share.
        rounds: fewest rounds; each is a fresh process.
        calibrate: whole networks that the solver picks to calibrate the table.
        inline: whether block times are read inside running networks too.
        energy: whether the energy of every graph is read too.
        fresh: measure anew into a new file.
        out: file of the profile; None for its place among all.
        quiet: no progress bar, no notices.

    Raises:
        UserError: something named is unusable, or `out` holds another device's profile.
        DeviceUnreachable: the device cannot be reached, or went away for long.
    """
    session = Session(_device(device), session_goal(precision, rounds), calibrate, inline, energy, quiet)
    return session.bench(_space(space), fresh=fresh, out=_path(out)).profile


def bench_blocks(
    blocks: Mapping[str, Block],
    device: Device | str = "cpu",
    inputs: Inputs | Mapping[str, Inputs] | None = None,
    *,
    precision: float = 0.02,
    rounds: int = 5,
    energy: bool = False,
    fresh: bool = False,
    out: str | Path | None = None,
    quiet: bool = True,
) -> Profile:
    """Measure blocks of your own, each alone; the rows of the profile bear their names.

    Torch modules are exported as they answer in evaluation. Modules of equal structure share a profile,
    whatever their weights; so the same call goes on, or gives a finished profile back.

    Args:
        blocks: torch modules, or ONNX (file, bytes or model), by name.
        device: where.
        inputs: what modules are called with, one for all or by the name of the block: a whole shape, batch
            first, an example tensor, or a sequence of these, one for each argument.
        precision: see `bench`, as the others.
        rounds: fewest rounds.
        energy: whether the energy of every block is read too.
        fresh: measure anew into a new file.
        out: file of the profile.
        quiet: no progress bar, no notices.

    Raises:
        UserError: a block is unusable, or cannot be exported.
        DeviceUnreachable: the device cannot be reached, or went away for long.
    """
    session = Session(_device(device), session_goal(precision, rounds), energy=energy, quiet=quiet)
    return session.bench_subject(BlocksSubject.of(blocks, inputs), fresh=fresh, out=_path(out)).profile


def bench_kernels(
    device: Device | str = "cpu",
    count: int = 240,
    *,
    precision: float = 0.02,
    rounds: int = 5,
    fresh: bool = False,
    out: str | Path | None = None,
    quiet: bool = True,
) -> Profile:
    """Measure fused kernels over many shapes: what `predict_onnx` rests on. See `bench`.

    Raises:
        UserError: too few kernels, or `out` holds another device's profile.
        DeviceUnreachable: the device cannot be reached, or went away for long.
    """
    found = _device(device)
    session = Session(found, session_goal(precision, rounds), quiet=quiet)
    subject = KernelsSubject(count, found.settings.batch)
    return session.bench_subject(subject, fresh=fresh, out=_path(out)).profile


def latency_model(
    on: Profile | Device | str, space: SearchSpace | str | Path | None = None, *, quiet: bool = True
) -> LatencyModel:
    """The calibrated latency model of a space.

    Args:
        on: a profile, or a device (see the top of this module; a `table:` is its own model).
        space: the space; None for that of the profile.
        quiet: no progress bar, no notices.

    Raises:
        UserError: the profile is of another space, or lacks a block.
        DeviceUnreachable: the device cannot be reached.
    """
    named = _space(_space_of(on) if space is None else space)
    definition = space_named(named)
    if isinstance(on, Profile):
        return LatencyModel(definition, SpaceLatency.from_profile(on, definition), on)
    return LatencyModel(definition, *Session(_device(on), quiet=quiet).latency(definition, named, None))


def specialize(
    on: Device | Profile | str,
    space: SearchSpace | str | Path,
    budgets: Sequence[str] | str,
    scores: str | Path | None = None,
    *,
    measure: bool = True,
    out: str | Path = "specialized",
    search: str | Path | None = None,
    data: str | None = None,
    fine_tune: int = 0,
    seed: int = 0,
    quiet: bool = True,
) -> Result:
    """The best network that holds all budgets, exported and, on a device, measured.

    Args:
        on: a device (see the top of this module), or a profile: then nothing is measured.
        space: the space.
        budgets: upper limits with their units: `15ms`, `300MMACs`, `60%`.
        scores: what to maximise: `macs`, a .csv with arch,accuracy, or a .json score table; None for the
            accuracies of the search, or those that come with the space.
        measure: whether what is chosen is measured, and the model corrected.
        out: folder for result.json and network.onnx.
        search: folder of `hwprofile search`, whose weights and scores are taken.
        data: labelled images that the best candidates and the file are checked on.
        fine_tune: epochs that the chosen network learns on by itself, from `data`.
        seed: of random weights, where there are no others.
        quiet: no progress bar, no notices.

    Raises:
        BudgetInfeasible: no network holds the budgets; the message gives the smallest reachable value.
        UserError: something named is unusable.
        DeviceUnreachable: the device cannot be reached, or went away for long.
    """
    limits = [parse_budget(text) for text in ([budgets] if isinstance(budgets, str) else budgets)]
    if not limits:
        raise BadInput(f"give at least one budget, such as {EXAMPLES}")
    source = ScoresAndWeights(_text(scores), _path(search), data, fine_tune, seed)
    session, path = _resting(on, quiet=quiet)
    return session.specialize(
        _space(space), path, source, limits, measure=measure and path is None, out=Path(out)
    )


def pareto(
    on: Device | Profile | str,
    space: SearchSpace | str | Path,
    scores: str | Path | None = None,
    *,
    search: str | Path | None = None,
    quiet: bool = True,
) -> Front:
    """Every network that no other beats in both predicted latency and score; see `specialize`.

    Returns:
        `architectures`, `latencies` and `values` (scores), latency rising.

    Raises:
        UserError: something named is unusable.
        DeviceUnreachable: the device cannot be reached.
    """
    session, path = _resting(on, quiet=quiet)
    return session.pareto(_space(space), path, ScoresAndWeights(_text(scores), _path(search)))


def validate(
    device: Device | str,
    space: SearchSpace | str | Path,
    profile: Profile | None = None,
    *,
    networks: int = 30,
    processes: int = 5,
    seed: int = 0,
    quiet: bool = True,
) -> Validation:
    """Measure fresh random networks, and hold the latency model against them.

    Args:
        device: where.
        space: the space.
        profile: what the model is fitted on; None for the newest that fits.
        networks: how many random networks, two at least.
        processes: fresh processes of each of the two measurements of a network, two at least.
        seed: of the networks.
        quiet: no progress bar, no notices.

    Raises:
        UserError: the profile is of another device, or the space has too few networks.
        DeviceUnreachable: the device cannot be reached, or fails on a network.
    """
    if min(networks, processes) < 2:
        raise BadInput("validate takes two networks and two processes at least")
    session, path = Session(_device(device), quiet=quiet), None if profile is None else profile.path
    return session.validate(_space(space), path, networks, processes, seed)


def predict_onnx(
    files: Sequence[str | Path] | str | Path, on: Profile | Device | str = "cpu"
) -> list[FilePrediction]:
    """Latencies of ONNX files from fused kernels, and how much of each rests on measurements.

    Args:
        files: ONNX files.
        on: a profile of kernels (`bench_kernels`), or a device that has one.

    Raises:
        UserError: a file is unusable, or there is no profile of kernels.
        DeviceUnreachable: the device cannot be reached.
    """
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    session, path = _resting(on, quiet=True)
    return session.predict_onnx(paths, path)[0]


def _device(found: Device | str) -> Device:
    return chosen_device(found) if isinstance(found, str) else found


def _space(found: SearchSpace | str | Path) -> SearchSpace | str:
    return str(found) if isinstance(found, Path) else found


def _path(found: str | Path | None) -> Path | None:
    return None if found is None else Path(found)


def _text(found: str | Path | None) -> str | None:
    return None if found is None else str(found)


def _resting(on: Device | Profile | str, *, quiet: bool) -> tuple[Session, Path | None]:
    """What answers, and the file of the profile that it rests on where it was given.

    A profile stands for its device by being played back; it says nothing, since it is what was asked for.
    """
    if isinstance(on, Profile):
        return Session(replay_device(on.path), quiet=True), on.path
    return Session(_device(on), quiet=quiet), None


def _space_of(on: Profile | Device | str) -> str:
    if isinstance(on, Profile) and on.header.space is not None:
        return on.header.space
    raise BadInput("say of which space: latency_model(..., space=...)")
