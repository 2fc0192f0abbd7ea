"""A profile played back as a device: `--device replay:FILE`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from devices.replay import Recorded, ReplayDevice
from devices.settings import Settings
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError

PREFIX = "replay:"


def replay_device(path: Path) -> ReplayDevice:
    """The device that a profile was recorded on, as far as it was recorded; its identity says so.

    Raises:
        ProfileError: the file is no profile, or no round of it has ended.
    """
    profile = Profile.load(path)
    if not profile.ends:
        raise ProfileError(f"{path} cannot be played back: no round of it has ended")
    identity = profile.header.identity
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return ReplayDevice(
        "replay",
        _settings(path, identity),
        {**identity, "recording": f"of {profile.header.created}, {digest}"},
        profile.header.software,
        [recorded_round(profile, number) for number in sorted(profile.ends)],
        source=profile.header.energy,
    )


def recorded_round(profile: Profile, number: int) -> Recorded:
    """What a profile holds of one round."""
    visits = {name: rounds.get(number) for name, rounds in profile.visits.items()}
    insides = {name: rounds.get(number) for name, rounds in profile.insides.items()}
    energies = {name: rounds.get(number) for name, rounds in profile.energies.items()}
    return Recorded(
        {name: visit for name, visit in visits.items() if visit is not None},
        profile.reference_name or "",
        tuple(profile.references.get(number, ())),
        {name: times for name, times in insides.items() if times is not None},
        profile.ends[number].conditions,
        {name: energy for name, energy in energies.items() if energy is not None},
    )


def _settings(path: Path, identity: Mapping[str, object]) -> Settings:
    known = {field.name: identity[field.name] for field in fields(Settings) if field.name in identity}
    try:
        return Settings(**known)  # type: ignore[arg-type]  # checked at birth
    except (TypeError, ValueError) as error:
        raise ProfileError(f"{path} cannot be played back: {error}") from error
