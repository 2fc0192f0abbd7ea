from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core import op_texts
from ponas_core.cell_space import CELL_SPACES, OpSpace
from ponas_core.op_texts import CHUNK, ArchitectureError, parse_many
from ponas_core.space import SearchSpace
from ponas_core.space_file import shipped_space, space_from_toml

CELLS = CELL_SPACES["nasbench201"]
MACRO = shipped_space("nasbench-macro")
NO_NETWORKS = (
    "", "x", "0", "0000000", "000000000", "00000003",
    "0,0,0,0,0,0,0", "0,0,0,0,0,0,0,0,0", "0,0,0,0,0,0,0,", "0,0,0,0,0,0,0,3",
    "0,0,0,0,0,0,0,-1", "0,0,0,0;0,0,0,0", "０,0,0,0,0,0,0,x", "0,0,0,0,0,0,0,0\n0,0,0,0,0,0,0,0",
)  # fmt: skip
NO_CELLS = (
    "", "34210", "3421010", "342109", "|none~0|", "|none~0|+|none~0|none~1|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+", "|none~1|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nothing~0|+|none~0|none~1|+|none~0|none~1|none~2|",
)  # fmt: skip
WIDE = """
schema_version = 1
name = "wide"
description = "more than ten candidates"
input = [3, 16, 16]
activation = "relu"

[[stages]]
layers = 2
channels = 3
blocks = [{blocks}]
"""


def wide_space() -> SearchSpace:
    """Two layers with twelve candidates each."""
    blocks = ", ".join(f'"mb_k{kernel}_e{wide}"' for kernel in (3, 5, 7) for wide in (1, 2, 3, 4))
    return space_from_toml(WIDE.format(blocks=blocks))


@given(st.lists(st.lists(st.integers(0, 11), min_size=2, max_size=2), max_size=20))
def test_all_ways_to_write_a_network_are_read_as_one_by_one(networks: list[list[int]]) -> None:
    space = wide_space()
    forms = [
        lambda ops: ",".join(map(str, ops)),
        lambda ops: " ".join(map(str, ops)),
        lambda ops: " , ".join(f"{op:03}" for op in ops),
        lambda ops: " ".join(map(str, space.architecture(ops).blocks)),
    ]
    texts = [forms[sum(ops) % len(forms)](ops) for ops in networks]
    assert parse_many(space, texts).tolist() == networks
    assert parse_many(space, [forms[0](ops) for ops in networks]).tolist() == networks


def test_rows_of_op_indexes_are_not_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(op_texts, "_one_by_one")
    rng = np.random.default_rng(0)
    ops = rng.integers(3, size=(CHUNK + 5, 8))
    assert np.array_equal(parse_many(MACRO, [",".join(map(str, row)) for row in ops]), ops)


@pytest.mark.parametrize("space", [MACRO, CELLS], ids=lambda space: space.name)
@pytest.mark.parametrize("written", ["digits", "commas", "own"])
def test_usual_ways_are_read_fast(space: OpSpace, written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(op_texts, "_one_by_one")
    ops = np.random.default_rng(0).integers(min(space.op_counts), size=(2000, len(space.op_counts)))
    texts = {
        "digits": ["".join(map(str, row)) for row in ops],
        "commas": [",".join(map(str, row)) for row in ops],
        "own": [str(space.architecture(row)) for row in ops],
    }
    assert np.array_equal(parse_many(space, texts[written]), ops)


def test_cells_written_in_several_ways_are_read_one_by_one() -> None:
    cells = list(CELLS.enumerate())[:3]
    texts = [str(cells[0]), "000001", "0,0,0,0,0,2"]
    assert [tuple(row) for row in parse_many(CELLS, texts)] == [cell.ops for cell in cells]


@pytest.mark.parametrize("text", NO_CELLS)
def test_what_is_no_cell_is_an_error_that_says_which(text: str) -> None:
    good = str(CELLS.architecture((3, 4, 2, 1, 0, 1)))
    for others in (good, "342101"):
        with pytest.raises(ArchitectureError) as caught:
            parse_many(CELLS, [others, text, others])
        assert caught.value.index == 1
        with pytest.raises(ValueError) as alone:
            CELLS.parse(text)
        assert str(caught.value) == str(alone.value)


@pytest.mark.parametrize("text", NO_NETWORKS)
@pytest.mark.parametrize("before", [0, 3, CHUNK + 2])
def test_what_is_no_network_is_an_error_that_says_which(text: str, before: int) -> None:
    good = "0,1,2,0,1,2,0,1"
    with pytest.raises(ArchitectureError) as caught:
        parse_many(MACRO, [good] * before + [text, good])
    assert caught.value.index == before
    with pytest.raises(ValueError) as alone:
        MACRO.parse(text)
    assert str(caught.value) == str(alone.value)
