"""Files of networks: a column of architectures in, their latencies out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwprofile.errors import UserError
from ponas_core.op_texts import ArchitectureError, parse_many
from ponas_core.space import SearchSpace


def read_networks(path: Path, space: SearchSpace) -> tuple[list[str], NDArray[np.integer]]:
    """The column `arch` of a CSV file: texts, and op indexes (networks, layers).

    Raises:
        UserError: the file has no column `arch`, or a row names no network of the space.
    """
    names = _arch_column(path)
    try:
        return names, parse_many(space, names)
    except ArchitectureError as error:
        raise UserError(f"{path}, line {error.index + 2}: {error}") from error


def latencies_csv(
    names: Sequence[str], latencies_ms: NDArray[np.float64], intervals_ms: NDArray[np.float64]
) -> str:
    """CSV of networks with predicted latencies (networks,) and intervals (networks, 2), to the last digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["arch", "latency_ms", "low_ms", "high_ms"])
    columns = (column.tolist() for column in (latencies_ms, *intervals_ms.T))
    writer.writerows(zip(names, *columns, strict=True))
    return text.getvalue()


def _arch_column(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows, [])
            if "arch" not in header:
                raise UserError(f"{path} needs a header with a column `arch`; found {header}")
            column = header.index("arch")
            return [row[column] if column < len(row) else "" for row in rows if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
