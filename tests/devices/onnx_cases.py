"""Graphs of one operator, in the ways that operators are written, to compare runtimes by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Input = tuple[int, ...] | Array | None
"""An input of a node: a shape is drawn when the graph runs, an array is constant, None is absent."""


def drawn(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(len(shape)).uniform(-1, 1, shape).astype(np.float32)


def whole(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


def one(operator: str, *inputs: Input, opset: int = 17, outputs: int = 1, **attributes: Any) -> bytes:
    """A graph of one node, called `alone`."""
    names = ["" if item is None else f"input{number}" for number, item in enumerate(inputs)]
    results = [f"output{number}" for number in range(outputs)]
    node = helper.make_node(operator, names, results, name="alone", **attributes)
    return graph([node], dict(zip(names, inputs, strict=True)), results, opset)


def graph(
    nodes: Sequence[onnx.NodeProto], inputs: dict[str, Input], outputs: Sequence[str], opset: int = 17
) -> bytes:
    shapes = {name: item for name, item in inputs.items() if isinstance(item, tuple)}
    constants = {name: item for name, item in inputs.items() if isinstance(item, np.ndarray)}
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


IMAGE, ODD = (2, 6, 9, 8), (1, 3, 7, 10)
CASES: dict[str, bytes] = {
    "Add": one("Add", IMAGE, IMAGE),
    "Add, broadcast": one("Add", IMAGE, drawn(6, 1, 1)),
    "Add, one constant twice": one("Add", drawn(2, 3), (2, 3)),
    "AveragePool": one("AveragePool", IMAGE, kernel_shape=[2, 3], strides=[2, 1]),
    "AveragePool, padded": one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool, padding counted": one(
        "AveragePool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 1, 1], count_include_pad=1
    ),
    "AveragePool, ceil_mode": one(
        "AveragePool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[1, 1, 1, 1]
    ),
    "AveragePool, 1d": one("AveragePool", (2, 3, 9), kernel_shape=[3]),
    "BatchNormalization": one(
        "BatchNormalization", IMAGE, drawn(6), drawn(6) + 1, drawn(6) * 2, drawn(6) + 2, epsilon=1e-3
    ),
    "Clip, relu6": one("Clip", IMAGE, np.array(0.0, np.float32), np.array(6.0, np.float32)),
    "Clip": one("Clip", IMAGE, np.array(-0.5, np.float32), np.array(0.25, np.float32)),
    "Clip, below": one("Clip", IMAGE, np.array(-0.5, np.float32)),
    "Clip, above": one("Clip", IMAGE, None, np.array(0.5, np.float32)),
    "Clip, without limits": one("Clip", IMAGE),
    "Clip, limits as attributes": one("Clip", IMAGE, opset=10, min=-0.5, max=0.75),
    "Concat": one("Concat", (2, 3, 4, 4), (2, 5, 4, 4), drawn(2, 1, 4, 4), axis=1),
    "Concat, from the end": one("Concat", (2, 3), (2, 3), axis=-1),
    "Conv": one("Conv", IMAGE, drawn(4, 6, 3, 3), drawn(4), pads=[1, 1, 1, 1]),
    "Conv, no bias": one("Conv", IMAGE, drawn(4, 6, 1, 1)),
    "Conv, depthwise": one(
        "Conv", IMAGE, drawn(6, 1, 5, 5), drawn(6), group=6, strides=[2, 2], pads=[2, 2, 2, 2]
    ),
    "Conv, groups and dilations": one("Conv", IMAGE, drawn(4, 3, 3, 2), group=2, dilations=[2, 3]),
    "Conv, padding that differs between sides": one("Conv", IMAGE, drawn(4, 6, 3, 3), pads=[0, 2, 1, 3]),
    "Conv, SAME_UPPER": one("Conv", IMAGE, drawn(4, 6, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv, SAME_LOWER": one("Conv", IMAGE, drawn(4, 6, 4, 2), auto_pad="SAME_LOWER"),
    "Conv, VALID": one("Conv", IMAGE, drawn(4, 6, 3, 3), auto_pad="VALID", kernel_shape=[3, 3]),
    "Conv, 1d": one("Conv", (2, 3, 9), drawn(4, 3, 3), pads=[1, 2]),
    "Conv, 3d": one("Conv", (1, 2, 5, 4, 3), drawn(4, 2, 2, 2, 2)),
    "Conv, computed kernel": one("Conv", IMAGE, (4, 6, 3, 3)),
    "Div": one("Div", IMAGE, drawn(1, 6, 1, 1) + 3),
    "Dropout": one("Dropout", IMAGE, np.array(0.5, np.float32)),
    "Dropout, old": one("Dropout", IMAGE, opset=11, ratio=0.5),
    "Flatten": one("Flatten", IMAGE),
    "Flatten, from the end": one("Flatten", IMAGE, axis=-1),
    "Gemm, linear layer": one("Gemm", (2, 6), drawn(5, 6), drawn(5), transB=1),
    "Gemm, scaled": one("Gemm", (2, 6), drawn(6, 5), drawn(1, 5), alpha=0.5, beta=2.0),
    "Gemm, one number added": one("Gemm", (2, 6), drawn(6, 5), drawn(), transB=0),
    "Gemm, no bias": one("Gemm", (6, 2), drawn(5, 6), transA=1, transB=1, alpha=3.0),
    "Gemm, a bias a row": one("Gemm", (2, 6), drawn(6, 5), drawn(2, 1), beta=0.5),
    "Gemm, computed": one("Gemm", (2, 6), (5, 6), (5,), transB=1, alpha=0.25),
    "Gemm, computed, no bias": one("Gemm", (2, 6), (6, 5), alpha=2.0),
    "GlobalAveragePool": one("GlobalAveragePool", IMAGE),
    "GlobalAveragePool, 1d": one("GlobalAveragePool", (2, 3, 9)),
    "HardSigmoid": one("HardSigmoid", IMAGE),
    "HardSigmoid, a sixth": one("HardSigmoid", IMAGE, alpha=1 / 6),
    "HardSwish": one("HardSwish", IMAGE),
    "MatMul": one("MatMul", (2, 3, 4), drawn(4, 5)),
    "MatMul, computed": one("MatMul", (2, 3, 4), (2, 4, 5)),
    "MaxPool": one("MaxPool", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool, uneven padding": one(
        "MaxPool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 2, 1], dilations=[2, 1]
    ),
    "MaxPool, ceil_mode": one("MaxPool", ODD, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "MaxPool, 1d": one("MaxPool", (2, 3, 9), kernel_shape=[3]),
    "Mul": one("Mul", IMAGE, (2, 6, 1, 1)),
    "Pad": one("Pad", IMAGE, whole(0, 0, 1, 2, 0, 0, 3, 0)),
    "Pad, with a number": one("Pad", IMAGE, whole(0, 1, 0, 0, 0, 0, 0, 2), np.array(0.5, np.float32)),
    "Pad, cropping": one("Pad", IMAGE, whole(0, 0, -1, 0, 0, 0, 0, -2)),
    "Pad, some axes": one("Pad", IMAGE, whole(1, 2, 3, 4), None, whole(-1, 2), opset=18),
    "ReduceMean": one("ReduceMean", IMAGE, axes=[2, 3]),
    "ReduceMean, axes as input": one("ReduceMean", IMAGE, whole(-2, -1), opset=18, keepdims=0),
    "ReduceMean, everything": one("ReduceMean", IMAGE, keepdims=0),
    "ReduceMean, of no axes": one("ReduceMean", IMAGE, whole(), opset=18, noop_with_empty_axes=1),
    "Relu": one("Relu", IMAGE),
    "Reshape": one("Reshape", IMAGE, whole(0, -1, 4), allowzero=0),
    "Shape": graph(
        [helper.make_node("Shape", ["like"], ["shape"]), helper.make_node("Reshape", ["x", "shape"], ["y"])],
        {"x": (2, 3), "like": drawn(3, 2)},
        ["y"],
    ),
    "Sigmoid": one("Sigmoid", IMAGE),
    "Softmax": one("Softmax", (2, 7)),
    "Softmax, of channels": one("Softmax", IMAGE, axis=1),
    "Softmax, old": one("Softmax", (2, 3, 4), opset=11),
    "Squeeze": one("Squeeze", (2, 6, 1, 1), whole(2, 3)),
    "Squeeze, old": one("Squeeze", (2, 6, 1, 1), opset=11, axes=[3]),
    "Sub": one("Sub", IMAGE, IMAGE),
    "Transpose": one("Transpose", IMAGE, perm=[0, 2, 3, 1]),
    "Transpose, reversed": one("Transpose", (2, 3, 4)),
    "Transpose, channels shuffled": graph(
        [
            helper.make_node("Reshape", ["x", "split"], ["groups"]),
            helper.make_node("Transpose", ["groups"], ["turned"], perm=[0, 2, 1, 3, 4]),
            helper.make_node("Reshape", ["turned", "whole"], ["y"]),
        ],
        {"x": IMAGE, "split": whole(0, 2, 3, 9, 8), "whole": whole(0, 6, 9, 8)},
        ["y"],
        opset=13,
    ),
    "HardSwish, in two": graph(
        [
            helper.make_node("HardSigmoid", ["x"], ["gate"], alpha=1 / 6, beta=0.5),
            helper.make_node("Mul", ["gate", "x"], ["y"]),
        ],
        {"x": IMAGE},
        ["y"],
        opset=13,
    ),
    "Unsqueeze": one("Unsqueeze", (2, 6), whole(2, -1)),
    "Identity": graph(
        [
            helper.make_node("Identity", ["kernel"], ["same"]),
            helper.make_node("Gemm", ["x", "same"], ["product"]),
            helper.make_node("Identity", ["product"], ["y"]),
        ],
        {"x": (2, 3), "kernel": drawn(3, 4)},
        ["y"],
    ),
    "Constant": graph(
        [
            helper.make_node("Constant", [], ["half"], value_float=0.5),
            helper.make_node("Constant", [], ["row"], value_floats=[1.0, 2.0, 3.0]),
            helper.make_node("Constant", [], ["kernel"], value=numpy_helper.from_array(drawn(2, 3))),
            helper.make_node("Constant", [], ["shape"], value_ints=[1, 6]),
            helper.make_node("Mul", ["x", "half"], ["a"]),
            helper.make_node("Add", ["a", "row"], ["b"]),
            helper.make_node("Sub", ["b", "kernel"], ["c"]),
            helper.make_node("Reshape", ["c", "shape"], ["y"]),
        ],
        {"x": (2, 3)},
        ["y"],
    ),
    "Relu, several inputs and outputs": graph(
        [
            helper.make_node("Relu", ["a"], ["left"]),
            helper.make_node("Add", ["left", "b"], ["sum"]),
            helper.make_node("Identity", ["constant"], ["given"]),
        ],
        {"a": (1, 4, 3, 3), "b": (4, 1, 1), "constant": drawn(2, 2)},
        ["sum", "left", "given"],
    ),
}
"""By operator, and what is special after a comma."""
