"""`hwprofile devices --fleet`: who is in a fleet, for machines and for people."""

from __future__ import annotations

from dataclasses import dataclass

from hwprofile.display import duration_words, notices, table
from hwprofile.fleet.members import Member, lost_members, members
from hwprofile.fleet.scheduler import Scheduler


@dataclass(frozen=True)
class Listing:
    """The members of a fleet.

    Attributes:
        address: of its scheduler.
        members: who is there, and then those that were lost.
    """

    address: str
    members: tuple[Member, ...]

    def to_json(self) -> dict[str, object]:
        """As JSON values."""
        return {"fleet": self.address, "members": [member.to_json() for member in self.members]}

    def for_people(self) -> str:
        """A table, or what to type where nobody is there."""
        if not self.members:
            return (
                f"nobody at {self.address} offers anything; on a board type: dask worker {self.address} "
                '--name NAME --nthreads 1 --resources "hwprofile-jetson=1"'
            )
        header = ["name", "offers", "state", "tasks", "last heard of", "address"]
        return table(header, [_row(member) for member in self.members], left=6)


def listing(address: str) -> Listing:
    """Who is in the fleet of a scheduler.

    Raises:
        DeviceUnreachable: no scheduler answers there.
    """
    with Scheduler(address, notices(quiet=False)) as scheduler:
        present = members(scheduler.client)
        return Listing(address, (*present, *lost_members(scheduler.client, present)))


def _row(member: Member) -> list[str]:
    heard = f"{duration_words(member.quiet_s)} ago"
    tasks = str(len(member.tasks)) if member.tasks else "-"
    return [member.name, ", ".join(member.offers), member.state, tasks, heard, member.address]
