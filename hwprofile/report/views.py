"""A profile with all that follows from it: its space and its latency model, where these can be had."""

from __future__ import annotations

from dataclasses import dataclass

from hwprofile.catalog import space_named
from hwprofile.errors import UserError
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from ponas_core.space import SearchSpace


@dataclass(frozen=True)
class ProfileView:
    """A profile as a report sees it.

    Attributes:
        profile: the profile.
        space: its space; None for profiles without one, or where it is not at hand.
        latency: its latency model; None where it makes none.
        missing: why one of the two is None; None where both are there, or the profile holds no
            blocks of a space.
    """

    profile: Profile
    space: SearchSpace | None = None
    latency: SpaceLatency | None = None
    missing: str | None = None

    @classmethod
    def of(cls, profile: Profile) -> ProfileView:
        """Find the space, and fit the model."""
        if profile.header.space is None or not profile.of_kind("block"):
            return cls(profile)
        space = None
        try:
            space = space_named(profile.header.space)
            return cls(profile, space, SpaceLatency.from_profile(profile, space))
        except UserError as error:
            return cls(profile, space, None, str(error))

    @property
    def name(self) -> str:
        """What people call it: device, threads and other settings are in its identity."""
        header = self.profile.header
        return f"{header.subject} on {header.device} ({self.profile.path.name})"
