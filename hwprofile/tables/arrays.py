"""Tables as arrays: NumPy's .npz and Parquet.

    latency_ms  (layers, ops)  milliseconds; NaN where a layer lacks the op
    var_ms2     (layers, ops)  variances of the measurements; NaN where none is known
    count       (layers, ops)  numbers of measurements; NaN where none is known
    fixed_ms    ()             what every network costs besides
    layers, ops, space, unit   names, and `ms`

Parquet holds a row for every layer and op (layer, op, latency_ms, var_ms2, count), and `fixed_ms`, `unit`
and `space` in its metadata.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hwprofile.tables.files import LARGEST_FILE_BYTES, TableError, missing_extra, naming, table_bytes
from hwprofile.tables.values import LONGEST_NAME, MOST_ENTRIES, UNIT, Entry, LayerTable

_NAMES = ("latency_ms", "var_ms2", "count", "fixed_ms", "layers", "ops", "unit", "space")
_DAMAGED = (zipfile.BadZipFile, zlib.error, MemoryError)


def npz_bytes(table: LayerTable) -> bytes:
    """A table as .npz, without pickle."""
    file = io.BytesIO()
    np.savez(
        file,
        latency_ms=table.latency_ms,
        var_ms2=table.var_ms2,
        count=table.count,
        fixed_ms=np.float64(table.fixed_ms),
        layers=np.array(table.layers),
        ops=np.array(table.ops),
        unit=np.array(UNIT),
        space=np.array(table.space or ""),
    )
    return file.getvalue()


def read_npz(path: Path) -> LayerTable:
    """Read such a file; `var_ms2`, `count`, `unit` and `space` may be absent.

    Raises:
        TableError: the file is none.
    """
    data = io.BytesIO(table_bytes(path))
    try:
        with zipfile.ZipFile(data) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_FILE_BYTES:
                raise TableError(f"{path} unpacks to more than a table can be ({LARGEST_FILE_BYTES} bytes)")
        with np.load(data, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _NAMES if name in file.files}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, *_DAMAGED) as error:
        raise TableError(f"{path} is no usable .npz: {error}") from error
    with naming(path):
        return _from_arrays(arrays)


def _from_arrays(arrays: dict[str, Any]) -> LayerTable:
    missing = [name for name in ("latency_ms", "fixed_ms", "layers", "ops") if name not in arrays]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    check_unit(str(arrays.get("unit", UNIT)))
    layers, ops = (arrays[name] for name in ("layers", "ops"))
    if any(names.dtype.kind != "U" or names.ndim != 1 for names in (layers, ops)):
        raise ValueError("layers and ops are lists of names")
    numbers = {
        name: arrays[name] for name in ("latency_ms", "var_ms2", "count", "fixed_ms") if name in arrays
    }
    if any(array.dtype.kind not in "fiu" for array in numbers.values()) or numbers["fixed_ms"].size != 1:
        raise ValueError("latencies, variances and counts are numbers, and fixed_ms is one")
    numbers["fixed_ms"] = float(numbers["fixed_ms"].item())
    space = str(arrays.get("space", "")) or None
    return LayerTable.from_arrays(layers.tolist(), ops.tolist(), **numbers, space=space)


def check_unit(unit: str) -> None:
    """Raise ValueError for another unit than milliseconds."""
    if unit != UNIT:
        raise ValueError(f"its unit is {unit[:20]!r}; {UNIT} is read")


def parquet_bytes(table: LayerTable) -> bytes:
    """A table as Parquet; TableError where pyarrow is missing."""
    arrow, parquet = _pyarrow("writing Parquet")
    found = [
        (layer, op, entry.mean_ms, entry.var_ms2, entry.count)
        for layer, row in zip(table.layers, table.rows, strict=True)
        for op, entry in row.items()
    ]
    layers, ops, means, variances, counts = (list(column) for column in zip(*found, strict=True))
    columns = {
        "layer": arrow.array(layers, arrow.string()),
        "op": arrow.array(ops, arrow.string()),
        "latency_ms": arrow.array(means, arrow.float64()),
        "var_ms2": arrow.array(variances, arrow.float64()),
        "count": arrow.array(counts, arrow.int64()),
    }
    metadata = {"fixed_ms": repr(table.fixed_ms), "unit": UNIT, "space": table.space or ""}
    file = io.BytesIO()
    parquet.write_table(arrow.table(columns).replace_schema_metadata(metadata), file)
    return file.getvalue()


def read_parquet(path: Path) -> LayerTable:
    """Read such a file.

    Raises:
        TableError: pyarrow is missing, or the file is none.
    """
    arrow, parquet = _pyarrow(f"reading {path.name}")
    try:
        names = ["layer", "op"]
        file = parquet.ParquetFile(io.BytesIO(table_bytes(path)), read_dictionary=names)
        if file.metadata.num_rows > MOST_ENTRIES:
            raise TableError(f"{path} has more rows than a table can have ({MOST_ENTRIES})")
        found = file.read(["layer", "op", "latency_ms", "var_ms2", "count"])
        # a name that stands once in the file may be repeated in a hundred thousand rows
        chunks = [chunk for name in names for chunk in found.column(name).chunks]
        texts = [text for chunk in chunks for text in chunk.dictionary.to_pylist()]
        if any(not isinstance(text, str) or not 0 < len(text) <= LONGEST_NAME for text in texts):
            raise TableError(f"{path}: layers and ops are names of 1 to {LONGEST_NAME} characters")
        columns = {name: found.column(name).to_pylist() for name in found.column_names}
        metadata = {key.decode(): value.decode() for key, value in (found.schema.metadata or {}).items()}
        fixed_ms = metadata["fixed_ms"]
    except (arrow.ArrowException, OSError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise TableError(f"{path} is no usable Parquet table: {error}") from error
    with naming(path):
        check_unit(metadata.get("unit", UNIT))
        return LayerTable(*_rows(columns), float(fixed_ms), metadata.get("space") or None)


def _rows(columns: dict[str, list[Any]]) -> tuple[tuple[str, ...], tuple[dict[str, Entry], ...]]:
    rows: dict[str, dict[str, Entry]] = {}
    for layer, op, mean, var, count in zip(*columns.values(), strict=True):
        if not isinstance(layer, str) or not isinstance(op, str) or type(mean) is not float:
            raise ValueError(f"a row is a layer, an op and a latency, not {layer!r}, {op!r}, {mean!r}")
        if op in rows.setdefault(layer, {}):
            raise ValueError(f"{layer} has {op} twice")
        rows[layer][op] = Entry(float(mean), var, count)
    return tuple(rows), tuple(rows.values())


def _pyarrow(what: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise missing_extra("pyarrow", what) from error
    return pyarrow, parquet
