"""Tables as CSV: by layer and op, or by key as the published tables are passed on.

    layer,op,latency_ms,var_ms2,count,space
    key,mean_ms,var,count
    res,key,mean_ms,std,count

The first is written and read: what every network costs besides is the row `fixed`, without op. The others are
read: ProxylessNAS' and Once-for-All's keys, where `std` may stand for `var`, and `res` keeps the tables of
several resolutions apart.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from hwprofile.csv_files import CsvTable
from hwprofile.tables.files import TableError, check_unpacked, naming, table_bytes
from hwprofile.tables.keys import Key
from hwprofile.tables.values import Entry, KeyedTable, LayerTable

FIXED = "fixed"
"""Layer's name of what every network costs besides."""
_COLUMNS = ("layer", "op", "latency_ms")
_FURTHER = ("var_ms2", "count", "space")


def csv_layers(table: LayerTable) -> str:
    """A table by layer and op as CSV, to the last digit."""
    if FIXED in table.layers:
        raise ValueError(f"no layer of a CSV table can be named {FIXED!r}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *_FURTHER])
    writer.writerow([FIXED, "", table.fixed_ms, None, None, table.space])
    for layer, row in zip(table.layers, table.rows, strict=True):
        for op, entry in row.items():
            writer.writerow([layer, op, entry.mean_ms, entry.var_ms2, entry.count, table.space])
    return text.getvalue()


def read_csv(path: Path, resolution: int) -> KeyedTable | LayerTable:
    """Read any of the forms.

    Args:
        path: the file.
        resolution: of the networks: which rows count where the file has a column `res`.

    Raises:
        TableError: the file is unusable, or holds networks instead; the message names a line.
        UserError: it cannot be read.
    """
    table_bytes(path)  # bounded
    if path.suffix.lower() == ".gz":
        check_unpacked(path)
    header = CsvTable.read(path, ()).text.partition("\n")[0].strip().split(",")
    if "key" in header:
        return _keyed(path, header, resolution)
    if "arch" in header:
        raise TableError(
            f"{path} holds whole networks: choose among them with `hwprofile search --latency {path.name}`, "
            f"or predict others with `hwprofile fit --networks {path.name}`"
        )
    return _layers(path, header)


def _layers(path: Path, header: Sequence[str]) -> LayerTable:
    table = CsvTable.read(path, (*_COLUMNS, *(name for name in _FURTHER if name in header)))
    rows: dict[str, dict[str, Entry]] = {}
    fixed_ms: float | None = None
    entries = _entries(table, "latency_ms", "var_ms2")
    for number, (layer, op) in enumerate(zip(table.columns["layer"], table.columns["op"], strict=True)):
        entry = entries[number]
        if layer == FIXED and not op:
            if fixed_ms is not None:
                raise TableError(f"{table.place(number)}: the fixed part stands there twice")
            fixed_ms = entry.mean_ms
        elif op in rows.setdefault(layer, {}):
            raise TableError(f"{table.place(number)}: {layer} has {op} twice")
        else:
            rows[layer][op] = entry
    spaces = {name for name in table.columns.get("space", ()) if name}
    if len(spaces) > 1:
        raise TableError(f"{path} is of {' and '.join(sorted(spaces))}; give a table of one space")
    with naming(path):
        notice = (
            None if fixed_ms is not None else f"it has no row {FIXED!r}: networks count without stem and head"
        )
        return LayerTable(
            tuple(rows), tuple(rows.values()), fixed_ms or 0.0, next(iter(spaces), None), notice
        )


def _keyed(path: Path, header: Sequence[str], resolution: int) -> KeyedTable:
    optional = [name for name in ("res", "var", "std", "count") if name in header]
    table = CsvTable.read(path, ("key", "mean_ms", *optional))
    entries = _entries(table, "mean_ms", "std" if "std" in header else "var")
    found: dict[str, Entry] = {}
    for number, key in enumerate(table.columns["key"]):
        if "res" in header and table.columns["res"][number].strip() != str(resolution):
            continue
        with naming(Path(table.place(number))):
            name = str(Key.parse(key))
        if name in found:
            raise TableError(f"{table.place(number)}: {name} stands there twice")
        found[name] = entries[number]
    if not found and "res" in header:
        known = ", ".join(dict.fromkeys(table.columns["res"]))
        raise TableError(f"{path} has no entry for resolution {resolution}; it has {known}")
    with naming(path):
        return KeyedTable(found)


def _entries(table: CsvTable, latency: str, spread: str) -> list[Entry]:
    """An entry for every row; the spread is a variance, or a standard deviation where it is named `std`."""
    means = table.numbers(latency, -math.inf, 1e300, "a latency in milliseconds")
    spreads = _optional(table, spread)
    counts = _optional(table, "count")
    found = []
    for number, (mean, sd, count) in enumerate(zip(means, spreads, counts, strict=True)):
        var = sd * sd if spread == "std" else sd
        with naming(Path(table.place(number))):
            if not (math.isnan(count) or count.is_integer()):
                raise ValueError(f"a count is a whole number, got {count}")
            whole = None if math.isnan(count) else int(count)
            found.append(Entry(mean, None if math.isnan(var) else var, whole))
    return found


def _optional(table: CsvTable, name: str) -> list[float]:
    if name not in table.columns:
        return [math.nan] * len(table.lines)
    return table.numbers(name, 0.0, 1e300, "a number from 0 on")
