"""Files in any order, each recognised by its content; what is none of them is refused with advice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hwprofile.errors import UserError
from hwprofile.profile import Profile
from hwprofile.report.inputs import read_inputs
from hwprofile.report.page import report
from tests.hwprofile.report.pages import result_json, search_json, validation_json

JOURNAL = [{"architecture": f"{n},0", "accuracy": 50.0 + n, "basis": "ab"} for n in range(3)]


def test_every_kind_is_recognised_in_any_order(every_kind: list[Path]) -> None:
    for order in (every_kind, every_kind[::-1]):
        found = read_inputs(order)
        kinds = (found.profiles, found.models, found.validations, found.searches, found.results)
        assert [len(kind) for kind in kinds] == [2, 1, 1, 1, 1]


def test_a_folder_of_a_search_without_a_result_is_read_from_its_journal(tmp_path: Path) -> None:
    other = {**JOURNAL[0], "basis": "of other weights"}
    text = "\n".join(map(json.dumps, [other, *JOURNAL])) + '\n{"architecture": "torn'
    (tmp_path / "evaluations.jsonl").write_text(text)
    [search] = read_inputs([tmp_path]).searches
    assert [one.score for one in search.history] == [50.0, 51.0, 52.0]
    assert search.method is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no JSON"),
        ("arch,latency_ms\n1,2\n", "no JSON"),
        ("[1, 2]", "nothing that a report shows"),
        ('{"file": "something-else"}', "nothing that a report shows: give a profile"),
        ('{"file": "hwprofile-result"}', "damaged: the field .runners_up. is missing"),
        ('{"file": "hwprofile-search", "history": []}', "damaged: it looked at no network"),
        ('{"file": "hwprofile-predictor"}', "schema version"),
        ('{"file": "hwprofile-scores"}', "version"),
        ('{"file": "hwprofile-profile", "schema_version": 99}', "newer"),
        (json.dumps(validation_json() | {"measurements": []}), "damaged: it measured no network"),
        (json.dumps(validation_json() | {"measurements": [{}]}), "damaged: the field"),
        (json.dumps(validation_json() | {"noise_floor_mape": 1e300}), "damaged: noise_floor_mape"),
        (json.dumps(search_json() | {"score": "high"}), "damaged: score is no number: 'high'"),
    ],
)
def test_what_is_none_of_them_is_refused_with_its_name(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(UserError, match=words) as refused:
        read_inputs([path])
    assert str(path) in str(refused.value)


def test_missing_files_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*gone.json: No such file"):
        read_inputs([tmp_path / "gone.json"])
    with pytest.raises(UserError, match=r"holds neither result.json nor evaluations.jsonl: give a profile"):
        read_inputs([tmp_path])


def places(value: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where everything in a JSON value stands."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    return [place for key, one in inner for place in [(*before, key), *places(one, (*before, key))]]


STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
)


@pytest.fixture(scope="module")
def documents(tiny_profile: Path) -> list[dict[str, Any]]:
    return [result_json(Profile.load(tiny_profile)), validation_json(), search_json()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_stands_in_a_file_it_makes_a_page_or_is_refused(
    data: st.DataObject, tmp_path: Path, documents: list[dict[str, Any]]
) -> None:
    document = json.loads(json.dumps(data.draw(st.sampled_from(documents))))
    *way, last = data.draw(st.sampled_from(places(document)))
    inner = document
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(STRANGE)
    path = tmp_path / "strange.json"
    path.write_text(json.dumps(document))
    try:
        page = report([path])
    except UserError as refused:
        page = f"<!DOCTYPE html>{refused}" if str(path) in str(refused) else "an error without the file"
    assert page.startswith("<!DOCTYPE html>")
