"""Length-prefixed frames between host and agent: a JSON header and raw bytes.

    magic "HWP1" | header length, 4 bytes | payload length, 8 bytes | header (JSON object, UTF-8) | payload

Both sides read with these limits, so a broken or hostile peer cannot make the other allocate at will.
A payload may have several named parts, one after the other: the header then lists `parts`, as pairs of a
name and a size in bytes.
"""

import io
import json
import struct
from typing import Any, Callable, Dict, Mapping, Tuple

from devices.agent import strict_json

MAGIC = b"HWP1"
LARGEST_HEADER_BYTES = 4 * 1000 * 1000
"""Of a request or an answer; the largest that was seen, times inside a whole network, has 20 kB."""
LARGEST_PAYLOAD_BYTES = 4 * 1024 * 1024 * 1024
PIECE_BYTES = 1024 * 1024
"""Payloads are read in such pieces: memory grows with what came, not with what was announced."""
MOST_PARTS = 16
_PREFIX = struct.Struct(">4sIQ")

Header = Dict[str, Any]


class FrameError(Exception):
    """The peer did not send a frame: wrong magic, over the limits, or the stream ended inside one."""


def encode(header: Header, payload: bytes = b"") -> bytes:
    """Prefix and header of a frame; the payload is written after it, uncopied.

    Raises:
        FrameError: the frame is too large, or the header holds what JSON cannot.
    """
    try:
        text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError("a header cannot be sent: {}".format(error)) from error
    if len(text) > LARGEST_HEADER_BYTES or len(payload) > LARGEST_PAYLOAD_BYTES:
        raise FrameError("a frame of {} + {} bytes is too large".format(len(text), len(payload)))
    return _PREFIX.pack(MAGIC, len(text), len(payload)) + text


def read(
    read_exactly: Callable[[int], bytes], largest_payload_bytes: int = LARGEST_PAYLOAD_BYTES
) -> Tuple[Header, bytes]:
    """Read one frame.

    Args:
        read_exactly: gives exactly that many bytes, or fewer when the stream has ended.
        largest_payload_bytes: a longer payload is refused before any of it is read.

    Raises:
        EOFError: the stream ended before a frame began.
        FrameError: what came is not a frame.
    """
    prefix = read_exactly(_PREFIX.size)
    if not prefix:
        raise EOFError("the other side closed the stream")
    if len(prefix) < _PREFIX.size:
        raise FrameError("the stream ended inside a frame")
    magic, header_length, payload_length = _PREFIX.unpack(prefix)
    if magic != MAGIC:
        raise FrameError("not a frame: it begins with {!r}".format(prefix[:16]))
    if header_length > LARGEST_HEADER_BYTES or payload_length > largest_payload_bytes:
        raise FrameError("a frame of {} + {} bytes is refused".format(header_length, payload_length))
    text = _in_pieces(read_exactly, header_length)
    return _header(text), _in_pieces(read_exactly, payload_length)


def _in_pieces(read_exactly: Callable[[int], bytes], size: int) -> bytes:
    data = io.BytesIO()
    while size:
        part = read_exactly(min(size, PIECE_BYTES))
        if not part:
            raise FrameError("the stream ended inside a frame")
        data.write(part)
        size -= len(part)
    return data.getvalue()


def _header(text: bytes) -> Header:
    try:
        header = strict_json.loads(text)
    except ValueError as error:
        raise FrameError("the header of a frame is not JSON: {}".format(error)) from error
    if not isinstance(header, dict):
        raise FrameError("the header of a frame is not a JSON object")
    return header


def joined(parts: Mapping[str, bytes]) -> Tuple[Header, bytes]:
    """A field for the header, and the payload, of several named parts."""
    return {"parts": [[name, len(data)] for name, data in parts.items()]}, b"".join(parts.values())


def parts(header: Header, payload: bytes) -> Dict[str, bytes]:
    """The named parts of a payload; none where the header lists none.

    Raises:
        FrameError: the list is malformed, or does not add up to the payload.
    """
    listed = header.get("parts", [])
    if not isinstance(listed, list) or len(listed) > MOST_PARTS:
        raise FrameError("the parts of a payload are a list of at most {}".format(MOST_PARTS))
    found = {}  # type: Dict[str, bytes]
    start = 0
    for pair in listed:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str)):
            raise FrameError("each of the parts of a payload is a name and a size")
        name, size = pair
        if type(size) is not int or not 0 <= size <= len(payload) - start or name in found:
            raise FrameError("one of the parts of a payload is malformed: {!r:.80}".format(pair))
        found[name] = payload[start : start + size]
        start += size
    if listed and start != len(payload):
        raise FrameError("the parts of a payload do not add up to it")
    return found
