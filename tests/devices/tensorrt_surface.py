"""What of TensorRT's Python bindings the agent relies on, read off the bindings themselves.

`tensorrt_surface.json` was written by this program, version by version:

    pip download --no-deps tensorrt-cu13-bindings==11.4.0.106     # unpacked into FOLDER
    LD_LIBRARY_PATH=STUBS python tensorrt_surface.py FOLDER

where STUBS holds empty libraries (`STUB_SOURCE`) in place of TensorRT's own: the bindings can be imported
with these, and tell their classes, members and signatures, though nothing can be called.
`test_tensorrt_surface.py` does the same again.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from typing import Any

CLASSES = (
    "Builder", "IBuilderConfig", "ICudaEngine", "IExecutionContext", "IHostMemory", "ILogger",
    "INetworkDefinition", "IProfiler", "ITensor", "ITimingCache", "OnnxParser", "ParserError", "Runtime",
)  # fmt: skip
ENUMS = (
    "BuilderFlag", "DataType", "ILogger.Severity", "MemoryPoolType", "NetworkDefinitionCreationFlag",
    "TensorIOMode", "TensorLocation",
)  # fmt: skip
CALLED = (
    "Builder.__init__", "Builder.build_serialized_network", "Builder.create_builder_config",
    "Builder.create_network", "IBuilderConfig.clear_flag", "IBuilderConfig.create_timing_cache",
    "IBuilderConfig.get_timing_cache", "IBuilderConfig.set_flag", "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.set_timing_cache", "ICudaEngine.create_execution_context",
    "ICudaEngine.get_tensor_dtype", "ICudaEngine.get_tensor_location", "ICudaEngine.get_tensor_mode",
    "ICudaEngine.get_tensor_name", "ICudaEngine.get_tensor_shape", "IExecutionContext.execute_async_v3",
    "IExecutionContext.report_to_profiler", "IExecutionContext.set_tensor_address", "ILogger.__init__",
    "ILogger.log", "INetworkDefinition.get_input", "IProfiler.__init__", "IProfiler.report_layer_time",
    "ITimingCache.serialize", "OnnxParser.__init__", "OnnxParser.get_error", "OnnxParser.parse",
    "ParserError.desc", "Runtime.__init__", "Runtime.deserialize_cuda_engine",
)  # fmt: skip
READ = (
    "ICudaEngine.num_io_tensors", "IExecutionContext.enqueue_emits_profile", "IExecutionContext.profiler",
    "INetworkDefinition.num_inputs", "ITensor.name", "ITensor.shape", "OnnxParser.num_errors",
)  # fmt: skip
"""Attributes; `IBuilderConfig.builder_optimization_level` is there from 8.6 on."""

SYMBOLS = (
    "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL", "createNvOnnxParser_INTERNAL", "getBuilderPluginRegistry",
    "getNvOnnxParserVersion", "getPluginRegistry", "initLibNvInferPlugins",
    "_ZN11nvuffparser15createUffParserEv", "_ZN11nvuffparser8FieldMapC1EPKcPKvNS_9FieldTypeEi",
    "_ZN14nvcaffeparser117createCaffeParserEv", "_ZN14nvcaffeparser123shutdownProtobufLibraryEv",
)  # fmt: skip
STUB_SOURCE = "".join(f"void *{symbol}(void) {{ return 0; }}\n" for symbol in SYMBOLS)
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser", "nvparsers")


def found(path: str, module: Any) -> Any:
    for name in path.split("."):
        module = getattr(module, name)
    return module


def signatures(documentation: str, name: str) -> list[str]:
    """Names and defaults of the arguments of each overload, without their types."""
    told = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((.*)\) ->", documentation, re.MULTILINE)
    return [
        ", ".join(re.sub(r":.*?(?=( = |$))", "", argument) for argument in re.split(r", (?=\w+:)", one))
        for one in told
        if one != "*args, **kwargs"
    ]


def surface(module: Any) -> dict[str, Any]:
    """Members of the classes, members of the enumerations, signatures of the methods that are called."""
    return {
        "members": {
            name: sorted(member for member in dir(getattr(module, name)) if not member.startswith("_"))
            for name in CLASSES
        },
        "enums": {
            name: {key: int(value) for key, value in found(name, module).__members__.items()}
            for name in ENUMS
        },
        "signatures": {
            name: signatures(found(name, module).__doc__ or "", name.rpartition(".")[2]) for name in CALLED
        },
    }


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    json.dump(surface(importlib.import_module("tensorrt_bindings")), sys.stdout)
