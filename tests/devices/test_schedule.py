"""What is measured next: goals, and when a graph has been seen enough."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.measurement import Visit
from devices.schedule import Goal, finished_by_counts, is_finished, pending
from devices.statistics import summarise
from devices.verdicts import Progress

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure


def visit(ms: float) -> Visit:
    return Visit(1, (round(ms * 1_000_000),) * 3, None, 3, True)


QUIET_VISITS = st.floats(0.999, 1.001).map(visit)
VISITS = QUIET_VISITS | st.floats(0.5, 2.0).map(visit)
SOME_VISITS = (st.lists(QUIET_VISITS, max_size=8) | st.lists(VISITS, max_size=12)).map(tuple)
PROGRESS = st.builds(Progress, SOME_VISITS, SOME_VISITS, st.integers(0, 4))


@st.composite
def goals(draw: st.DrawFn) -> Goal:
    rounds = draw(st.integers(2, 6))
    return Goal(draw(st.floats(1e-4, 0.5)), rounds, draw(st.integers(rounds, 10)), draw(st.integers(1, 3)))


# --- goals


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": 0.0}, "precision is a share between 0 and 1 (0.02 is 2 %), got 0.0"),
        ({"precision": -0.1}, "got -0.1"),
        ({"precision": 2}, "precision is a share between 0 and 1 (0.02 is 2 %), got 2"),
        ({"precision": 1.0}, "got 1.0"),
        ({"precision": float("nan")}, "got nan"),
        ({"rounds": 1}, "an interval needs at least 2 rounds (processes), got 1"),
        ({"rounds": 0}, "at least 2 rounds"),
        ({"rounds": 5, "most_rounds": 4}, "most_rounds 4 is below rounds 5"),
        ({"most_failures": 0}, "most_failures is at least 1, got 0"),
    ],
)
def test_a_goal_that_says_nothing_is_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Goal(**given)  # type: ignore[arg-type]


def test_the_least_goals_are_allowed() -> None:
    assert Goal(precision=0.999, rounds=2, most_rounds=2, most_failures=1)


# --- one graph


GOAL = Goal(precision=0.02, rounds=3, most_rounds=5, most_failures=2)
QUIET, LOUD = visit(1.0), visit(2.0)


@pytest.mark.parametrize(
    ("progress", "finished"),
    [
        (Progress(), False),
        (Progress((QUIET,) * 2), False),
        (Progress((QUIET,) * 3), True),
        (Progress((QUIET, LOUD, QUIET)), False),
        (Progress((QUIET, LOUD, QUIET, LOUD, QUIET)), True),
        (Progress((QUIET,) * 2, (QUIET,) * 2), False),
        (Progress((QUIET,) * 2, (QUIET,) * 3), True),
        (Progress((), (LOUD,) * 2), False),
        (Progress((), (LOUD,) * 3), True),
        (Progress((), (QUIET, LOUD, QUIET)), False),
        (Progress((QUIET,), (LOUD,) * 3), False),
        (Progress((), (), 1), False),
        (Progress((), (), 2), True),
        (Progress((QUIET,), (), 2), True),
    ],
    ids=[
        "nothing known",
        "too few rounds",
        "precise",
        "not precise",
        "not precise, but at the most rounds",
        "disturbed rounds do not replace clean ones",
        "disturbed rounds count towards the most",
        "a disturbance may pass",
        "a disturbance that stays is not waited out",
        "precision is wanted under a disturbance too",
        "a disturbance that passed once may pass again",
        "one failure is tried again",
        "two failures are given up",
        "given up although it ran once",
    ],
)
def test_a_graph_is_finished_when_known_or_given_up(progress: Progress, finished: bool) -> None:
    assert is_finished(progress, GOAL) is finished


def test_contended_visits_are_measured_again() -> None:
    preempted = Visit(1, (2_000_000,) * 3, (1_000_000,) * 3, 3, True)
    assert not is_finished(Progress((preempted,) * 3), GOAL)
    assert is_finished(Progress((preempted,) * 5), GOAL)


@NO_DEADLINE
@given(PROGRESS, goals())
def test_nothing_is_pending_beyond_the_most_rounds(progress: Progress, goal: Goal) -> None:
    if len(progress.clean) + len(progress.disturbed) >= goal.most_rounds:
        assert is_finished(progress, goal)


@NO_DEADLINE
@given(PROGRESS, goals())
def test_a_graph_is_finished_early_only_with_enough_clean_rounds_and_precision(
    progress: Progress, goal: Goal
) -> None:
    measured = len(progress.clean) + len(progress.disturbed)
    early = measured < goal.most_rounds and progress.failures < goal.most_failures
    if early and is_finished(progress, goal):
        counted = progress.clean or progress.disturbed
        assert len(counted) >= goal.rounds
        assert summarise(counted).half_width <= goal.precision


@NO_DEADLINE
@given(PROGRESS, goals())
def test_a_graph_that_keeps_failing_is_given_up(progress: Progress, goal: Goal) -> None:
    if progress.failures >= goal.most_failures:
        assert is_finished(progress, goal)


@NO_DEADLINE
@given(
    st.lists(st.sampled_from(["clean", "disturbed", "failed"]), min_size=20, max_size=20), st.data(), goals()
)
def test_every_graph_comes_to_an_end(outcomes: list[str], data: st.DataObject, goal: Goal) -> None:
    progress, rounds = Progress(), 0
    for outcome in outcomes:
        if not pending(["graph"], {"graph": progress}, goal):
            break
        rounds += 1
        progress = after(progress, outcome, lambda: data.draw(VISITS))
    assert pending(["graph"], {"graph": progress}, goal) == ()
    assert rounds <= goal.most_rounds + goal.most_failures - 1
    gave_up = progress.failures == goal.most_failures
    assert gave_up or len(progress.clean) + len(progress.disturbed) >= goal.rounds


def after(progress: Progress, outcome: str, draw: Callable[[], Visit]) -> Progress:
    if outcome == "failed":
        return Progress(progress.clean, progress.disturbed, progress.failures + 1)
    if outcome == "clean":
        return Progress((*progress.clean, draw()), progress.disturbed, progress.failures)
    return Progress(progress.clean, (*progress.disturbed, draw()), progress.failures)


@NO_DEADLINE
@given(PROGRESS, goals())
def test_counts_decide_only_where_what_was_seen_cannot_change_it(progress: Progress, goal: Goal) -> None:
    successes = len(progress.clean) + len(progress.disturbed)
    known = finished_by_counts(successes, progress.failures, goal)
    assert known in (None, is_finished(progress, goal))
    anything = [
        is_finished(Progress(seen[:clean], seen[clean:], progress.failures), goal)
        for seen in ((QUIET,) * successes, ((QUIET, LOUD) * successes)[:successes])
        for clean in (0, successes)
    ]
    if known is not None:
        assert set(anything) == {known}


# --- several graphs


def test_pending_keeps_the_given_order_and_counts_unknown_graphs() -> None:
    known = {"b": Progress((QUIET,) * 3), "d": Progress((QUIET,) * 2)}
    assert pending(["d", "c", "b", "a"], known, GOAL) == ("d", "c", "a")


@NO_DEADLINE
@given(st.dictionaries(st.text(max_size=3), PROGRESS, max_size=5), goals())
def test_pending_names_exactly_the_unfinished(known: dict[str, Progress], goal: Goal) -> None:
    waiting = set(pending(list(known), known, goal))
    assert waiting == {name for name, progress in known.items() if not is_finished(progress, goal)}


# --- what statistics speak of


@pytest.mark.parametrize(
    ("clean", "disturbed", "usable"),
    [
        ((), (), ()),
        ((QUIET,), (), (QUIET,)),
        ((QUIET,), (LOUD,), (QUIET, LOUD)),
        ((), (LOUD, LOUD), (LOUD, LOUD)),
        ((QUIET, QUIET), (LOUD,), (QUIET, QUIET)),
    ],
)
def test_disturbed_visits_speak_only_while_clean_ones_are_too_few(
    clean: tuple[Visit, ...], disturbed: tuple[Visit, ...], usable: tuple[Visit, ...]
) -> None:
    assert Progress(clean, disturbed).usable == usable
