"""Hard swish as one operator, for converters to runtimes that have it."""

from __future__ import annotations

import math
from collections import Counter

import onnx
from onnx import helper, version_converter

HARD_SWISH_OPSET = 14
"""The oldest operator set with HardSwish."""


def with_hard_swish(data: bytes) -> bytes:
    """The graph with HardSwish instead of x times HardSigmoid(x), as operator set 13 has to write it.

    LiteRT and PyTorch have an operator for it, and every converter and model there uses it. A graph without
    such a pair is given back as it is, so is what cannot be read: its reader says why.
    """
    try:
        model = onnx.load_model_from_string(data)
        pairs = _pairs(model.graph)
        if not pairs:
            return data
        if any(item.version < HARD_SWISH_OPSET for item in model.opset_import if not item.domain):
            model = version_converter.convert_version(model, HARD_SWISH_OPSET)
            pairs = _pairs(model.graph)
    except Exception:  # protobuf raises its own, the converter plain errors
        return data
    for gate, product in pairs:
        source = gate.input[0]
        product.CopyFrom(helper.make_node("HardSwish", [source], list(product.output), name=product.name))
        model.graph.node.remove(gate)
    return bytes(model.SerializeToString())


def _pairs(graph: onnx.GraphProto) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Every HardSigmoid whose only reader multiplies it with what it reads, and that reader."""
    readers = Counter(name for node in graph.node for name in node.input)
    readers.update(value.name for value in graph.output)
    gates = {node.output[0]: node for node in graph.node if _is_gate(node) and readers[node.output[0]] == 1}
    return [
        (gates[name], node)
        for node in graph.node
        if node.op_type == "Mul"
        for name in node.input
        if name in gates and sorted(node.input) == sorted((name, gates[name].input[0]))
    ]


def _is_gate(node: onnx.NodeProto) -> bool:
    numbers = {item.name: item.f for item in node.attribute}
    slope, offset = numbers.get("alpha", 0.2), numbers.get("beta", 0.5)
    return node.op_type == "HardSigmoid" and offset == 0.5 and math.isclose(slope, 1 / 6, rel_tol=1e-6)
