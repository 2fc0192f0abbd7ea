"""Frames: what is written is read back, and nothing else is taken for a frame."""

from __future__ import annotations

import io
import json
import math
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from devices.agent import frames
from devices.agent.frames import FrameError

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure

TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\t\n"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
HEADERS = st.dictionaries(TEXTS, JSON, max_size=5)
PREFIX = struct.Struct(">4sIQ")


class Recorder:
    """A stream that remembers how many bytes it was asked for."""

    def __init__(self, data: bytes) -> None:
        self.stream = io.BytesIO(data)
        self.asked: list[int] = []

    def read(self, size: int) -> bytes:
        self.asked.append(size)
        return self.stream.read(size)


def frame(header: dict[str, Any], payload: bytes = b"") -> bytes:
    return frames.encode(header, payload) + payload


def with_text(text: bytes) -> bytes:
    return PREFIX.pack(frames.MAGIC, len(text), 0) + text


@NO_DEADLINE
@given(HEADERS, st.binary(max_size=200))
def test_a_frame_is_read_as_it_was_written(header: dict[str, Any], payload: bytes) -> None:
    assert frames.read(io.BytesIO(frame(header, payload)).read) == (header, payload)


@NO_DEADLINE
@given(st.lists(st.tuples(HEADERS, st.binary(max_size=20)), max_size=4))
def test_frames_follow_each_other_until_the_stream_ends(sent: list[tuple[dict[str, Any], bytes]]) -> None:
    stream = io.BytesIO(b"".join(frame(header, payload) for header, payload in sent))
    assert [frames.read(stream.read) for _ in sent] == sent
    with pytest.raises(EOFError, match="closed the stream"):
        frames.read(stream.read)


@NO_DEADLINE
@given(HEADERS, st.binary(max_size=50), st.data())
def test_a_frame_that_is_cut_off_is_refused(
    header: dict[str, Any], payload: bytes, data: st.DataObject
) -> None:
    whole = frame(header, payload)
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(FrameError, match="ended inside a frame"):
        frames.read(io.BytesIO(whole[:cut]).read)


@NO_DEADLINE
@given(st.binary(min_size=16, max_size=100).filter(lambda data: not data.startswith(frames.MAGIC)))
def test_another_magic_is_refused_before_anything_else_is_read(data: bytes) -> None:
    stream = Recorder(data)
    with pytest.raises(FrameError, match="not a frame: it begins with"):
        frames.read(stream.read)
    assert stream.asked == [PREFIX.size]


@NO_DEADLINE
@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from(["header", "payload"]),
)
@example(frames.LARGEST_HEADER_BYTES + 1, 0, "as is")
@example(0, frames.LARGEST_PAYLOAD_BYTES + 1, "as is")
def test_a_length_over_its_limit_is_refused_before_anything_is_read(
    header_length: int, payload_length: int, which: str
) -> None:
    if which == "header":
        header_length = max(header_length, frames.LARGEST_HEADER_BYTES + 1)
    if which == "payload":
        payload_length = max(payload_length, frames.LARGEST_PAYLOAD_BYTES + 1)
    stream = Recorder(PREFIX.pack(frames.MAGIC, header_length, payload_length) + b"{}")
    with pytest.raises(FrameError, match="is refused"):
        frames.read(stream.read)
    assert stream.asked == [PREFIX.size]


def test_memory_grows_with_what_came_and_not_with_what_was_announced() -> None:
    largest = PREFIX.pack(frames.MAGIC, 2, frames.LARGEST_PAYLOAD_BYTES) + b"{}"
    stream = Recorder(largest + bytes(3 * frames.PIECE_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(FrameError, match="ended inside"):
            frames.read(stream.read)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert max(stream.asked) == frames.PIECE_BYTES
    assert peak < 8 * frames.PIECE_BYTES


def test_a_reader_may_allow_smaller_payloads_only() -> None:
    data = frame({}, b"12345")
    assert frames.read(io.BytesIO(data).read, 5) == ({}, b"12345")
    stream = Recorder(data)
    with pytest.raises(FrameError, match="is refused"):
        frames.read(stream.read, 4)
    assert stream.asked == [PREFIX.size]


@NO_DEADLINE
@given(st.binary(max_size=100), st.booleans(), st.integers(0, 40), st.integers(0, 40))
def test_garbage_gives_a_frame_error_or_the_end_or_an_object(
    garbage: bytes, framed: bool, header_length: int, payload_length: int
) -> None:
    prefix = PREFIX.pack(frames.MAGIC, header_length, payload_length) if framed else b""
    try:
        header, payload = frames.read(io.BytesIO(prefix + garbage).read)
    except (FrameError, EOFError):
        return
    assert isinstance(header, dict)
    assert len(payload) == payload_length


@NO_DEADLINE
@given(JSON.filter(lambda value: not isinstance(value, dict)))
def test_a_header_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(FrameError, match="not a JSON object"):
        frames.read(io.BytesIO(with_text(json.dumps(value).encode())).read)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"{'a': 1}",
        b'{"a": 1} trailing',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 21 + b"}",
        b'{"a": ' + b"9" * 1_000_000 + b"}",
        b'{"a": NaN}',
        b'{"a": [-Infinity]}',
        b'{"a": 1e999}',
        b'{"a": 1, "b": 2, "a": 3}',
        b'{"a": "\n"}',
    ],
    ids=[
        "empty",
        "open",
        "not utf-8",
        "python",
        "trailing",
        "deep",
        "long number",
        "very long number",
        "NaN",
        "infinite",
        "overflow",
        "same key twice",
        "bare line feed",
    ],
)
def test_a_header_that_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(FrameError, match="not JSON"):
        frames.read(io.BytesIO(with_text(text)).read)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (rb"\ud800", "\ufffd"),
        (rb"\uDFFFx", "\ufffdx"),
        (rb"\ud83d\ude00", "\U0001f600"),
        (rb"\u001b]0;title\u0007", "\ufffd]0;title\ufffd"),
        (rb"ok\rno", "ok\ufffdno"),
        (b"\xc2\x9b31m", "\ufffd31m"),
        (rb"\t\n\\b\u00e9", "\t\n\\b\xe9"),
    ],
    ids=["half", "other half", "pair", "escape", "carriage return", "CSI", "harmless"],
)
def test_texts_are_made_fit_to_be_printed(text: bytes, read: str) -> None:
    header, _ = frames.read(io.BytesIO(with_text(b'{"%s": ["%s"]}' % (text, text))).read)
    assert header == {read: [read]}


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, b"bytes", object(), {1, 2}], ids=["nan", "inf", "bytes", "object", "set"]
)
def test_what_json_cannot_hold_is_not_written(value: object) -> None:
    with pytest.raises(FrameError, match="cannot be sent"):
        frames.encode({"value": value})


def test_what_holds_itself_is_not_written() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(FrameError, match="cannot be sent"):
        frames.encode({"value": circle})


def test_a_header_over_the_limit_is_not_written() -> None:
    with pytest.raises(FrameError, match="too large"):
        frames.encode({"text": "x" * frames.LARGEST_HEADER_BYTES})


def test_a_payload_over_the_limit_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "LARGEST_PAYLOAD_BYTES", 10)
    assert frames.encode({}, b"x" * 10)
    with pytest.raises(FrameError, match="too large"):
        frames.encode({}, b"x" * 11)


# --- payloads of several parts


@NO_DEADLINE
@given(st.dictionaries(st.text(), st.binary(max_size=50), max_size=frames.MOST_PARTS))
def test_parts_are_read_as_they_were_joined(parts: dict[str, bytes]) -> None:
    header, payload = frames.joined(parts)
    assert frames.parts(json.loads(json.dumps(header)), payload) == parts


def test_a_header_that_lists_no_parts_has_none() -> None:
    assert frames.parts({}, b"a graph") == {}


@NO_DEADLINE
@example([["a", 3], ["a", 3]])
@example([["a", True]])
@example([["a", 1]] * 99)
@given(JSON)
def test_parts_that_do_not_add_up_are_refused(listed: Any) -> None:
    try:
        found = frames.parts({"parts": listed}, b"123456")
    except FrameError:
        return
    assert b"".join(found.values()) in (b"123456", b"")


def test_a_payload_above_what_a_reader_takes_is_refused_before_it_is_read() -> None:
    stream = Recorder(frame({}, b"123456"))
    with pytest.raises(FrameError, match="is refused"):
        frames.read(stream.read, 5)
    assert sum(stream.asked) == PREFIX.size
