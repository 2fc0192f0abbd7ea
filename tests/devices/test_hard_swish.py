"""Hard swish as one operator: which graphs change, and that what they compute does not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, helper

from devices.runtimes.hard_swish import with_hard_swish
from ponas_core.blocks import Placement, parse_block
from ponas_core.onnx_graph import block_model
from ponas_core.operators import TensorShape
from ponas_core.space import Layer
from tests.devices.onnx_cases import graph

NODE = helper.make_node


def kinds(data: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_model_from_string(data).graph.node)


def block(name: str) -> bytes:
    place = Placement(TensorShape(8, 9, 9), 8, 1, "hswish")
    data: bytes = block_model(Layer("layer0", place, (parse_block(name),)), 0).SerializeToString()
    return data


def gate(alpha: float = 1 / 6, beta: float = 0.5) -> NodeProto:
    return NODE("HardSigmoid", ["x"], ["gate"], alpha=alpha, beta=beta)


@pytest.mark.parametrize("opset", [13, 17])
def test_both_orders_of_the_product_become_one_operator(opset: int) -> None:
    for factors in (["x", "gate"], ["gate", "x"]):
        data = graph([gate(), NODE("Mul", factors, ["y"])], {"x": (2, 3)}, ["y"], opset)
        changed = with_hard_swish(data)
        assert kinds(changed) == {"HardSwish": 1}
        onnxruntime.InferenceSession(changed, providers=["CPUExecutionProvider"])


def test_a_block_computes_the_same_and_keeps_the_gate_of_its_squeeze_excite() -> None:
    data = block("mb_k3_e3_hse")
    changed = with_hard_swish(data)
    assert (kinds(data)["HardSigmoid"], kinds(data)["Mul"]) == (3, 3)
    assert (kinds(changed)["HardSigmoid"], kinds(changed)["Mul"], kinds(changed)["HardSwish"]) == (1, 1, 2)
    value = np.random.default_rng(0).standard_normal((1, 8, 9, 9), np.float32)
    one, other = (
        onnxruntime.InferenceSession(item, providers=["CPUExecutionProvider"]).run(None, {"input": value})[0]
        for item in (data, changed)
    )
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * float(np.abs(one).max()))


@pytest.mark.parametrize(
    "data",
    [
        b"no graph at all",
        block("mb_k3_e3_se").replace(b"HardSigmoid", b"HardSigmoie"),
        graph([gate(), NODE("Mul", ["gate", "c"], ["y"])], {"x": (2, 3), "c": (2, 3)}, ["y"]),
        graph([gate(alpha=0.2), NODE("Mul", ["gate", "x"], ["y"])], {"x": (2, 3)}, ["y"]),
        graph([gate(beta=0.4), NODE("Mul", ["gate", "x"], ["y"])], {"x": (2, 3)}, ["y"]),
        graph([gate(), NODE("Mul", ["gate", "x"], ["y"])], {"x": (2, 3)}, ["y", "gate"]),
        graph([gate(), NODE("Mul", ["gate", "gate"], ["y"])], {"x": (2, 3)}, ["y"]),
    ],
)
def test_anything_else_is_given_back_as_it_is(data: bytes) -> None:
    assert with_hard_swish(data) is data
