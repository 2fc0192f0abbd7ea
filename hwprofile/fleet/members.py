"""Who is in a fleet: the workers that a Dask scheduler knows, by what they offer hwprofile."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from devices.registry import is_alias

if TYPE_CHECKING:
    from distributed import Client

State: TypeAlias = Literal["free", "busy", "silent", "lost"]
PREFIX = "hwprofile-"
"""Begins the names of the resources that workers offer: `hwprofile-jetson=1`."""
EVALUATION = f"{PREFIX}evaluation"
"""The resource of workers that evaluate networks."""
_SEEN = "hwprofile-members"
"""Topic of the scheduler's log."""
SILENT_S = 20.0
"""A worker tells of itself every few seconds; after so long without, something is wrong with it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One worker.

    Attributes:
        name: what its user calls it (`--name`); made from its address where that is no name.
        address: of the worker; it stays out of profiles.
        offers: names of what it measures, without their prefix, and `evaluation`.
        state: `silent` where nothing was heard of it for long; `lost` where it is gone.
        tasks: keys of what it is given at the moment: one is under way, the others wait.
        quiet_s: seconds since it was last heard of.
    """

    name: str
    address: str
    offers: tuple[str, ...]
    state: State
    tasks: tuple[str, ...]
    quiet_s: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "address": self.address,
            "offers": list(self.offers),
            "state": self.state,
            "tasks": len(self.tasks),
            "quiet_s": round(self.quiet_s, 1),
        }


def resource(device: str) -> str:
    """The resource that boards of this name offer."""
    return PREFIX + device


def members(client: Client) -> list[Member]:
    """The workers that are there and offer anything of hwprofile's, by name."""
    busy = client.processing()
    found = [
        _member(address, told, tuple(map(str, busy.get(address, ()))))
        for address, told in client.scheduler_info(n_workers=-1)["workers"].items()
    ]
    return sorted((member for member in found if member.offers), key=lambda member: member.name)


def lost_members(client: Client, present: Sequence[Member]) -> list[Member]:
    """Those that were seen and vanished without being stopped, as far as the scheduler remembers.

    A scheduler forgets the name of a worker with the worker; so those that are seen are noted in its log.

    Args:
        client: asks the scheduler.
        present: who is there now; noted for the next time.
    """
    noted: dict[str, tuple[str, list[str]]] = {
        note["address"]: (note["name"], note["offers"]) for _, note in client.get_events(_SEEN)
    }
    for member in present:
        if member.address not in noted:
            note = {"address": member.address, "name": member.name, "offers": list(member.offers)}
            client.log_event(_SEEN, note)
    back = {member.name for member in present}
    found = {}
    for when, event in client.get_events("all"):
        name, offers = noted.get(event.get("worker"), ("", []))
        if event.get("action") == "remove-worker" and not event.get("expected") and name not in {"", *back}:
            found[name] = Member(name, event["worker"], tuple(offers), "lost", (), time.time() - when)
    return sorted(found.values(), key=lambda member: member.name)


def _member(address: str, told: Mapping[str, Any], tasks: tuple[str, ...]) -> Member:
    offers = tuple(
        sorted(name.removeprefix(PREFIX) for name in told.get("resources") or {} if name.startswith(PREFIX))
    )
    quiet_s = max(0.0, time.time() - float(told.get("last_seen", 0.0)))
    state: State = "silent" if quiet_s > SILENT_S else "busy" if tasks else "free"
    return Member(alias(told.get("name"), address), address, offers, state, tasks, quiet_s)


def alias(name: object, address: str) -> str:
    """A name for a board that tells nothing of the network that it is in.

    Args:
        name: what its user calls it; Dask takes the address where that was left away.
        address: of the worker.
    """
    if isinstance(name, str) and is_alias(name):
        return name
    return f"board-{hashlib.sha256(address.encode()).hexdigest()[:6]}"
