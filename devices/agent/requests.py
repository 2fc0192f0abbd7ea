"""Checks of what a request holds: every field is taken through one of these.

A field that is missing, of another type or out of range is an answer that names it. Host and agent come from
one archive, so a field that is not known is refused too (`only`). True is no number here, and neither is
anything infinite.
"""

import math
from typing import Any, Dict, Iterable

Fields = Dict[str, Any]

LONGEST_TEXT = 200
MOST_THREADS = 1000000
"""Beyond any machine; how many processors this one has is said by `identity.pin`."""


class RequestError(ValueError):
    """A request cannot be done as it was sent; the message names the field."""


def only(fields: Fields, known: Iterable[str]) -> None:
    """Refuse fields that nobody reads."""
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise RequestError("unknown field {!r:.80}; known: {}".format(unknown[0], ", ".join(known)))


def whole(fields: Fields, name: str, lowest: int, highest: int) -> int:
    """A whole number between two, both included."""
    value = _taken(fields, name)
    if type(value) is not int:  # True is an int too
        raise RequestError("{} must be a whole number, not {!r:.80}".format(name, value))
    return int(_within(value, name, lowest, highest))


def number(fields: Fields, name: str, lowest: float, highest: float) -> float:
    """A finite number between two, both included."""
    value = _taken(fields, name)
    if type(value) not in (int, float) or not -math.inf < value < math.inf:
        raise RequestError("{} must be a finite number, not {!r:.80}".format(name, value))
    return float(_within(value, name, lowest, highest))


def truth(fields: Fields, name: str) -> bool:
    """True or false; false where it is absent."""
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise RequestError("{} must be true or false, not {!r:.80}".format(name, value))
    return value


def text(fields: Fields, name: str, longest: int = LONGEST_TEXT) -> str:
    """A text that is not empty."""
    value = _taken(fields, name)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise RequestError(
            "{} must be a text of at most {} characters, not {!r:.80}".format(name, longest, value)
        )
    return value


def choice(fields: Fields, name: str, known: Iterable[str]) -> str:
    """One of the known texts."""
    value = text(fields, name)
    if value not in known:
        raise RequestError("{} {!r:.80} is unknown; known: {}".format(name, value, ", ".join(known)))
    return value


def part(fields: Fields, name: str) -> Fields:
    """An object inside the request."""
    value = _taken(fields, name)
    if not isinstance(value, dict):
        raise RequestError("{} must be an object, not {!r:.80}".format(name, value))
    return value


def settings(fields: Fields) -> Fields:
    """The settings of a measurement.

    `threads` and `provider`, which every runtime reads, are checked by type; the others belong to the host or
    to one runtime, and are let through as plain short values.
    """
    found = part(fields, "settings")
    whole(found, "threads", 1, MOST_THREADS)
    text(found, "provider")
    for name, value in found.items():
        if isinstance(value, str):
            short = len(value) <= LONGEST_TEXT
        else:
            short = value is None or isinstance(value, bool) or type(value) in (int, float)
        if not short:
            raise RequestError("the setting {!r:.80} must be a plain short value".format(name))
    return found


def _taken(fields: Fields, name: str) -> Any:
    if name not in fields:
        raise RequestError("{} is missing".format(name))
    return fields[name]


def _within(value: Any, name: str, lowest: float, highest: float) -> Any:
    if not lowest <= value <= highest:
        raise RequestError("{} must be {} to {}, not {!r:.80}".format(name, lowest, highest, value))
    return value
