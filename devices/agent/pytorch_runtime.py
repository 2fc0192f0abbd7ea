"""PyTorch on the target: builds the described graph from PyTorch's functions and makes it a callable to time.

`devices/runtimes/pytorch.py` writes the artefact; it says how. Compiled code stays in PyTorch's own cache
folder, so that only the first process waits for the compiler.
"""

import io
import json
import os
from typing import Any, Callable, Dict, List, Tuple

from devices.agent import gpu, pytorch_cuda
from devices.agent.loaded import Loaded
from devices.agent.pytorch_providers import Way, parsed

NAME = "pytorch"

FUNCTIONS = {
    "torch": "add addmm cat clamp div matmul mean mul permute reshape sigmoid sub",
    "torch.nn.functional": "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
    "avg_pool1d avg_pool2d avg_pool3d batch_norm conv1d conv2d conv3d hardsigmoid hardswish linear "
    "max_pool1d max_pool2d max_pool3d pad relu relu6 softmax",
}
"""What an artefact may call, by module; nothing else is looked up."""


def version() -> str:
    """The version of the installed runtime, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        raise ModuleNotFoundError("torch is not installed; run: pip install torch") from None


def load(artefact: bytes, settings: Dict[str, Any]) -> Loaded:
    """Build the graph with inputs in place.

    Args:
        artefact: what the host's half wrote.
        settings: `threads`, `provider`.

    Raises:
        ValueError: the provider is none of PyTorch's, or the artefact is malformed.
        RuntimeError: PyTorch refuses the graph, or finds no compiler for it.
    """
    import torch

    torch.set_num_threads(settings["threads"])
    way = parsed(settings["provider"])
    inputs, run = build(artefact, settings["provider"])
    if not way.cuda:
        return Loaded(run)
    graph = pytorch_cuda.OnGpu(torch, run, inputs, way.captured)
    return Loaded(
        graph.run_and_wait,
        span_ns=graph.span_ns,
        evict=graph.evict,
        parts_ns=graph.parts_ns,
        close=graph.close,
        notes={"tf32": False, "cudnn_benchmark": True, "cuda_graph": graph.captured},
    )


def target(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The GPU that the provider computes on, and the CUDA that PyTorch was built for; empty on the processor.

    Raises:
        RuntimeError: PyTorch sees no GPU.
    """
    if not parsed(settings["provider"]).cuda:
        return {"identity": {}, "software": {}}
    import torch

    return {"identity": dict(pytorch_cuda.identity(torch), tf32=False), "software": gpu.software()}


def build(artefact: bytes, provider: str) -> Tuple[List[Any], Callable[[], Tuple[Any, ...]]]:
    """The graph's inputs, random, and a callable that computes its outputs from them.

    It has run once, which is when PyTorch compiles.

    Raises:
        ValueError: the provider is none of PyTorch's, or the artefact is malformed.
        RuntimeError: PyTorch refuses the graph, or finds no compiler for it.
    """
    way = parsed(provider)
    import torch

    place = _placing(way, pytorch_cuda.prepared(torch) if way.cuda else "cpu")
    graph, arrays = _read(artefact)
    try:
        module = _module(graph, {name: place(torch.tensor(array)) for name, array in arrays.items()})
        inputs = [place(tensor) for tensor in _random_inputs(graph)]
        expected = [value["shape"] for value in graph["outputs"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("the graph in the artefact is malformed: {!r}".format(error)) from error
    # called by itself, a graph module goes through a wrapper of torch.fx, which no deployed network has
    forward, inference_mode = module.forward, torch.inference_mode
    if way.compiled:
        # its compiler would keep idle processes beside the timed one
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        options = {"cpp.threads": torch.get_num_threads()}  # type: Dict[str, Any]
        forward = torch.compile(forward, fullgraph=True, dynamic=False, options=options)

    def run() -> Tuple[Any, ...]:
        with inference_mode():
            return tuple(forward(*inputs))

    found = [list(output.shape) for output in _first(run)]
    if any(right is not None and right != shape for right, shape in zip(expected, found)):
        raise ValueError("the outputs have shapes {}, but {} was expected".format(found, expected))
    return inputs, run


def _read(artefact: bytes) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """The graph, and the arrays by name."""
    import numpy

    try:
        with numpy.load(io.BytesIO(artefact), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        graph = json.loads(arrays.pop("graph").tobytes().decode("utf-8"))
    except Exception as error:  # numpy, zipfile and json each raise their own
        raise ValueError("the artefact is not a graph for PyTorch: {!r}".format(error)) from error
    if not isinstance(graph, dict):
        raise ValueError("the artefact is not a graph for PyTorch: its description is no object")
    return graph, arrays


def _module(graph: Dict[str, Any], tensors: Dict[str, Any]) -> Any:
    """A module whose forward is the calls as straight code, which frees each value after its last use."""
    import torch
    from torch import fx

    functions = _functions()
    root, code = torch.nn.Module(), fx.Graph()
    values = {None: None}  # type: Dict[Any, Any]
    for value in graph["inputs"]:
        values[value["value"]] = code.placeholder(value["value"])
    for name, tensor in tensors.items():
        root.register_buffer(name, tensor)
        values[name] = code.get_attr(name)
    for step in graph["steps"]:
        if step["function"] not in functions:
            raise ValueError("the artefact calls {!r}, which is not known here".format(step["function"]))
        arguments = tuple(
            [values[name] for name in item] if isinstance(item, list) else values[item]
            for item in step["inputs"]
        )
        values[step["output"]] = code.call_function(
            functions[step["function"]], arguments, dict(step["settings"])
        )
    code.output(tuple(values[value["value"]] for value in graph["outputs"]))
    return fx.GraphModule(root, code).eval()


def _functions() -> Dict[str, Callable[..., Any]]:
    """The callables of `FUNCTIONS` by name."""
    import torch

    modules = {"torch": torch, "torch.nn.functional": torch.nn.functional}
    return {
        name: getattr(modules[module], name) for module in FUNCTIONS for name in FUNCTIONS[module].split()
    }


def _random_inputs(graph: Dict[str, Any]) -> List[Any]:
    """Standard normal numbers."""
    import numpy
    import torch

    rng = numpy.random.default_rng(0)
    return [
        torch.tensor(rng.standard_normal(value["shape"]), dtype=torch.float32) for value in graph["inputs"]
    ]


def _placing(way: Way, device: str) -> Callable[[Any], Any]:
    """What puts a tensor where the graph computes; images, and the kernels for them, in its memory format."""
    import torch

    def place(tensor: Any) -> Any:
        if way.channels_last and tensor.dim() == 4:
            return tensor.to(device).contiguous(memory_format=torch.channels_last)
        return tensor.to(device)

    return place


def _first(run: Callable[[], Any]) -> Any:
    """The first run, in which PyTorch may compile."""
    try:
        return run()
    except Exception as error:
        if _lacks_compiler(error):
            raise RuntimeError(
                "torch.compile needs a C++ compiler, and there is none: install g++, or set CXX to one; "
                "providers without compile need none"
            ) from error
        raise


def _lacks_compiler(error: Any) -> bool:
    """Whether an error comes from PyTorch's search for a compiler; it is wrapped in others."""
    while error is not None:
        if type(error).__name__ == "InvalidCxxCompiler" or "InvalidCxxCompiler" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
