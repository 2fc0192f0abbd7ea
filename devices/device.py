"""What a device is to those who measure on it: a name, settings, and fresh processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from devices.measurement import EnergySource, EnergyVisit, NodeTimes, Visit
from devices.settings import Settings


def identity_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two identities differ in, as `key: one / other`; empty when they may be compared."""
    keys = sorted(set(one) | set(other))
    return [f"{key}: {one.get(key)} / {other.get(key)}" for key in keys if one.get(key) != other.get(key)]


class DeviceProcess(Protocol):
    """One process on the target: the independent unit of every interval.

    Raises:
        AgentDied: from every method, when the process ended, hung or broke the protocol.
        RequestFailed: it is well, but a request could not be done.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides whether two measurements may be compared: hardware, runtime, settings."""
        ...

    @property
    def software(self) -> Mapping[str, Any]:
        """The rest of the fingerprint, for people."""
        ...

    def conditions(self) -> Mapping[str, Any]:
        """State of the target now: load, clocks, temperature; None for what it does not tell."""
        ...

    def busy_processes(self, seconds: float) -> Sequence[Mapping[str, Any]]:
        """Other programs that ran on the target during so many seconds: `pid`, `name`, `processors`."""
        ...

    def load(self, name: str, onnx: bytes) -> None:
        """Load a graph under a name."""
        ...

    def time(self, name: str, samples: int) -> Visit:
        """Warm a loaded graph up and take so many samples."""
        ...

    def node_times(self, name: str, onnx: bytes) -> NodeTimes:
        """Run a graph under the runtime's own profiler."""
        ...

    def energy_source(self) -> EnergySource:
        """Where the energy of what these settings measure is told; NoEnergySource where nowhere."""
        ...

    def energy(self, name: str) -> EnergyVisit:
        """Run a loaded graph back to back, and count its energy."""
        ...

    def unload(self, name: str) -> None:
        """Drop a loaded graph."""
        ...


class Device(Protocol):
    """A target with the settings of a measurement."""

    @property
    def name(self) -> str:
        """As typed."""
        ...

    @property
    def settings(self) -> Settings:
        """What runs graphs there, and how."""
        ...

    def process(self, *, detailed: bool = False) -> AbstractContextManager[DeviceProcess]:
        """A fresh process on the target, to be used as a context manager.

        Args:
            detailed: whether its `software` shall tell what only the imported runtime knows.
        """
        ...
