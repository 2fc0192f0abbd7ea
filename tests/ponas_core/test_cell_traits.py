"""Traits of cells against every path, one by one, of every cell."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from ponas_core.cell_traits import cell_traits
from ponas_core.cells import EDGES, OPERATIONS

PATHS = ((0, 3), (0, 1, 3), (0, 2, 3), (0, 1, 2, 3))
EVERY = np.array(list(np.ndindex(*(5,) * 6)), np.intp)
UNCONNECTED = 4


def open_paths(ops: list[int]) -> list[list[int]]:
    """The edges of every path without `none`."""
    paths = [[EDGES.index(edge) for edge in itertools.pairwise(nodes)] for nodes in PATHS]
    return [path for path in paths if all(OPERATIONS[ops[edge]] != "none" for edge in path)]


@pytest.fixture(scope="module")
def traits() -> NDArray[np.intp]:
    return cell_traits(EVERY)[0]


def test_traits_of_every_cell_are_those_of_its_paths(traits: NDArray[np.intp]) -> None:
    for ops, found in zip(EVERY.tolist(), traits.tolist(), strict=True):
        paths = open_paths(ops)
        on_path = {edge for path in paths for edge in path}
        convolutions = [sum("conv" in OPERATIONS[ops[edge]] for edge in path) for path in paths]
        live = [op if edge in on_path else OPERATIONS.index("none") for edge, op in enumerate(ops)]
        lengths = [min(convolutions), max(convolutions)] if paths else [UNCONNECTED, UNCONNECTED]
        assert found == [*live, *lengths], ops


def test_every_value_lies_within_the_counts(traits: NDArray[np.intp]) -> None:
    counts = cell_traits(EVERY[:1])[1]
    assert counts == (5, 5, 5, 5, 5, 5, 5, 5)
    assert (traits.max(axis=0) == np.array(counts) - 1).all()
    assert (traits.min(axis=0) == 0).all()


def test_cells_that_differ_in_dead_edges_only_have_the_same_traits() -> None:
    # node 1 reaches nothing: whatever stands on 0-1 is computed in vain; node 2 is not reached
    cells = np.array([[op, 0, 0, 3, 0, other] for op in range(5) for other in range(5)], np.intp)
    found, _ = cell_traits(cells)
    assert (found == [0, 0, 0, 3, 0, 0, 1, 1]).all()


def test_a_cell_without_a_path_is_no_network() -> None:
    found, _ = cell_traits(np.array([[3, 3, 3, 0, 0, 0], [0, 0, 3, 0, 3, 3], [0] * 6], np.intp))
    assert (found == [0, 0, 0, 0, 0, 0, UNCONNECTED, UNCONNECTED]).all()
