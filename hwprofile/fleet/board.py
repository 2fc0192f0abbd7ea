"""What runs on a board: a Dask worker there is given these functions, and answers with texts.

The measurement is the same as anywhere: an agent in a fresh process for every round, started by this one.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.connection import AgentDied, DeviceError, NoEnergySource
from devices.device import Device
from devices.measurement import Graph
from devices.patience import Patience
from devices.registry import Spec
from devices.round_report import RoundReport
from devices.rounds import IdentityChanged, Reading, Round
from devices.settings import Settings
from hwprofile import plugins
from hwprofile.bench_plan import Subject
from hwprofile.errors import UserError
from hwprofile.fleet.worker import version
from hwprofile.known_devices import user_registry, with_settings
from hwprofile.own_blocks import BlocksSubject
from hwprofile.profile import Kind
from hwprofile.subjects import ModelsSubject

VERSION = version()
MOST_KEPT_BYTES = 512 << 20
"""Of graphs between two rounds; what is beyond is made anew."""
LONGEST_REASON = 1000
SHORT = Patience(lost_s=(1.0, 2.0, 4.0), died_s=(1.0,))
"""Another board takes a round over that this one cannot do."""


@dataclass(frozen=True)
class Wanted:
    """A device as the fleet's user describes it.

    Attributes:
        name: as typed; where the board's own user has a device of this name, that one is meant, else the
            board itself.
        settings: what runs graphs there, and how.
        calibration: inputs by name that set the ranges of int8.
        graph_timeout_s: how long loading or timing one graph may take.
        version: of the user's hwprofile.
    """

    name: str
    settings: Settings
    calibration: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    graph_timeout_s: float = 300.0
    version: str = VERSION

    def device(self) -> Device:
        """The device, on the board.

        Raises:
            UserError: the board's hwprofile is another one, or its device cannot be used.
        """
        if self.version != VERSION:
            raise UserError(
                f"hwprofile there is {VERSION}, here {self.version}, and graphs may differ: install the same"
            )
        registry = user_registry()
        spec = registry.spec(self.name) if self.name in registry.tables else Spec(self.name, "local")
        plugins.need("hwprofile.links", spec.link)
        plugins.need("hwprofile.runtimes", self.settings.runtime)
        return with_settings(spec, self.settings, self.calibration, self.graph_timeout_s)


@dataclass(frozen=True)
class Order:
    """One round that a board shall measure.

    Attributes:
        kinds: every graph of the round, and its kind.
        to_time: names of those that are timed.
        to_look_into: of those that are run under the runtime's own profiler too.
        to_power: of those whose energy is read too.
        identity: what the board must be.
        seed: of the order of the graphs.
    """

    kinds: Mapping[str, Kind]
    to_time: Sequence[str]
    to_look_into: Sequence[str]
    to_power: Sequence[str]
    identity: Mapping[str, Any]
    seed: Sequence[int]

    @property
    def asked(self) -> dict[str, Sequence[str]]:
        """Names by the sort of their readings."""
        return {"visit": self.to_time, "inside": self.to_look_into, "energy": self.to_power}


@dataclass(frozen=True)
class Carried:
    """A subject that travels.

    Attributes:
        subject: it makes its graphs on the board.
        number: no other subject has it, by which a board knows what it has made of this one.
        is_small: whether it travels with every round; else it is brought to each board once.
    """

    subject: Subject
    number: str
    is_small: bool

    @classmethod
    def of(cls, subject: Subject) -> Carried:
        """A subject that needs no files of this computer."""
        if isinstance(subject, ModelsSubject):
            graphs = {name: subject.graph(name, kind).onnx() for name, kind in subject.first().items()}
            subject = BlocksSubject(subject.name, graphs)
        # the others make their graphs from descriptions
        return cls(subject, uuid.uuid4().hex, not isinstance(subject, BlocksSubject))


def described(wanted: Wanted, energy: bool) -> str:
    """What the board is, as JSON: `identity`, `software` and `energy`, or `unusable` with the reason."""
    try:
        with wanted.device().process(detailed=True) as process:
            source = None
            if energy:
                try:
                    source = process.energy_source().to_json()
                except NoEnergySource as error:
                    return json.dumps({"unusable": str(error)})
            found = {"identity": dict(process.identity), "software": dict(process.software), "energy": source}
            return json.dumps(found)
    except Exception as error:  # whatever it is: what Dask carries home as an exception may never get there
        return _unusable(error)


def measured(wanted: Wanted, carried: Carried, order: Order) -> str:
    """A round, as `RoundReport.to_text`; JSON with `unusable` and the reason where the board cannot do it."""
    try:
        with _KEPT.alone:
            return _measured(wanted, carried, order).to_text()
    except Exception as error:  # as above
        return _unusable(error)


def _measured(wanted: Wanted, carried: Carried, order: Order) -> RoundReport:
    device, started = _KEPT.device(wanted), time.monotonic()
    measuring = Round(
        device,
        [_KEPT.graph(carried, name, order.kinds[name]) for name in order.to_time],
        carried.subject.reference(),
        np.random.default_rng(order.seed),
        0,
        profiled=[_KEPT.graph(carried, name, order.kinds[name]) for name in order.to_look_into],
        powered=[_KEPT.graph(carried, name, order.kinds[name]) for name in order.to_power],
        identity=order.identity,
        patience=SHORT,
    )
    readings: list[Reading] = list(measuring.readings())
    return RoundReport(
        order.identity, tuple(readings), tuple(measuring.conditions), time.monotonic() - started
    )


def _unusable(error: Exception) -> str:
    told = {IdentityChanged: "identity", AgentDied: "died"}
    sort = next((word for kind, word in told.items() if isinstance(error, kind)), "unusable")
    known = isinstance(error, UserError | DeviceError)
    why = str(error) if known else f"{type(error).__name__}: {error}"
    return json.dumps({"unusable": why[:LONGEST_REASON], "sort": sort})


class _Kept:
    """What this process keeps between two rounds: the device, with what it has converted, and graphs."""

    def __init__(self) -> None:
        self.alone = threading.Lock()
        self._wanted: Wanted | None = None
        self._device: Device | None = None
        self._number = ""
        self._bytes: dict[str, bytes] = {}

    def device(self, wanted: Wanted) -> Device:
        if self._device is None or not _same(self._wanted, wanted):
            self._wanted, self._device = wanted, wanted.device()
        return self._device

    def graph(self, carried: Carried, name: str, kind: Kind) -> Graph:
        if carried.number != self._number:
            self._number, self._bytes = carried.number, {}
        return Graph(name, lambda: self._onnx(carried.subject, name, kind))

    def _onnx(self, subject: Subject, name: str, kind: Kind) -> bytes:
        if name in self._bytes:
            return self._bytes[name]
        made = subject.graph(name, kind).onnx()
        if sum(map(len, self._bytes.values())) + len(made) <= MOST_KEPT_BYTES:
            self._bytes[name] = made
        return made


def _same(one: Wanted | None, other: Wanted) -> bool:
    """Whether two mean the same; calibrations are told apart by the digest in the settings."""
    return one is not None and replace(one, calibration={}) == replace(other, calibration={})


_KEPT = _Kept()
