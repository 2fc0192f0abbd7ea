"""Networks of cells as ONNX graphs.

What is written is the *live* view of the cell (`ponas_core.cell_views`): a network for use holds no work that
its output does not need. ReLUs of one tensor are one.
"""

from __future__ import annotations

import onnx

from ponas_core.cell_space import CELLS_PER_STAGE, CellSpace, Reduction, cell_convolution
from ponas_core.cell_views import View, live_view
from ponas_core.cells import Cell
from ponas_core.onnx_writer import GraphWriter
from ponas_core.weights import RandomWeights, Weights

_BATCH_NORM_EPSILON = 1e-5  # PyTorch's default, which the paper's networks were trained with


def cell_network_model(
    space: CellSpace, cell: Cell, weights: Weights | None = None, batch: int = 1
) -> onnx.ModelProto:
    """The whole network of a cell: input (batch, C, H, W) to output (batch, classes), float32.

    Weights go by `stem.0`, `stage0.cell0.1` (the operation's place in the live view), `reduction0.first`,
    `reduction0.second`, `reduction0.shortcut`, `head.norm` and `head.linear`, then `.weight` and so on as in
    `ponas_core.weights`.

    Raises:
        ValueError: nothing joins the cell's input to its output, so the network's output is a constant.
    """
    if not cell.connected:
        raise ValueError(f"no path joins input and output of {cell}: its network is a constant")
    writer = GraphWriter(space.shape_in, weights or RandomWeights(), _BATCH_NORM_EPSILON)
    writer.layer = "stem"
    writer.operator(space.stem, "stem.0")
    view = live_view(cell)
    for stage in range(len(space.stages)):
        if stage:
            _write_reduction(writer, space.reductions[stage - 1], f"reduction{stage - 1}")
        for number in range(CELLS_PER_STAGE):
            _write_cell(writer, view, f"stage{stage}.cell{number}")
    _write_head(writer, space)
    return writer.model(batch, {"space": space.name, "architecture": str(cell)})


def _write_cell(writer: GraphWriter, view: View, name: str) -> None:
    start, writer.layer = writer.at, name
    rectified: dict[int, str] = {}
    results: list[str] = []
    for position, (kind, inputs) in enumerate(view.operations):
        convolution = cell_convolution(kind, writer.shape.channels)
        if kind == "input":
            writer.at = start
        elif kind == "pool":
            window = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "count_include_pad": 0}
            writer.node("AveragePool", [results[inputs[0]]], **window)
        elif convolution is not None:
            source = inputs[0]
            if source not in rectified:
                rectified[source] = writer.node("Relu", [results[source]])
            writer.at = rectified[source]
            writer.operator(convolution, f"{name}.{position}")
        else:
            writer.at = results[inputs[0]]
            for term in inputs[1:]:
                writer.node("Add", [writer.at, results[term]])
        results.append(writer.at)
    writer.at = results[view.output]


def _write_reduction(writer: GraphWriter, block: Reduction, name: str) -> None:
    start, writer.layer = writer.at, name
    for convolution, part in ((block.first, "first"), (block.second, "second")):
        writer.node("Relu", [writer.at])
        writer.operator(convolution, f"{name}.{part}")
    main = writer.at
    halved = writer.node("AveragePool", [start], kernel_shape=[2, 2], strides=[2, 2])
    weight = writer.parameter(f"{name}.shortcut.weight", block.shortcut.weight_shape)
    writer.node("Conv", [halved, weight], kernel_shape=[1, 1])
    writer.node("Add", [main, writer.at])


def _write_head(writer: GraphWriter, space: CellSpace) -> None:
    writer.layer = "head"
    shape = (writer.shape.channels,)
    parts = [writer.parameter(f"head.norm.{part}", shape) for part in ("gamma", "beta", "mean", "variance")]
    writer.node("BatchNormalization", [writer.at, *parts], epsilon=writer.batch_norm_epsilon)
    writer.node("Relu", [writer.at])
    writer.operator(space.classifier, "head.linear")
