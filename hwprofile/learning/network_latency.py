"""How fast the networks are that a search chooses from: read off a file, predicted, or added up.

What `--latency` may name: a CSV file with arch,latency_ms; a predictor of `hwprofile fit`; a profile of
`hwprofile bench`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwprofile.catalog import family_named
from hwprofile.csv_files import CsvTable, is_csv
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.networks_csv import ops_of
from hwprofile.profile import Profile
from ponas_core.cell_space import CellSpace, OpSpace
from ponas_core.elastic import ElasticSpace
from ponas_core.features import NetworkSpace

if TYPE_CHECKING:
    from predictors.model_file import SavedModel

_PREDICTOR_START_BYTES = 200
_PREDICTOR = '"hwprofile-predictor"'


class NetworkLatency(Protocol):
    """Tells latencies of networks of one space; that costs no evaluation."""

    @property
    def origin(self) -> Path:
        """The file that it is from."""
        ...

    def latencies_ms(self, ops: NDArray[np.intp]) -> NDArray[np.float64]:
        """Latencies of networks, (networks, places) to (networks,) milliseconds; NaN where none is known."""
        ...


@dataclass(frozen=True, eq=False)
class MeasuredLatency:
    """Latencies in a CSV file.

    Attributes:
        origin: the file.
        ops: (networks, places) op indexes, distinct.
        known_ms: of each of them, milliseconds.
    """

    origin: Path
    ops: NDArray[np.intp]
    known_ms: NDArray[np.float64]

    @classmethod
    def from_file(cls, path: Path, space: OpSpace) -> MeasuredLatency:
        """Read the columns arch,latency_ms; rows whose latency is empty are left out.

        Raises:
            UserError: unreadable, a column is missing, or a row is unusable: the message names its line.
        """
        table = CsvTable.read(path, ("arch", "latency_ms"))
        numbers = table.numbers("latency_ms", 0.0, math.inf, "a number of milliseconds from 0 on")
        ops = ops_of(table, space).astype(np.intp)
        known = {row: numbers[row] for row in distinct_rows(table, ops, numbers) if numbers[row] >= 0}
        if not known:
            raise UserError(f"{path} holds no latency of any network")
        return cls(path, ops[list(known)], np.array(list(known.values())))

    @cached_property
    def _by_ops(self) -> dict[tuple[int, ...], float]:
        return dict(zip(map(tuple, self.ops.tolist()), self.known_ms.tolist(), strict=True))

    def latencies_ms(self, ops: NDArray[np.intp]) -> NDArray[np.float64]:
        """Look latencies up."""
        return np.array([self._by_ops.get(tuple(row), math.nan) for row in ops.tolist()])


@dataclass(frozen=True, eq=False)
class PredictedLatency:
    """Latencies of a predictor that `hwprofile fit` wrote.

    Attributes:
        origin: the file.
        saved: the predictor.
        family: its space, as `hwprofile predict` reads it.
        space: the space of the networks that are asked about.
    """

    origin: Path
    saved: SavedModel
    family: NetworkSpace
    space: OpSpace

    @classmethod
    def from_file(cls, path: Path, space: OpSpace) -> PredictedLatency:
        """Read a predictor; UserError where it is unusable, or of another space."""
        from hwprofile import fitting

        saved = fitting.load(path)
        family = family_named(saved.space)
        if not _is_of(family, space):
            raise UserError(f"--latency {path} predicts networks of {saved.space}, not of {space.name}")
        return cls(path, saved, family, space)

    def latencies_ms(self, ops: NDArray[np.intp]) -> NDArray[np.float64]:
        """Predict latencies, many at once."""
        from hwprofile import fitting

        networks: Sequence[Any] = [self._network(row) for row in ops.tolist()]
        return fitting.predicted_ms(self.saved, self.family, networks)

    def _network(self, ops: Sequence[int]) -> Any:
        if isinstance(self.family, ElasticSpace):
            assert not isinstance(self.space, CellSpace)
            return self.family.architecture(self.space.shape_in.height, ops)
        return self.space.architecture(ops)


@dataclass(frozen=True, eq=False)
class AddedLatency:
    """Latencies by the calibrated table of a profile: they add up, so the exact solver can hold a budget.

    Attributes:
        origin: the file.
        model: the table.
    """

    origin: Path
    model: SpaceLatency

    @classmethod
    def from_file(cls, path: Path, space: OpSpace) -> AddedLatency:
        """Read a profile; UserError where it is unusable, or of another space."""
        profile = Profile.load(path)
        if profile.header.subject != space.name or isinstance(space, CellSpace):
            raise UserError(
                f"--latency {path} holds {profile.header.subject}, not the blocks of {space.name}"
            )
        return cls(path, SpaceLatency.from_profile(profile, space))

    def latencies_ms(self, ops: NDArray[np.intp]) -> NDArray[np.float64]:
        """Add latencies up, as `hwprofile predict --profile` does."""
        return self.model.predict_ops(ops)[0]


def latency_named(path: Path, space: OpSpace) -> NetworkLatency:
    """What `--latency` names.

    Raises:
        UserError: the file is unusable, or of another space.
    """
    if is_csv(path):
        return MeasuredLatency.from_file(path, space)
    return (
        PredictedLatency.from_file(path, space)
        if _is_predictor(path)
        else AddedLatency.from_file(path, space)
    )


def distinct_rows(table: CsvTable, ops: NDArray[np.intp], values: Sequence[float]) -> list[int]:
    """The first row of every network; UserError where a network has two values."""
    found: dict[tuple[int, ...], int] = {}
    for row, network in enumerate(map(tuple, ops.tolist())):
        first = found.setdefault(network, row)
        # an empty cell is NaN, which equals nothing
        if first != row and repr(values[first]) != repr(values[row]):
            raise UserError(
                f"{table.place(row)}: {table.columns['arch'][row]} stands in line {table.lines[first]} "
                "already, with another value"
            )
    return list(found.values())


def _is_predictor(path: Path) -> bool:
    """Whether a file says so, or has the name of one; else it is taken for a profile."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            start = file.read(_PREDICTOR_START_BYTES)
    except OSError as error:
        raise UserError(f"cannot read --latency {path}: {error.strerror}") from error
    return _PREDICTOR in start or path.suffix == ".json"


def _is_of(family: NetworkSpace, space: OpSpace) -> bool:
    """Whether a space is the predictor's, or an elastic one's at one of its resolutions."""
    if isinstance(family, ElasticSpace) and not isinstance(space, CellSpace):
        resolution = space.shape_in.height
        return resolution in family.resolutions and family.at(resolution).name == space.name
    return family.name == space.name
