"""A published table as a device: `--device table:FILE`. Networks are chosen on it; it cannot measure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from devices.connection import DeviceError
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.profile_lines import Header
from hwprofile.tables.files import table_bytes
from hwprofile.tables.formats import table_in
from hwprofile.tables.space_table import SpaceTable
from hwprofile.tables.values import Floats, KeyedTable
from ponas_core.closed_loop import Latency
from ponas_core.cost import CostTable
from ponas_core.space import Architecture, SearchSpace
from predictors.calibrated_table import UNCALIBRATED_HALF_WIDTH, UNKNOWN_PROCESS_SD

PREFIX = "table:"


@dataclass(frozen=True)
class TableLatency:
    """Latencies of the networks of a space, added up from somebody's table.

    Its intervals are those of a table that no whole network has calibrated: wide.
    """

    table: SpaceTable

    @property
    def space(self) -> SearchSpace:
        """The space."""
        return self.table.space

    @cached_property
    def cost(self) -> CostTable:
        """The table as an additive cost, what the solver sees."""
        return self.table.cost

    @property
    def measures(self) -> tuple[str, ...]:
        """What the latencies of the blocks are."""
        return ("published",)

    @property
    def process_sd(self) -> float:
        """Relative spread of a network's latency between processes; a table does not tell it."""
        return UNKNOWN_PROCESS_SD

    def median_ms(self, architecture: Architecture) -> float:
        """Predicted latency of a network."""
        return self.cost.total(architecture.ops)

    def predict(self, architectures: Sequence[Architecture]) -> list[Latency]:
        """Predicted latencies with intervals."""
        ops = np.array([architecture.ops for architecture in architectures], np.intp)
        medians, intervals = self.predict_ops(ops.reshape(-1, len(self.space.layers)))
        return [
            Latency(median, low, high)
            for median, (low, high) in zip(medians.tolist(), intervals.tolist(), strict=True)
        ]

    def predict_ops(self, ops: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Predicted latencies and intervals of many networks: (networks,) and (networks, 2), ms."""
        medians = self.cost.totals(ops.astype(np.intp))
        factor = 1 + UNCALIBRATED_HALF_WIDTH
        return medians, np.column_stack([medians / factor, medians * factor])


@dataclass(frozen=True)
class TableOrigin:
    """What a result says of a table in place of a profile."""

    path: Path
    header: Header

    def why_disturbed(self) -> None:
        """Nobody knows how a published table was measured."""
        return


@dataclass(frozen=True)
class TableDevice:
    """The device that a table was measured on, as far as the table tells.

    Attributes:
        path: the table.
        digest: of its content.
    """

    path: Path
    digest: str
    settings: Settings = field(default_factory=Settings)

    @classmethod
    def from_file(cls, path: Path) -> TableDevice:
        """Name a table; UserError where the file cannot be read. What it holds is read for a space."""
        return cls(path, hashlib.sha256(table_bytes(path)).hexdigest()[:8])

    @property
    def name(self) -> str:
        """The file's name, said to be a table's."""
        return f"{PREFIX}{self.path.name}"

    def process(self, *, detailed: bool = False) -> NoReturn:
        """Refuse: DeviceError."""
        raise DeviceError(
            "it is a table of latencies and cannot measure; choose on it with specialize or pareto"
        )

    def table(self, space: SearchSpace) -> SpaceTable:
        """What the file says of the blocks of a space.

        Raises:
            UserError: the file is unusable, or lacks a block; the message names its key and layer.
        """
        found = table_in(self.path, space.shape_in.height)
        if isinstance(found, KeyedTable):
            return SpaceTable.from_keys(space, found, str(self.path))
        return SpaceTable.from_layers(space, found, str(self.path))

    def origin(self, space: SearchSpace) -> TableOrigin:
        """What a result says of it: its identity is that it is a table."""
        identity = {"table": self.path.name, "digest": self.digest}
        return TableOrigin(self.path, Header(self.name, space.name, space.name, identity, {}, Goal()))
