"""TensorRT on the target: builds an engine, or takes one that the host has kept, and makes it a callable.

Versions 8.5 to 11. Where a version types tensors as the graph does (10 by a flag, 11 always), that is used;
older ones are allowed the precision by flags of the builder. TF32 is off.
"""

import collections
import contextlib
import hashlib
import sys
from typing import Any, Deque, Dict, List, Optional, Tuple

from devices.agent import cuda, layer_names
from devices.agent.loaded import Loaded
from devices.agent.tensorrt_inference import Inference

NAME = "tensorrt"
PROVIDERS = ("graph", "stream")

WORKSPACE_BYTES = 1 << 30
OPTIMIZATION_LEVEL = 3
"""TensorRT's own default; from version 8.6 on it is set, so that it is known."""
DISTRIBUTIONS = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu11", "tensorrt-bindings")
LAST_ERRORS = 8
LARGEST_ERROR_TEXT = 2000


def version() -> str:
    """The version of the installed runtime, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise ModuleNotFoundError("tensorrt is not installed; run: pip install tensorrt")


def target(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The GPU, and how engines are built on it: `identity` decides whether measurements may be compared."""
    gpu = _gpu()
    identity = {
        "gpu": gpu.name,
        "compute_capability": gpu.compute_capability,
        "tf32": False,
        "workspace_bytes": WORKSPACE_BYTES,
        "builder_optimization_level": OPTIMIZATION_LEVEL if _has_level(version()) else None,
    }
    software = {
        "cuda_runtime": cuda.version_in_words(gpu.runtime_version),
        "cuda_driver": cuda.version_in_words(gpu.driver_version),
        "gpu_memory_bytes": gpu.memory_bytes(),
        "gpu_multiprocessors": gpu.multiprocessors,
        "gpu_l2_bytes": gpu.l2_bytes,
        "gpu_spin_wait": gpu.spins,
    }
    return {"identity": identity, "software": software}


def load(artefact: bytes, settings: Dict[str, Any], engine: bytes = b"", timing_cache: bytes = b"") -> Loaded:
    """Open an engine with random inputs on the GPU.

    Args:
        artefact: an ONNX file.
        settings: `provider`, `precision`.
        engine: what an earlier load of the same graph gave to keep; empty to build anew.
        timing_cache: the same of any graph: what the builder has timed before.

    Raises:
        ValueError: the provider is none of TensorRT's, it refuses the graph, or an input cannot be filled.
        RuntimeError: the engine cannot be built, or CUDA refuses.
    """
    _check_provider(settings["provider"])
    gpu = _gpu()
    opened, notes, kept = _open(artefact, settings, engine, timing_cache)
    inference = Inference(gpu, opened, notes)
    try:
        if settings["provider"] == "graph":
            inference.capture()
        return Loaded(
            inference.run,
            inference.span_ns,
            inference.evict,
            inference.parts_ns,
            inference.close,
            notes,
            kept,
        )
    except BaseException:
        inference.close()
        raise


def node_times(
    artefact: bytes,
    settings: Dict[str, Any],
    plan: Dict[str, Any],
    engine: bytes = b"",
    timing_cache: bytes = b"",
) -> Dict[str, Any]:
    """Time of each layer of the engine, by TensorRT's own profiler, which synchronises after every layer.

    Args:
        artefact: an ONNX file.
        settings: as for `load`.
        plan: `warmup_runs` and `runs`.
        engine: as for `load`.
        timing_cache: as for `load`.

    Returns:
        `nodes`: names of layers, in the order of execution (`layer_names.py`). `us`: for every run, the
        microseconds of every layer; `run_us`: of every whole run, their sum.
    """
    trt = _import()
    opened, notes, _ = _open(artefact, settings, engine, timing_cache)
    with contextlib.closing(Inference(_gpu(), opened, notes)) as inference:
        runs = inference.profiled(_profiler(trt), plan["warmup_runs"] + plan["runs"])
    names = [name for name, _ in runs[-1]]
    if any([name for name, _ in run] != names for run in runs):
        raise ValueError("TensorRT's profiler does not tell the same layers in every run")
    us = [[round(ms * 1e3, 3) for _, ms in run] for run in runs[plan["warmup_runs"] :]]
    return {
        "nodes": [layer_names.owned(name) for name in names],
        "us": us,
        "run_us": [sum(run) for run in us],
    }


# --- engines


def _open(
    artefact: bytes, settings: Dict[str, Any], engine: bytes, timing_cache: bytes
) -> Tuple[Any, Dict[str, Any], Dict[str, bytes]]:
    """An engine, what to note of it, and what is new and to be kept; one that is refused is built again."""
    trt = _import()
    kept: Dict[str, bytes] = {}
    notes: Dict[str, Any] = {"engine_from": "kept"}
    opened, why = _deserialized(trt, engine) if engine else (None, "")
    if opened is None:
        notes["engine_from"] = "refused, then built" if engine else "built"
        if engine:
            notes["engine_refused"] = why
        kept = _built(trt, artefact, settings["precision"], timing_cache)
        engine = kept["engine"]
        opened, why = _deserialized(trt, engine)
        if opened is None:
            raise RuntimeError("TensorRT refuses the engine that it has built: " + why)
    notes["engine"] = hashlib.sha256(engine).hexdigest()[:16]
    return opened, notes, kept


def _deserialized(trt: Any, engine: bytes) -> Tuple[Optional[Any], str]:
    """An engine, or None and why it was refused: it is of another version or GPU, or damaged."""
    log = _log(trt)
    log.last.clear()
    runtime = trt.Runtime(log.logger)
    try:
        opened = runtime.deserialize_cuda_engine(engine)
    except RuntimeError as error:
        log.last.append(str(error))
        opened = None
    # an engine does not outlive its runtime
    return ((runtime, opened), "") if opened is not None else (None, log.text())


def _built(trt: Any, artefact: bytes, precision: str, timing_cache: bytes) -> Dict[str, bytes]:
    """A serialised engine, and what the builder has timed."""
    log = _log(trt)
    log.last.clear()
    builder = trt.Builder(log.logger)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(artefact):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise ValueError("TensorRT cannot take the graph: " + ("; ".join(errors) or log.text()))
    _check_shapes(network)
    config = builder.create_builder_config()
    _configure(trt, config, precision)
    _set_timing_cache(config, timing_cache)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError("TensorRT could not build an engine: " + log.text())
    kept = {"engine": bytes(engine)}
    timed = config.get_timing_cache()
    if timed is not None:
        kept["timing_cache"] = bytes(timed.serialize())
    return kept


def _types_by_graph(trt: Any) -> bool:
    """Whether tensors have the types that the graph gives them: by a flag (10), or always (11)."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _network_flags(trt: Any) -> int:
    flags = trt.NetworkDefinitionCreationFlag
    if not _types_by_graph(trt):
        return 1 << int(flags.EXPLICIT_BATCH)
    # what types by flags has the flag for it; later versions ignore it, and say that it will go
    return 1 << int(flags.STRONGLY_TYPED) if hasattr(trt.BuilderFlag, "FP16") else 0


def _configure(trt: Any, config: Any, precision: str) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.clear_flag(trt.BuilderFlag.TF32)
    if not _types_by_graph(trt) and precision in ("fp16", "int8"):
        config.set_flag({"fp16": trt.BuilderFlag.FP16, "int8": trt.BuilderFlag.INT8}[precision])
    if hasattr(config, "builder_optimization_level"):
        config.builder_optimization_level = OPTIMIZATION_LEVEL


def _set_timing_cache(config: Any, data: bytes) -> None:
    """What was timed before; an empty one where that is of another version or GPU, or damaged."""
    for content in [data, b""] if data else [b""]:
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return


def _check_shapes(network: Any) -> None:
    for index in range(network.num_inputs):
        value = network.get_input(index)
        if any(size < 0 for size in value.shape):
            shape = tuple(value.shape)
            raise ValueError("input {!r} has the dynamic shape {}; fix its sizes".format(value.name, shape))


def _has_level(text: str) -> bool:
    """Whether a version's builder has an optimisation level."""
    words = text.split(".")
    return [int(word) for word in words[:2] if word.isdigit()] >= [8, 6]


# --- what is there once in a process


_gpus: List[cuda.Cuda] = []


def _gpu() -> cuda.Cuda:
    if not _gpus:
        _gpus.append(cuda.Cuda())
    return _gpus[0]


def _import() -> Any:
    import tensorrt

    return tensorrt


class _Log:
    """TensorRT's logger: warnings and errors to stderr, and the last errors for a message."""

    def __init__(self, trt: Any) -> None:
        self.last: Deque[str] = collections.deque(maxlen=LAST_ERRORS)
        severity, last = trt.ILogger.Severity, self.last
        errors, shown = (severity.INTERNAL_ERROR, severity.ERROR), (severity.WARNING,)

        class Logger(trt.ILogger):  # type: ignore[misc]  # tensorrt ships no types
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in errors:
                    last.append(message)
                if level in errors or level in shown:
                    sys.stderr.write("TensorRT: {}\n".format(message))

        self.logger = Logger()

    def text(self) -> str:
        """The last errors."""
        return "; ".join(self.last)[-LARGEST_ERROR_TEXT:] or "it does not say why"


_logs: List[_Log] = []


def _log(trt: Any) -> _Log:
    if not _logs:
        _logs.append(_Log(trt))  # one for all: TensorRT keeps the first that it is given
    return _logs[0]


def _profiler(trt: Any) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]  # tensorrt ships no types
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.told: List[Tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.told.append((layer_name, ms))

    return Profiler()


def _check_provider(provider: str) -> None:
    if provider not in PROVIDERS:
        raise ValueError("provider {} is absent here; present: {}".format(provider, ", ".join(PROVIDERS)))
