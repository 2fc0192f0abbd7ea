"""Whether a profile is of this device, subject and settings: its header against the one it would have now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devices.connection import DeviceError, NoEnergySource
from devices.device import identity_differences
from devices.schedule import Goal
from hwprofile.errors import DeviceUnreachable, UserError
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header, ProfileError

if TYPE_CHECKING:
    from hwprofile.fleet.device import Benched


class EnergyUnknown(UserError):
    """Energy is wanted, and nothing on the device tells any; the message says what would."""


def device_header(
    device: Benched,
    subject: str,
    space: str | None = None,
    goal: Goal = Goal(),
    *,
    inline: bool = False,
    detailed: bool = False,
    energy: bool = False,
) -> Header:
    """The header that a profile of this subject measured on this device now would have.

    Args:
        device: where.
        subject: name of the space, or of other graphs.
        space: name or file of the space.
        goal: precision and rounds aimed at.
        inline: whether times inside networks are wanted.
        detailed: whether `software` shall tell what only the imported runtime knows.
        energy: whether the energy of graphs is wanted too.

    Raises:
        DeviceUnreachable: the device's agent cannot be started.
        EnergyUnknown: energy is wanted, and the device does not tell any.
    """
    try:
        with device.process(detailed=detailed) as process:
            source = process.energy_source() if energy else None
            identity, software = process.identity, process.software
            return Header(device.name, subject, space, identity, software, goal, inline, energy=source)
    except NoEnergySource as error:
        raise EnergyUnknown(f"{error}; what gives one: docs/energy.md") from error
    except DeviceError as error:
        raise DeviceUnreachable(f"device {device.name}: {error}") from error


def check_fits(profile: Profile, header: Header, cure: str = "use --fresh, or another --out") -> None:
    """Raise ProfileError where a profile was measured on another device, subject or with other settings.

    Args:
        profile: what was measured.
        header: what a profile measured now would say of itself.
        cure: what to do where they differ.
    """
    if profile.header.subject != header.subject:
        raise ProfileError(f"{profile.path} holds {profile.header.subject}, not {header.subject}: {cure}")
    differences = identity_differences(profile.header.identity, header.identity)
    if header.inline and not profile.header.inline:
        raise ProfileError(f"{profile.path} was begun without --inline: {cure}")
    if header.energy is not None and profile.header.energy is None:
        raise ProfileError(f"{profile.path} was begun without --energy: {cure}")
    sources = [found.energy.name for found in (profile.header, header) if found.energy is not None]
    if len(set(sources)) > 1:
        raise ProfileError(
            f"{profile.path} has its energy from {sources[0]}, and this device tells {sources[1]}: {cure}"
        )
    if differences:
        raise ProfileError(
            f"{profile.path} was measured elsewhere or otherwise ({'; '.join(differences)}, "
            f"profile / this device): {cure}"
        )
