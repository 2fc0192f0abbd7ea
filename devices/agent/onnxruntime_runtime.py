"""ONNX Runtime on the target: loads an ONNX graph and makes it a callable to time."""

import json
import os
import tempfile
from typing import Any, Callable, Dict, List, Tuple

from devices.agent.loaded import Loaded

NAME = "onnxruntime"


def version() -> str:
    """The version of the installed runtime, without importing it."""
    from importlib.metadata import PackageNotFoundError, distributions, version

    try:
        return version("onnxruntime")
    except PackageNotFoundError:
        # builds for other devices carry the same module under names such as onnxruntime-gpu
        names = [item.metadata["Name"] or "" for item in distributions()]
        found = [name for name in names if name.lower().startswith("onnxruntime")]
        if not found:
            raise ModuleNotFoundError("onnxruntime is not installed; run: pip install onnxruntime") from None
        return version(found[0])


def load(graph: bytes, settings: Dict[str, Any]) -> Loaded:
    """Open a session with inputs and outputs bound once.

    Args:
        graph: an ONNX file.
        settings: `threads`, `provider`.

    Raises:
        ValueError: the provider is absent, or an input has a dynamic or unknown shape.
    """
    onnxruntime = _import()
    options = _options(onnxruntime, settings["threads"])
    return Loaded(_open(onnxruntime, graph, options, settings["provider"])[0])


def details() -> Dict[str, Any]:
    """What else the installed build tells of itself."""
    return {"providers": _import().get_available_providers()}


def node_times(graph: bytes, settings: Dict[str, Any], plan: Dict[str, Any]) -> Dict[str, Any]:
    """Time of each node inside the running graph, by the runtime's own profiler.

    Args:
        graph: an ONNX file.
        settings: as for `load`.
        plan: `warmup_runs` and `runs`.

    Returns:
        `nodes`: names, in the order of execution; an optimised node is named for its last output.
        `us`: for every run, the microseconds of every node; `run_us`: of every whole run.
    """
    onnxruntime = _import()
    options = _options(onnxruntime, settings["threads"])
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = os.path.join(folder, "profile")
        infer, session = _open(onnxruntime, graph, options, settings["provider"])
        for _ in range(plan["warmup_runs"] + plan["runs"]):
            infer()
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
    return _by_run(events, plan["warmup_runs"])


_NODE_SUFFIX = "_kernel_time"


def _by_run(events: List[Dict[str, Any]], skipped: int) -> Dict[str, Any]:
    """The events of a profile, sorted into runs."""
    runs = []  # type: List[List[Dict[str, Any]]]
    whole = []  # type: List[int]
    current = []  # type: List[Dict[str, Any]]
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_NODE_SUFFIX):
            current.append(event)
        elif event.get("cat") == "Session" and event["name"] == "model_run":
            runs.append(current)
            whole.append(event["dur"])
            current = []
    names = [event["name"][: -len(_NODE_SUFFIX)] for event in runs[-1]]
    if any([event["name"][: -len(_NODE_SUFFIX)] for event in run] != names for run in runs):
        raise ValueError("the runtime's profile does not tell the same nodes in every run")
    us = [[event["dur"] for event in run] for run in runs[skipped:]]
    return {"nodes": names, "us": us, "run_us": whole[skipped:]}


def _import() -> Any:
    # official builds send telemetry from a thread of the timed process, and leave a temporary file
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    return onnxruntime


def _open(onnxruntime: Any, graph: bytes, options: Any, provider: str) -> Tuple[Callable[[], Any], Any]:
    """What runs one inference, and the session behind it."""
    present = onnxruntime.get_available_providers()
    if provider not in present:
        raise ValueError("provider {} is absent here; present: {}".format(provider, ", ".join(present)))
    session = onnxruntime.InferenceSession(graph, options, providers=[provider])
    binding, values = _bind(onnxruntime, session)
    run = session.run_with_iobinding

    # releases before 1.30 bind memory and do not keep it: inferences would read and write what was freed
    def infer(_kept: Any = values) -> None:
        run(binding)

    return infer, session


def _options(onnxruntime: Any, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # threads of an idle session that spin would slow the session that is timed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _bind(onnxruntime: Any, session: Any) -> Tuple[Any, List[Any]]:
    """Inputs and outputs allocated once, so that a run copies nothing in or out; and what holds them."""
    import numpy

    rng = numpy.random.default_rng(0)
    binding = session.io_binding()
    feeds = {}
    kept = []
    for value in session.get_inputs():
        feeds[value.name] = _random_input(numpy, rng, value)
        kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(feeds[value.name]))
        binding.bind_ortvalue_input(value.name, kept[-1])
    outputs = session.get_outputs()
    if all(_is_static(value) for value in outputs):
        arrays = [numpy.zeros(value.shape, _TYPES[value.type]) for value in outputs]
    else:
        arrays = session.run(None, feeds)  # the run itself tells the sizes
    for value, array in zip(outputs, arrays):
        kept.append(onnxruntime.OrtValue.ortvalue_from_numpy(array))
        binding.bind_ortvalue_output(value.name, kept[-1])
    return binding, kept


def _is_static(value: Any) -> bool:
    """Whether type and sizes of an input or output are known before a run."""
    return value.type in _TYPES and all(isinstance(size, int) and size > 0 for size in value.shape)


_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


def _random_input(numpy: Any, rng: Any, value: Any) -> Any:
    """Standard normal numbers; whole numbers are 0 or 1, so that they are valid as indexes too."""
    if value.type not in _TYPES:
        raise ValueError("input {!r} has type {}, which cannot be filled".format(value.name, value.type))
    if not _is_static(value):
        raise ValueError("input {!r} has the dynamic shape {}; fix its sizes".format(value.name, value.shape))
    kind = numpy.dtype(_TYPES[value.type])
    if kind.kind == "f":
        return rng.standard_normal(value.shape).astype(kind)
    return rng.integers(0, 2, value.shape).astype(kind)
