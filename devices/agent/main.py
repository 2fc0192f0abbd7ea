"""The agent's loop: read a request, do it, answer.

Verbs: `describe` (identity), `conditions`, `load` (payload: a graph), `time`, `energy`, `unload`,
`node_times` (payload: a graph), `energy_source` and `busy_processes`. An error of a request is an answer, not
an end; the agent ends when its input ends.
"""

import os
import sys
from typing import BinaryIO, Callable, Dict, Optional

from devices.agent import (
    conditions,
    energy,
    frames,
    identity,
    litert_runtime,
    nvidia,
    onnxruntime_runtime,
    pytorch_runtime,
    timing,
)

RUNTIMES = {module.NAME: module for module in (onnxruntime_runtime, litert_runtime, pytorch_runtime)}
"""What can run graphs here: a new runtime is one module and one row.

A module has `NAME`; `version()`, which imports no runtime; and `load(artefact, settings)`, which gives a
`Loaded` graph, inputs and outputs already in place. It may have `details()`,
what else the runtime tells of itself, and `node_times(artefact, settings, plan)`, times inside a graph.
"""


class Agent:
    """The loaded graphs of one process, and the verbs that a host may call."""

    def __init__(self) -> None:
        """Start with nothing loaded."""
        self.loaded: Dict[str, timing.Timed] = {}
        self.idle: Optional[Dict[str, int]] = None
        self.used_gpu: Optional[int] = None
        self.uses_gpu: Optional[bool] = None

    def answer(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Do one request and give the header of the answer."""
        verbs: Dict[str, Callable[[frames.Header, bytes], frames.Header]] = {
            "describe": self.describe,
            "conditions": self.conditions,
            "load": self.load,
            "time": self.time,
            "unload": self.unload,
            "node_times": self.node_times,
            "busy_processes": self.busy_processes,
            "energy_source": self.energy_source,
            "energy": self.energy,
        }
        verb = verbs.get(str(header.get("verb")))
        if verb is None:
            return {"error": "unknown verb {!r}; known: {}".format(header.get("verb"), ", ".join(verbs))}
        try:
            return verb(header, payload)
        except Exception as error:  # a graph that a runtime refuses must not end the other measurements
            return {"error": "{}: {}".format(type(error).__name__, error)}

    def describe(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Identity of this target under a runtime; binds the process to as many processors as threads."""
        runtime = RUNTIMES[header["runtime"]]
        target = dict(identity.hardware(), runtime=runtime.NAME, runtime_version=runtime.version())
        identity.pin(int(header["threads"]))
        software = identity.software()
        self.uses_gpu = energy.where(runtime.NAME, str(header.get("provider", ""))) == "nvidia"
        if self.uses_gpu:
            gpu = software["gpu"] = nvidia.used_gpu()
            self.used_gpu = None if gpu is None else gpu["index"]
        if header.get("detailed") and hasattr(runtime, "details"):
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
        return {"processes": conditions.busy_processes(float(header["seconds"]))}

    def load(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Load the graph in the payload under the id of the request."""
        graph = RUNTIMES[header["runtime"]].load(payload, header["settings"])
        self._drop(header["id"])
        self.loaded[header["id"]] = timing.Timed(graph)
        return {"notes": graph.notes}

    def time(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time a loaded graph."""
        return self.loaded[header["id"]].visit(timing.Plan(**header["plan"]))

    def node_times(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time the nodes inside the graph in the payload, by the runtime's own profiler."""
        runtime = RUNTIMES[header["runtime"]]
        if not hasattr(runtime, "node_times"):
            raise ValueError("{} does not tell the times of nodes".format(runtime.NAME))
        found: frames.Header = runtime.node_times(payload, header["settings"], header["plan"])
        return found

    def energy_source(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Where the energy of a runtime with a provider is told; `none` says why nowhere."""
        try:
            source = energy.source_for(header["runtime"], header["provider"])
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
        source = energy.source_for(header["runtime"], header["provider"])
        graph = self.loaded[header["id"]].graph
        if self.idle is None:
            self.idle = timing.idle(source, source.burst_ms)
        found = timing.burst(graph.run, source, source.burst_ms)
        idle = {"idle_ns": self.idle["wall_ns"], "idle_uj": self.idle["energy_uj"]}
        return dict(found, source=source.name, **idle)

    def unload(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Drop a loaded graph."""
        self._drop(header["id"])
        return {}

    def _drop(self, name: str) -> None:
        timed = self.loaded.pop(name, None)
        if timed is not None:
            timed.graph.close()


def main(token: str) -> None:
    """Greet with the host's token and serve until the input ends."""
    source, sink = sys.stdin.buffer, _private_stdout()
    sink.write(token.encode("ascii"))
    sink.flush()
    agent = Agent()
    while True:
        try:
            header, payload = frames.read(source.read)
        except EOFError:
            return
        write(sink, agent.answer(header, payload))


def write(sink: BinaryIO, header: frames.Header) -> None:
    """Send one answer."""
    sink.write(frames.encode(header))
    sink.flush()


def _private_stdout() -> BinaryIO:
    """The stream to the host; whatever else prints to stdout, from C too, goes to stderr."""
    private = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(private, "wb")
