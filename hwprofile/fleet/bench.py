"""A bench whose rounds are spread over boards: each round is one task, on one board, in a fresh process."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from devices.connection import AgentDied, LinkLost
from devices.device import identity_differences
from devices.patience import Patience
from devices.round_report import RoundReport, json_object
from hwprofile.bench_plan import BenchPlan, Progress
from hwprofile.errors import DeviceUnreachable
from hwprofile.fleet.board import Carried, Order, measured
from hwprofile.fleet.boards import Boards, reason_of
from hwprofile.fleet.worker import carried

if TYPE_CHECKING:
    from distributed import Future

POLL_S = 1.0
"""How often it is looked who is there."""
ROUND_S = 15.0
"""What a round should take about: what other users wait for, and what is lost with a board."""
GRAPHS, FEWEST_GRAPHS = 24, 8
"""Of a round before it is known how long they take, and of one after many boards went down."""
STRANDED_S = 15.0
"""After so long a round that is not done and on no board has gone astray."""
MOST_LOSSES = 12
"""Boards in a row that go down with a round, after which no further one is tried."""
KILLED = 4
"""Boards that a task takes down before Dask gives it up (`allowed-failures` is 3)."""
MOST_DEATHS = 2
"""Rounds that a board's agent does not survive, after which the board is left out."""


@dataclass(eq=False)
class _Flight:
    """A round that is under way on some board of these, and when it was last seen there."""

    order: Order
    future: Future[Any]
    addresses: frozenset[str]
    seen: float = field(default_factory=time.monotonic)


@dataclass
class FleetBench:
    """Measures what a plan lacks on all boards that are alike.

    Attributes:
        boards: of the fleet.
        plan: what is measured, into which profile.
        progress: told after every round.
        seed: of the order of the graphs.
        patience: how long a fleet that lost all its boards is waited for: the sum of its waits for a link.
    """

    boards: Boards
    plan: BenchPlan
    progress: Progress
    seed: int
    patience: Patience
    _flights: list[_Flight] = field(default_factory=list)
    _flying: Counter[str] = field(default_factory=Counter)
    """In how many rounds that are under way each graph is."""
    _brought: dict[frozenset[str], Future[Any]] = field(default_factory=dict)
    _looked: float | None = None
    _orders: int = 0
    _losses: int = 0
    _graph_s: float | None = None
    _deaths: Counter[str] = field(default_factory=Counter)
    _alone_since: float | None = None

    def rounds(self) -> Iterator[None]:
        """Measure until nothing waits; pauses after every round.

        Raises:
            AgentDied: no board is left for long, or rounds take their boards down.
        """
        self._carried = Carried.of(self.plan.subject)
        try:
            while True:
                self._send()
                if not self._flights and not self.plan.waiting():
                    break
                for flight in self._landed():
                    if self._take_in(flight):
                        yield
            self.plan.end()
        finally:
            self._cancel()

    # --- sending

    def _send(self) -> None:
        """Give every board of the right kind a round, as far as there is something to measure."""
        try:
            self._look()
        except DeviceUnreachable as error:
            self._wait_alone(str(error))
            return
        alike = frozenset(self.boards.alike(self.plan.profile.header.identity))
        self._recall_stranded(alike)
        if not alike:
            self._wait_alone(self.boards.why_none())
            return
        self._alone_since = None
        while len(self._flights) < len(alike):
            names = self.plan.wanted(self._flying)[: self._most_graphs]
            if not names:
                return
            self._flights.append(self._flight(names, alike))
            self._flying.update(names)

    @property
    def _most_graphs(self) -> int:
        """How many graphs a round has at most: a board that dies shall not take much with it."""
        usual = GRAPHS if self._graph_s is None else round(ROUND_S / self._graph_s)
        return max(FEWEST_GRAPHS, usual >> self._losses)

    def _look(self) -> None:
        """See who is there, not after every round: that takes the longer the more boards there are."""
        if self._looked is None or time.monotonic() - self._looked >= POLL_S:
            self.boards.look()
            self._looked = time.monotonic()

    def _flight(self, names: list[str], alike: frozenset[str]) -> _Flight:
        client, self._orders = self.boards.scheduler.client, self._orders + 1
        header, kinds = self.plan.profile.header, self.plan.kinds()
        order = Order(
            {name: kinds[name] for name in names},
            names,
            self.plan.to_look_into(names),
            names if header.energy is not None else [],
            header.identity,
            (self.seed, self.plan.profile.last_round + 1, self._orders),
        )
        future = client.submit(
            measured,
            self.boards.wanted,
            self._carried if self._carried.is_small else self._brought_to(alike),
            order,
            key=f"hwprofile-round-{uuid.uuid4().hex}",
            workers=sorted(alike),
            resources=self.boards.resources,
            pure=False,
        )
        return _Flight(order, future, alike)

    def _brought_to(self, alike: frozenset[str]) -> Future[Any]:
        """The subject as a task, kept as long as the bench lasts, so that no board gets it twice."""
        if alike not in self._brought or self._brought[alike].status not in ("pending", "finished"):
            key = f"hwprofile-subject-{self._carried.number}-{uuid.uuid4().hex}"
            self._brought[alike] = self.boards.scheduler.client.submit(
                carried, self._carried, key=key, workers=sorted(alike)
            )
        return self._brought[alike]

    def _forget(self, flight: _Flight) -> None:
        """A round is not under way any more."""
        self._flights.remove(flight)
        self._flying.subtract(flight.order.to_time)

    def _recall_stranded(self, alike: frozenset[str]) -> None:
        """Take back rounds whose boards are all gone, or that none knows while one is free."""
        if not alike:
            return
        now, given = time.monotonic(), self.boards.tasks
        for flight in [*self._flights]:
            if flight.future.done():
                continue
            if flight.future.key in given or not self.boards.is_any_free(alike):
                flight.seen = now
            if not flight.addresses & alike or now - flight.seen > STRANDED_S:
                flight.future.cancel(force=True)
                self._forget(flight)
                self._count_losses(1, "no board has it any more")

    def _wait_alone(self, why: str) -> None:
        """Wait for boards; AgentDied where none comes for long, or those there were are all left out."""
        now, patience_s = time.monotonic(), sum(self.patience.lost_s)
        if self._alone_since is None:
            self._alone_since = now
            self.progress.notice(f"{why}; waiting up to {patience_s:.0f} s for one")
        if now - self._alone_since >= patience_s:
            raise LinkLost(why)
        self.patience.sleep(min(POLL_S, patience_s))

    # --- taking in

    def _landed(self) -> list[_Flight]:
        """The rounds that have ended, after some time without one."""
        if not self._flights:
            return []
        from distributed import wait

        try:
            with self._flights[0].future.client.as_current():
                wait([one.future for one in self._flights], POLL_S, "FIRST_COMPLETED")
        except TimeoutError:
            return []
        except Exception as error:  # Dask's errors of cancelled futures have no base class in common
            if not any(one.future.cancelled() for one in self._flights):
                raise AgentDied(f"the fleet's scheduler fails: {error}") from error
        return [one for one in self._flights if one.future.done()]

    def _take_in(self, flight: _Flight) -> bool:
        """Write down what a round left; False where it has to be measured again."""
        self._forget(flight)
        future = flight.future
        if future.status == "error":
            self._count_losses(KILLED, reason_of(future))
            return False
        if future.status != "finished":  # the scheduler is another one, or lost it
            return False
        answer, address = self._answer(future)
        if answer is None or address is None or address in self.boards.dropped:
            return False
        try:
            report = self._report(flight, answer, address)
        except ValueError as error:
            self.boards.drop(address, f"its answer is refused: {error}")
            return False
        if report is None:
            return False
        self._write(report, flight, self.boards.names.get(address, ""))
        self._losses = 0
        self._graph_s = report.seconds / len(flight.order.to_time)
        self._deaths.clear()
        return True

    def _answer(self, future: Future[Any]) -> tuple[object, str | None]:
        """What came back and from where; nothing where it was lost on the way."""
        from concurrent.futures import CancelledError

        try:
            places = self.boards.scheduler.client.who_has([future])
            return future.result(timeout=60), next(iter(places.get(future.key) or ()), None)
        except (CancelledError, OSError, TimeoutError, DeviceUnreachable):
            return None, None

    def _report(self, flight: _Flight, answer: object, address: str) -> RoundReport | None:
        """A round that was measured as it was asked for; None where the board could not do it."""
        fields = json_object(answer)
        if "unusable" in fields:
            why = str(fields["unusable"])[:1000]
            self._deaths[address] += 1
            if fields.get("sort") != "died" or self._deaths[address] >= MOST_DEATHS:
                self.boards.drop(address, why)
            else:
                self.progress.notice(f"board {self.boards.names.get(address)}: {why}; the round is repeated")
            return None
        report = RoundReport.from_text(answer)
        differences = identity_differences(flight.order.identity, report.identity)
        if differences:
            raise ValueError(f"it is another device ({'; '.join(differences)}, asked for / it)")
        report.check_asked(flight.order.asked, self.plan.subject.reference().name)
        return report

    def _count_losses(self, boards: int, why: str) -> None:
        self._losses += boards
        if self._losses >= MOST_LOSSES:
            raise AgentDied(f"{self._losses} boards in a row went down in their rounds ({why})")
        self.progress.notice(f"a round was lost with its board ({why}); it is repeated")

    def _write(self, report: RoundReport, flight: _Flight, board: str) -> None:
        """A round under the next free number, its processes counted on."""
        plan, number = self.plan, self.plan.profile.last_round + 1
        first = plan.profile.last_process + 1
        for reading in report.readings:
            kind = flight.order.kinds.get(reading.graph, "block")
            plan.writer.reading(replace(reading, process=first + reading.process), kind, number)
        conditions = [
            {**state, "process": first + int(state.get("process") or 0)} for state in report.conditions
        ]
        plan.end_round(number, conditions, report.seconds, board)
        self._tell()

    def _tell(self) -> None:
        profile = self.plan.profile
        fewest = profile.header.goal.rounds
        done = sum(min(fewest, len(rounds)) for rounds in profile.visits.values())
        total = fewest * len(self.plan.kinds())
        boards = len(set(profile.boards))
        self.progress.advance(done, total, f"{len(profile.ends)} rounds on {boards} boards")

    def _cancel(self) -> None:
        for flight in self._flights:
            if flight.future.client.status != "closed":
                flight.future.cancel(force=True)
        self._flights.clear()
        self._brought.clear()
        self.boards.forget()
