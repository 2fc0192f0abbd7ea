"""show and compare: profiles as a person reads them, and as a gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header
from ponas_core.space_file import shipped_space
from tests.hwprofile.made_up import write_made_up_profile

MACRO = shipped_space("nasbench-macro")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def header(cpu_header: Callable[[str], Header]) -> Header:
    return cpu_header("nasbench-macro")


def made_up(path: Path, header: Header, seed: int) -> Path:
    write_made_up_profile(path, MACRO, header, seed=seed)
    return path


def slowed(source: Path, target: Path, name: str, factor: float) -> Path:
    """The same profile with one graph slower."""
    lines = []
    for line in source.read_text().splitlines():
        row = json.loads(line)
        if row.get("name") == name and "wall_ns" in row and row["row"] != "reference":
            row |= {key: [round(factor * ns) for ns in row[key]] for key in ("wall_ns", "cpu_ns")}
        lines.append(json.dumps(row))
    target.write_text("\n".join(lines) + "\n")
    return target


# --- show


def test_show_is_a_table_of_every_graph(macro_profile: Path) -> None:
    code, text, _ = run("show", macro_profile)
    assert code == 0
    profile = Profile.load(macro_profile)
    assert all(name in text for name in profile.names)
    assert "measured in quiet" in text
    assert "share" in text


def test_show_tells_machines_all_that_it_tells_people(macro_profile: Path) -> None:
    code, text, _ = run("show", macro_profile, "--json")
    assert code == 0
    found = json.loads(text)
    profile = Profile.load(macro_profile)
    assert {row["name"] for row in found["graphs"]} == set(profile.names)
    shares = [row["share"] for row in found["graphs"] if row["kind"] == "block"]
    assert sum(shares) == pytest.approx(1.0)
    row = next(row for row in found["graphs"] if row["kind"] == "block")
    assert row["low_ms"] <= row["median_ms"] <= row["high_ms"]
    assert found["quiet"] is True
    assert found["identity"] == dict(profile.header.identity)


def test_show_names_what_disturbed(tmp_path: Path, macro_profile: Path) -> None:
    lines = []
    for line in macro_profile.read_text().splitlines():
        row = json.loads(line)
        if row["row" if "row" in row else "file"] == "round":
            busy = [
                {"process": 1, "clock_s": at, "busy_s": 2.0 * at, "own_s": 0.9 * at} for at in (0.0, 10.0)
            ]
            row["conditions"] = busy
        lines.append(json.dumps(row))
    path = tmp_path / "disturbed.profile.jsonl"
    path.write_text("\n".join(lines) + "\n")
    code, text, _ = run("show", path)
    assert code == 0
    assert "DISTURBED: only 0 of 6 rounds were undisturbed; other programs kept 1.1 processors busy" in text
    assert run("show", path, "--strict")[0] == 3


def test_show_tells_copies_and_enqueueing_where_a_profile_has_them(
    tmp_path: Path, macro_profile: Path
) -> None:
    plain = run("show", macro_profile)[1]
    assert "inputs already there" in plain
    assert not {"h2d", "d2h", "enqueue"} & set(plain.split())
    lines = [json.loads(line) for line in macro_profile.read_text().splitlines()]
    name = next(row["name"] for row in lines if row.get("row") == "block")
    for row in lines:
        if row.get("name") == name and "wall_ns" in row:
            count = len(row["wall_ns"])
            row |= {"cpu_ns": None, "h2d_ns": [2_000_000] * count, "enqueue_ns": [3_000_000] * count}
            row["notes"] = {"engine": "abcd"}
    device = tmp_path / "gpu.profile.jsonl"
    device.write_text("\n".join(map(json.dumps, lines)) + "\n")
    text = run("show", device)[1]
    line = next(line for line in text.splitlines() if name in line.split())
    assert line.index("2.0000 ms") < line.index("3.0000 ms")
    assert "enqueue (the host's thread starting one inference)" in text
    assert "d2h" not in text
    facts = {row["name"]: row for row in json.loads(run("show", device, "--json")[1])["graphs"]}
    assert (facts[name]["h2d_ms"], facts[name]["d2h_ms"], facts[name]["notes"]) == (
        2.0,
        None,
        {"engine": "abcd"},
    )


def test_show_of_what_is_no_profile_is_one_sentence(tmp_path: Path) -> None:
    code, _, errors = run("show", tmp_path / "none")
    assert code == 1
    assert errors.startswith("hwprofile: cannot read the profile")


# --- compare


def test_two_profiles_of_the_same_show_no_change(tmp_path: Path, header: Header) -> None:
    one, other = (made_up(tmp_path / f"{seed}.profile.jsonl", header, seed) for seed in (1, 2))
    code, text, _ = run("compare", one, other)
    assert code == 0, text
    assert "0 slower, 0 faster" in text


def test_a_slower_block_is_named_and_ends_with_5(tmp_path: Path, header: Header) -> None:
    one, other = (made_up(tmp_path / f"{seed}.profile.jsonl", header, seed) for seed in (1, 2))
    name = Profile.load(one).of_kind("block")[3]
    slow = slowed(other, tmp_path / "slow.profile.jsonl", name, 1.05)
    code, text, errors = run("compare", one, slow)
    assert code == 5
    assert name in text
    assert "1 slower" in text
    assert "graphs became slower" in errors
    code, text, _ = run("compare", slow, one)
    assert code == 0
    assert "0 slower, 1 faster" in text
    code, text, _ = run("compare", one, slow, "--json")
    assert code == 5
    found = json.loads(text)
    assert found["graphs"][0]["graph"] == name
    assert found["regressions"] == 1
    assert run("compare", one, slow, "--min-effect", "8")[0] == 0


def test_profiles_of_different_devices_are_compared_only_when_asked(tmp_path: Path, header: Header) -> None:
    other = replace(header, identity={**header.identity, "cpu_model": "Another CPU"})
    one = made_up(tmp_path / "one.profile.jsonl", header, 1)
    two = made_up(tmp_path / "two.profile.jsonl", other, 2)
    code, _, errors = run("compare", one, two)
    assert code == 1
    assert "cpu_model" in errors
    assert "--across" in errors
    code, text, _ = run("compare", one, two, "--across")
    assert code == 0
    assert "DIFFERENT cpu_model" in text


def test_profiles_without_a_common_graph_cannot_be_compared(
    tmp_path: Path, header: Header, macro_profile: Path
) -> None:
    empty = tmp_path / "empty.profile.jsonl"
    empty.write_text(macro_profile.read_text().splitlines(keepends=True)[0])
    code, _, errors = run("compare", macro_profile, empty)
    assert code == 1
    assert "share no graph" in errors
