"""Networks whose accuracies are known, as `--evaluator tabular` names them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwprofile.csv_files import CsvTable
from hwprofile.errors import BadInput, UserError
from hwprofile.learning.network_latency import distinct_rows
from hwprofile.networks_csv import ops_of
from ponas_core.accuracies import KnownAccuracies, published_accuracies
from ponas_core.cell_space import OpSpace
from ponas_core.searches.candidates import Ops
from ponas_core.space import SearchSpace

TABULAR = "tabular"


@dataclass(frozen=True, eq=False)
class KnownNetworks:
    """Networks of a space with their accuracies.

    Attributes:
        space: the space.
        accuracies: in per cent, in the order of the file.
        texts: how the file writes each network; empty where there is no file.
        basis: digest of what the accuracies are read from.
    """

    space: OpSpace
    accuracies: KnownAccuracies
    texts: Mapping[Ops, str]
    basis: str

    @classmethod
    def named(cls, space: OpSpace, evaluator: str) -> KnownNetworks:
        """What an evaluator's name stands for: `tabular` or `tabular:FILE.csv:COLUMN`.

        Raises:
            BadInput: another name.
            UserError: the space comes without accuracies and none were given, or the file is unusable.
        """
        kind, *place = evaluator.split(":", 1)
        if kind != TABULAR:
            raise BadInput(f"--evaluator {evaluator}: write tabular, or tabular:FILE.csv:COLUMN")
        if not place:
            return cls._published(space)
        path, _, column = place[0].rpartition(":")
        if not path:
            raise BadInput(f"--evaluator {evaluator}: write tabular:FILE.csv:COLUMN")
        return cls._in_file(space, Path(path), column)

    @classmethod
    def _published(cls, space: OpSpace) -> KnownNetworks:
        known = published_accuracies(space) if isinstance(space, SearchSpace) else None
        if known is None:
            raise UserError(f"space {space.name} comes without accuracies: give tabular:FILE.csv:COLUMN")
        return cls(space, known, {}, _digest(space.name, known.source, str(sorted(known.values.items()))))

    @classmethod
    def _in_file(cls, space: OpSpace, path: Path, column: str) -> KnownNetworks:
        table = CsvTable.read(path, ("arch", column))
        ops = ops_of(table, space).astype(np.intp)
        percent = table.numbers(column, 0.0, 100.0, "an accuracy in per cent, 0 to 100")
        networks = list(map(tuple, ops.tolist()))
        rows = [row for row in distinct_rows(table, ops, percent) if not math.isnan(percent[row])]
        if not rows:
            raise UserError(f"{path} holds no accuracy in its column {column}")
        values = {networks[row]: percent[row] for row in rows}
        texts = {networks[row]: table.columns["arch"][row] for row in rows}
        known = KnownAccuracies(values, str(path))
        return cls(space, known, texts, _digest(space.name, column, table.digest))

    @property
    def ops(self) -> NDArray[np.intp]:
        """Op indexes, (networks, places)."""
        return np.array(list(self.accuracies.values), np.intp)

    def text(self, ops: Ops) -> str:
        """A network as the file writes it, else as its space does."""
        return self.texts.get(ops) or str(self.space.architecture(ops))


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
