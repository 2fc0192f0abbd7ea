"""Commands that measure, on this computer: inline, kernels, other runtimes, cold caches, validate, doctor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from hwprofile.cli import main
from hwprofile.latency import SpaceLatency, inside_ms
from hwprofile.profile import Profile
from ponas_core.space_file import load_space

QUICK = ("--rounds", "2", "--precision", "50", "--calibrate", "2", "-q")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: object) -> dict[str, Any]:
    code, text, errors = run(*arguments, "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(text)
    return found


# --- inside networks


@pytest.fixture
def looked_into(home: Path, tiny_toml: Path) -> Profile:
    found = answer("bench", "--space", tiny_toml, "--inline", *QUICK)
    return Profile.load(Path(found["profile"]))


def test_inline_reads_every_block_inside_networks(looked_into: Profile, tiny_toml: Path) -> None:
    space = load_space(tiny_toml)
    found = inside_ms(space, looked_into)
    assert set(found) == set(space.keyed_blocks)
    alone = {key: looked_into.summary(key).median_ms for key in space.keyed_blocks}
    # blocks of a few microseconds, and a profiler that tells whole ones
    assert 0.2 < np.median([found[key] / alone[key] for key in found]) < 5
    times = [one for name in looked_into.insides for one in looked_into.usable_insides(name)]
    assert all(sum(run) <= whole for one in times for run, whole in zip(one.us, one.run_us, strict=True))


def test_a_model_with_times_inside_says_which_table_it_chose(looked_into: Profile, tiny_toml: Path) -> None:
    model = SpaceLatency.from_profile(looked_into, load_space(tiny_toml))
    assert set(model.held_out) == {"latency_ms", "inside_ms", "latency_ms+inside_ms"}
    assert model.held_out["+".join(model.table.measures)] == min(model.held_out.values())


def test_a_profile_without_times_inside_is_not_what_inline_asks_for(home: Path, tiny_toml: Path) -> None:
    plain = answer("bench", "--space", tiny_toml, *QUICK)
    looked = answer("bench", "--space", tiny_toml, "--inline", *QUICK)
    assert plain["profile"] != looked["profile"]
    assert answer("bench", "--space", tiny_toml, *QUICK)["profile"] == looked["profile"]
    code, _, errors = run("bench", "--space", tiny_toml, "--inline", "--out", plain["profile"], *QUICK)
    assert code == 1
    assert "without --inline" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime", "litert"], "--inline needs a runtime that tells the times of nodes: onnxruntime"),
        (["--kernels"], "--inline looks into the networks of a space"),
    ],
)
def test_inline_is_refused_where_it_means_nothing(
    home: Path, tiny_toml: Path, arguments: list[str], message: str
) -> None:
    code, _, errors = run("bench", "--space", tiny_toml, "--inline", *arguments)
    assert code == 1
    assert message in errors


# --- kernels


def test_kernels_are_benched_into_a_table(home: Path) -> None:
    found = answer("bench", "--kernels", "--kernel-count", "14", *QUICK)
    profile = Profile.load(Path(found["profile"]))
    assert len(profile.of_kind("kernel")) == 14
    assert found["kernels"] == 14
    assert all(profile.summary(name).median_ms > 0 for name in profile.of_kind("kernel"))
    code, text, _ = run("show", found["profile"])
    assert code == 0
    assert all(name in text for name in profile.of_kind("kernel"))


def test_too_few_kernels_are_refused(home: Path) -> None:
    code, _, errors = run("bench", "--kernels", "--kernel-count", "3")
    assert code == 1
    assert "at least 13 kernels" in errors


# --- settings


@pytest.mark.parametrize(
    "options",
    [
        ["--runtime", "litert"],
        pytest.param(["--runtime", "litert", "--provider", "builtin"], marks=pytest.mark.slow),
        ["--runtime", "litert", "--dtype", "int8"],
        ["--runtime", "pytorch"],
        pytest.param(["--runtime", "pytorch", "--provider", "channels_last"], marks=pytest.mark.slow),
        pytest.param(["--dtype", "int8"], marks=pytest.mark.slow),
        pytest.param(["--cache", "cold"], marks=pytest.mark.slow),
        ["--batch", "4"],
    ],
    ids=" ".join,
)
def test_every_setting_measures_a_space_into_a_profile_of_its_own(
    home: Path, tiny_toml: Path, options: list[str]
) -> None:
    plain = answer("bench", "--space", tiny_toml, *QUICK)
    found = answer("bench", "--space", tiny_toml, *QUICK, *options)
    assert found["profile"] != plain["profile"]
    profile = Profile.load(Path(found["profile"]))
    assert not profile.errors
    identity = profile.header.identity
    named = dict(zip(options[::2], options[1::2], strict=True))
    for option, value in named.items():
        key = {"--dtype": "precision"}.get(option, option.lstrip("-"))
        assert str(identity[key]) == value


def test_cold_caches_are_slower(home: Path, tiny_toml: Path) -> None:
    warm, cold = (
        Profile.load(Path(answer("bench", "--space", tiny_toml, *QUICK, "--cache", cache)["profile"]))
        for cache in ("warm", "cold")
    )
    ratios = [cold.summary(name).median_ms / warm.summary(name).median_ms for name in warm.of_kind("block")]
    assert np.median(ratios) > 1.2
    assert all(visit.runs_per_sample == 1 for name in cold.names for visit in cold.usable_visits(name))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runtime", "caffe"], "no runtime 'caffe'; known runtimes: onnxruntime, litert, pytorch"),
        (["--runtime", "pytorch", "--dtype", "int8"], "pytorch computes in fp32, not in int8"),
        (["--runtime", "litert", "--provider", "gpu"], "litert has the providers XNNPACK, builtin, not gpu"),
        (["--calibration-inputs", "none.npz"], "none.npz"),
    ],
)
def test_settings_that_cannot_be_are_refused(home: Path, arguments: list[str], message: str) -> None:
    code, _, errors = run("bench", *arguments)
    assert code == 1
    assert message in errors


def test_an_absent_provider_fails_every_graph_and_says_what_is_there(home: Path, tiny_toml: Path) -> None:
    code, _, errors = run("bench", "--space", tiny_toml, "--provider", "CUDAExecutionProvider", *QUICK)
    assert code == 6
    assert "present: " in errors
    assert "CPUExecutionProvider" in errors


def test_given_inputs_set_the_ranges_and_are_recorded(home: Path, tiny_toml: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "inputs.npz", input=np.ones((2, 1, 3, 16, 16), np.float32))
    arguments = ["bench", "--space", tiny_toml, "--dtype", "int8", *QUICK]
    found = answer(*arguments, "--calibration-inputs", tmp_path / "inputs.npz")
    calibration = Profile.load(Path(found["profile"])).header.identity["calibration"]
    assert len(calibration) == 8
    assert answer(*arguments)["profile"] != found["profile"]


def test_a_graph_that_takes_too_long_ends_as_timeout(home: Path, tmp_path: Path) -> None:
    code, _, errors = run("bench", "--kernels", "--kernel-count", "13", "--graph-timeout", "0.0001", *QUICK)
    assert code == 6  # the reference too takes longer than that
    assert "no answer within" in errors or "not read within" in errors


# --- several settings at once


def test_a_sweep_benches_every_combination_into_a_profile_of_its_own(home: Path, tiny_toml: Path) -> None:
    arguments = ["bench", "--space", tiny_toml, *QUICK, "--sweep", "batch=1,2", "--sweep", "dtype=fp32,int8"]
    code, text, errors = run(*arguments, "--json")
    assert code == 0, errors
    found = json.loads(text)
    assert [facts["settings"] for facts in found] == [
        {"batch": batch, "dtype": dtype} for batch in (1, 2) for dtype in ("fp32", "int8")
    ]
    assert len({facts["profile"] for facts in found}) == 4
    code, text, _ = run(*arguments)
    assert code == 0
    assert "batch=2 dtype=int8" in text


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (["threads"], "give each axis once, with two values or more"),
        (["threads=1"], "two values or more"),
        (["colour=1,2"], "axes: threads, batch"),
        (["threads=1,many"], "many"),
        (["batch=1,2", "batch=3,4"], "give each axis once"),
    ],
)
def test_a_sweep_that_says_nothing_is_a_wrong_command_line(
    home: Path, sweep: list[str], message: str
) -> None:
    code, _, errors = run("bench", *(word for text in sweep for word in ("--sweep", text)))
    assert code == 2
    assert message in errors


def test_a_setting_that_cannot_be_is_refused_before_anything_is_measured(home: Path, tiny_toml: Path) -> None:
    code, _, errors = run("bench", "--space", tiny_toml, "--sweep", "runtime=onnxruntime,caffe", *QUICK)
    assert code == 1
    assert "no runtime 'caffe'" in errors
    assert not list(home.rglob("*.jsonl"))


# --- validate


def test_validate_tells_machines_what_it_found(home: Path, tiny_toml: Path) -> None:
    found = answer("validate", "--space", tiny_toml, "--networks", "4", "--processes", "2", *QUICK)
    assert found.keys() >= {
        "networks", "mape", "bias", "spearman", "within_2", "within_5", "within_10", "interval_coverage",
        "noise_floor_mape", "baselines", "table", "level_change",
    }  # fmt: skip
    assert found["networks"] == len(found["measurements"]) == 4
    assert {"sum of blocks", "macs"} <= set(found["baselines"])
    measured = np.array([row["measured_ms"] for row in found["measurements"]])
    predicted = np.array([row["median_ms"] for row in found["measurements"]])
    assert found["mape"] == pytest.approx(np.abs(predicted / measured - 1).mean())
    names = [row["architecture"] for row in found["measurements"]]
    assert len(set(names)) == 4
    known = Profile.load(Path(found["profile"])).of_kind("network")
    assert not set(names) & set(known)


def test_validate_is_a_table_for_people(home: Path, tiny_toml: Path) -> None:
    code, text, _ = run("validate", "--space", tiny_toml, "--networks", "3", "--processes", "2", *QUICK)
    assert code == 0
    assert "noise floor" in text
    assert "macs" in text


def test_validate_needs_networks_that_the_profile_does_not_hold(home: Path, tiny_toml: Path) -> None:
    code, _, errors = run("validate", "--space", tiny_toml, "--networks", "500", *QUICK)
    assert code == 1
    assert "give --networks" in errors


# --- doctor


def test_the_doctor_looks_at_this_computer() -> None:
    found = answer("doctor", "-q")
    assert found["identity"]["cpu_count"]
    assert any("a small graph" in one["what"] for one in found["findings"])
    code, text, _ = run("doctor", "-q")
    assert code == 0
    assert "cure:" in text


def test_a_strict_doctor_ends_with_3_where_something_is_serious(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devices.diagnosis.LARGEST_SPREAD", -1.0)  # then every spread is too large
    assert run("doctor", "-q", "--strict")[0] == 3
