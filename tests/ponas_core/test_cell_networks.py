"""Networks of cells: published sizes, and ONNX graphs that compute what the paper's networks compute."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ponas_core.cell_onnx import cell_network_model
from ponas_core.cell_space import CELL_SPACES, CellSpace
from ponas_core.cell_views import live_view
from ponas_core.cells import EDGES, OPERATIONS, Cell
from ponas_core.onnx_blocks import graph_macs
from ponas_core.operators import TensorShape
from ponas_core.weights import WeightsOrigin
from tests.ponas_core.published_cells import published_cells

Floats = NDArray[np.float32]

SPACE = CELL_SPACES["nasbench201"]


class DrawnWeights:
    """Weights that keep activations of one size, batch normalisation's statistics drawn too; kept by name."""

    origin: WeightsOrigin = "trained"

    def __init__(self) -> None:
        self.rng = np.random.default_rng(3)
        self.arrays: dict[str, torch.Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...]) -> Floats:
        part = name.rpartition(".")[2]
        if part == "weight":
            drawn = self.rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        else:
            drawn = (
                self.rng.uniform(0.5, 1.5, shape)
                if part in {"gamma", "variance"}
                else self.rng.normal(size=shape)
            )
        array = drawn.astype(np.float32)
        self.arrays[name] = torch.from_numpy(array)
        return array


def run(model: onnx.ModelProto, x: Floats) -> Floats:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[Floats] = session.run(None, {"input": x})
    return found[0]


def drawn_input(shape: TensorShape, batch: int) -> Floats:
    size = (batch, shape.channels, shape.height, shape.width)
    return np.random.default_rng(5).standard_normal(size, dtype=np.float32)


def macs_of(model: onnx.ModelProto) -> int:
    return graph_macs(onnx.shape_inference.infer_shapes(model))


class Reference:
    """The paper's network in PyTorch, every edge computed as written."""

    def __init__(self, cell: Cell, arrays: dict[str, torch.Tensor]) -> None:
        self.cell, self.arrays = cell, arrays
        operations = live_view(cell).operations
        self.places = [place for place, (kind, _) in enumerate(operations) if kind.startswith("conv")]

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance, gamma, beta = (
            self.arrays[f"{name}.{part}"] for part in ("mean", "variance", "gamma", "beta")
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=1e-5)

    def convolved(self, x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight = self.arrays[f"{name}.weight"]
        return self.norm(functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2), name)

    def node(self, x: torch.Tensor, name: str) -> torch.Tensor:
        nodes, places = [x], iter(self.places)
        for target in (1, 2, 3):
            total = torch.zeros_like(x)
            for (source, end), op in zip(EDGES, self.cell.ops, strict=True):
                if end != target:
                    continue
                value = nodes[source]
                match OPERATIONS[op]:
                    case "skip_connect":
                        total = total + value
                    case "avg_pool_3x3":
                        total = total + functional.avg_pool2d(value, 3, 1, 1, count_include_pad=False)
                    case "nor_conv_1x1" | "nor_conv_3x3":
                        total = total + self.convolved(value.relu(), f"{name}.{next(places)}")
            nodes.append(total)
        return nodes[-1]

    def run(self, x: torch.Tensor) -> torch.Tensor:
        x = self.convolved(x, "stem.0")
        for stage in range(3):
            if stage:
                name = f"reduction{stage - 1}"
                main = self.convolved(x.relu(), f"{name}.first", stride=2)
                main = self.convolved(main.relu(), f"{name}.second")
                x = main + functional.conv2d(
                    functional.avg_pool2d(x, 2), self.arrays[f"{name}.shortcut.weight"]
                )
            for number in range(5):
                x = self.node(x, f"stage{stage}.cell{number}")
        x = self.norm(x, "head.norm").relu().mean(dim=(2, 3))
        return functional.linear(x, self.arrays["head.linear.weight"], self.arrays["head.linear.bias"])


def test_all_cells_have_their_published_text_and_sizes() -> None:
    rows = published_cells()
    assert {row.cell for row in rows} == set(SPACE.enumerate())
    for row in rows:
        assert str(row.cell) == row.text
        assert (SPACE.macs(row.cell), SPACE.params(row.cell)) == (row.macs, row.params), row.text


# every convolution of these reaches the output; zeros, copies, shared pools and tensors occur
@pytest.mark.parametrize("digits", ["332231", "342101", "040304", "441140", "000100", "201234", "410024"])
def test_a_network_computes_what_the_cell_as_written_computes(digits: str) -> None:
    cell, weights = SPACE.parse(digits), DrawnWeights()
    model = cell_network_model(SPACE, cell, weights, batch=2)
    x = drawn_input(SPACE.shape_in, 2)
    expected = Reference(cell, weights.arrays).run(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("space", CELL_SPACES.values(), ids=lambda space: space.name)
def test_a_network_fits_its_data_set_and_says_what_it_is(space: CellSpace) -> None:
    cell = space.parse("342101")
    model = cell_network_model(space, cell)
    result = run(model, drawn_input(space.shape_in, 1))
    assert result.shape == (1, space.classes)
    assert np.isfinite(result).all()
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes == {"space": space.name, "architecture": str(cell), "weights": "random"}
    assert macs_of(model) == space.macs(cell)


def test_a_network_holds_no_dead_work() -> None:
    # node 2 takes convolutions but goes nowhere; both pools of the input are one
    dead, alive = SPACE.parse("433410"), SPACE.parse("400410")
    one, other = (cell_network_model(SPACE, cell) for cell in (dead, alive))
    assert [node.op_type for node in one.graph.node] == [node.op_type for node in other.graph.node]
    assert sum(node.op_type == "AveragePool" for node in one.graph.node) == 15 + 2
    assert SPACE.macs(dead) > macs_of(one) == SPACE.macs(alive)


def test_convolutions_of_one_tensor_share_its_relu() -> None:
    model = cell_network_model(SPACE, SPACE.parse("330011"))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Relu") == 15 + 4 + 1


def test_a_constant_network_is_not_written() -> None:
    with pytest.raises(ValueError, match="no path joins input and output of"):
        cell_network_model(SPACE, SPACE.parse("333000"))


def test_a_resolution_must_be_halved_twice() -> None:
    with pytest.raises(ValueError, match="a multiple of 4: 3x30x32"):
        replace(SPACE, shape_in=TensorShape(3, 30, 32))
