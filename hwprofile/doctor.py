"""The walk of `hwprofile doctor`: look at a device, time a small graph, say what will disturb."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from devices.connection import DeviceError
from devices.device import Device
from devices.diagnosis import Examination, Finding, findings
from devices.measurement import Graph
from hwprofile.bench_plan import Progress
from hwprofile.errors import DeviceUnreachable

PROCESSES = 3
VISITS, SAMPLES = 20, 3
WATCHED_S = 1.0


@dataclass(frozen=True)
class Diagnosis:
    """What was found on a device, what matters most first."""

    device: str
    examined: Examination
    findings: list[Finding]

    @property
    def is_serious(self) -> bool:
        """Whether figures measured now would be wrong or wide."""
        return any(finding.weight == "serious" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The diagnosis as JSON values."""
        return {
            "device": self.device,
            "identity": dict(self.examined.identity),
            "software": dict(self.examined.software),
            "conditions": dict(self.examined.state),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def for_people(self) -> str:
        """Every finding with what it does and what stops it."""
        identity = self.examined.identity
        lines = [
            f"{self.device}: {identity.get('cpu_model')}, {identity.get('cpu_count')} processors, "
            f"{identity.get('runtime')} {identity.get('runtime_version')}, {identity.get('threads')} threads",
            "",
        ]
        for finding in self.findings:
            lines += [
                f"{finding.weight.upper():8}  {finding.what}",
                f"{'':8}  effect: {finding.effect}",
                f"{'':8}  cure:   {finding.cure}",
            ]
        return "\n".join(lines)


def diagnose(device: Device, probe: Graph, progress: Progress) -> Diagnosis:
    """Look at a device and time a small graph in a few processes.

    Raises:
        DeviceUnreachable: the device's agent cannot be started, or cannot run the graph.
    """
    try:
        with device.process(detailed=True) as process:
            progress.advance(0, PROCESSES + 1, "watch other programs")
            identity, software = process.identity, process.software
            busy = process.busy_processes(WATCHED_S)
        probes, state = [], {}
        for number in range(PROCESSES):
            progress.advance(number + 1, PROCESSES + 1, f"process {number + 1}")
            with device.process() as process:
                process.load(probe.name, probe.onnx())
                probes.append([process.time(probe.name, SAMPLES) for _ in range(VISITS)])
                state = dict(process.conditions())
    except DeviceError as error:
        raise DeviceUnreachable(f"device {device.name}: {error}") from error
    examined = Examination(identity, software, state, busy, probes)
    return Diagnosis(device.name, examined, findings(examined))
