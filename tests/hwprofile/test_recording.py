"""A profile played back as a device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.profile import Profile
from hwprofile.profile_lines import ProfileError
from hwprofile.recording import replay_device


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def played(home: Path, macro_profile: Path, tmp_path: Path) -> Path:
    out = tmp_path / "played.profile.jsonl"
    code, _, errors = run(
        "bench", "--space", "nasbench-macro", "--device", f"replay:{macro_profile}", "--out", out, "-q"
    )
    assert code == 0, errors
    return out


def test_benching_a_recording_gives_the_same_latencies(macro_profile: Path, played: Path) -> None:
    recorded, again = Profile.load(macro_profile), Profile.load(played)
    assert again.finished
    assert set(again.of_kind("block")) == set(recorded.of_kind("block"))
    for name in again.of_kind("block"):
        assert again.usable_visits(name) == recorded.usable_visits(name)[: len(again.usable_visits(name))]


def test_a_recording_says_that_it_is_one_and_fits_no_device(macro_profile: Path, played: Path) -> None:
    identity = dict(Profile.load(played).header.identity)
    assert identity.pop("recording").startswith("of 20")
    assert identity == dict(Profile.load(macro_profile).header.identity)
    code, _, errors = run("bench", "--space", "nasbench-macro", "--out", played)
    assert code == 1
    assert "recording" in errors


def test_a_network_that_was_not_recorded_cannot_be_measured(
    home: Path, macro_profile: Path, tmp_path: Path
) -> None:
    arguments = [
        "specialize",
        "--space",
        "nasbench-macro",
        "--device",
        f"replay:{macro_profile}",
        "--budget",
        "60%",
        "--out",
        tmp_path / "o",
    ]
    code, _, errors = run(*arguments)
    assert code == 6
    assert "the recording" in errors
    code, _, errors = run(*arguments, "--no-measure")
    assert code == 0, errors


def test_the_doctor_cannot_examine_a_recording(macro_profile: Path) -> None:
    code, _, errors = run("doctor", "--device", f"replay:{macro_profile}")
    assert code == 6
    assert "a recording does not tell" in errors


def test_what_cannot_be_played_back_is_refused(tmp_path: Path, macro_profile: Path) -> None:
    code, _, errors = run("bench", "--device", f"replay:{tmp_path / 'none'}")
    assert code == 1
    assert "cannot read the profile" in errors
    header = macro_profile.read_text().splitlines(keepends=True)[0]
    (tmp_path / "begun").write_text(header)
    with pytest.raises(ProfileError, match="no round of it has ended"):
        replay_device(tmp_path / "begun")
    odd = json.loads(header)
    odd["identity"]["precision"] = "int3"
    lines = macro_profile.read_text().splitlines(keepends=True)
    (tmp_path / "odd").write_text(json.dumps(odd) + "\n" + "".join(lines[1:]))
    with pytest.raises(ProfileError, match="cannot be played back: precision 'int3'"):
        replay_device(tmp_path / "odd")
