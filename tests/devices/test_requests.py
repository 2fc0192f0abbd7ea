"""Fields of a request: nothing of another type, out of range or unknown gets through."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.agent import main, requests, timing
from devices.agent.main import Agent
from devices.agent.requests import RequestError

ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=300)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)
NO_NUMBER = [True, "3", None, [3], {}, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", [*NO_NUMBER, 3.0])
def test_only_whole_numbers_are_whole(value: object) -> None:
    with pytest.raises(RequestError, match=r"^size must be a whole number, not "):
        requests.whole({"size": value}, "size", 0, 10)


@pytest.mark.parametrize("value", NO_NUMBER)
def test_only_finite_numbers_are_numbers(value: object) -> None:
    with pytest.raises(RequestError, match=r"^size must be a finite number, not "):
        requests.number({"size": value}, "size", 0, 10)


@pytest.mark.parametrize("check", [requests.whole, requests.number])
def test_limits_are_included(check: Any) -> None:
    assert [check({"size": value}, "size", 1, 3) for value in (1, 3)] == [1, 3]
    for value in (0, 4, 10**400):
        with pytest.raises(RequestError, match=r"^size must be "):
            check({"size": value}, "size", 1, 3)


@pytest.mark.parametrize("value", ["", "xxxx", 3, None, ["x"]])
def test_a_text_is_neither_empty_nor_long(value: object) -> None:
    assert requests.text({"id": "xxx"}, "id", 3) == "xxx"
    with pytest.raises(RequestError, match=r"^id must be a text of at most 3 characters, not "):
        requests.text({"id": value}, "id", 3)


@pytest.mark.parametrize("value", [0, 1, "true", None, []])
def test_truth_is_no_number(value: object) -> None:
    assert requests.truth({"on": True}, "on") is True
    assert requests.truth({}, "on") is False
    with pytest.raises(RequestError, match=r"^on must be true or false"):
        requests.truth({"on": value}, "on")


def test_what_is_missing_unknown_or_no_object_is_named() -> None:
    with pytest.raises(RequestError, match=r"^id is missing$"):
        requests.text({}, "id")
    with pytest.raises(RequestError, match=r"^unknown field 'b'; known: a, c$"):
        requests.only({"a": 1, "b": 2}, ("a", "c"))
    with pytest.raises(RequestError, match=r"^plan must be an object"):
        requests.part({"plan": []}, "plan")
    with pytest.raises(RequestError, match=r"^runtime 'x' is unknown; known: a, b$"):
        requests.choice({"runtime": "x"}, "runtime", ("a", "b"))


GOOD = {"threads": 1, "provider": "CPU", "batch": 1, "cache": "warm", "clocks": None, "limit": 0.5}


@pytest.mark.parametrize(
    "change",
    [
        {"threads": True},
        {"threads": 0},
        {"threads": 10**9},
        {"provider": 3},
        {"provider": "x" * 201},
        {"cache": ["warm"]},
        {"other": {"a": 1}},
        {"other": "x" * 201},
    ],
    ids=repr,
)
def test_settings_are_plain_and_short(change: dict[str, Any]) -> None:
    assert requests.settings({"settings": GOOD}) == GOOD
    with pytest.raises(RequestError, match=next(iter(change))):
        requests.settings({"settings": {**GOOD, **change}})


# --- plans


def test_every_field_of_a_plan_has_its_limits() -> None:
    checked = {*timing.WHOLES, *timing.NUMBERS, "thread_clock"}
    assert {field.name for field in fields(timing.Plan)} == checked


@pytest.mark.parametrize("name", [*timing.WHOLES, *timing.NUMBERS])
def test_a_plan_beyond_a_limit_is_refused_at_birth(name: str) -> None:
    highest = {**timing.WHOLES, **timing.NUMBERS}[name][1]
    for value in (-1, highest + 1, None, True, math.nan, 10**30):
        with pytest.raises(RequestError, match=f"^{name} must be "):
            timing.Plan.from_request({name: value})


def test_a_plan_that_would_last_for_hours_is_refused() -> None:
    assert timing.Plan(samples=10_000, sample_ms=1.0)
    with pytest.raises(RequestError, match=r"samples x sample_ms is over 600000 ms"):
        timing.Plan(samples=10_000, sample_ms=61.0)


# --- whole requests


VERBS = sorted(main.VERBS)


def test_every_verb_is_a_method() -> None:
    assert all(callable(getattr(Agent, verb)) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_refuses_fields_that_it_does_not_read(verb: str) -> None:
    assert "RequestError: unknown field 'more'" in Agent().answer({"verb": verb, "more": 1}, b"")[0]["error"]


@pytest.mark.parametrize("verb", ["load", "time", "unload", "node_times", "describe", "busy_processes"])
@given(fields=st.data())
def test_fields_of_any_type_are_answers_that_name_one(verb: str, fields: st.DataObject) -> None:
    header = {name: fields.draw(ANYTHING, label=name) for name in main.VERBS[verb]}
    if verb == "busy_processes" and isinstance(header["seconds"], int | float):
        header["seconds"] = -abs(header["seconds"])
    if verb == "describe":
        header["threads"] = "one"
    answer, _ = Agent().answer({"verb": verb, **header}, b"")
    if verb == "unload" and "error" not in answer:
        assert isinstance(header["id"], str)
    else:
        assert answer["error"].startswith(("RequestError: ", "FrameError: "))
        assert any(name in answer["error"] for name in (*main.VERBS[verb], "threads", "warmup_runs"))


def test_so_many_graphs_are_loaded_and_no_more(monkeypatch: pytest.MonkeyPatch, tiny: bytes) -> None:
    monkeypatch.setattr(main, "MOST_LOADED", 2)
    agent = Agent()
    request = {"verb": "load", "runtime": "onnxruntime"}
    settings = {"threads": 1, "provider": "CPUExecutionProvider"}
    answers = [agent.answer({**request, "id": name, "settings": settings}, tiny)[0] for name in "abcb"]
    assert [set(answer) for answer in answers] == [{"notes"}, {"notes"}, {"error"}, {"notes"}]
    assert "2 graphs are loaded already" in answers[2]["error"]


def test_a_long_or_garbled_error_is_cut_to_what_can_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("\ud800" + "x" * 100_000)

    monkeypatch.setattr("devices.agent.conditions.conditions", refuse)
    error = Agent().answer({"verb": "conditions"}, b"")[0]["error"]
    assert error.startswith("ValueError: ?xxx")
    assert len(error) == main.LONGEST_ERROR
