"""int8 graphs: what they hold, that they run, and what sets their ranges."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from devices.runtimes.onnxruntime import OnnxRuntime
from devices.runtimes.quantization import quantized
from devices.runtimes.runtime import Unsupported
from ponas_core.onnx_graph import block_model
from ponas_core.space_file import shipped_space

SPACE = shipped_space("nasbench-macro")


@pytest.fixture(scope="module")
def block() -> bytes:
    layer = SPACE.layers[2]
    data: bytes = block_model(layer, 2).SerializeToString()
    return data


def run(model: bytes, value: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: value})
    return np.asarray(found)


def shape_of(model: bytes) -> tuple[int, ...]:
    tensor = onnx.load_from_string(model).graph.input[0].type.tensor_type
    return tuple(dimension.dim_value for dimension in tensor.shape.dim)


def test_a_quantised_graph_computes_nearly_the_same(block: bytes) -> None:
    value = np.random.default_rng(1).standard_normal(shape_of(block), np.float32)
    exact, found = run(block, value), run(quantized(block), value)
    assert np.linalg.norm(found - exact) < 0.1 * np.linalg.norm(exact)


def test_a_quantised_graph_keeps_what_old_runtimes_read(block: bytes) -> None:
    model = onnx.load_from_string(quantized(block))
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    assert model.ir_version <= 8
    assert all(item.version <= 13 for item in model.opset_import if not item.domain)


def test_given_inputs_set_the_ranges(block: bytes) -> None:
    name = onnx.load_from_string(block).graph.input[0].name
    shape = shape_of(block)
    small = {name: np.full((3, *shape), 0.01, np.float32)}
    value = np.random.default_rng(1).standard_normal(shape, np.float32)
    exact = run(block, value)
    narrow, wide = (run(quantized(block, given), value) for given in (small, {}))
    assert np.linalg.norm(narrow - exact) > 3 * np.linalg.norm(wide - exact)
    assert quantized(block, {name: np.ones((3, 1, 1), np.float32)}) == quantized(block)


def test_the_same_graph_gives_the_same_bytes(block: bytes) -> None:
    assert quantized(block) == quantized(block)


def test_onnx_runtime_loads_fp32_as_it_is_and_int8_quantised(block: bytes) -> None:
    runtime = OnnxRuntime()
    assert runtime.prepare(block, "fp32", {}) is block
    assert runtime.prepare(block, "int8", {}) == quantized(block)


def test_a_graph_that_cannot_be_quantised_says_why() -> None:
    with pytest.raises(Unsupported, match="cannot be quantised"):
        quantized(b"")
