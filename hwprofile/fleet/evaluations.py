"""Accuracies of networks from other processes and computers, the same as from this one.

The search stays here, asks for one network after the other, and keeps the books; what it announces
(`Ledger.expect`) is evaluated meanwhile, each network as one task of Dask's. So the result does not depend on
how many workers there are, nor on which of them is ready when.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from devices.patience import Patience
from hwprofile.errors import DeviceUnreachable, UserError
from hwprofile.fleet.members import EVALUATION, PREFIX, members
from hwprofile.fleet.scheduler import Scheduler
from hwprofile.fleet.worker import Network, NotReady, Ops, Work, carried, evaluated, made_ready, version
from ponas_core.accuracies import Encoded

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_EVERY_S = 1.0
"""How often it is looked who is there."""
READY_S = 60.0
"""How long workers have to get ready before the first network is sent; later ones join when they are."""
MOST_DEATHS = 3
"""Times that a network is sent anew after Dask gave it up, since its workers died."""
_AGAIN_S = 0.1
_GONE = ("cancelled", "lost")
"""What has become of a task whose scheduler is another one now."""


@dataclass
class FleetEvaluator:
    """An evaluator that has the workers of a fleet at work. Use as a context manager.

    Attributes:
        scheduler: of the fleet; it is connected to, and parted from.
        work: what evaluates, or how it is made on a worker; it travels to each of them once.
        description: what the evaluator is; the same as without a fleet.
        means: what it would compute with here; told where a worker has others.
        tell: is told who is there, and what is waited for.
        patience_s: how long workers, or a scheduler, that went away are waited for.
        kept: a file that the search goes on from; errors name it.
    """

    scheduler: Scheduler
    work: Work
    description: str
    tell: Callable[[str], None]
    means: str = ""
    patience_s: float = sum(Patience().lost_s)
    kept: Path | None = None
    _token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _begun: dict[Ops, Future[float]] = field(default_factory=dict)
    _deaths: Counter[Ops] = field(default_factory=Counter)
    _carried: Future[Work] | None = None
    _getting_ready: dict[str, Future[str]] = field(default_factory=dict)
    _ready: dict[str, str] = field(default_factory=dict)
    """What each worker that is ready computes with, by its address."""
    _names: dict[str, str] = field(default_factory=dict)
    """Of the workers that are there, by address."""
    _next_look_s: float = 0.0

    def __enter__(self) -> FleetEvaluator:
        """Connect, and let the workers get ready.

        Raises:
            DeviceUnreachable: no scheduler, or no worker that evaluates.
            UserError: Dask is not installed, or a worker cannot evaluate.
        """
        self.scheduler.__enter__()
        try:
            self._look()
            until = time.monotonic() + READY_S
            while self._getting_ready and time.monotonic() < until:
                self._wait(next(iter(self._getting_ready.values())))
                self._look()
        except BaseException:
            self.scheduler.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back what was sent, and part; a worker ends what it is at, in vain."""
        self._begun.clear()
        self._getting_ready.clear()
        self._carried = None
        self.scheduler.__exit__(kind, error, trace)

    def expect(self, architectures: Sequence[Encoded]) -> None:
        """Send networks to the workers, if they have not been."""
        with suppress(DeviceUnreachable):  # whoever asks for them waits, and sends them then
            self._send(network.ops for network in architectures)

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy of a network in per cent, waited for.

        Raises:
            DeviceUnreachable: workers or the scheduler stayed away; what was told so far stands.
            UserError: a worker cannot evaluate, or this network ends workers again and again.
            Exception: what the evaluation itself raised on a worker.
        """
        ops = architecture.ops
        while True:
            if time.monotonic() >= self._next_look_s:
                self._look_patiently()
            future = None
            try:
                self._send([ops])
                future = self._begun[ops]
                answer = future.result(timeout=LOOK_EVERY_S)
            except Exception as error:  # those of Dask have no class in common: the task's status tells
                if future is not None and future.status == "error" and not _is_worth_another_try(error):
                    del self._begun[ops]
                    raise self._in_words(error, "a worker") from None
                if not isinstance(error, TimeoutError):
                    time.sleep(_AGAIN_S)
                    self._next_look_s = 0.0
            else:
                del self._begun[ops]
                return self._checked(answer)

    # --- who is there

    def _look_patiently(self) -> None:
        """See who is there; DeviceUnreachable where nobody is for long."""
        until, told = time.monotonic() + self.patience_s, False
        while True:
            try:
                return self._look()
            except DeviceUnreachable as error:
                if time.monotonic() >= until:
                    raise DeviceUnreachable(str(error), kept=self.kept) from error
                if not told:
                    self.tell(f"{error}; waiting up to {self.patience_s:.0f} s")
                told = True
            time.sleep(min(LOOK_EVERY_S, self.patience_s))

    def _look(self) -> None:
        """See who is there, let new workers get ready, and send anew what was lost."""
        client, address = self.scheduler.client, self.scheduler.address
        try:
            found = _workers(client, address)
        except (OSError, TimeoutError) as error:
            raise DeviceUnreachable(f"the scheduler at {address} does not answer") from error
        if found != self._names:
            names = ", ".join(sorted(found.values()))
            self.tell(f"{address}: {len(found)} evaluating: {names:.200}")
        self._names = found
        lost = self._lost()
        self._let_get_ready(client)
        self._send(lost)
        self._next_look_s = time.monotonic() + LOOK_EVERY_S

    def _let_get_ready(self, client: Client) -> None:
        if self._carried is None or self._carried.status in _GONE:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Dask finds a supernet large; it travels once
                self._carried = client.submit(
                    carried, self.work, key=self._key("work"), resources={EVALUATION: 0}, pure=False
                )
            self._ready.clear()
            self._getting_ready.clear()
        for known in (self._getting_ready, self._ready):
            for address in known.keys() - self._names.keys():
                del known[address]
        for address in self._names.keys() - self._getting_ready.keys() - self._ready.keys():
            self._getting_ready[address] = client.submit(
                made_ready, self._carried, self._token, version(),
                key=self._key("ready"), workers=[address], pure=False,
            )  # fmt: skip
        for address, future in [*self._getting_ready.items()]:
            self._hear(address, future)

    def _hear(self, address: str, future: Future[str]) -> None:
        """Note that a worker is ready, if it is; UserError where it cannot be."""
        if future.status == "error":
            raise self._in_words(future.exception(), f"worker {self._names[address]}") from None
        if future.status != "finished":
            return
        try:
            means = future.result(timeout=LOOK_EVERY_S)
        except Exception:  # lost on the way: the next look knows more
            return
        del self._getting_ready[address]
        if means != self.means and means not in self._ready.values():
            self.tell(
                f"worker {self._names[address]} computes with {means}, this computer with {self.means}: "
                "an accuracy may differ by an image or two from what would be counted here"
            )
        self._ready[address] = means

    # --- what is sent

    def _send(self, networks: Iterable[Ops]) -> None:
        new = [ops for ops in dict.fromkeys(networks) if ops not in self._begun]
        if new:
            futures = self.scheduler.client.map(
                evaluated,
                [self._token] * len(new),
                new,
                key=[self._key("network") for _ in new],
                resources={EVALUATION: 1},
                pure=False,
            )
            self._begun |= zip(new, futures, strict=True)

    def _key(self, kind: str) -> tuple[str, int]:
        """A name of a task that no other has; those sent first are run first."""
        return f"hwprofile-{kind}-{self._token}", next(self._numbers)

    def _lost(self) -> list[Ops]:
        """Networks that have to be sent anew; UserError where one ends workers again and again."""
        found = []
        for ops, future in [*self._begun.items()]:
            error = future.exception(timeout=LOOK_EVERY_S) if future.status == "error" else None
            if isinstance(error, NotReady):
                self._ready.pop(error.address, None)
            elif error is not None and _is_worth_another_try(error):
                self._deaths[ops] += 1
                if self._deaths[ops] > MOST_DEATHS:
                    text = f"workers die while they evaluate {Network(ops)}: {error}"
                    raise UserError(text, kept=self.kept)
            elif future.status not in _GONE:
                continue
            del self._begun[ops]
            found.append(ops)
        return found

    def _checked(self, answer: object) -> float:
        if not (isinstance(answer, float) and math.isfinite(answer) and 0 <= answer <= 100):
            text = f"a worker answers {answer!r:.80}, which is no accuracy in per cent"
            raise UserError(text, kept=self.kept)
        return answer

    def _wait(self, future: Future[Any]) -> None:
        """Wait a moment for the end of a task."""
        with suppress(Exception):  # whatever it ended with, the next look tells
            future.result(timeout=LOOK_EVERY_S)

    def _in_words(self, error: BaseException | None, who: str) -> BaseException:
        """An error of a worker as this process raises it."""
        if isinstance(error, ImportError):
            text = f"{who} cannot load {error.name}: install hwprofile there as it is here"
            return UserError(text, kept=self.kept)
        if isinstance(error, UserError):
            return UserError(str(error), kept=self.kept)
        if error is None or _is_worth_another_try(error):
            return UserError(f"{who} dies while it gets ready: {error}", kept=self.kept)
        return error.with_traceback(None)


def look_for_workers(address: str, tell: Callable[[str], None]) -> None:
    """See whether a fleet can evaluate; DeviceUnreachable where it has no scheduler, or no such worker."""
    with Scheduler(address, tell) as scheduler:
        _workers(scheduler.client, address)


def _workers(client: Client, address: str) -> dict[str, str]:
    """Names of the workers that evaluate, by address; DeviceUnreachable where there are none."""
    kind = EVALUATION.removeprefix(PREFIX)
    found = {one.address: one.name for one in members(client) if kind in one.offers}
    if not found:
        raise DeviceUnreachable(
            f"no worker at {address} evaluates networks; on each computer that shall, type: "
            f'dask worker {address} --nthreads 1 --resources "{EVALUATION}=1"'
        )
    return found


def _is_worth_another_try(error: BaseException) -> bool:
    """Whether an evaluation failed for reasons of its worker's: it was not ready, or it died."""
    from distributed import KilledWorker

    return isinstance(error, NotReady | KilledWorker)
