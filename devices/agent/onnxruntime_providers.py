"""Execution providers of ONNX Runtime: the names that people type, and what each is opened with.

`NAME` takes the whole graph or is an error; `NAME+cpu` may leave nodes to the CPU provider; `NAME+graph`
captures a CUDA graph. All of it is the provider's name, hence part of a profile's identity.
"""

import sys
from dataclasses import dataclass
from typing import Any, Dict

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

ON_GPU = (
    CUDA,
    TENSORRT,
    "NvTensorRTRTXExecutionProvider",
    "ROCMExecutionProvider",
    "MIGraphXExecutionProvider",
    "DmlExecutionProvider",
    "WebGpuExecutionProvider",
)

DEVICE_MEMORY = {CUDA: "cuda", TENSORRT: "cuda"}
"""Where inputs and outputs lie; on the host for every other provider."""

OPTIONS = {
    "OpenVINOExecutionProvider": {"num_of_threads": "{threads}"},
    "QNNExecutionProvider": {"backend_path": "QnnHtp.dll" if sys.platform == "win32" else "libQnnHtp.so"},
    # it has threads of its own, beside those of ONNX Runtime
    "XnnpackExecutionProvider": {"intra_op_num_threads": "{threads}"},
}
"""What a provider is opened with, where its defaults do not do."""

PRECISION_OPTIONS = {
    (TENSORRT, "fp16"): {"trt_fp16_enable": "1"},
    (TENSORRT, "int8"): {"trt_int8_enable": "1"},  # the scales are those in the graph
}

GRAPH_OPTIONS = {CUDA: {"enable_cuda_graph": "1"}, TENSORRT: {"trt_cuda_graph_enable": "1"}}

OWN_THREADS = ("OpenVINOExecutionProvider", "XnnpackExecutionProvider")
"""Providers that compute on threads of their own: those of ONNX Runtime would only contend with them."""

WITHOUT_MEMORY_PATTERN = ("DmlExecutionProvider",)

SUFFIXES = ("cpu", "graph")


@dataclass(frozen=True)
class Provider:
    """What was typed, taken apart.

    Attributes:
        name: as ONNX Runtime calls it.
        may_use_cpu: whether nodes that it cannot take may run on the CPU provider.
        captures_graph: whether a CUDA graph is captured and replayed.
    """

    name: str
    may_use_cpu: bool = False
    captures_graph: bool = False

    @property
    def is_cpu(self) -> bool:
        """Whether everything runs on the CPU provider."""
        return self.name == CPU

    @property
    def memory(self) -> str:
        """Where inputs and outputs lie, as ONNX Runtime calls it."""
        return DEVICE_MEMORY.get(self.name, "cpu")

    def options(self, settings: Dict[str, Any]) -> Dict[str, str]:
        """What the provider is opened with.

        Args:
            settings: `threads`, `precision`.
        """
        found = dict(OPTIONS.get(self.name, {}))
        found.update(PRECISION_OPTIONS.get((self.name, settings.get("precision", "fp32")), {}))
        if self.captures_graph:
            found.update(GRAPH_OPTIONS[self.name])
        return {key: value.format(threads=settings["threads"]) for key, value in found.items()}


def parsed(text: str) -> Provider:
    """A provider's name with its suffixes.

    Raises:
        ValueError: a suffix that is unknown, typed twice, or means nothing to this provider.
    """
    name, *suffixes = text.split("+")
    unknown = [suffix for suffix in suffixes if suffix not in SUFFIXES]
    if not name or unknown or len(set(suffixes)) < len(suffixes):
        raise ValueError(
            "provider {!r}: after the name may come {}, each once".format(
                text, " and ".join("+" + suffix for suffix in SUFFIXES)
            )
        )
    if name == CPU and suffixes:
        raise ValueError(
            "provider {}: {} takes every graph, so leave +{} away".format(text, CPU, suffixes[0])
        )
    if "graph" in suffixes and name not in GRAPH_OPTIONS:
        raise ValueError(
            "provider {}: CUDA graphs are known for {}".format(text, " and ".join(sorted(GRAPH_OPTIONS)))
        )
    return Provider(name, "cpu" in suffixes, "graph" in suffixes)
