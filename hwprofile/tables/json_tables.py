"""Tables as JSON: for NNI's expressions, and Single-Path NAS' runtime model.

NNI (3.0) sums `MutableExpression.switch_case(choice, {value: latency})` over its layer choices; the file
holds those mappings:

    {"space": "tiny", "unit": "ms", "fixed_ms": 0.8, "latency_ms": {"layer0": {"mb_k3_e3": 0.21, "skip": 0}}}

with `var_ms2` and `count` in the same form. Single-Path NAS (Stamoulis et al., 2019) published
{"layer": {"op": ms}} of 22 layers; ops 0 to 3 are kernel 3 with expansion 3 and 6, then kernel 5. Its first
and last block are fixed; the stem's convolution and the head are not in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hwprofile.tables.arrays import check_unit
from hwprofile.tables.files import TableError, naming, table_text
from hwprofile.tables.values import UNIT, Entry, LayerTable

SINGLE_PATH_OPS = ("mb_k3_e3", "mb_k3_e6", "mb_k5_e3", "mb_k5_e6")
_FIRST, _LAST = "0", "21"
"""Fixed blocks of Single-Path NAS: the first has expansion 1, the last kernel 3 and expansion 6."""


def nni_text(table: LayerTable) -> str:
    """A table as JSON for NNI."""

    def by_layer(number: Callable[[Entry], float | int | None]) -> dict[str, dict[str, float | int | None]]:
        return {
            layer: {op: number(entry) for op, entry in row.items()}
            for layer, row in zip(table.layers, table.rows, strict=True)
        }

    document = {
        "space": table.space,
        "unit": UNIT,
        "fixed_ms": table.fixed_ms,
        "latency_ms": by_layer(lambda entry: entry.mean_ms),
        "var_ms2": by_layer(lambda entry: entry.var_ms2),
        "count": by_layer(lambda entry: entry.count),
    }
    return json.dumps(document, indent=1) + "\n"


def read_json(path: Path) -> LayerTable:
    """Read either form.

    Raises:
        TableError: the file is none.
    """
    try:
        document = json.loads(table_text(path))
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path} is no usable JSON: {error}") from error
    if not isinstance(document, dict):
        raise TableError(f"{path} is no latency table: layers with ops and milliseconds are expected")
    with naming(path):
        return _nni(document) if "latency_ms" in document else _single_path(document)


def _nni(document: Mapping[str, Any]) -> LayerTable:
    check_unit(str(document.get("unit", UNIT)))
    space = document.get("space")
    if not isinstance(space, str | None):
        raise ValueError(f"space is a name, not {space!r}")
    layers = _mapping("latency_ms", document["latency_ms"])
    spread, counts = (_mapping(name, document.get(name, {})) for name in ("var_ms2", "count"))
    rows = []
    for layer, row in layers.items():
        of_spread, of_count = (_mapping(layer, found.get(layer, {})) for found in (spread, counts))
        rows.append(
            {
                op: Entry(_number(layer, ms), _optional(layer, of_spread.get(op)), of_count.get(op))
                for op, ms in _mapping(layer, row).items()
            }
        )
    return LayerTable(tuple(layers), tuple(rows), _number("fixed_ms", document.get("fixed_ms")), space)


def _single_path(document: Mapping[str, Any]) -> LayerTable:
    wanted = [str(number) for number in range(int(_LAST) + 1)]
    ops = [str(number) for number in range(len(SINGLE_PATH_OPS))]
    if set(document) != set(wanted) or any(
        set(_mapping(name, document[name])) != set(ops) for name in wanted
    ):
        raise ValueError("neither `latency_ms` by layer and op, nor the 22 layers of Single-Path NAS")
    rows = {
        layer: {
            name: Entry(_number(layer, document[layer][op]))
            for op, name in zip(ops, SINGLE_PATH_OPS, strict=True)
        }
        for layer in wanted
    }
    fixed_ms = rows.pop(_FIRST)["mb_k3_e3"].mean_ms + rows.pop(_LAST)["mb_k3_e6"].mean_ms
    notice = "the stem's convolution and the head are not in it: networks count without them"
    return LayerTable(tuple(rows), tuple(rows.values()), fixed_ms, notice=notice)


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no mapping of names")
    return value


def _number(where: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{where}: {value!r} is no finite number of milliseconds")
    return float(value)


def _optional(where: str, value: Any) -> float | None:
    return None if value is None else _number(where, value)
