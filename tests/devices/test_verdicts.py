"""What a row ends as, and when a profile as a whole is called quiet."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from devices.disturbances import Cause, Disturbance
from devices.measurement import Visit
from devices.verdicts import STATUSES, Progress, Status, verdict, why_disturbed, why_emulated

MS = 1_000_000


def visit(ms: float) -> Visit:
    return Visit(1, (round(ms * MS),) * 3, None, 3, True)


def busy(ms: float, share_preempted: float) -> Visit:
    """Ten samples, of which so many lost a tenth of their time to another program."""
    wall = [ms * (1.1 if index < 10 * share_preempted else 1.0) for index in range(10)]
    return Visit(1, tuple(round(time * MS) for time in wall), (round(ms * MS),) * 10, 3, True)


@pytest.mark.parametrize(
    ("visits", "status"),
    [
        ([visit(1.0)] * 5, "ok"),
        ([visit(ms) for ms in (1.0, 1.01, 0.99, 1.0, 1.005)], "ok"),
        ([visit(ms) for ms in (1.0, 1.1, 0.9, 1.0, 1.05)], "noisy"),
        ([visit(1.0), visit(1.2)], "noisy"),
        ([visit(1.0)], "noisy"),
        ([busy(1.0, 0.6)] * 5, "contended"),
        ([busy(1.0, 0.6)] * 3 + [busy(1.0, 0.1)] * 2, "contended"),
        ([busy(1.0, 0.6)] * 2 + [busy(1.0, 0.1)] * 3, "ok"),
        ([busy(1.0, 0.6)] * 2 + [busy(1.0, 0.1)] * 2, "ok"),
    ],
)
def test_a_row_ends_as_its_visits_say(visits: Sequence[Visit], status: Status) -> None:
    found = verdict(Progress(tuple(visits)), 0.02)
    assert found.status == status
    assert found.summary is not None
    assert found.summary.processes == len(visits)


def test_precision_decides_between_ok_and_noisy() -> None:
    progress = Progress(tuple(visit(ms) for ms in (1.0, 1.02, 0.98)))
    summary = verdict(progress, 0.5).summary
    assert summary is not None
    assert verdict(progress, summary.half_width * 1.001).status == "ok"
    assert verdict(progress, summary.half_width * 0.999).status == "noisy"


@pytest.mark.parametrize(("timeouts", "status"), [(0, "failed"), (1, "timeout"), (2, "timeout")])
def test_without_a_visit_there_is_no_latency(timeouts: int, status: Status) -> None:
    found = verdict(Progress(failures=2, timeouts=timeouts), 0.02)
    assert (found.status, found.summary) == (status, None)


@pytest.mark.parametrize(
    ("causes", "status"),
    [
        (["throttled"] * 5, "throttled"),
        (["throttled"] * 3 + ["drift"] * 2, "throttled"),
        (["throttled"] * 2 + ["drift"] * 3, "ok"),
        (["canary"] * 5, "contended"),
        (["competition"] * 5, "ok"),
        (["drift"] * 5, "ok"),
    ],
)
def test_what_disturbed_most_visits_decides(causes: list[Cause], status: Status) -> None:
    progress = Progress((), (visit(1.0),) * 5, causes=tuple(frozenset([cause]) for cause in causes))
    assert verdict(progress, 0.02).status == status


def test_disturbed_visits_that_do_not_count_decide_nothing() -> None:
    throttled = frozenset[Cause](["throttled"])
    progress = Progress((visit(1.0),) * 2, (visit(1.0),) * 9, causes=(throttled,) * 9)
    assert verdict(progress, 0.5).status != "throttled"


CLEAN: tuple[Disturbance, ...] = ()
BUSY = (Disturbance("competition", "other programs kept 1.0 processors busy"),)
HOT = (Disturbance("throttled", "the clock was 900 MHz"), *BUSY)


@pytest.mark.parametrize(
    ("rounds", "statuses", "reason"),
    [
        ([CLEAN] * 5, {"ok": 84}, None),
        ([CLEAN] * 5 + [BUSY] * 3, {"ok": 84}, None),
        ([CLEAN] * 5, {"ok": 64, "noisy": 20}, None),
        (
            [CLEAN] * 4 + [BUSY] * 4,
            {"ok": 84},
            "only 4 of 8 rounds were undisturbed; other programs kept 1.0",
        ),
        ([BUSY] * 5, {"ok": 84}, "only 0 of 5 rounds were undisturbed; other programs"),
        ([HOT, BUSY, BUSY], {"ok": 84}, "only 0 of 3 rounds were undisturbed; other programs"),
        ([CLEAN] * 5, {"ok": 50, "noisy": 30, "failed": 4}, "only 50 of 84 rows .* (30 noisy, 4 failed)"),
        ([], {}, None),
    ],
)
def test_a_profile_is_quiet_or_says_why_not(
    rounds: list[tuple[Disturbance, ...]], statuses: dict[Status, int], reason: str | None
) -> None:
    found = why_disturbed(dict(enumerate(rounds)), 5, statuses)
    if reason is None:
        assert found is None
        return
    assert found is not None
    for part in reason.split(" .* "):
        assert part in found


def test_times_of_an_emulator_are_never_trusted() -> None:
    why = why_emulated({"emulated": "qemu", "machine": "aarch64"})
    assert why is not None
    assert "those of an emulator (qemu), not of the aarch64 processor" in why
    assert why_emulated({"machine": "aarch64"}) is None


def test_every_status_is_seen_here() -> None:
    assert set(STATUSES) == {"ok", "noisy", "contended", "throttled", "timeout", "failed"}
