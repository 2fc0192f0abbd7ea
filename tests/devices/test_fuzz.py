"""Frames that were changed at random: neither the agent nor the host is hurt by them.

A fault tells its input; kept below, it stays mended.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from devices.agent import frames
from devices.agent_device import AgentDevice
from devices.connection import Connection
from devices.links.local import LocalLink
from devices.settings import Settings
from tests.fuzzing import assert_unhurt, report

COUNTS = [pytest.param(1000, id="1000"), pytest.param(40_000, id="40000", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def conversation(tiny: bytes) -> tuple[list[bytes], list[bytes]]:
    """Frames of a real conversation: requests, and answers, all numbered 7; the last answer: conditions."""
    asked: list[bytes] = []
    answered: list[bytes] = []

    class Recorded(Connection):
        """Remembers what goes to and fro."""

        def request(
            self, verb: str, payload: bytes = b"", timeout_s: float = 60.0, **fields: object
        ) -> frames.Header:
            header = super().request(verb, payload, timeout_s, **fields)
            asked.append(frames.encode({"verb": verb, "number": 7, **fields}, payload) + payload)
            answered.append(frames.encode({**header, "number": 7}))
            return header

    process = AgentDevice("cpu", LocalLink(), Settings(cache="cold")).process(detailed=True)
    process._connection = Recorded(LocalLink())
    with process:
        process.load("graph", tiny)
        process.time("graph", 3)
        process.node_times("graph", tiny)
        process.busy_processes(0.05)
        process.unload("graph")
        process.conditions()
    return asked, answered


@pytest.mark.parametrize("count", COUNTS)
def test_changed_requests_do_not_hurt_the_agent(
    conversation: tuple[list[bytes], list[bytes]], count: int, tmp_path: Path
) -> None:
    found = report("tests.devices.fuzz_agent:agent", conversation[0], count, tmp_path)
    assert_unhurt(found, count)


@pytest.mark.parametrize("count", COUNTS)
def test_changed_answers_do_not_hurt_the_host(
    conversation: tuple[list[bytes], list[bytes]], count: int, tmp_path: Path
) -> None:
    found = report("tests.devices.fuzz_host:host", conversation[1], count, tmp_path)
    assert_unhurt(found, count)
