"""Visits: what they promise, and their way through JSON."""

from __future__ import annotations

import contextlib
import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.agent.timing import PARTS
from devices.measurement import LONGEST_NS, MOST_RUNS, EnergySource, EnergyVisit, NodeTimes, Visit

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure

TIMES = st.integers(1, LONGEST_NS)
COUNTS = st.integers(1, 100_000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
GOOD: dict[str, Any] = {
    "runs_per_sample": 3,
    "wall_ns": [1_000_000, 1_100_000],
    "cpu_ns": [900_000, 1_000_000],
    "warmup_runs": 6,
    "settled": True,
}


@st.composite
def visits(draw: st.DrawFn) -> Visit:
    wall = draw(st.lists(TIMES, min_size=1, max_size=12))
    column = st.none() | st.lists(st.integers(0, LONGEST_NS), min_size=len(wall), max_size=len(wall)).map(
        tuple
    )
    return Visit(
        draw(COUNTS),
        tuple(wall),
        draw(column),
        draw(st.integers(0, 10**6)),
        draw(st.booleans()),
        **{name: draw(column) for name in PARTS},
        notes=draw(st.none() | st.dictionaries(st.text(), st.text() | st.booleans(), max_size=3)),
    )


@NO_DEADLINE
@given(visits())
def test_a_visit_comes_back_from_json_as_it_was(visit: Visit) -> None:
    assert Visit.from_json(json.loads(json.dumps(visit.to_json()))) == visit


@pytest.mark.parametrize(
    "change",
    [
        {"wall_ns": [1_000_000, LONGEST_NS + 1]},
        {"cpu_ns": [900_000, -1]},
        {"cpu_ns": [900_000, LONGEST_NS + 1]},
        {"runs_per_sample": MOST_RUNS + 1},
        {"warmup_runs": -1},
    ],
    ids=repr,
)
def test_a_time_that_nothing_takes_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"visit|days|forwards"):
        Visit.from_json({**GOOD, **change})


@pytest.mark.parametrize(
    "change",
    [{"nodes": "a"}, {"nodes": {"a": 1}}, {"nodes": [1]}, {"us": [[-1]]}, {"run_us": [10**16]}],
    ids=repr,
)
def test_nodes_are_texts_and_their_times_run_forwards(change: dict[str, Any]) -> None:
    good = {"nodes": ["a"], "us": [[3]], "run_us": [4]}
    assert NodeTimes.from_json(good).nodes == ("a",)
    with pytest.raises(ValueError, match="nodes"):
        NodeTimes.from_json({**good, **change})


def test_a_visit_without_a_thread_clock_may_leave_its_field_out() -> None:
    without = {name: value for name, value in GOOD.items() if name != "cpu_ns"}
    assert Visit.from_json(without).cpu_ns is None


@pytest.mark.parametrize("name", [name for name in GOOD if name != "cpu_ns"])
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Visit.from_json({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("runs_per_sample", 0),
        ("runs_per_sample", "3"),
        ("runs_per_sample", 1.5),
        ("runs_per_sample", float("inf")),
        ("runs_per_sample", True),
        ("runs_per_sample", 2**63),
        ("runs_per_sample", None),
        ("wall_ns", []),
        ("wall_ns", [1, 0]),
        ("wall_ns", [1, -5]),
        ("wall_ns", "12"),
        ("wall_ns", {"1": 2}),
        ("wall_ns", 7),
        ("wall_ns", [1, None]),
        ("wall_ns", [1, float("nan")]),
        ("wall_ns", [10**400, 1]),
        ("cpu_ns", [1]),
        ("cpu_ns", "12"),
        ("cpu_ns", [1, float("inf")]),
        ("warmup_runs", [3]),
        ("settled", "false"),
        ("settled", 1),
        ("h2d_ns", [1]),
        ("d2h_ns", None),
        ("enqueue_ns", [1, 1.5]),
        ("notes", None),
        ("notes", ["engine"]),
    ],
)
def test_a_field_of_another_type_or_meaning_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError):
        Visit.from_json({**GOOD, name: value})


@pytest.mark.parametrize("fields", [[], None, "text", 3])
def test_what_is_no_object_is_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match="not the samples of a visit"):
        Visit.from_json(fields)


@NO_DEADLINE
@given(st.dictionaries(st.sampled_from(sorted(GOOD)), JSON, min_size=1))
def test_malformed_json_gives_a_value_error_or_an_honest_visit(changes: dict[str, Any]) -> None:
    fields = {**GOOD, **changes}
    try:
        visit = Visit.from_json(fields)
    except ValueError:
        return
    assert visit.to_json() == fields


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, (1,), None), "a visit needs samples that took time"),
        ((1, (), None), "a visit needs samples that took time"),
        ((1, (5, 0), None), "a visit needs samples that took time"),
        ((1, (5, 6), (5,)), "wall_ns and cpu_ns differ in length"),
        ((1, (5,), ()), "wall_ns and cpu_ns differ in length"),
    ],
)
def test_a_visit_is_checked_at_birth(
    given: tuple[int, tuple[int, ...], tuple[int, ...] | None], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Visit(*given, 3, True)


# --- what a device tells beside its samples


FULL = Visit(2, (10, 11), None, 5, True, (1, 2), (3, 4), (5, 6), {"engine": "abc"})


def test_old_rows_lack_parts_and_so_does_what_is_written_without_them() -> None:
    old = Visit.from_json(GOOD)
    assert (old.h2d_ns, old.d2h_ns, old.enqueue_ns, old.notes) == (None, None, None, None)
    assert set(old.to_json()) == set(GOOD)


def test_parts_are_joined_and_divided_with_the_samples() -> None:
    joined = FULL.joined(replace(FULL, wall_ns=(12, 13), h2d_ns=(7, 8)))
    assert (joined.wall_ns, joined.h2d_ns, joined.enqueue_ns) == (
        (10, 11, 12, 13),
        (1, 2, 7, 8),
        (5, 6, 5, 6),
    )
    assert joined.notes == FULL.notes
    assert joined.part(1, 3) == replace(
        FULL, wall_ns=(11, 12), h2d_ns=(2, 7), d2h_ns=(4, 3), enqueue_ns=(6, 5)
    )


def test_visits_that_tell_different_parts_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="cannot be joined"):
        FULL.joined(replace(FULL, h2d_ns=None))


# --- times inside a graph

INSIDE = NodeTimes(("a/conv_0", "ReorderOutput"), ((5, 1), (6, 1)), (7, 8))


def test_fractions_of_microseconds_are_kept() -> None:
    found = NodeTimes(("a/conv_0",), ((1.25,), (2,)), (1.5, 2))
    assert NodeTimes.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_node_times_are_written_and_read_back() -> None:
    assert NodeTimes.from_json(json.loads(json.dumps(INSIDE.to_json()))) == INSIDE


@pytest.mark.parametrize(
    "change",
    [
        {"us": []},
        {"us": [[5, 1]]},
        {"us": [[5, 1], [6]]},
        {"us": [[5, 1], [6, float("nan")]]},
        {"us": [[5, 1], [6, True]]},
        {"us": 7},
        {"run_us": [7, None]},
        {"nodes": ["a"]},
        {"nodes": None},
    ],
    ids=str,
)
def test_what_is_no_node_times_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        NodeTimes.from_json({**INSIDE.to_json(), **change})


def test_node_times_need_every_field() -> None:
    for name in INSIDE.to_json():
        with pytest.raises(ValueError, match=name):
            NodeTimes.from_json({key: value for key, value in INSIDE.to_json().items() if key != name})


# --- energy

ENERGY: dict[str, Any] = {
    "runs": 7, "wall_ns": 10**8, "energy_uj": 10**6, "source": "nvml", "idle_ns": 10**8, "idle_uj": 0,
}  # fmt: skip
SOURCE: dict[str, Any] = {"name": "nvml", "scope": "GPU", "resolution_ms": 20}


def energy_visit(**changes: object) -> EnergyVisit:
    return EnergyVisit.from_json({**ENERGY, **changes})


def test_energy_is_read_back() -> None:
    assert energy_visit().to_json() == ENERGY
    assert EnergySource.from_json(SOURCE).to_json() == SOURCE


@pytest.mark.parametrize(
    "change",
    [
        *({name: 0} for name in ("runs", "wall_ns", "energy_uj", "idle_ns")),
        *({"runs": value} for value in (1.5, "1", True, 2**63)),
        {"idle_uj": -1},
    ],
    ids=str,
)
def test_energy_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="energy"):
        energy_visit(**change)


@NO_DEADLINE
@given(st.dictionaries(st.sampled_from(list(ENERGY)), JSON))
def test_any_fields_are_an_energy_or_a_value_error(fields: dict[str, object]) -> None:
    with contextlib.suppress(ValueError):
        assert EnergyVisit.from_json({**ENERGY, **fields}).runs >= 1


@NO_DEADLINE
@given(JSON | st.fixed_dictionaries(dict.fromkeys(SOURCE, JSON)))
def test_any_value_is_a_source_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert EnergySource.from_json(value).resolution_ms > 0


@pytest.mark.parametrize(
    "value",
    [None, [], {}, *({**SOURCE, name: wrong} for name in SOURCE for wrong in (None, True, math.nan, -1))],
    ids=str,
)
def test_what_is_no_source_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="energy source"):
        EnergySource.from_json(value)
