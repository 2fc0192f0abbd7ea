"""Formats by name: what a file holds follows from its ending, what is written from the name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hwprofile.tables.arrays import npz_bytes, parquet_bytes, read_npz, read_parquet
from hwprofile.tables.csv_tables import csv_layers, read_csv
from hwprofile.tables.fbnet_text import read_fbnet
from hwprofile.tables.files import TableError, naming
from hwprofile.tables.json_tables import nni_text, read_json
from hwprofile.tables.ofa_yaml import read_yaml
from hwprofile.tables.values import KeyedTable, LayerTable

LAYER_FORMATS = ("csv", "npz", "parquet", "nni")


def table_in(path: Path, resolution: int) -> KeyedTable | LayerTable:
    """Read a table of any known form.

    Args:
        path: the file.
        resolution: of the networks, for files that hold several.

    Raises:
        UserError: unreadable, unusable, or of an unknown ending.
    """
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(path, resolution)
    readers: dict[str, Callable[[Path], KeyedTable | LayerTable]] = {
        ".yaml": read_yaml,
        ".yml": read_yaml,
        ".npz": read_npz,
        ".parquet": read_parquet,
        ".json": read_json,
        ".txt": read_fbnet,
    }
    if path.suffix.lower() not in readers:
        raise TableError(f"{path}: a table ends in .csv, .csv.gz, {', '.join(readers)}")
    return readers[path.suffix.lower()](path)


def layer_bytes(table: LayerTable, form: str) -> bytes:
    """A table by layer and op in a format; TableError where that needs a library that is missing."""
    with naming(Path(form)):
        if form == "csv":
            return csv_layers(table).encode()
        if form == "nni":
            return nni_text(table).encode()
        return npz_bytes(table) if form == "npz" else parquet_bytes(table)
