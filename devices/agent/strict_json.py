"""JSON as it is defined, and no more than this project writes: for what strangers may have written.

Python's own reader takes NaN, Infinity, numbers of any length, repeated keys, and texts that no stream can
print or that drive a terminal; each of them breaks something later.
"""

import json
import re
from typing import Any, Dict, List, Tuple

MOST_DIGITS = 20
"""Of a whole number: those of 64 bits have no more, and reading long ones takes time without end."""

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What drives a terminal, and halves of characters."""
_MAY_BE_HARMFUL = re.compile(r"\\u(00[01789]|d[89a-f])|\\[bfr]|[\x7f-\x9f]", re.IGNORECASE)
"""The same in a JSON text, which holds most of it as escapes only."""


def loads(data: bytes) -> Any:
    """Read one JSON value; in texts, what drives a terminal and halves of characters become U+FFFD.

    Raises:
        ValueError: it is no JSON, nests too deeply, or holds NaN, a number beyond what can be stored, or the
            same key twice.
    """
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        return harmless(value) if _MAY_BE_HARMFUL.search(text) else value
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > MOST_DIGITS:
        raise ValueError("a number of {} digits".format(len(digits)))
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number beyond what can be stored")
    return value


def _constant(name: str) -> float:
    raise ValueError("{} is no number".format(name))


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("an object with the same key twice")
    return value


def harmless(value: Any) -> Any:
    """The same value with U+FFFD for whatever drives a terminal or is half a character."""
    if isinstance(value, str):
        return _HARMFUL.sub("\ufffd", value)
    if isinstance(value, list):
        return [harmless(item) for item in value]
    if isinstance(value, dict):
        return {harmless(key): harmless(item) for key, item in value.items()}
    return value
