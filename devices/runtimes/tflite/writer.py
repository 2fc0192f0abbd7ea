"""ONNX to .tflite: one walk over the nodes, each written by its row in the table of operators.

What is done as every converter to TFLite does it: images become (N, H, W, C), weights with them, so that
convolutional networks need no TRANSPOSE; a Relu or a Clip becomes part of the operator before it. An operator
between DequantizeLinear and QuantizeLinear becomes one that computes in int8.
"""

from __future__ import annotations

from dataclasses import replace

from devices.runtimes.onnx_reader import Graph, Node, read_graph
from devices.runtimes.runtime import Unsupported
from devices.runtimes.tflite.operators import OPERATORS, Row, activation
from devices.runtimes.tflite.values import Values


def tflite_from_onnx(onnx: bytes) -> bytes:
    """A .tflite file that computes what an ONNX file does.

    Args:
        onnx: fp32, or quantised with QuantizeLinear and DequantizeLinear (int8, weights without zero point).

    Raises:
        Unsupported: an operator, or something about it, that is not known; the message names the node.
    """
    graph = read_graph(onnx)
    constants = sorted(name for name in graph.outputs if name in graph.constants or name in graph.quantised)
    if constants:
        raise Unsupported(f"output {constants[0]!r} is a constant: there is nothing to compute")
    values = Values(graph)
    written: set[str] = set()
    for node in graph.nodes:
        if node.outputs[0] not in written:
            row = _row(node)
            whole = _with_activation(graph, node) if row.fuses else node
            values.int8 = _is_int8(values, row, whole)
            row.write(values, whole)
            written.update(whole.outputs)
    return values.packed()


def _row(node: Node) -> Row:
    row = OPERATORS.get(node.kind)
    if row is None:
        raise node.refused(f"LiteRT is given no such operator; known: {', '.join(sorted(OPERATORS))}")
    return row


def _with_activation(graph: Graph, node: Node) -> Node:
    """A node together with the activation that alone reads its result."""
    user = graph.only_user(node.outputs[0])
    name = activation(graph, user) if user is not None else ""
    return replace(node, outputs=user.outputs, activation=name) if user is not None and name else node


def _is_int8(values: Values, row: Row, node: Node) -> bool:
    """Whether a node reads int8 and its result is wanted as int8."""
    if row.data is None or values.quantizer(node) is None:
        return False
    return all(values.is_int8(name) for name in node.inputs[: row.data])
