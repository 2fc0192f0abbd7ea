"""The lookup table of the PyTorch code for FBNet: a line of op names, then a line of microseconds a layer.

    ir_k3_e1 ir_k3_s2 ... skip
    5129.798 3028.797 ... 1.613

The code that writes it times seconds and multiplies by 1e6. `ir_k3_s2` is kernel 3, expansion 1, two groups.
`skip` is a 1x1 convolution where the shape changes, so it is read under both names. The table has no stem and
no head: they count as 0 ms there, and totals are those of the searched layers.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from hwprofile.tables.files import TableError, naming, table_text
from hwprofile.tables.values import Entry, LayerTable

_US_PER_MS = 1000.0
NOTICE = "stem and head are not in it: networks count without them"
_OP = re.compile(r"ir_k(\d)_([es])(\d)")


def is_fbnet(text: str) -> bool:
    """Whether a text begins with op names as FBNet's code has them."""
    words = text.partition("\n")[0].split()
    return bool(words) and all(word == "skip" or _OP.fullmatch(word) for word in words)


def read_fbnet(path: Path) -> LayerTable:
    """Read such a file, in milliseconds.

    Raises:
        TableError: the file is none; the message names the line.
    """
    lines = [line.split() for line in table_text(path).splitlines() if line.strip()]
    if not lines or not is_fbnet(" ".join(lines[0])):
        raise TableError(f"{path} is no lookup table: the first line names ops such as ir_k3_e1 and skip")
    names, rows = [_names(word) for word in lines[0]], []
    for number, words in enumerate(lines[1:], start=2):
        if len(words) != len(names):
            raise TableError(f"{path}, line {number}: {len(words)} numbers for {len(names)} ops")
        with naming(Path(f"{path}, line {number}")):
            entries = [Entry(_us(word) / _US_PER_MS) for word in words]
        rows.append({name: entry for ours, entry in zip(names, entries, strict=True) for name in ours})
    with naming(path):
        return LayerTable(tuple(map(str, range(len(rows)))), tuple(rows), 0.0, notice=NOTICE)


def _names(word: str) -> tuple[str, ...]:
    """What an op is called here."""
    match = _OP.fullmatch(word)
    if match is None:
        return ("skip", "conv_k1")
    kernel, kind, number = match.groups()
    return (f"fb_k{kernel}_e{number}" if kind == "e" else f"fb_k{kernel}_e1_g{number}",)


def _us(word: str) -> float:
    value = float(word)
    if not 0 <= value < math.inf:
        raise ValueError(f"{word} is no number of microseconds")
    return value
