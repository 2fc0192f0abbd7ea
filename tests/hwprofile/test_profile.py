from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.board_spread import BoardSpread
from devices.device import identity_differences
from devices.measurement import NodeTimes
from devices.rounds import Reading
from hwprofile.profile import Profile
from hwprofile.profile_lines import LARGEST_LINE_BYTES, Header, ProfileError
from hwprofile.profile_writer import ProfileWriter
from tests.hwprofile.made_up import made_up_visit

ROUND_END: dict[str, object] = {"row": "round", "conditions": [], "seconds": 1.0}


def write_small(path: Path, header: Header, rounds: int = 3) -> list[bytes]:
    """A profile of two blocks; gives its lines."""
    rng = np.random.default_rng(0)
    with ProfileWriter(Profile(path, header)) as writer:
        for number in range(rounds):
            for name in ("a", "b"):
                writer.reading(Reading(name, number + 1, made_up_visit(1.0, rng, 0.01)), "block", number)
            writer.append({**ROUND_END, "round": number})
    return path.read_bytes().splitlines(keepends=True)


@pytest.fixture
def header(cpu_header: Callable[[str], Header]) -> Header:
    return cpu_header("nasbench-macro")


def test_what_is_written_is_read_back(tmp_path: Path, header: Header) -> None:
    path = tmp_path / "p.jsonl"
    lines = write_small(path, header)
    profile = Profile.load(path)
    assert profile.header == header
    assert profile.of_kind("block") == ("a", "b")
    assert len(profile.progress("a").clean) == 3
    assert not profile.finished
    assert profile.current_round == 3
    assert json.loads(lines[0])["schema_version"] == 2
    assert "ns" not in json.loads(lines[0])["identity"]


HOT, COOL = ({"process": 1, "board_throttled_by": told} for told in (["heat"], None))
VISITS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from("ab"), st.booleans()), unique_by=lambda row: row[:2]
)
ENDS = st.lists(st.tuples(st.sampled_from(["one", "two"]), st.booleans()), min_size=3, max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VISITS, ENDS, st.data())
def test_rounds_are_counted_and_judged_in_whatever_order_they_come(
    header: Header, visits: list[tuple[int, str, bool]], ends: list[tuple[str, bool]], data: st.DataObject
) -> None:
    rng, profile, asked_once = (
        np.random.default_rng(0),
        Profile(Path("p"), header),
        Profile(Path("p"), header),
    )
    rows: list[dict[str, object]] = [
        {**ROUND_END, "round": 2 * number, "board": board, "conditions": [HOT if is_hot else COOL]}
        for number, (board, is_hot) in enumerate(ends)
    ]
    for number, name, fails in visits:
        shown = {"error": "no", "failure": "refused"} if fails else made_up_visit(1.0, rng, 0.01).to_json()
        rows.append({"row": "block", "name": name, "round": number, "process": 1, **shown})
    for row in data.draw(st.permutations(rows)):
        profile.apply(row)
        asked_once.apply(row)
        for name in "ab":
            known = profile.progress(name)
            assert profile.successes[name] == len(known.clean) + len(known.disturbed)
            assert profile.failures[name] == known.failures
            assert profile.clean_visits(name) == len(known.clean)
    assert profile.current_round == 5
    assert profile.disturbances == asked_once.disturbances
    assert [bool(profile.disturbances[2 * number]) for number in range(3)] == [is_hot for _, is_hot in ends]


def test_the_rows_hold_raw_samples_and_no_statistics(tmp_path: Path, header: Header) -> None:
    row = json.loads(write_small(tmp_path / "p.jsonl", header)[1])
    assert set(row) == {
        "row", "name", "round", "process",
        "runs_per_sample", "wall_ns", "cpu_ns", "warmup_runs", "settled",
    }  # fmt: skip


@given(cut=st.integers(1, 3000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_loses_at_most_its_last_line(tmp_path: Path, header: Header, cut: int) -> None:
    path = tmp_path / "p.jsonl"
    path.unlink(missing_ok=True)
    lines = write_small(path, header)
    content = b"".join(lines)
    kept = content[: max(len(lines[0]), len(content) - cut)]
    path.write_bytes(kept)
    complete = kept.count(b"\n")
    profile = Profile.load(path)
    in_memory = sum(len(rounds) for rounds in profile.visits.values())
    assert in_memory == sum(b'"row":"block"' in line for line in lines[:complete])
    assert (profile.notice is None) == kept.endswith(b"\n")
    with ProfileWriter(profile):
        pass
    assert path.read_bytes() == b"".join(lines[:complete])


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_file_without_a_complete_header_is_begun_anew(tmp_path: Path, header: Header, share: float) -> None:
    path = tmp_path / "p.jsonl"
    first = write_small(path, header)[0].rstrip(b"\n")
    path.write_bytes(first[: int(share * len(first))])
    assert not Profile.was_begun(path)
    with ProfileWriter(Profile(path, header)):
        pass
    assert path.read_bytes() == first + b"\n"
    assert Profile.was_begun(path)


@given(line=st.integers(1, 9), content=st.binary(max_size=60))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_garbled_line_is_one_error_that_names_the_line_and_the_cure(
    tmp_path: Path, header: Header, line: int, content: bytes
) -> None:
    path = tmp_path / "p.jsonl"
    path.unlink(missing_ok=True)
    lines = write_small(path, header)
    lines[line - 1] = content.replace(b"\n", b" ") + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(ProfileError, match=rf"line {line}:.*(--fresh|hwprofile bench)"):
        Profile.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 3}, "newer hwprofile.*update hwprofile"),
        ({"schema_version": 0}, "no longer read: measure anew with --fresh"),
        ({"schema_version": "1"}, "line 1: not the header of a profile"),
        ({"file": "something"}, "line 1: not the header of a profile"),
        ({"identity": []}, "line 1: identity is no object"),
        ({"software": 0.5}, "line 1: software is no object"),
        ({"software": "x"}, "line 1: software is no object"),
        ({"identity": {"threads": "1"}}, "line 1: threads in identity is no number"),
        ({"space": 3}, "line 1: device, subject, space and created are texts"),
        ({"space": {"a": 1}}, "line 1: device, subject, space and created are texts"),
        ({"inline": 1}, "inline is true or false"),
        ({"goal": {"precision": 2.0}}, "line 1: precision is a share"),
        ({"goal": {"speed": 2.0}}, "line 1: the goal is malformed"),
    ],
)
def test_an_unusable_header_is_refused_with_advice(
    tmp_path: Path, header: Header, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "p.jsonl"
    lines = write_small(path, header)
    lines[0] = json.dumps({**json.loads(lines[0]), **change}).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(ProfileError, match=message):
        Profile.load(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"row": "guess"}, "unknown row 'guess'"),
        ({}, "the field 'row' is missing"),
        ({"row": "block", "name": "c", "round": 0, "process": 1}, "not the samples of a visit"),
        ({"row": "round", "round": 0}, "the field 'conditions' is missing"),
        ({"row": "round", "round": 0, "conditions": [{"affinity": 1}], "seconds": 1.0}, "affinity in cond"),
        ({"row": "round", "round": 0, "conditions": [3], "seconds": 1.0}, "conditions is no object"),
        ({"row": "round", "round": 0, "conditions": [], "seconds": 10**19}, "seconds is no length of time"),
        ({"row": "round", "round": 0.5, "conditions": [], "seconds": 1.0}, "round is no count"),
        ({"row": "reference", "name": "c", "round": -1, "process": 1}, "round is no count"),
        ({"row": "reference", "name": ["c"], "round": 0, "process": 1}, "name is no text"),
        ({"row": "block", "name": "c", "round": True, "process": 1}, "round is no count"),
        ({"row": "chosen", "networks": [1]}, "is an object of architectures"),
    ],
)
def test_a_malformed_row_is_refused(
    tmp_path: Path, header: Header, row: dict[str, object], message: str
) -> None:
    path = tmp_path / "p.jsonl"
    lines = write_small(path, header)
    path.write_bytes(b"".join([*lines, json.dumps(row).encode() + b"\n", lines[-1]]))
    with pytest.raises(ProfileError, match=f"line {len(lines) + 1}: .*{message}"):
        Profile.load(path)


def test_a_graph_measured_twice_in_a_round_is_refused(tmp_path: Path, header: Header) -> None:
    path = tmp_path / "p.jsonl"
    lines = write_small(path, header)
    path.write_bytes(b"".join([*lines, lines[1]]))
    with pytest.raises(ProfileError, match="a was measured twice in round 0"):
        Profile.load(path)


def test_missing_empty_and_endless_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="cannot read the profile"):
        Profile.load(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(ProfileError, match="is empty"):
        Profile.load(tmp_path / "empty.jsonl")
    (tmp_path / "long.jsonl").write_bytes(b"x" * (LARGEST_LINE_BYTES + 10))
    with pytest.raises(ProfileError, match="has a line of over"):
        Profile.load(tmp_path / "long.jsonl")


def test_two_writers_of_one_profile_are_kept_apart(tmp_path: Path, header: Header) -> None:
    path = tmp_path / "p.jsonl"
    write_small(path, header)
    code = (
        "import sys; from pathlib import Path; from hwprofile.profile_writer import *\n"
        "try:\n with ProfileWriter(Profile.load(Path(sys.argv[1]))): pass\n"
        "except ProfileError as error: print(error)"
    )
    with ProfileWriter(Profile.load(path)):
        other = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
    assert "is being written by another bench" in other.stdout


def test_disturbed_rounds_are_kept_but_do_not_count(tmp_path: Path, header: Header) -> None:
    path, rng = tmp_path / "p.jsonl", np.random.default_rng(0)
    with ProfileWriter(Profile(path, header)) as writer:
        for number, latency_ms in enumerate([1.0, 1.0, 5.0, 1.0]):
            writer.reading(Reading("a", number + 1, made_up_visit(latency_ms, rng, 0.001)), "block", number)
            stolen = [{"process": number, "clock_s": at, "stolen_s": at * (latency_ms > 2)} for at in (0, 1)]
            writer.append({**ROUND_END, "round": number, "conditions": stolen})
    profile = Profile.load(path)
    assert (len(profile.progress("a").clean), len(profile.progress("a").disturbed)) == (3, 1)
    assert profile.summary("a").median_ms == pytest.approx(1.0, rel=0.02)


def test_identities_are_compared_key_by_key() -> None:
    assert identity_differences({"cpu": "x", "threads": 1}, {"threads": 1, "cpu": "x"}) == []
    assert identity_differences({"cpu": "x"}, {"cpu": "y", "runtime": "z"}) == [
        "cpu: x / y",
        "runtime: None / z",
    ]


def test_times_inside_networks_are_kept_for_each_round(tmp_path: Path, header: Header) -> None:
    path = tmp_path / "p.jsonl"
    inside = NodeTimes(("layer0/conv_0",), ((5,), (6,)), (7, 8))
    with ProfileWriter(Profile(path, header)) as writer:
        for number in range(3):
            writer.reading(Reading("net", number + 1, inside=inside, is_inside=True), "network", number)
            writer.append({**ROUND_END, "round": number})
        failed = Reading("net", 4, error="too large", failure="refused", is_inside=True)
        writer.reading(failed, "network", 3)
    profile = Profile.load(path)
    assert profile.usable_insides("net") == (inside,) * 3
    assert profile.errors == {"net": ["too large"]}
    assert profile.names == ()
    row = json.dumps({"row": "inside", "name": "net", "round": 2, "process": 3, **inside.to_json()})
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(ProfileError, match="looked into twice in round 2"):
        Profile.load(path)


def test_a_graph_that_never_answered_in_time_ends_as_timeout(tmp_path: Path, header: Header) -> None:
    path = tmp_path / "p.jsonl"
    with ProfileWriter(Profile(path, header)) as writer:
        for number in range(2):
            reading = Reading("slow", number + 1, error="no answer within 1 s", failure="timeout")
            writer.reading(reading, "block", number)
            writer.append({**ROUND_END, "round": number})
    profile = Profile.load(path)
    assert profile.status_counts() == {"timeout": 1}
    with pytest.raises(ValueError, match="slow has no successful measurement"):
        profile.summary("slow")


# --- boards of a fleet


def write_on_boards(
    path: Path, header: Header, boards: Sequence[str], slower: Mapping[str, float]
) -> Profile:
    """Ten graphs, a round on each of these boards, some of which are so much slower."""
    rng = np.random.default_rng(0)
    with ProfileWriter(Profile(path, header)) as writer:
        for number, board in enumerate(boards):
            for graph in range(10):
                visit = made_up_visit((graph + 1) * (1 + slower.get(board, 0.0)), rng, 0.002)
                writer.reading(Reading(f"block{graph}", number + 1, visit), "block", number)
            writer.append({**ROUND_END, "round": number, **({"board": board} if board else {})})
    return Profile.load(path)


def test_boards_that_differ_widen_every_interval(tmp_path: Path, header: Header) -> None:
    boards = ["a", "b", "c"] * 3
    alike = write_on_boards(tmp_path / "alike.jsonl", header, boards, {})
    apart = write_on_boards(tmp_path / "apart.jsonl", header, boards, {"a": 0.03, "c": -0.03})
    assert alike.boards == apart.boards == ("a", "b", "c")
    assert alike.board_spread.half_width < 0.01
    assert apart.board_spread.levels == pytest.approx({"a": 0.03, "b": 0.0, "c": -0.03}, abs=0.003)
    for name in apart.names:
        assert apart.summary(name).half_width > apart.board_spread.half_width > 0.05
        assert apart.verdict(name).status == "noisy"
    assert alike.verdict("block3").status == "ok"


def test_a_board_that_stands_apart_is_why_a_profile_is_not_to_be_trusted(
    tmp_path: Path, header: Header
) -> None:
    found = write_on_boards(tmp_path / "p.jsonl", header, ["a", "b", "c"] * 3, {"c": 0.2})
    assert found.why_disturbed() is not None
    assert re.fullmatch(r"c is (19|20)\.\d% slower than the others", found.why_disturbed() or "")


def test_one_board_or_none_is_as_ever(tmp_path: Path, header: Header) -> None:
    one = write_on_boards(tmp_path / "one.jsonl", header, ["a"] * 5, {})
    none = write_on_boards(tmp_path / "none.jsonl", header, [""] * 5, {})
    assert (one.boards, none.boards) == (("a",), ("",))
    assert one.board_spread == none.board_spread == BoardSpread()
    assert one.summary("block3") == none.summary("block3")


def test_another_boards_level_is_no_drift(tmp_path: Path, header: Header) -> None:
    rng = np.random.default_rng(0)
    with ProfileWriter(Profile(tmp_path / "p.jsonl", header)) as writer:
        for number in range(8):
            slower = 1.2 if number % 2 else 1.0
            for _ in range(5):
                visit = made_up_visit(slower, rng, 0.001)
                writer.reading(Reading("ref", number + 1, visit, is_reference=True), "block", number)
            writer.reading(Reading("a", number + 1, made_up_visit(slower, rng, 0.001)), "block", number)
            writer.append({**ROUND_END, "round": number, "board": "ab"[number % 2]})
    found = Profile.load(tmp_path / "p.jsonl")
    assert not any(found.disturbances.values())
    assert set(found.board_spread.disagreeing) == {"a", "b"}


@pytest.mark.parametrize("board", [7, None, "", "10.0.0.1:22", "-x", "a" * 65])
def test_a_board_is_known_by_a_name(tmp_path: Path, header: Header, board: object) -> None:
    profile = Profile(tmp_path / "p.jsonl", header)
    with pytest.raises(ValueError, match="name of a board"):
        profile.apply({**ROUND_END, "round": 0, "board": board})
