"""ONNX Runtime on the target: loads an ONNX graph and makes it a callable to time."""

import os
import re
from typing import Any, Callable, Dict, Optional

from devices.agent import gpu, system_files
from devices.agent import onnxruntime_profile as profile
from devices.agent.loaded import Loaded
from devices.agent.onnxruntime_binding import Bound
from devices.agent.onnxruntime_providers import OWN_THREADS, WITHOUT_MEMORY_PATTERN, Provider, parsed

NAME = "onnxruntime"


def version() -> str:
    """The version of the installed runtime, without importing it."""
    return build()["version"]


def build() -> Dict[str, str]:
    """The installed build, without importing it: `package`, `version`, and `cuda_version` of one for CUDA.

    Builds for other devices (onnxruntime-gpu, -openvino, -qnn, -directml) carry the same module; where two
    are installed, the later has overwritten the earlier, and only the module's own file tells which it is.

    Raises:
        ModuleNotFoundError: there is none.
    """
    from importlib.metadata import distributions
    from importlib.util import find_spec

    module = find_spec("onnxruntime")
    for folder in (module and module.submodule_search_locations) or ():
        text = system_files.read(os.path.join(folder, "capi", "build_and_package_info.py")) or ""
        told = dict(re.findall(r"^(\w+) *= *[\"']([^\"']*)[\"']", text, re.MULTILINE))
        if told.get("package_name") and told.get("__version__"):
            found = {"package": told["package_name"], "version": told["__version__"]}
            if told.get("cuda_version"):
                found["cuda_version"] = told["cuda_version"]
            return found
    for item in distributions():
        name = (item.metadata["Name"] or "").lower()
        if name.startswith("onnxruntime"):
            return {"package": name, "version": item.version}
    raise ModuleNotFoundError("onnxruntime is not installed; run: pip install onnxruntime")


def load(graph: bytes, settings: Dict[str, Any]) -> Loaded:
    """Open a session with inputs and outputs bound once, where the provider computes.

    Args:
        graph: an ONNX file.
        settings: `threads`, `provider`, `precision`, `cache`.

    Raises:
        ValueError: the provider is absent, cannot be started or cannot take the whole graph; or an input has
            a dynamic or unknown shape.
    """
    onnxruntime = _import()
    provider = parsed(settings["provider"])
    if provider.memory != "cpu" and settings.get("cache") == "cold":
        raise ValueError(
            "provider {} has no way to cool the GPU's caches: measure warm".format(provider.name)
        )
    if provider.is_cpu:
        return Loaded(Bound(onnxruntime, _session(onnxruntime, graph, settings, provider), "cpu").run)
    with profile.folder() as prefix:
        session = _session(onnxruntime, graph, settings, provider, prefix)
        bound = Bound(onnxruntime, session, provider.memory)
        if provider.captures_graph and not bound.sizes_are_known:
            raise ValueError("a CUDA graph needs outputs of fixed sizes; leave +graph away")
        bound.run()
        events = profile.events(session)  # which ends the profile: what is timed later runs without it
    notes = {"nodes": profile.placed(events, provider), "build": build()["package"]}  # type: Dict[str, Any]
    if provider.memory == "cpu":
        return Loaded(bound.run, notes=notes)
    return Loaded(bound.run, parts_ns=bound.parts_ns, notes=dict(notes, tf32=False))


def details() -> Dict[str, Any]:
    """What else the installed build tells of itself."""
    return {"providers": _import().get_available_providers(), "runtime_build": build()}


def target(settings: Dict[str, Any]) -> Dict[str, Any]:
    """The GPU that a provider computes on, and CUDA's version; empty where that is no GPU of NVIDIA's."""
    if parsed(settings["provider"]).memory != "cuda":
        return {"identity": {}, "software": {}}
    return {"identity": dict(gpu.identity(), tf32=False), "software": gpu.software()}


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
    provider = parsed(settings["provider"])
    with profile.folder() as prefix:
        session = _session(onnxruntime, graph, settings, provider, prefix)
        bound = Bound(onnxruntime, session, provider.memory)
        for _ in range(plan["warmup_runs"] + plan["runs"]):
            bound.run()
        events = profile.events(session)
    if not provider.is_cpu:
        profile.placed(events, provider)
    return profile.by_run(events, plan["warmup_runs"])


def _import() -> Any:
    # official builds send telemetry from a thread of the timed process, and leave a temporary file
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # fp32 is fp32 on a GPU too: NVIDIA's libraries would use shorter numbers in products
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    import onnxruntime

    return onnxruntime


def _session(
    onnxruntime: Any,
    graph: bytes,
    settings: Dict[str, Any],
    provider: Provider,
    profile_prefix: Optional[str] = None,
) -> Any:
    """A session on this provider alone, or an error that says what to do.

    By default the runtime puts on the CPU provider whatever another cannot take, and all of it where another
    cannot be started, without a word; both are errors here.
    """
    present = onnxruntime.get_available_providers()
    if provider.name not in present:
        raise ValueError("provider {} is absent here; present: {}".format(provider.name, ", ".join(present)))

    def opened(config: Dict[str, str]) -> Any:
        options = _options(onnxruntime, settings["threads"], provider, profile_prefix)
        for key, value in config.items():
            options.add_session_config_entry(key, value)
        chosen = [(provider.name, provider.options(settings))]
        return onnxruntime.InferenceSession(graph, options, providers=chosen, enable_fallback=0)

    strict = {} if provider.is_cpu or provider.may_use_cpu else {"session.disable_cpu_ep_fallback": "1"}
    try:
        session = opened(strict)
    except Exception as error:  # the runtime's errors have no class of their own in common
        if strict and _started(lambda: opened({}), provider):
            raise ValueError("{} ({})".format(profile.cannot_take(provider), error)) from error
        if provider.is_cpu:
            raise
        raise ValueError("{}: {}".format(_cannot_start(provider), error)) from error
    if provider.name not in session.get_providers():
        raise ValueError(_cannot_start(provider))
    return session


def _started(opened: Callable[[], Any], provider: Provider) -> bool:
    """Whether the provider itself is well: what it leaves to others is then the trouble."""
    try:
        return provider.name in opened().get_providers()
    except Exception:  # as above
        return False


def _cannot_start(provider: Provider) -> str:
    return (
        "provider {} is in this build of onnxruntime, but cannot be started: libraries that it needs "
        "(CUDA and cuDNN, TensorRT, ...) or its device are missing, or it refuses an option".format(
            provider.name
        )
    )


def _options(onnxruntime: Any, threads: int, provider: Provider, profile_prefix: Optional[str]) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1 if provider.name in OWN_THREADS else threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    # threads of an idle session that spin would slow the session that is timed
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider.name in WITHOUT_MEMORY_PATTERN:
        options.enable_mem_pattern = False
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile_prefix
    return options
