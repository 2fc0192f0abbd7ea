"""A kind of device of which a fleet has boards: what a person names with `--fleet` and `--device`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from devices.device import Device
from devices.settings import Settings
from hwprofile.fleet.boards import Boards, Description


@dataclass(frozen=True)
class FleetDevice:
    """Boards of one kind, which measure rounds of one profile.

    Attributes:
        boards: those that offer it.
    """

    boards: Boards

    @property
    def name(self) -> str:
        """As typed."""
        return self.boards.wanted.name

    @property
    def settings(self) -> Settings:
        """What runs graphs there, and how."""
        return self.boards.wanted.settings

    @cached_property
    def description(self) -> Description:
        """What most of the boards are; DeviceUnreachable where none can be used."""
        return self.boards.first()

    @contextmanager
    def process(self, *, detailed: bool = False) -> Iterator[Description]:
        """What a process on one of the boards is; whole rounds are all that is measured there."""
        yield self.description


Benched: TypeAlias = Device | FleetDevice
"""What a profile is measured on."""
