"""The agent's loop: read a request, do it, answer with its number.

Verbs: `describe` (identity), `conditions`, `load` (payload: a graph), `time`, `energy`, `unload`,
`node_times` (payload: a graph), `energy_source` and `busy_processes`. An error of a request is an answer, not
an end; the agent ends when its input ends.

The payload of a graph may have parts: `artefact`, and what the host has kept of earlier loads. The answer to
a `load` has a payload where there is something new to keep.
"""

import importlib.util
import os
import sys
from typing import Any, BinaryIO, Dict, Optional, Tuple

from devices.agent import (
    conditions,
    energy,
    frames,
    identity,
    nvidia,
    requests,
    runtimes,
    timing,
    watchdog,
)

MOST_LOADED = 1000
MOST_PROFILED_RUNS = 1000
LONGEST_WATCH_S = 60.0
LONGEST_ERROR = 4000


class Agent:
    """The loaded graphs of one process, and the verbs that a host may call."""

    def __init__(self) -> None:
        """Start with nothing loaded."""
        self.loaded: Dict[str, timing.Timed] = {}
        self.idle: Optional[Dict[str, int]] = None
        self.used_gpu: Optional[int] = None
        self.uses_gpu: Optional[bool] = None
        self._attached: Dict[str, bytes] = {}

    def answer(self, header: frames.Header, payload: bytes) -> Tuple[frames.Header, bytes]:
        """Do one request and give the header and the payload of the answer."""
        self._attached = {}
        found = self._answer(header, payload)
        if "error" in found or not self._attached:
            return found, b""
        listed, attached = frames.joined(self._attached)
        self._attached = {}
        return dict(found, **listed), attached

    def _answer(self, header: frames.Header, payload: bytes) -> frames.Header:
        name = header.get("verb")
        if not isinstance(name, str) or name not in VERBS:
            return _refused("unknown verb {!r:.80}; known: {}".format(name, ", ".join(VERBS)))
        try:
            requests.only(header, ("verb", "number", "timeout_s") + VERBS[name])
            found: frames.Header = getattr(self, name)(header, payload)
            return found
        except Exception as error:  # a graph that a runtime refuses must not end the other measurements
            return _refused("{}: {}".format(type(error).__name__, error))

    def describe(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Identity of this target under a runtime; binds the process to as many processors as threads."""
        runtime = _runtime(header)
        detailed = requests.truth(header, "detailed")
        threads = requests.whole(header, "threads", 1, requests.MOST_THREADS)
        target = dict(identity.hardware(), runtime=runtime.NAME, runtime_version=runtime.version())
        if importlib.util.find_spec("numpy") is None:
            raise ModuleNotFoundError("numpy is not installed; run: pip install numpy")
        identity.pin(threads)
        software = identity.software()
        if "settings" in header:
            settings = requests.settings(header)
            if hasattr(runtime, "target"):
                told = runtime.target(settings)
                target.update(told["identity"])
                software.update(told["software"])
            self.uses_gpu = energy.where(runtime.NAME, settings["provider"]) == "nvidia"
            if self.uses_gpu:
                gpu = software["gpu"] = nvidia.used_gpu()
                self.used_gpu = None if gpu is None else gpu["index"]
        if detailed and hasattr(runtime, "details"):
            software.update(runtime.details())
        return {"identity": target, "software": software}

    def conditions(self, header: frames.Header, payload: bytes) -> frames.Header:
        """The state of the target at this moment; each GPU says whether it is measured on, where known."""
        state = conditions.conditions()
        for gpu in state["gpus"] or ():
            if self.uses_gpu is False:
                gpu["used"] = False
            elif self.used_gpu is not None:
                gpu["used"] = gpu["index"] == self.used_gpu
        return {"conditions": state}

    def busy_processes(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Which other programs run on the target."""
        seconds = requests.number(header, "seconds", 0.001, LONGEST_WATCH_S)
        return {"processes": conditions.busy_processes(seconds)}

    def load(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Load the graph in the payload under the id of the request."""
        name = requests.text(header, "id")
        self._drop(name)  # first: a device's memory may hold one of them only
        if len(self.loaded) >= MOST_LOADED:
            raise ValueError("{} graphs are loaded already; unload some".format(len(self.loaded)))
        artefact, kept = _graph(header, payload)
        graph = _runtime(header).load(artefact, requests.settings(header), **kept)
        self.loaded[name] = timing.Timed(graph)
        self._attached, graph.kept = graph.kept, {}
        return {"notes": graph.notes}

    def time(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time a loaded graph."""
        return self._timed(header).visit(timing.Plan.from_request(requests.part(header, "plan")))

    def node_times(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time the nodes inside the graph in the payload, by the runtime's own profiler."""
        runtime = _runtime(header)
        if not hasattr(runtime, "node_times"):
            raise ValueError("{} does not tell the times of nodes".format(runtime.NAME))
        plan = requests.part(header, "plan")
        requests.only(plan, ("warmup_runs", "runs"))
        requests.whole(plan, "warmup_runs", 0, MOST_PROFILED_RUNS)
        requests.whole(plan, "runs", 1, MOST_PROFILED_RUNS)
        artefact, kept = _graph(header, payload)
        found: frames.Header = runtime.node_times(artefact, requests.settings(header), plan, **kept)
        return found

    def energy_source(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Where the energy of a runtime with a provider is told; `none` says why nowhere."""
        runtime, provider = _runtime(header).NAME, requests.text(header, "provider")
        try:
            source = energy.source_for(runtime, provider)
        except energy.NoSource as error:
            return {"source": None, "none": str(error)}
        try:
            timing.idle(source, 0.0)
        except (OSError, ValueError) as error:  # a counter that stands still, as some virtual machines have
            return {
                "source": None,
                "none": "no energy source on this device: {}: {}".format(source.name, error),
            }
        return {"source": source.described()}

    def energy(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Energy of a loaded graph run back to back, and of this process idle, which is read once."""
        source = energy.source_for(_runtime(header).NAME, requests.text(header, "provider"))
        graph = self._timed(header).graph
        if self.idle is None:
            self.idle = timing.idle(source, source.burst_ms)
        found = timing.burst(graph.run, source, source.burst_ms)
        idle = {"idle_ns": self.idle["wall_ns"], "idle_uj": self.idle["energy_uj"]}
        return dict(found, source=source.name, **idle)

    def unload(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Drop a loaded graph."""
        self._drop(requests.text(header, "id"))
        return {}

    def _timed(self, header: frames.Header) -> timing.Timed:
        name = requests.text(header, "id")
        if name not in self.loaded:
            raise requests.RequestError("no graph is loaded under the id {!r}".format(name))
        return self.loaded[name]

    def _drop(self, name: str) -> None:
        timed = self.loaded.pop(name, None)
        if timed is not None:
            timed.graph.close()


VERBS: Dict[str, Tuple[str, ...]] = {
    "describe": ("runtime", "threads", "settings", "detailed"),
    "conditions": (),
    "load": ("id", "runtime", "settings", "parts"),
    "time": ("id", "plan"),
    "unload": ("id",),
    "node_times": ("id", "runtime", "settings", "plan", "parts"),
    "busy_processes": ("seconds",),
    "energy_source": ("runtime", "provider"),
    "energy": ("id", "runtime", "provider"),
}
"""What a host may ask, and the fields of each; the methods of `Agent` have the same names."""


def _runtime(header: frames.Header) -> Any:
    try:
        return runtimes.runtime(requests.text(header, "runtime"))
    except ValueError as error:
        raise requests.RequestError("runtime: {}".format(error)) from error


def _graph(header: frames.Header, payload: bytes) -> Tuple[bytes, Dict[str, Any]]:
    """The graph in a payload, and what the host has kept of earlier loads of it."""
    kept = frames.parts(header, payload)  # type: Dict[str, Any]
    return kept.pop("artefact", payload), kept


def _refused(why: str) -> frames.Header:
    """An error as an answer; runtimes write long ones, and bytes that are no characters."""
    return {"error": why[:LONGEST_ERROR].encode("utf-8", "replace").decode("utf-8")}


def main(token: str) -> None:
    """Greet with the host's token and serve until the input ends."""
    sink, guard = _private_stdout(), watchdog.Watchdog()
    guard.start()
    source = guard.reading(sys.stdin.buffer.read)
    sink.write(token.encode("ascii"))
    sink.flush()
    agent = Agent()
    while True:
        try:
            header, payload = frames.read(source)
        except EOFError:
            # at once: runtimes take their time to unload, and some crash over it
            os._exit(0)
        guard.begin(header.get("timeout_s"))
        answer, attached = agent.answer(header, payload)
        guard.end()
        write(sink, answer, attached, header.get("number"))


def write(sink: BinaryIO, header: frames.Header, payload: bytes, number: Any) -> None:
    """Send one answer, with the number of its request."""
    try:
        data = frames.encode(dict(header, number=number), payload) + payload
    except frames.FrameError as error:
        data = frames.encode(dict(_refused("the answer cannot be sent: {}".format(error)), number=number))
    sink.write(data)
    sink.flush()


def _private_stdout() -> BinaryIO:
    """The stream to the host; whatever else prints to stdout, from C too, goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")
