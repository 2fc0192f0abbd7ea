"""The report of a round: it comes back as it was, and what is no such report is refused by name."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.measurement import EnergyVisit, NodeTimes, Visit
from devices.round_report import RoundReport
from devices.rounds import FAILURES, Reading

NAMES = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20)
NS = st.integers(1, 10**12)
VISITS = st.builds(
    lambda wall, runs, warm, settled: Visit(runs, tuple(wall), tuple(wall), warm, settled),
    st.lists(NS, min_size=1, max_size=9),
    st.integers(1, 1000),
    st.integers(0, 1000),
    st.booleans(),
)
INSIDES = st.builds(
    lambda us: NodeTimes(("a", "b"), tuple((x, y) for x, y in us), tuple(x + y for x, y in us)),
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=4),
)
ENERGIES = st.builds(EnergyVisit, NS, NS, NS, st.just("rapl package-0"), NS, NS)
PROCESSES = st.integers(0, 9)
READINGS = st.one_of(
    st.builds(Reading, NAMES, PROCESSES, VISITS),
    st.builds(lambda n, p, v: Reading(n, p, v, is_reference=True), NAMES, PROCESSES, VISITS),
    st.builds(lambda n, p, i: Reading(n, p, inside=i, is_inside=True), NAMES, PROCESSES, INSIDES),
    st.builds(lambda n, p, e: Reading(n, p, energy=e, is_energy=True), NAMES, PROCESSES, ENERGIES),
    st.builds(
        lambda n, p, e, f, i: Reading(n, p, error=e, failure=f, is_inside=i),
        NAMES,
        PROCESSES,
        NAMES,
        st.sampled_from(FAILURES),
        st.booleans(),
    ),
)
REPORTS = st.builds(
    lambda readings, seconds: RoundReport({"machine": "x"}, tuple(readings), ({"process": 0},), seconds),
    st.lists(READINGS, max_size=6),
    st.floats(0, 1e6),
)
VISIT = Visit(1, (10,), (10,), 1, True)
GOOD = RoundReport(
    {"machine": "x"},
    (Reading("ref", 0, VISIT, is_reference=True), Reading("a", 0, VISIT), Reading("b", 0, VISIT)),
    ({"process": 0},),
    1.0,
)


@given(REPORTS)
def test_a_report_comes_back_as_it_was(report: RoundReport) -> None:
    assert RoundReport.from_text(report.to_text()) == report


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(GOOD.to_text()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"{}",
        "",
        "[]",
        "{}",
        '{"identity": NaN}',
        changed(seconds=-1),
        changed(seconds="1"),
        changed(identity=[]),
        changed(identity={"machine": 7}),
        changed(conditions={}),
        changed(conditions=[7]),
        changed(readings=[{"graph": "a"}]),
        changed(readings=[{"graph": 7, "process": 0, "sort": "visit", **VISIT.to_json()}]),
        changed(readings=[{"graph": "a", "process": -1, "sort": "visit", **VISIT.to_json()}]),
        changed(readings=[{"graph": "a", "process": True, "sort": "visit", **VISIT.to_json()}]),
        changed(readings=[{"graph": "a", "process": 0, "sort": "else", **VISIT.to_json()}]),
        changed(readings=[{"graph": "a", "process": 0, "sort": "visit", "wall_ns": [0]}]),
        changed(readings=[{"graph": "a", "process": 0, "sort": "visit", "error": 7, "failure": "died"}]),
        changed(readings=[{"graph": "a", "process": 0, "sort": "visit", "error": "x", "failure": "y"}]),
        changed(
            readings=[{"graph": "a", "process": 0, "sort": "reference", "error": "x", "failure": "died"}]
        ),
    ],
)
def test_what_is_no_report_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        RoundReport.from_text(text)


@given(REPORTS, st.data())
def test_a_report_that_was_tampered_with_is_read_or_refused(report: RoundReport, data: st.DataObject) -> None:
    text = list(report.to_text())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from('{}[]",:0123456789-eEtfn \\'))
    try:
        found = RoundReport.from_text("".join(text))
    except ValueError:
        return
    assert RoundReport.from_text(found.to_text()) == found


ASKED = {"visit": ["a", "b"], "inside": [], "energy": []}


def test_a_round_that_holds_what_was_asked_for_is_taken() -> None:
    GOOD.check_asked(ASKED, "ref")


@pytest.mark.parametrize(
    ("asked", "reference"),
    [
        ({**ASKED, "visit": ["a"]}, "ref"),
        ({**ASKED, "visit": ["a", "b", "c"]}, "ref"),
        ({**ASKED, "inside": ["a"]}, "ref"),
        ({**ASKED, "energy": ["a"]}, "ref"),
        (ASKED, "another"),
    ],
)
def test_a_round_with_other_graphs_is_refused(asked: dict[str, list[str]], reference: str) -> None:
    with pytest.raises(ValueError, match=r"other graphs|another thermometer"):
        GOOD.check_asked(asked, reference)


def test_a_graph_that_is_there_twice_is_refused() -> None:
    twice = dataclasses.replace(GOOD, readings=(*GOOD.readings, Reading("a", 0, VISIT)))
    with pytest.raises(ValueError, match="other graphs than were asked for, such as a"):
        twice.check_asked(ASKED, "ref")


def test_the_energy_of_a_graph_that_failed_is_not_missed() -> None:
    failed = Reading("a", 0, error="no", failure="refused")
    energy = Reading("b", 0, energy=EnergyVisit(1, 1, 1, "rapl", 1, 0), is_energy=True)
    report = dataclasses.replace(GOOD, readings=(failed, Reading("b", 0, VISIT), energy))
    report.check_asked({**ASKED, "energy": ["a", "b"]}, "ref")
