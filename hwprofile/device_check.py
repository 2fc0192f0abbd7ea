"""The walk of `hwprofile devices check`: one step after another, until one does not hold.

link → python → runtime → providers → graph → conditions. A device without an agent has neither a Python nor
providers to look at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from devices.agent_device import AgentDevice
from devices.connection import Connection, DeviceError, RequestFailed
from devices.device import Device
from devices.diagnosis import Examination, Finding, findings
from devices.links.local import LocalLink
from devices.measurement import Graph, Visit
from devices.presets import PRESETS
from devices.probe import NoPython, Probe, Unreachable, probe
from devices.runtimes.catalog import RUNTIMES
from devices.statistics import summarise

PROCESSES, SAMPLES = 3, 30
WATCHED_S = 0.5
_INDENT = " " * 22
_SHOW = "look at what it is given: `hwprofile devices show {}`"
_CURES = {
    "link": _SHOW,
    "python": "is another program running there, or little memory left? " + _SHOW,
    "runtime": _SHOW,
    "providers": _SHOW,
    "graph": "update the runtime there, or choose another with --runtime or --provider",
    "conditions": _SHOW,
}
"""What to do about a failure that does not say it itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the walk.

    Attributes:
        name: `link`, `python`, `runtime`, `providers`, `graph` or `conditions`.
        ok: whether it held.
        seconds: how long it took.
        found: what was seen.
        cure: what to do where it did not hold.
        findings: what will disturb a measurement; only of `conditions`.
    """

    name: str
    ok: bool
    seconds: float
    found: str
    cure: str = ""
    findings: tuple[Finding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The step as JSON values."""
        return asdict(self)

    def for_people(self) -> str:
        """A line; below it what to do, and what disturbs."""
        lines = [f"{'✓' if self.ok else '✗'} {self.name:10} {self.seconds:6.2f} s  {self.found}"]
        if self.cure:
            lines.append(f"{_INDENT}do: {self.cure}")
        for one in self.findings:
            lines += [f"{_INDENT}{one.weight}: {one.what}", f"{_INDENT}  do: {one.cure}"]
        return "\n".join(lines)


class Broken(Exception):
    """A step does not hold.

    Attributes:
        cure: what to do.
    """

    def __init__(self, what: str, cure: str) -> None:
        """Store both."""
        super().__init__(what)
        self.cure = cure


@dataclass
class Check:
    """The walk over a device.

    Attributes:
        device: which.
        preset: the kind of device that it is, by name; None for no known one.
        graph: a small one, to be timed.
    """

    device: Device
    preset: str | None
    graph: Graph
    _state: Mapping[str, Any] = field(default_factory=dict, init=False)
    _findings: tuple[Finding, ...] = field(default=(), init=False)

    def steps(self) -> Iterator[Step]:
        """Every step that was reached; the last one is broken, or `conditions`."""
        walk = self._agent_walk() if isinstance(self.device, AgentDevice) else {"link": self._opened}
        for name, do in {**walk, "graph": self._graph, "conditions": self._conditions}.items():
            step = self._step(name, do)
            yield step
            if not step.ok:
                return

    def _step(self, name: str, do: Callable[[], str]) -> Step:
        started = time.monotonic()
        try:
            found, ok, cure = do(), True, ""
        except Broken as error:
            found, ok, cure = str(error), False, error.cure
        except DeviceError as error:
            found, ok, cure = str(error), False, _CURES[name].format(self.device.name)
        seconds = time.monotonic() - started
        return Step(
            name, ok, seconds, " ".join(found.split()), cure, self._findings if name == "conditions" else ()
        )

    def _agent_walk(self) -> dict[str, Callable[[], str]]:
        assert isinstance(self.device, AgentDevice)
        steps = _AgentSteps(self.device, self.preset)
        return {
            "link": steps.link,
            "python": steps.python,
            "runtime": steps.runtime,
            "providers": steps.providers,
        }

    def _opened(self) -> str:
        with self.device.process() as process:
            identity = process.identity
        return f"{identity.get('cpu_model') or identity.get('machine')} answers"

    def _graph(self) -> str:
        visits: list[Visit] = []
        for number in range(PROCESSES):
            with self.device.process() as process:
                process.load(self.graph.name, self.graph.onnx())
                visits.append(process.time(self.graph.name, SAMPLES))
                if number == PROCESSES - 1:
                    self._look(process)
        found = summarise(visits)
        return (
            f"a small network's block takes {found.median_ms:.3g} ms, "
            f"95 % interval {found.low_ms:.3g} to {found.high_ms:.3g} ms over {PROCESSES} processes"
        )

    def _look(self, process: Any) -> None:
        busy = process.busy_processes(WATCHED_S)
        self._state = process.conditions()
        examined = Examination(process.identity, process.software, self._state, busy, ())
        self._findings = tuple(findings(examined))

    def _conditions(self) -> str:
        words = {
            "governor": "governor {}",
            "cpu_mhz": "{:.0f} MHz",
            "temperature_c": "{:.0f} °C",
            "power_mode": "power mode {}",
            "load_1min": "load {}",
        }
        told = [
            text.format(self._state[key]) for key, text in words.items() if self._state.get(key) is not None
        ]
        serious = sum(one.weight == "serious" for one in self._findings)
        end = f"; {serious} serious finding{'s' if serious > 1 else ''}" if serious else ""
        return (", ".join(told) or "the device tells nothing of clock, heat and load") + end


@dataclass
class _AgentSteps:
    """The first steps, where the device has an agent."""

    device: AgentDevice
    preset: str | None
    _answer: Probe | NoPython | None = field(default=None, init=False)

    def link(self) -> str:
        try:
            self._answer = probe(self.device.link)
        except NoPython as error:
            self._answer = error
        except Unreachable as error:
            cure = error.advice or _SHOW.format(self.device.name)
            raise Broken(str(error), cure) from error
        return "this computer" if isinstance(self.device.link, LocalLink) else "the target answers"

    def python(self) -> str:
        name = self.device.name
        other = f"`hwprofile devices add {name} ... --python PATH --replace` names another interpreter"
        found = self._answer
        if not isinstance(found, Probe):
            raise Broken(str(found), f"install Python 3.8 or newer there; {other}")
        if found.python < (3, 8):
            raise Broken(found.problem, f"install a newer one there; {other}")
        if found.numpy is None:
            raise Broken(found.problem, f"there: python -m pip install numpy; {other}")
        with Connection(self.device.link, self.device.runtime.program()):
            version = ".".join(map(str, found.python))
            return f"Python {version}, numpy {found.numpy}; the agent starts"

    def runtime(self) -> str:
        try:
            with self.device.process() as process:
                identity = process.identity
        except RequestFailed as error:
            raise Broken(str(error).removeprefix("ModuleNotFoundError: "), self._install()) from error
        return f"{identity.get('runtime')} {identity.get('runtime_version')} on {identity.get('cpu_model')}"

    def _install(self) -> str:
        settings = self.device.settings
        known = PRESETS[self.preset].install if self.preset in PRESETS else {}
        requirement = RUNTIMES[settings.runtime].requirement
        return known.get(settings.runtime) or f"with the device's Python: python -m pip install {requirement}"

    def providers(self) -> str:
        wanted = self.device.settings.provider
        try:
            with self.device.process(detailed=True) as process:
                present = process.software.get("providers")
        except DeviceError as error:
            raise Broken(f"the runtime cannot be imported: {error}", self._install()) from error
        if not isinstance(present, list):
            return f"{wanted}; the runtime tells no list"
        if wanted not in present:
            raise Broken(
                f"{wanted} is absent; present: {', '.join(map(str, present))}",
                "install a build of the runtime that has it, or choose another with --provider",
            )
        return f"{wanted}; present: {', '.join(map(str, present))}"
