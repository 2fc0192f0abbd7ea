"""Names that people type, resolved: spaces, scores, and the profile that fits."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hwprofile import places, plugins
from hwprofile.csv_files import csv_text, is_csv
from hwprofile.errors import UserError
from hwprofile.matching import check_fits, device_header
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError
from ponas_core.accuracies import (
    KnownAccuracies,
    accuracies_from_csv,
    has_published_accuracies,
    published_accuracies,
)
from ponas_core.cell_space import CELL_SPACES, CellSpace
from ponas_core.elastic import ElasticSpace
from ponas_core.features import NetworkSpace
from ponas_core.score_table import Scores, ScoreTable, ScoreTableError, macs_proxy
from ponas_core.space import SearchSpace
from ponas_core.space_file import (
    SpaceError,
    elastic_space,
    load_elastic_space,
    load_space,
    shipped_space,
    shipped_spaces,
)
from ponas_core.table_fit import fitted_table

if TYPE_CHECKING:
    from hwprofile.fleet.device import Benched


def space_named(name: str | SearchSpace) -> SearchSpace:
    """A chain of blocks: a shipped space by name, or a user's by the path of its TOML file; or itself.

    Raises:
        UserError: no such space (the message lists the shipped ones), or one of cells.
    """
    space = name if isinstance(name, SearchSpace) else network_space_named(name)
    if isinstance(space, SearchSpace):
        return space
    raise UserError(
        f"{name} is a space of cells, and this command needs a chain of blocks; write cells with "
        f"`hwprofile export --space {name} --arch CELL --out net.onnx` and measure the files with "
        "`hwprofile bench --onnx net.onnx`"
    )


def network_space_named(name: str) -> SearchSpace | CellSpace:
    """A space by name, of cells or of another package too, or a user's by the path of its TOML file.

    `NAME@160` is an elastic space at that resolution; without one it is that of its file.

    Raises:
        UserError: no such space or resolution; the message lists the known ones.
    """
    if name in CELL_SPACES:
        return CELL_SPACES[name]
    family, _, resolution = name.rpartition("@")
    try:
        if family and resolution.isdecimal():
            return elastic_space_named(family).at(int(resolution))
        source = _source(name)
        if isinstance(source, SearchSpace):
            return source
        return shipped_space(name) if source is None else load_space(source)
    except ValueError as error:
        raise UserError(str(error)) from error


def elastic_space_named(name: str) -> ElasticSpace:
    """A shipped space by name, or a user's by its path, at all of its resolutions.

    Raises:
        UserError: no such space, or it has one resolution only.
    """
    source = _source(name)
    if isinstance(source, SearchSpace):
        raise UserError(f"space {name} has one resolution only: leave @ away")
    try:
        return elastic_space(name) if source is None else load_elastic_space(source)
    except SpaceError as error:
        raise UserError(str(error)) from error


def family_named(name: str) -> NetworkSpace:
    """All networks that a predictor of this space may be asked about: an elastic one at every resolution.

    Raises:
        UserError: no such space; the message lists the shipped ones.
    """
    space = network_space_named(name)
    if "@" in name or not isinstance(space, SearchSpace):
        return space
    try:
        return elastic_space_named(name)
    except UserError:
        return space


def family_names() -> tuple[str, ...]:
    """Names of the shipped spaces, of chains and of cells."""
    return (*shipped_spaces(), *CELL_SPACES)


def _source(name: str) -> SearchSpace | Path | None:
    """A space that another package brings, or its file, or a user's file; None for one that is shipped."""
    if name in shipped_spaces():
        return None
    if name.endswith(".toml"):
        return Path(name)
    plugins.need("hwprofile.spaces", name)
    if name not in plugins.SPACES:
        others = sorted({*plugins.SPACES, *plugins.names("hwprofile.spaces")})
        of_others = f"; of other packages: {', '.join(others)}" if others else ""
        raise UserError(
            f"no space {name!r}; shipped: {', '.join(shipped_spaces())}{of_others}; "
            "or give the path of your own .toml file"
        )
    return plugins.SPACES[name]


def scores_named(space: SearchSpace, name: str | None) -> Scores:
    """What to maximise.

    Args:
        space: the space.
        name: None for the accuracies that come with the space; `macs`; a `.json` score table; or a `.csv`
            with the columns arch,accuracy, to which a table is fitted.

    Raises:
        UserError: the space comes without accuracies and none were given, or the file is unusable.
    """
    try:
        if name == "macs":
            return Scores(macs_proxy(space))
        if name is None or name == "accuracy":
            return _published(space)
        scores = _from_file(space, Path(name))
        scores.table.check(space)
        return scores
    except (ScoreTableError, ValueError) as error:
        raise UserError(str(error)) from error


def default_table(space: SearchSpace) -> ScoreTable:
    """The space's own accuracies where it has some, else the proxy: what a bench picks its networks with."""
    return _published(space).table if has_published_accuracies(space.name) else macs_proxy(space)


def _published(space: SearchSpace) -> Scores:
    known = published_accuracies(space)
    if known is None:
        raise UserError(
            f"space {space.name} comes without accuracies: give --scores FILE.csv (columns arch,accuracy, "
            "from networks that you trained), --scores TABLE.json, or --scores macs (a proxy: "
            "multiply-accumulates stand in for accuracy)"
        )
    return Scores(fitted_table(space, known), known)


def _from_file(space: SearchSpace, path: Path) -> Scores:
    if path.suffix == ".json":
        return Scores(ScoreTable.load(path))
    if not is_csv(path):
        raise UserError(f"--scores {path}: give `macs`, a .json score table or a .csv with arch,accuracy")
    known = accuracies_in(space, path, "accuracy")
    return Scores(fitted_table(space, known), known)


def accuracies_in(space: SearchSpace, path: Path, column: str) -> KnownAccuracies:
    """Accuracies of networks of a space in a column of a CSV file, which may be gzipped.

    Raises:
        UserError: the file cannot be read, lacks a column, or a row is unusable.
    """
    text = csv_text(path)
    try:
        return accuracies_from_csv(space, text, column, str(path))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def finished_profile(
    device: Benched,
    subject: str,
    needed: Collection[str],
    *,
    inline: bool = False,
    energy: bool = False,
) -> Profile | None:
    """The newest finished profile of this device, subject and settings that holds all needed graphs.

    Args:
        device: where it was measured.
        subject: name of the space, or of other graphs.
        needed: names of the graphs.
        inline: whether times inside networks are needed too.
        energy: whether energies are needed too.
    """
    return _profile(device, subject, needed, finished=True, inline=inline, energy=energy)


def unfinished_path(
    device: Benched,
    subject: str,
    needed: Collection[str],
    *,
    inline: bool = False,
    energy: bool = False,
) -> Path | None:
    """Where an interrupted bench of this device, subject and settings goes on."""
    found = _profile(device, subject, needed, finished=False, inline=inline, energy=energy)
    return found.path if found else None


def _profile(
    device: Benched,
    subject: str,
    needed: Collection[str],
    *,
    finished: bool,
    inline: bool,
    energy: bool,
) -> Profile | None:
    candidates = places.profile_candidates(device.name, subject, device.settings)
    if not candidates:
        return None
    header = device_header(device, subject, inline=inline, energy=energy)
    for path in candidates:
        try:
            profile = Profile.load(path)
            check_fits(profile, header)
        except ProfileError:
            continue  # damaged, or of another machine: kept, and left alone
        # a space of the same name may have been changed since
        fits = set(needed) <= set(profile.names) if finished else set(profile.of_kind("block")) <= set(needed)
        if profile.finished == finished and fits:
            return profile
    return None
