"""fp16 graphs: weights and activations rounded to float16, inputs and outputs left float32."""

from __future__ import annotations

import warnings

import onnx

from devices.runtimes.runtime import Unsupported


def halved(model: bytes) -> bytes:
    """A graph that computes in float16 what the given graph computes in float32.

    Inputs and outputs keep their types, behind casts. Weights beyond float16's range become its largest
    number.

    Raises:
        Unsupported: the converter refuses the graph.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    try:
        graph = onnx.load_from_string(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that are rounded: that is what was asked for
            converted = convert_float_to_float16(graph, keep_io_types=True, op_block_list=[])
        _put_casts_of_inputs_first(converted.graph)
        data: bytes = converted.SerializeToString()
    except Exception as error:  # the converter raises whatever its parts raise
        raise Unsupported(f"cannot be converted to fp16: {error}") from error
    return data


def _put_casts_of_inputs_first(graph: onnx.GraphProto) -> None:
    """The converter puts them behind what reads them, which is no valid order."""
    inputs = {value.name for value in graph.input}
    nodes = sorted(graph.node, key=lambda node: node.op_type != "Cast" or node.input[0] not in inputs)
    del graph.node[:]
    graph.node.extend(nodes)
