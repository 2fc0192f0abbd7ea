"""Length-prefixed frames between host and agent: a JSON header and raw bytes.

    magic "HWP1" | header length, 4 bytes | payload length, 8 bytes | header (JSON object, UTF-8) | payload

Both sides read with these limits, so a broken or hostile peer cannot make the other allocate at will.
"""

import json
import struct
from typing import Any, Callable, Dict, Tuple

MAGIC = b"HWP1"
LARGEST_HEADER_BYTES = 16 * 1024 * 1024
LARGEST_PAYLOAD_BYTES = 4 * 1024 * 1024 * 1024
_PREFIX = struct.Struct(">4sIQ")

Header = Dict[str, Any]


class FrameError(Exception):
    """The peer did not send a frame: wrong magic, over the limits, or the stream ended inside one."""


def encode(header: Header, payload: bytes = b"") -> bytes:
    """Prefix and header of a frame; the payload is written after it, uncopied."""
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    if len(text) > LARGEST_HEADER_BYTES or len(payload) > LARGEST_PAYLOAD_BYTES:
        raise FrameError("a frame of {} + {} bytes is too large".format(len(text), len(payload)))
    return _PREFIX.pack(MAGIC, len(text), len(payload)) + text


def read(read_exactly: Callable[[int], bytes]) -> Tuple[Header, bytes]:
    """Read one frame.

    Args:
        read_exactly: gives exactly that many bytes, or fewer when the stream has ended.

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
    if header_length > LARGEST_HEADER_BYTES or payload_length > LARGEST_PAYLOAD_BYTES:
        raise FrameError("a frame of {} + {} bytes is refused".format(header_length, payload_length))
    text = read_exactly(header_length)
    payload = read_exactly(payload_length)
    if len(text) < header_length or len(payload) < payload_length:
        raise FrameError("the stream ended inside a frame")
    return _header(text), payload


def _header(text: bytes) -> Header:
    try:
        header = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise FrameError("the header of a frame is not JSON: {}".format(error)) from error
    if not isinstance(header, dict):
        raise FrameError("the header of a frame is not a JSON object")
    return header
