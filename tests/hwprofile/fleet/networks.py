"""Boards in networks of their own, each on a cable to a hub, where the scheduler and its users are."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Networks:
    """A hub and networks on it.

    Attributes:
        hub: name of the hub's network.
        names: of the boards' networks, by the board.
        address: of the hub.
    """

    hub: str
    names: dict[str, str]
    address: str = "10.78.0.1"

    @property
    def at_hub(self) -> tuple[str, ...]:
        """What a command begins with that runs beside the scheduler."""
        return ("ip", "netns", "exec", self.hub)

    def on(self, board: str) -> tuple[str, ...]:
        """What a command begins with that runs on a board."""
        return ("ip", "netns", "exec", self.names[board])

    def cut(self, board: str) -> None:
        """Pull a board's cable."""
        _ip("-n", self.names[board], "link", "set", "board", "down")

    def mend(self, board: str) -> None:
        """Plug it in again."""
        _ip("-n", self.names[board], "link", "set", "board", "up")


@contextmanager
def networks(boards: Sequence[str]) -> Iterator[Networks]:
    """Networks for these boards; skips the test where none can be made."""
    if os.getuid() != 0 or shutil.which("ip") is None:
        pytest.skip("networks of one's own need root and iproute2")
    hub = f"hwprofile-hub-{os.getpid()}"
    names = {board: f"hwprofile-{board}-{os.getpid()}" for board in boards}
    try:
        try:
            _ip("netns", "add", hub)
            _ip("-n", hub, "link", "add", "hub", "type", "bridge")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network can be made here: {error.stderr.decode()}")
        _ip("-n", hub, "address", "add", f"{Networks.address}/24", "dev", "hub")
        _ip("-n", hub, "link", "set", "hub", "up")
        _ip("-n", hub, "link", "set", "lo", "up")
        for number, name in enumerate(names.values()):
            _ip("netns", "add", name)
            port = f"port{number}"
            _ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "board", "netns", name)
            _ip("-n", hub, "link", "set", port, "master", "hub", "up")
            _ip("-n", name, "address", "add", f"10.78.0.{number + 2}/24", "dev", "board")
            _ip("-n", name, "link", "set", "board", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield Networks(hub, names)
    finally:
        for name in (hub, *names.values()):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
