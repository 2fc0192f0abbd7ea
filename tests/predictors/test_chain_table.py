from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from predictors.calibrated_table import CalibratedTable, MissingBlock, fitted_table
from predictors.chain_table import CHUNK, ChainTable
from tests.predictors.test_calibrated_table import TRUTH, made_up_blocks, made_up_networks

FIXED = ["block0", "block1"]
LAYERS: list[list[str | None]] = [["block2", "block3"], ["block4", None, "block2"], ["block5"]]


def made_up_table(calibrated: bool) -> CalibratedTable:
    rng = np.random.default_rng(2)
    blocks = made_up_blocks(rng, 6)
    return fitted_table(blocks, made_up_networks(blocks, rng, 12 if calibrated else 0, TRUTH, 0.01))


@pytest.mark.parametrize("calibrated", [True, False])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_op_indexes_are_predicted_as_the_keys_of_their_blocks(calibrated: bool, dtype: type) -> None:
    table = made_up_table(calibrated)
    ops: NDArray[np.integer] = np.array(
        [[first, second, 0] for first in range(2) for second in range(3)], dtype
    )
    networks = [
        FIXED + [key for keys, op in zip(LAYERS, row, strict=True) if (key := keys[op]) is not None]
        for row in ops
    ]
    chain = ChainTable(table, FIXED, LAYERS)
    assert chain.predict(ops) == pytest.approx(table.predict(networks), rel=1e-14)
    assert chain.predict_interval(ops) == pytest.approx(table.predict_interval(networks), rel=1e-12)


def test_every_chunk_is_predicted() -> None:
    ops = np.zeros((2 * CHUNK + 3, 3), np.int64)
    ops[:, 1] = np.arange(len(ops)) % 3
    chain = ChainTable(made_up_table(True), FIXED, LAYERS)
    medians, intervals = chain.predict_with_interval(ops)
    assert np.array_equal(medians, np.resize(chain.predict(ops[:3]), len(ops)))
    assert np.array_equal(intervals, np.resize(chain.predict_interval(ops[:3]), (len(ops), 2)))


def test_nothing_to_predict_is_an_empty_array() -> None:
    medians, intervals = ChainTable(made_up_table(True), FIXED, LAYERS).predict_with_interval(
        np.zeros((0, 3), np.int64)
    )
    assert (medians.shape, intervals.shape) == ((0,), (0, 2))


@pytest.mark.parametrize(
    ("ops", "words"),
    [
        ([[0, 0]], r"\(networks, 3\)"),
        ([[0, -1, 0]], "beyond"),
        ([[0, 3, 0]], "beyond"),
        ([0, 0, 0], "ops are"),
    ],
)
def test_ops_that_the_chain_lacks_are_an_error(ops: list[list[int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChainTable(made_up_table(True), FIXED, LAYERS).predict(np.array(ops))


def test_a_missing_block_is_an_error_that_names_it() -> None:
    with pytest.raises(MissingBlock, match="block9"):
        ChainTable(made_up_table(True), FIXED, [["block9"]])
