"""Pickled files are interpreted, never obeyed."""

from __future__ import annotations

import contextlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.datasets import pickled_arrays
from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.pickled_arrays import read_pickled
from tests.ponas_core.datasets import written

NUMBERS = st.integers(-(2**31), 2**31 - 1)
TEXTS = st.text(st.characters(max_codepoint=127), max_size=60)
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


class Obeyed:
    """Unpickling this runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@given(st.dictionaries(TEXTS, NUMBERS | TEXTS | st.lists(NUMBERS | TEXTS, max_size=5), max_size=5))
def test_numbers_texts_and_lists_come_back(values: dict[str, Any]) -> None:
    assert read_pickled(pickle.dumps(values, 2), "it") == values
    assert read_pickled(written.python2_pickle(values), "it") == values


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i4", "<i8", ">u8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_come_back(dtype: str, order: Any, module: bytes) -> None:
    array = np.asarray(np.random.default_rng(0).integers(0, 120, (3, 5)), dtype, order=order)
    data = pickle.dumps({b"data": array, b"again": [1]}, 2)
    data = data.replace(b"numpy._core.multiarray", module)
    found = read_pickled(data, "it")["data"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_an_array_of_python_2_comes_back() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(read_pickled(written.python2_pickle({"data": array}), "it")["data"], array)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_file_that_runs_a_command_is_refused_and_nothing_runs(protocol: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    data = pickle.dumps({"data": Obeyed(f"touch {trace}")}, protocol)
    with pytest.raises(DatasetError, match="is not read: use the binary version"):
        read_pickled(data, "data_batch_1")
    assert not trace.exists()


def test_the_name_that_is_refused_is_told() -> None:
    with pytest.raises(DatasetError, match=r"data_batch_1 holds the name '(posix|nt)\.system'"):
        read_pickled(pickle.dumps(Obeyed("false"), 2), "data_batch_1")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (pickle.dumps([1], 2), "no dictionary"),
        (pickle.dumps({1: 1}, 2), r"a name that is no text \(int\)"),
        (pickle.dumps({(1, 2): 1}, 2), "the key tuple"),
        (pickle.dumps({"a": 1.5}, 2), "the operation BINFLOAT"),
        (pickle.dumps({"a": np.array(["x"], object)}, 2), "an array of 'O8'"),
        (pickle.dumps({"a": np.zeros(2)}, 2), "an array of 'f8'"),
        (pickle.dumps({"a": np.int64(3)}, 2), "multiarray.scalar'"),
        (b"\x80\x02}cnumpy\nndarray\n)R.", "a call of NDARRAY"),
        (b"\x80\x02}U\x01aK\x01)Rs.", "a call of a value"),
        (b"\x80\x02}U\x01acnumpy\ndtype\n}bs.", "a value with a state"),
        (b"\x80\x02}U\x01a" + EMPTY_ARRAY + b"s.", "an array without content"),
        (b"\x80\x02}U\x01a" + EMPTY_ARRAY + b"}bs.", "an array of unknown content"),
        (b"\x80\x02}U\x01acos\nsystem\ns.", r"'os\.system'"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(data: bytes, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        read_pickled(data, "it")


def test_a_text_that_is_encoded_again_and_again_is_refused() -> None:
    encode = (
        b"c_codecs\nencode\nq\x01X\x10\x27\x00\x00"
        + b"a" * 10_000
        + b"q\x02X\x06\x00\x00\x00latin1q\x03\x86R"
    )
    again = b"h\x01h\x02h\x03\x86R" * 100
    with pytest.raises(DatasetError, match="more text than it is long"):
        read_pickled(b"\x80\x02](" + encode + again + b"e.", "it")


def test_more_operations_than_any_such_file_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickled_arrays, "_MOST_OPERATIONS", 100)
    with pytest.raises(DatasetError, match="more than 100 operations"):
        read_pickled(b"\x80\x02" + b"}" * 100, "it")


@given(st.data())
def test_a_file_that_was_cut_off_is_an_error(data: st.DataObject) -> None:
    whole = written.python2_pickle({"labels": [1, 2], "data": np.zeros((2, 3), np.uint8)})
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(DatasetError, match="it is damaged"):
        read_pickled(whole[:end], "it")


@given(st.data())
def test_a_damaged_file_gives_values_or_one_kind_of_error(data: st.DataObject) -> None:
    whole = bytearray(written.python2_pickle({"labels": [1, 2], "data": np.zeros((2, 3), np.uint8)}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DatasetError):
        read_pickled(bytes(whole), "it")


def test_an_escape_that_damage_brought_into_a_text_is_no_warning() -> None:
    whole = written.python2_pickle({"labels": [1, 2], "data": np.zeros((2, 3), np.uint8)})
    for place in range(len(whole)):
        with contextlib.suppress(DatasetError):
            read_pickled(whole[:place] + b"\\" + whole[place + 1 :], "it")
