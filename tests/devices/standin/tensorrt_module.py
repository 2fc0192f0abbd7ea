"""Stands in for the package `tensorrt`: has the names that one version has, and computes with ONNX Runtime.

`tests/devices/tensorrt_standin.py` puts it in a folder as `tensorrt/__init__.py`, with the members of a
version beside it. What that version lacks is taken away from the classes here.

    STANDIN_TENSORRT=crash      the process is killed while it builds
    STANDIN_TENSORRT=unbuilt    nothing can be built
    STANDIN_TENSORRT=unopened   no engine is taken, not even one that was built just now
"""

from __future__ import annotations

import ctypes
import enum
import json
import os
import pathlib
import signal
import sys
from typing import Any

import numpy as np

_HERE = pathlib.Path(__file__).parent
_SURFACE: dict[str, Any] = json.loads((_HERE / "surface.json").read_text())
__version__: str = _SURFACE["version"]
_MAGIC = b"stand-in engine "
_MODE = os.environ.get("STANDIN_TENSORRT", "")


def _enumeration(name: str) -> Any:
    return enum.IntEnum(name.rpartition(".")[2], _SURFACE["enums"][name])


BuilderFlag = _enumeration("BuilderFlag")
DataType = _enumeration("DataType")
MemoryPoolType = _enumeration("MemoryPoolType")
NetworkDefinitionCreationFlag = _enumeration("NetworkDefinitionCreationFlag")
TensorIOMode = _enumeration("TensorIOMode")
TensorLocation = _enumeration("TensorLocation")
_TYPED_BY_FLAG = hasattr(NetworkDefinitionCreationFlag, "STRONGLY_TYPED") and hasattr(BuilderFlag, "FP16")


class _Bound:
    """Like an object of a compiled class: what it has no attribute for cannot be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, name, value)


class ILogger:
    Severity = _enumeration("ILogger.Severity")

    def __init__(self) -> None:
        self._ready = True

    def log(self, severity: Any, msg: str) -> None:
        raise NotImplementedError


class IProfiler:
    def __init__(self) -> None:
        self._ready = True

    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class IHostMemory(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


class ITensor(_Bound):
    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self._told = name, shape

    @property
    def name(self) -> str:
        return self._told[0]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._told[1]


class INetworkDefinition(_Bound):
    def __init__(self, flags: int) -> None:
        self._flags, self._model = flags, b""
        self._inputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self._inputs)

    def get_input(self, index: int) -> ITensor:
        return self._inputs[index]


class ITimingCache(_Bound):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def serialize(self) -> IHostMemory:
        return IHostMemory(self._data)


class IBuilderConfig(_Bound):
    def __init__(self) -> None:
        self._set = {BuilderFlag.TF32}
        self._level = 3
        self._cache: ITimingCache | None = None
        self._pools: dict[Any, int] = {}

    def set_flag(self, flag: Any) -> None:
        self._set.add(BuilderFlag(flag))

    def clear_flag(self, flag: Any) -> None:
        self._set.discard(BuilderFlag(flag))

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self._pools[MemoryPoolType(pool)] = pool_size

    @property
    def builder_optimization_level(self) -> int:
        return self._level

    @builder_optimization_level.setter
    def builder_optimization_level(self, level: int) -> None:
        self._level = level

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache | None:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        if cache._data and not cache._data.startswith(__version__.encode()) and not ignore_mismatch:
            return False
        self._cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache | None:
        return self._cache


class ParserError(_Bound):
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser(_Bound):
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._network = network
        self._errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> ParserError:
        return self._errors[index]

    def parse(self, model: bytes, path: str | None = None) -> bool:
        from onnx import TensorProto, checker, load_from_string

        try:
            graph = load_from_string(model)
            checker.check_model(graph)
        except Exception as error:
            self._errors = [
                ParserError(f"In node -1: UNSUPPORTED: {str(error)[:80]}"),
                ParserError("a second one"),
            ]
            return False
        for node in graph.graph.node:
            if node.op_type == "QuantizeLinear":
                zero = next(item for item in graph.graph.initializer if item.name == node.input[2])
                assert zero.data_type == TensorProto.INT8
                if any(zero.raw_data) or any(zero.int32_data):
                    self._errors = [ParserError("only symmetric quantization is supported")]
                    return False
        constants = {item.name for item in graph.graph.initializer}
        self._network._model = bytes(model)
        self._network._inputs = [
            ITensor(value.name, tuple(size.dim_value or -1 for size in value.type.tensor_type.shape.dim))
            for value in graph.graph.input
            if value.name not in constants
        ]
        return True


class Builder(_Bound):
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._logger = logger

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        if _MODE == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        names = {flag.name for flag in config._set}
        if _MODE == "unbuilt":
            self._logger.log(ILogger.Severity.WARNING, "this will not end well")
            self._logger.log(ILogger.Severity.ERROR, "no implementation for node X")
            return None
        if _TYPED_BY_FLAG and network._flags and names & {"FP16", "INT8"}:
            self._logger.log(ILogger.Severity.ERROR, "a precision's flag on a strongly typed network")
            return None
        cache = config._cache
        if cache is not None:
            before = cache._data or __version__.encode()
            cache._data = before + b"+"
        facts = {
            "version": __version__,
            "flags": sorted(names),
            "network": network._flags,
            "pools": {pool.name: size for pool, size in config._pools.items()},
            "level": config._level,
            "build": os.urandom(8).hex(),  # two builds of one graph differ
        }
        return IHostMemory(_MAGIC + json.dumps(facts).encode() + b"\0" + network._model)


class Runtime(_Bound):
    def __init__(self, logger: ILogger) -> None:
        assert isinstance(logger, ILogger)
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        head, _, model = bytes(serialized_engine).partition(b"\0")
        facts = json.loads(head[len(_MAGIC) :]) if head.startswith(_MAGIC) else {}
        if facts.get("version") != __version__ or _MODE == "unopened":
            self._logger.log(
                ILogger.Severity.ERROR, "The engine plan file is not compatible with this version"
            )
            return None
        return ICudaEngine(model)


class ICudaEngine(_Bound):
    def __init__(self, model: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._model = model
        self._inputs, self._outputs = self._session.get_inputs(), self._session.get_outputs()

    @property
    def num_io_tensors(self) -> int:
        return len(self._inputs) + len(self._outputs)

    def get_tensor_name(self, index: int) -> str:
        return str([*self._inputs, *self._outputs][index].name)

    def get_tensor_mode(self, name: str) -> Any:
        is_input = any(value.name == name for value in self._inputs)
        return TensorIOMode.INPUT if is_input else TensorIOMode.OUTPUT

    def _value(self, name: str) -> Any:
        return next(value for value in [*self._inputs, *self._outputs] if value.name == name)

    def get_tensor_dtype(self, name: str) -> Any:
        kind = self._value(name).type
        names = {"tensor(float)": "FLOAT", "tensor(int64)": "INT64", "tensor(bool)": "BOOL"}
        names |= {"tensor(int32)": "INT32", "tensor(float16)": "HALF", "tensor(bfloat16)": "BF16"}
        return getattr(DataType, names[kind])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._value(name).shape)

    def get_tensor_location(self, name: str) -> Any:
        return TensorLocation.DEVICE

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)


def _cudart() -> ctypes.CDLL:
    for folder in sys.path:
        for path in pathlib.Path(folder).glob("nvidia/cuda_runtime/lib/libcudart.so*"):
            return ctypes.CDLL(str(path))
    raise ImportError("the stand-in for libcudart is absent")


_ACTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class IExecutionContext(_Bound):
    def __init__(self, engine: ICudaEngine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}
        self._profiler: IProfiler | None = None
        self._emits = True
        self._action = _ACTION(lambda _: self._compute())
        self._library = _cudart()
        self._library.standin_enqueue.argtypes = [ctypes.c_void_p, _ACTION, ctypes.c_void_p]

    @property
    def profiler(self) -> IProfiler | None:
        return self._profiler

    @profiler.setter
    def profiler(self, profiler: IProfiler) -> None:
        self._profiler = profiler

    @property
    def enqueue_emits_profile(self) -> bool:
        return self._emits

    @enqueue_emits_profile.setter
    def enqueue_emits_profile(self, emits: bool) -> None:
        self._emits = emits

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        if self._emits and self._profiler is not None:
            self.report_to_profiler()
        return bool(self._library.standin_enqueue(stream_handle, self._action, None) == 0)

    def report_to_profiler(self) -> bool:
        from onnx import load_from_string

        assert self._profiler is not None
        nodes = [node.name for node in load_from_string(self._engine._model).graph.node]
        for name in nodes[:1]:
            self._profiler.report_layer_time(f"Reformatting CopyNode for Input Tensor 0 to {name}", 0.0005)
        for first in range(0, len(nodes), 2):  # two nodes fused into each layer
            self._profiler.report_layer_time(" + ".join(nodes[first : first + 2]), 0.0015)
        return True

    def _compute(self) -> None:
        feeds = {value.name: self._array(value) for value in self._engine._inputs}
        found = self._engine._session.run(None, feeds)
        for value, result in zip(self._engine._outputs, found, strict=True):
            self._array(value)[...] = result

    def _array(self, value: Any) -> Any:
        kinds: dict[str, Any] = {
            "tensor(float)": np.float32,
            "tensor(int64)": np.int64,
            "tensor(bool)": np.bool_,
        }
        kinds |= {"tensor(int32)": np.int32, "tensor(float16)": np.float16}
        kind: Any = np.dtype(kinds[value.type])
        size = int(np.prod(value.shape)) * kind.itemsize
        buffer: Any = (ctypes.c_char * size).from_address(self._addresses[value.name])
        return np.frombuffer(buffer, kind).reshape(value.shape)


for _name, _members in _SURFACE["members"].items():
    for _member in [name for name in vars(globals()[_name]) if not name.startswith("_")]:
        if _member not in _members:
            delattr(globals()[_name], _member)
