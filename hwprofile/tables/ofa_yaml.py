"""The YAML form of ProxylessNAS and Once-for-All: a mapping of keys to `count`, `mean` and `var`.

    Conv-input:224x224x3-output:112x112x32:
      count: 982
      mean: 4.083755600814664
      var: 0.2502372872758427

It is written here and read with `yaml.safe_load`. Of published files, `std` is read too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hwprofile.tables.files import TableError, missing_extra, naming, table_text
from hwprofile.tables.keys import Key
from hwprofile.tables.values import Entry, KeyedTable

LONGEST_TEXT = 2_000_000
"""A hundred times the published ones; reading YAML is slow."""
_ALIAS = re.compile(r"^[^#\n]*[&*<]", re.MULTILINE)
"""Anchors, aliases and merges: a short file could unfold into a very large one, and no table needs them."""


def yaml_text(table: KeyedTable) -> str:
    """A table as YAML, the same text for the same table."""
    lines = [f"# {note}" for note in ("latency in ms, var in ms^2", *table.notes)]
    for key, entry in table.entries.items():
        lines.append(f"{Key.parse(key)}:")
        lines.append(f"  count: {'null' if entry.count is None else entry.count}")
        lines.append(f"  mean: {_number(entry.mean_ms)}")
        lines.append(f"  var: {'null' if entry.var_ms2 is None else _number(entry.var_ms2)}")
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    """All digits, as YAML 1.1 reads a number: it takes `1e-05` for a text and `1.0e-05` for a number."""
    mantissa, exponent, power = repr(float(value)).partition("e")
    return mantissa + (".0" if "." not in mantissa else "") + exponent + power


def read_yaml(path: Path) -> KeyedTable:
    """Read such a file.

    Raises:
        TableError: PyYAML is missing, or the file is none; the message names the entry.
    """
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise missing_extra("PyYAML", f"reading {path.name}") from error
    text = table_text(path)
    if len(text) > LONGEST_TEXT:
        raise TableError(f"{path} is longer than a table in YAML can be ({LONGEST_TEXT} characters)")
    if _ALIAS.search(text):
        raise TableError(f"{path} holds anchors or aliases of YAML, which no latency table needs")
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise TableError(f"{path} is no usable YAML: {first}") from error
    if not isinstance(document, dict):
        raise TableError(f"{path} is no latency table: keys with count, mean and var are expected")
    with naming(path):
        return KeyedTable({_key(key): _entry(key, value) for key, value in document.items()})


def _key(text: Any) -> str:
    return str(Key.parse(text if isinstance(text, str) else repr(text)))


def _entry(key: str, value: Any) -> Entry:
    if not isinstance(value, Mapping) or "mean" not in value:
        raise ValueError(f"{key}: an entry has a mean, milliseconds")
    unknown = set(value) - {"count", "mean", "var", "std"}
    if unknown:
        raise ValueError(f"{key}: an entry has count, mean and var, not {', '.join(map(str, unknown))}")
    std, count = _optional(key, value.get("std")), _optional(key, value.get("count"))
    var = _optional(key, value.get("var")) if std is None else std * std
    mean = _optional(key, value["mean"])
    if mean is None or (count is not None and count != int(count)):
        raise ValueError(f"{key}: mean is a number and count a whole one, got {value}")
    return Entry(mean, var, None if count is None else int(count))


def _optional(key: str, value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{key}: {value!r} is no finite number")
    return float(value)
