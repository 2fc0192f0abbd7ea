"""What answers are fed to: all that the host reads, checks and makes of them."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from devices.agent_device import AgentDevice, AgentProcess
from devices.connection import Connection, DeviceError
from devices.diagnosis import Examination, findings
from devices.disturbances import RoundEvidence, disturbances
from devices.links.local import LocalLink
from devices.settings import Settings
from devices.statistics import group_ms, summarise
from tests.devices.fuzz_agent import PREFIX, Target, mutated_frames

USUAL: dict[str, Any] = {}
"""Conditions as a real agent tells them."""


class Answered(Connection):
    """A connection whose agent has said all that it will say; the next request has the number 7."""

    def __init__(self, data: bytes) -> None:
        super().__init__(LocalLink())
        self.stream = io.BytesIO(data)
        self._asked = 6

    def __enter__(self) -> Answered:
        return self

    def _write(self, data: bytes) -> None:
        pass

    def _read_exactly(self, size: int) -> bytes:
        return self.stream.read(size)


def describe(process: AgentProcess) -> None:
    process.__enter__()
    json.dumps([process.identity, process.software], allow_nan=False)
    findings(Examination(process.identity, process.software, USUAL, [], []))


def state(process: AgentProcess) -> None:
    found = process.conditions()
    json.dumps(found, allow_nan=False)
    evidence = RoundEvidence(conditions=[dict(USUAL, process=1), dict(found, process=1)])
    disturbances(dict.fromkeys(range(4), evidence))
    findings(Examination({"threads": 1, "cpu_count": 2}, {}, found, [], []))


def busy(process: AgentProcess) -> None:
    findings(Examination({}, {}, {}, process.busy_processes(0.1), []))


def visit(process: AgentProcess) -> None:
    found = process.time("graph", 3)
    json.dumps(found.to_json(), allow_nan=False)
    assert summarise([found, found]).half_width >= 0


def inside(process: AgentProcess) -> None:
    found = process.node_times("graph", b"graph")
    json.dumps(found.to_json(), allow_nan=False)
    group_ms(found, lambda node: node.partition("/")[0])


USES: tuple[Callable[[AgentProcess], None], ...] = (describe, state, busy, visit, inside)


def host(seeds: Sequence[bytes], rng: random.Random, folder: Path) -> Target:
    """Answers; every one is taken for the answer to every verb."""
    np.seterr(all="raise")
    USUAL.update(json.loads(seeds[-1][PREFIX.size :])["conditions"])
    device = AgentDevice("cpu", LocalLink(), Settings())

    def take(data: bytes) -> bool:
        refused = 0
        for use in USES:
            process = AgentProcess(device, False)
            process._connection = Answered(data)
            try:
                use(process)
            except DeviceError as error:
                refused += len(str(error)) < 10_000
            else:
                return False
        assert refused == len(USES), "an error's message is without end"
        return True

    return mutated_frames(seeds, rng), take
