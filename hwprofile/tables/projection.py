"""A fitted predictor as a table: the additive one that is nearest, and how far it is off."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwprofile import fitting
from hwprofile.errors import UserError
from hwprofile.tables.space_table import SpaceTable
from hwprofile.tables.values import Entry
from ponas_core.space import SearchSpace
from predictors.additive_projection import additive_projection


def projected_table(path: Path, space: SearchSpace) -> tuple[SpaceTable, str]:
    """The table nearest to the predictor in a file, and in words how far it is off.

    Raises:
        UserError: the file is no predictor, or of another space.
    """
    saved = fitting.load(path)
    if saved.space != space.name:
        raise UserError(f"{path} predicts networks of {saved.space}, not of {space.name}: give --space")

    def predict(ops: NDArray[np.intp]) -> NDArray[np.float64]:
        return fitting.predicted_ms(saved, space, [space.architecture(row) for row in ops])

    keys = [[layer.key(op) for op in range(len(layer.blocks))] for layer in space.layers]
    free = [row.index(None) if None in row else None for row in keys]
    found = additive_projection(predict, space.op_counts, free, np.random.default_rng(0))
    entries = {
        (layer.name, op): Entry(float(found.rows_ms[number][op]))
        for number, layer in enumerate(space.layers)
        for op, key in enumerate(keys[number])
        if key is not None
    }
    off = found.accuracy
    words = (
        f"the additive part of a predictor ({saved.kind}): on random networks that did not make it, "
        f"bias {off.bias:+.2%}, MAPE {off.mape:.2%}, {off.within_5:.1%} within ±5 %; only sums over whole "
        "networks mean something"
    )
    return SpaceTable(space, entries, found.fixed_ms), words
