"""The boards of a fleet that offer one device: which are there, what each is, and which are alike."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from devices.circumstances import checked
from devices.connection import NoEnergySource
from devices.device import identity_differences
from devices.measurement import EnergySource
from devices.round_report import json_object
from hwprofile.errors import DeviceUnreachable
from hwprofile.fleet.board import Wanted, described
from hwprofile.fleet.members import Member, members, resource
from hwprofile.fleet.scheduler import Scheduler

if TYPE_CHECKING:
    from distributed import Future

FIRST_ANSWER_S = 60.0
"""How long the first board has to say what it is; one that is busy answers after its round."""
OTHERS_ANSWER_S = 5.0
"""How long the others have after that; later ones join when they answer."""
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Description:
    """What a board says that it is."""

    identity: Mapping[str, Any]
    software: Mapping[str, Any]
    energy: EnergySource | None = None

    def energy_source(self) -> EnergySource:
        """Where its energy is told; NoEnergySource where nowhere, or where that was not asked for."""
        if self.energy is None:
            raise NoEnergySource("no energy source on this device")
        return self.energy

    @classmethod
    def from_text(cls, text: object) -> Description:
        """Read what a board answers; ValueError for its reason where it cannot be used, or for nonsense."""
        fields = json_object(text)
        if "unusable" in fields:
            raise ValueError(str(fields["unusable"])[:1000])
        try:
            told = fields["energy"]
            energy = None if told is None else EnergySource.from_json(told)
            return cls(
                checked(fields["identity"], "identity"), checked(fields["software"], "software"), energy
            )
        except KeyError as error:
            raise ValueError(f"it does not tell its {error.args[0]}") from error


@dataclass
class Boards:
    """The boards that offer a device.

    Attributes:
        scheduler: of the fleet.
        wanted: what boards shall be.
        tell: is told of boards that cannot be used.
        energy: whether their energy is read too.
        only: names of the boards that may be used; empty for all.
    """

    scheduler: Scheduler
    wanted: Wanted
    tell: Callable[[str], None]
    energy: bool = False
    only: Sequence[str] = ()
    names: dict[str, str] = field(default_factory=dict)
    """Of every board that was ever seen, by address."""
    dropped: dict[str, str] = field(default_factory=dict)
    """Why a board is not used any more, by address."""
    _there: dict[str, Member] = field(default_factory=dict)
    _known: dict[str, Description] = field(default_factory=dict)
    _asked: dict[str, Future[Any]] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, float]:
        """What a task takes of its board: all of it."""
        return {resource(self.wanted.name): 1}

    def look(self) -> None:
        """See who is there, ask new ones what they are, and take their answers in.

        Raises:
            DeviceUnreachable: the scheduler is gone.
        """
        client = self.scheduler.client
        try:
            found = members(client)
        except (OSError, TimeoutError) as error:
            raise DeviceUnreachable(f"the scheduler at {self.scheduler.address} does not answer") from error
        offering = [one for one in found if self.wanted.name in one.offers and one.state != "silent"]
        self._there = {
            one.address: one
            for one in offering
            if one.address not in self.dropped and (not self.only or one.name in self.only)
        }
        self.names |= {address: one.name for address, one in self._there.items()}
        for address in [*self._asked]:
            if address not in self._there or self._asked[address].status in ("cancelled", "lost"):
                self._asked.pop(address).release()
        for address in self._there:
            if address not in self._known and address not in self._asked:
                self._asked[address] = client.submit(
                    described,
                    self.wanted,
                    self.energy,
                    key=f"hwprofile-describe-{uuid.uuid4().hex}",
                    workers=[address],
                    resources=self.resources,
                    pure=False,
                )
        for address, answer in [*self._asked.items()]:
            if answer.done():
                self._take_in(address, self._asked.pop(address))

    def _take_in(self, address: str, answer: Future[Any]) -> None:
        if answer.status == "error":
            self.drop(address, reason_of(answer))
        elif answer.status == "finished":
            try:
                self._known[address] = Description.from_text(answer.result())
            except ValueError as error:
                self.drop(address, str(error))

    def drop(self, address: str, why: str) -> None:
        """Use a board no more, until it joins the fleet anew."""
        self.dropped[address] = why
        self._there.pop(address, None)
        self.tell(f"board {self.names.get(address, address)} is left out: {why}")

    def first(self) -> Description:
        """What most of the boards are; all have some time to say.

        Raises:
            DeviceUnreachable: no board offers the device, or none can be used, or as many are one thing as
                another.
        """
        started, first = time.monotonic(), None
        while True:
            self.look()
            now = time.monotonic()
            if self._usable and first is None:
                first = now
            waited_enough = now - started > FIRST_ANSWER_S or (
                first is not None and now - first > OTHERS_ANSWER_S
            )
            if not self._asked or waited_enough:
                return self._of_most()
            time.sleep(POLL_S)

    @property
    def _usable(self) -> dict[str, Description]:
        return {address: self._known[address] for address in self._there if address in self._known}

    def _of_most(self) -> Description:
        if not self._usable:
            raise DeviceUnreachable(self.why_none())
        groups = Counter(_key(one) for one in self._usable.values())
        (key, count), *others = groups.most_common()
        chosen = next(one for one in self._usable.values() if _key(one) == key)
        if others and others[0][1] == count:
            other = next(one for one in self._usable.values() if _key(one) == others[0][0])
            differ = "; ".join(identity_differences(chosen.identity, other.identity))
            here, there = self._in_words(chosen), self._in_words(other)
            raise DeviceUnreachable(
                f"boards of two kinds are there ({differ}): {here} / {there}; these do not mix: say with "
                "--board NAME which are meant, once for each"
            )
        for address, one in self._usable.items():
            differences = identity_differences(chosen.identity, one.identity)
            if differences:
                self.tell(
                    f"board {self.names[address]} is of another kind than most and is not used "
                    f"({'; '.join(differences)}, those / it)"
                )
        return chosen

    def _in_words(self, wanted: Description) -> str:
        return ", ".join(
            sorted(self.names[address] for address, one in self._usable.items() if _key(one) == _key(wanted))
        )

    @property
    def tasks(self) -> set[str]:
        """Keys of everything that boards were given and have not done, of all users."""
        return {key for one in self._there.values() for key in one.tasks}

    def is_any_free(self, addresses: Collection[str]) -> bool:
        """Whether one of these boards has nothing to do."""
        return any(not self._there[address].tasks for address in addresses if address in self._there)

    def alike(self, identity: Mapping[str, Any]) -> list[str]:
        """Addresses of the boards that are there and are this."""
        return [
            address
            for address, one in self._usable.items()
            if not identity_differences(identity, one.identity)
        ]

    def why_none(self) -> str:
        """Why there is no board to use, and what to do."""
        device, address = self.wanted.name, self.scheduler.address
        if self._asked:
            return (
                f"the boards of {address} that offer {device} are busy and did not say what they are: "
                f"see `hwprofile devices --fleet {address}`, and try again later"
            )
        if self.dropped:
            told = "; ".join(f"{self.names.get(one, one)}: {why}" for one, why in self.dropped.items())
            return f"no board of {address} can be used as {device}: {told}"
        of_those = f" of the name {' or '.join(self.only)}" if self.only else ""
        return (
            f"no board{of_those} at {address} offers {device}; on each board type: dask worker {address} "
            f'--name NAME --nthreads 1 --resources "{resource(device)}=1"'
        )

    def forget(self) -> None:
        """Take back what was asked and not answered."""
        with contextlib.suppress(DeviceUnreachable):
            self.scheduler.client.cancel([*self._asked.values()], force=True)
        self._asked.clear()


def _key(found: Description) -> str:
    return repr(sorted(found.identity.items()))


def reason_of(failed: Future[Any]) -> str:
    """Why a task failed, in one line."""
    error = failed.exception()
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1]}"[:1000]
