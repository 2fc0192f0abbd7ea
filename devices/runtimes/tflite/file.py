"""A .tflite file as it is built: tensors and operators by number, packed as a flatbuffer at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.runtimes.runtime import Unsupported

_VERSION = 3
_IDENTIFIER = b"TFL3"
_ALIGNMENT_BYTES = 16
_TYPES = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}


@dataclass(frozen=True, slots=True)
class Quantisation:
    """How the whole numbers of a tensor stand for values: scale * (number - zero point).

    Attributes:
        scales: one, or one for each position along the axis.
        zero_points: as many.
        axis: dimension that the scales belong to.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


class TfliteFile:
    """One model of one graph.

    Raises:
        Unsupported: the description of the format, which comes with ai-edge-litert, is not installed here.
    """

    def __init__(self) -> None:
        """Start without tensors."""
        try:
            from ai_edge_litert import schema_py_generated as schema
        except ModuleNotFoundError as error:
            raise Unsupported(
                f"writing .tflite needs {error.name} on this computer; run: pip install 'hwprofile[litert]'"
            ) from error
        self._schema: Any = schema
        self._buffers: list[Any] = [schema.BufferT()]  # by convention the first is empty: no constant
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: dict[str, int] = {}
        self._quantisations: dict[int, Quantisation] = {}

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        kind: str = "float32",
        quantisation: Quantisation | None = None,
    ) -> int:
        """Add a tensor and give its number."""
        tensor = self._schema.TensorT()
        tensor.name = name
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = getattr(self._schema.TensorType, _TYPES[kind])
        tensor.buffer = 0
        number = len(self._tensors)
        if quantisation:
            self._quantisations[number] = quantisation
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(quantisation.scales, np.float32)
            tensor.quantization.zeroPoint = np.asarray(quantisation.zero_points, np.int64)
            tensor.quantization.quantizedDimension = quantisation.axis
        self._tensors.append(tensor)
        return number

    def constant(self, name: str, array: NDArray[Any], quantisation: Quantisation | None = None) -> int:
        """Add a constant tensor and give its number."""
        number = self.tensor(name, array.shape, array.dtype.name, quantisation)
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._tensors[number].buffer = len(self._buffers)
        self._buffers.append(buffer)
        return number

    def operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", **fields: Any
    ) -> None:
        """Append an operator, with the fields of its options by the names of the format."""
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(code, len(self._codes))
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if options:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self._schema, f"{options}T")()
            for name, value in fields.items():
                setattr(operator.builtinOptions, name, self._number(value))
        self._operators.append(operator)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape of a tensor, as it is stored."""
        return tuple(int(size) for size in self._tensors[tensor].shape)

    def quantisation(self, tensor: int) -> Quantisation | None:
        """How a tensor is quantised; None for float32."""
        return self._quantisations.get(tensor)

    def packed(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file, with these tensors as what is fed and what is given."""
        graph = self._schema.SubGraphT()
        graph.tensors, graph.operators = self._tensors, self._operators
        graph.inputs, graph.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        graph.name = "main"
        model = self._schema.ModelT()
        model.version, model.description = _VERSION, "hwprofile"
        model.operatorCodes = [self._code(code) for code in self._codes]
        model.subgraphs, model.buffers = [graph], self._buffers
        builder = _builder()
        builder.Finish(model.Pack(builder), file_identifier=_IDENTIFIER)
        return bytes(builder.Output())

    def _code(self, name: str) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)  # a byte, where newer numbers do not fit
        code.version = 1  # kernels decide by the types of their tensors; every runtime knows version 1
        return code

    def _number(self, value: Any) -> Any:
        """Padding and activations are numbers in the file, names here."""
        if not isinstance(value, str):
            return value
        kind = self._schema.Padding if value in {"SAME", "VALID"} else self._schema.ActivationFunctionType
        return getattr(kind, value)


def _builder() -> Any:
    import flatbuffers

    class Aligned(flatbuffers.Builder):  # type: ignore[misc]  # flatbuffers ships no types
        """Constants start where the format wants them, which the generated Python code does not see to."""

        def StartVector(self, elemSize: int, numElems: int, alignment: int) -> Any:  # noqa: N802, N803
            return super().StartVector(elemSize, numElems, max(alignment, _ALIGNMENT_BYTES))

    return Aligned(1 << 16)
