"""int8 graphs: weights and activations quantised, written as QuantizeLinear/DequantizeLinear pairs (QDQ).

Activations are asymmetric int8 a tensor, weights symmetric int8 a channel: what ONNX Runtime recommends as
default and what TFLite's own scheme is, so that one quantised graph serves both. TensorRT takes symmetric
activations only, and pairs in other places.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from devices.runtimes.runtime import Unsupported

RANDOM_INPUTS = 2
"""Random inputs that calibrate the ranges: a latency does not depend on them, only their having been set."""


TENSORRT_QUANTISES = ["Add", "Conv", "ConvTranspose", "Gemm", "MatMul"]
TENSORRT = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
    "DedicatedQDQPair": True,
    "OpTypesToExcludeOutputQuantization": TENSORRT_QUANTISES,
}
"""What TensorRT takes: zero points of 0, weights as fp32 behind a pair of their own, biases left in fp32.

Pairs stand before what computes, never between that and its activation function, which would part the two.
"""


def quantized(
    model: bytes, given: Mapping[str, NDArray[Any]] | None = None, *, for_tensorrt: bool = False
) -> bytes:
    """A QDQ graph that computes in int8 what the given graph computes in fp32.

    Args:
        model: an ONNX file.
        given: calibration inputs by name, each (samples, *shape of the input); an input of a graph without
            any of its name and shape is calibrated on standard normal numbers.
        for_tensorrt: whether activations are symmetric too, and pairs stand where TensorRT wants them.

    Raises:
        Unsupported: the quantiser refuses the graph.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    graph = onnx.load_from_string(model)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        try:
            quantize_static(
                graph,
                target,
                _inputs(graph, given or {}),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=TENSORRT_QUANTISES if for_tensorrt else None,
                extra_options=TENSORRT if for_tensorrt else None,
            )
        except Exception as error:  # the quantiser raises whatever its parts raise
            raise Unsupported(f"cannot be quantised to int8: {error}") from error
        return target.read_bytes()


def _inputs(graph: onnx.ModelProto, given: Mapping[str, NDArray[Any]]) -> Any:
    """What the quantiser draws calibration inputs from."""
    from onnxruntime.quantization import CalibrationDataReader

    constants = {tensor.name for tensor in graph.graph.initializer}
    inputs = {value.name: _shape(value) for value in graph.graph.input if value.name not in constants}

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
        def __init__(self) -> None:
            self._feeds = _feeds(inputs, given)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._feeds, None)

    return Reader()


def _feeds(
    inputs: Mapping[str, tuple[int, ...]], given: Mapping[str, NDArray[Any]]
) -> Iterator[dict[str, NDArray[Any]]]:
    fitting = {name: given[name] for name, shape in inputs.items() if _fits(given.get(name), shape)}
    rng = np.random.default_rng(0)
    for number in range(min((len(array) for array in fitting.values()), default=RANDOM_INPUTS)):
        yield {
            name: fitting[name][number].astype(np.float32)
            if name in fitting
            else rng.standard_normal(shape, np.float32)
            for name, shape in inputs.items()
        }


def _fits(array: NDArray[Any] | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.shape[1:] == shape


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    tensor = value.type.tensor_type
    sizes = tuple(dimension.dim_value for dimension in tensor.shape.dim)
    if tensor.elem_type != onnx.TensorProto.FLOAT or not all(size > 0 for size in sizes):
        raise Unsupported(f"input {value.name!r} must be float32 of fixed sizes to be quantised")
    return sizes


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser recommends pre-processing through the root logger; these graphs need none."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
