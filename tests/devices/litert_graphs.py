"""Small ONNX graphs, at least one for each operator that LiteRT is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

RNG = np.random.default_rng(0)
IMAGE = (1, 8, 6, 10)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def node(kind: str, inputs: str = "input", output: str = "output", **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=f"{output}_of_{kind}", **attributes)


def model(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str] = IMAGE,
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
) -> bytes:
    """A graph from `input` to `output`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", kind, shape)],
        [helper.make_tensor_value_info("output", kind, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    data: bytes = onnx.shape_inference.infer_shapes(made).SerializeToString()
    return data


def one(kind: str, *arrays: Any, shape: Sequence[int] = IMAGE, opset: int = 17, **attributes: Any) -> bytes:
    """A graph of one operator whose further inputs are constants; None leaves one out."""
    names = ["" if array is None else f"c{position}" for position, array in enumerate(arrays)]
    operator = helper.make_node(kind, ["input", *names], ["output"], name=f"the_{kind}", **attributes)
    given = {name: array for name, array in zip(names, arrays, strict=True) if name}
    return model([operator], shape, given, opset)


def convolution(channels: int, kernel: int, group: int = 1, bias: bool = True, **attributes: Any) -> bytes:
    """A convolution of an image of eight channels."""
    arrays = [normal(channels, 8 // group, kernel, kernel), *([normal(channels)] if bias else [])]
    return one("Conv", *arrays, group=group, **attributes)


def followed(*activation: Any, kind: str = "Relu") -> bytes:
    """A convolution with an activation behind it."""
    names = [f"bound{position}" for position, _ in enumerate(activation)]
    nodes = [node("Conv", "input weight", "middle"), node(kind, " ".join(["middle", *names]))]
    return model(nodes, IMAGE, {"weight": normal(4, 8, 3, 3), **dict(zip(names, activation, strict=True))})


def number(value: float) -> Any:
    return np.array(value, np.float32)


GRAPHS: dict[str, bytes] = {
    "Conv 1x1": convolution(16, 1),
    "Conv without bias": convolution(16, 3, bias=False, pads=[1, 1, 1, 1]),
    "Conv same": convolution(5, 5, pads=[2, 2, 2, 2]),
    "Conv stride 2 on even sizes": convolution(5, 3, pads=[1, 1, 1, 1], strides=[2, 2]),
    "Conv same upper": convolution(5, 3, auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv same lower": convolution(5, 3, auto_pad="SAME_LOWER", strides=[2, 2]),
    "Conv valid": convolution(5, 3, auto_pad="VALID", strides=[1, 2]),
    "Conv odd pads": convolution(5, 3, pads=[2, 0, 1, 3]),
    "Conv dilated": convolution(5, 3, pads=[2, 2, 2, 2], dilations=[2, 2]),
    "Conv depthwise": convolution(8, 3, group=8, pads=[1, 1, 1, 1]),
    "Conv depthwise, multiplied, stride 2": convolution(16, 5, group=8, pads=[2, 2, 2, 2], strides=[2, 2]),
    "Conv grouped": convolution(12, 3, group=2, pads=[1, 1, 1, 1]),
    "Conv, Relu": followed(),
    "Conv, Clip 0..6": followed(number(0), number(6), kind="Clip"),
    "Conv, Clip -1..1": followed(number(-1), number(1), kind="Clip"),
    "Conv, Clip -2..3": followed(number(-2), number(3), kind="Clip"),
    "Relu": one("Relu"),
    "Relu of a matrix": one("Relu", shape=(3, 7)),
    "Clip 0..6": one("Clip", number(0), number(6)),
    "Clip above": one("Clip", number(-0.25)),
    "Clip below": one("Clip", None, number(0.75)),
    "Clip nothing": one("Clip"),
    "LeakyRelu": one("LeakyRelu", alpha=0.1),
    "Sigmoid": one("Sigmoid"),
    "Tanh": one("Tanh"),
    "HardSwish": one("HardSwish"),
    "hard swish in two": model(
        [
            node("Conv", "input kernel", "middle"),
            node("HardSigmoid", "middle", "gate", alpha=1 / 6, beta=0.5),
            node("Mul", "middle gate"),
        ],
        IMAGE,
        {"kernel": normal(4, 8, 3, 3)},
        opset=13,
    ),
    "HardSigmoid": one("HardSigmoid"),
    "HardSigmoid of torch": one("HardSigmoid", alpha=1 / 6),
    "BatchNormalization": one(
        "BatchNormalization", normal(8), normal(8), normal(8), np.abs(normal(8)) + 1, epsilon=1e-3
    ),
    "BatchNormalization of a matrix": one(
        "BatchNormalization", normal(7), normal(7), normal(7), np.abs(normal(7)) + 1, shape=(3, 7)
    ),
    "Add itself": model([node("Add", "input input")]),
    "Add a channel's": one("Add", normal(1, 8, 1, 1)),
    "Add without leading ones": one("Add", normal(8, 1, 1)),
    "Add a row": one("Add", normal(10)),
    "Add one number": one("Add", number(0.5)),
    "Add, Relu": model([node("Add", "input c", "sum"), node("Relu", "sum")], IMAGE, {"c": normal(*IMAGE)}),
    "Sub": one("Sub", normal(1, 8, 1, 1)),
    "Sub of a matrix": one("Sub", normal(7), shape=(3, 7)),
    "Mul": one("Mul", normal(1, 8, 1, 1)),
    "Div": one("Div", np.abs(normal(8, 1, 1)) + 0.5),
    "squeeze and excite": model(
        [
            node("GlobalAveragePool", "input", "pooled"),
            node("Conv", "pooled reduce reduce_bias", "reduced"),
            node("Relu", "reduced", "hidden"),
            node("Conv", "hidden expand", "expanded"),
            node("Sigmoid", "expanded", "gate"),
            node("Mul", "input gate"),
        ],
        IMAGE,
        {"reduce": normal(4, 8, 1, 1), "reduce_bias": normal(4), "expand": normal(8, 4, 1, 1)},
    ),
    "GlobalAveragePool": one("GlobalAveragePool"),
    "ReduceMean of positions": one("ReduceMean", axes=[2, 3]),
    "ReduceMean without keepdims": one("ReduceMean", axes=[-1, -2], keepdims=0),
    "ReduceMean of channels": one("ReduceMean", whole(1), opset=18),
    "ReduceMean of everything": one("ReduceMean", shape=(3, 7)),
    "AveragePool": one("AveragePool", kernel_shape=[2, 3], strides=[2, 1]),
    "AveragePool, pads left out": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "AveragePool, pads counted": one(
        "AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2], count_include_pad=1
    ),
    "MaxPool": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool same": one("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "MaxPool stride 2 on even sizes": one("MaxPool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    "Gemm": one("Gemm", normal(5, 7), normal(5), shape=(3, 7), transB=1),
    "Gemm as it stands": one("Gemm", normal(7, 5), normal(5), shape=(3, 7)),
    "Gemm without C": one("Gemm", normal(7, 5), shape=(3, 7)),
    "Gemm, Relu": model(
        [node("Gemm", "input b", "middle"), node("Relu", "middle")], (3, 7), {"b": normal(7, 5)}
    ),
    "MatMul": one("MatMul", normal(7, 5), shape=(3, 7)),
    "MatMul of rank 3": one("MatMul", normal(7, 5), shape=(2, 3, 7)),
    "Flatten": one("Flatten"),
    "Flatten of pixels": one("Flatten", shape=(2, 8, 1, 1)),
    "Reshape to rank 3": one("Reshape", whole(0, 8, -1)),
    "Reshape to an image": one("Reshape", whole(1, 4, 5, 6), shape=(1, 120)),
    "Reshape of an image": one("Reshape", whole(1, 16, 3, 10)),
    "Reshape to the same": one("Reshape", whole(0, 0, 0, 0)),
    "Squeeze": one("Squeeze", whole(2, 3), shape=(1, 8, 1, 1)),
    "Unsqueeze": one("Unsqueeze", whole(2, 3), shape=(1, 8)),
    "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Transpose of a matrix": one("Transpose", shape=(3, 7)),
    "shuffled channels": model(
        [
            node("Reshape", "input split", "groups"),
            node("Transpose", "groups", "turned", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "turned whole"),
        ],
        IMAGE,
        {"split": whole(1, 2, 4, 6, 10), "whole": whole(*IMAGE)},
    ),
    "channels in groups": model(
        [
            node("Reshape", "input split", "groups"),
            node("Add", "groups number", "more"),
            node("ReduceMean", "more", "means", axes=[2], keepdims=1),
            node("Mul", "more means", "product"),
            node("Reshape", "product flat"),
        ],
        IMAGE,
        {"split": whole(1, 4, 2, 6, 10), "number": normal(2, 1, 10), "flat": whole(8, 60)},
    ),
    "Concat of channels": model([node("Relu", "input", "r"), node("Concat", "input r", axis=1)]),
    "Concat of rows": model([node("Relu", "input", "r"), node("Concat", "r input", axis=-2)]),
    "Concat of matrices": model([node("Relu", "input", "r"), node("Concat", "r input", axis=1)], (3, 7)),
    "Softmax": one("Softmax", shape=(3, 7)),
    "Softmax of channels": one("Softmax", axis=1),
    "Identity": one("Identity"),
    "Identity of weights": model(
        [node("Identity", "w", "same"), node("Conv", "input same")], IMAGE, {"w": normal(4, 8, 1, 1)}
    ),
    "Dropout": one("Dropout"),
    "Pad": one("Pad", whole(0, 0, 1, 2, 0, 1, 0, 3)),
    "Pad with a number": one("Pad", whole(0, 1, 0, 2), number(0.5), shape=(3, 7)),
    "Pad of two axes": one("Pad", whole(1, 2, 3, 4), None, whole(3, 2), opset=18),
    "a Constant node": model(
        [node("Constant", "", "half", value_float=0.5), node("Mul", "input half")], IMAGE
    ),
    "an old operator set": one("Relu", opset=9),
    "two activations": model([node("Relu", "input", "r"), node("Sigmoid", "r")]),
}
