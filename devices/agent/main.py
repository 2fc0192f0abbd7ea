"""The agent's loop: read a request, do it, answer.

Verbs: `describe` (identity), `conditions`, `load` (payload: a graph), `time`, `unload`, and `node_times`
(payload: a graph). An error of a request is an answer, not an end; the agent ends when its input ends.
"""

import os
import sys
from typing import BinaryIO, Callable, Dict

from devices.agent import conditions, frames, identity, runtimes, timing


class Agent:
    """The loaded graphs of one process, and the verbs that a host may call."""

    def __init__(self) -> None:
        """Start with nothing loaded."""
        self.loaded: Dict[str, timing.Timed] = {}

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
        runtime = runtimes.runtime(header["runtime"])
        target = dict(identity.hardware(), runtime=runtime.NAME, runtime_version=runtime.version())
        identity.pin(int(header["threads"]))
        software = identity.software()
        if header.get("detailed") and hasattr(runtime, "details"):
            software.update(runtime.details())
        return {"identity": target, "software": software}

    def conditions(self, header: frames.Header, payload: bytes) -> frames.Header:
        """The state of the target at this moment."""
        return {"conditions": conditions.conditions()}

    def busy_processes(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Which other programs run on the target."""
        return {"processes": conditions.busy_processes(float(header["seconds"]))}

    def load(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Load the graph in the payload under the id of the request."""
        graph = runtimes.runtime(header["runtime"]).load(payload, header["settings"])
        self._drop(header["id"])
        self.loaded[header["id"]] = timing.Timed(graph)
        return {"notes": graph.notes}

    def time(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time a loaded graph."""
        return self.loaded[header["id"]].visit(timing.Plan(**header["plan"]))

    def node_times(self, header: frames.Header, payload: bytes) -> frames.Header:
        """Time the nodes inside the graph in the payload, by the runtime's own profiler."""
        runtime = runtimes.runtime(header["runtime"])
        if not hasattr(runtime, "node_times"):
            raise ValueError("{} does not tell the times of nodes".format(runtime.NAME))
        found: frames.Header = runtime.node_times(payload, header["settings"], header["plan"])
        return found

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
