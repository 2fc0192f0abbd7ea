"""Real measurements of a small space; killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from devices.catalog import device
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.bench import BenchReport
from hwprofile.bench_report import for_people, to_json
from hwprofile.errors import UserError
from hwprofile.profile import Header, Profile, ProfileError
from hwprofile.session import Session
from ponas_core.space_file import load_space

QUICK = Goal(precision=0.5, rounds=2, most_rounds=3)


@pytest.fixture
def session(home: Path) -> Session:
    return Session(device("cpu", Settings()), QUICK, calibrate=3, quiet=True)


def bench_command(space: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "hwprofile", "bench", "--space", str(space), "--out", str(out),
        "--precision", "50", "--rounds", "3", "--calibrate", "3", "--json",
    ]  # fmt: skip


def test_a_space_is_measured_into_a_finished_profile(session: Session, tiny_toml: Path) -> None:
    report = session.bench(str(tiny_toml))
    space = load_space(tiny_toml)
    profile = Profile.load(report.profile.path)
    assert profile.finished
    assert set(profile.of_kind("block")) == set(space.keyed_blocks)
    assert set(profile.of_kind("network")) == set(profile.chosen or {})
    assert {"canary", "winner"} <= set((profile.chosen or {}).values())
    assert all(len(profile.usable_visits(name)) >= 2 for name in profile.names)
    assert profile.errors == {}
    facts = to_json(report)
    assert facts["blocks"] == len(space.keyed_blocks)
    assert sum(facts["status"].values()) == facts["blocks"] + facts["networks"]
    assert 0 < facts["timed_s"] < facts["wall_s"]
    assert str(profile.path) in for_people(report)


def test_a_finished_profile_is_given_back_and_fresh_keeps_it(session: Session, tiny_toml: Path) -> None:
    first = session.bench(str(tiny_toml))
    content = first.profile.path.read_bytes()
    again = session.bench(str(tiny_toml))
    assert again.was_finished
    assert again.profile.path == first.profile.path
    anew = session.bench(str(tiny_toml), fresh=True)
    assert anew.profile.path != first.profile.path
    assert first.profile.path.read_bytes() == content
    assert session.bench(str(tiny_toml)).profile.path == anew.profile.path


def test_every_process_of_a_profile_is_its_own(session: Session, tiny_toml: Path) -> None:
    report = session.bench(str(tiny_toml))
    rows = [json.loads(line) for line in report.profile.path.read_text().splitlines()[1:]]
    processes: dict[int, set[int]] = {}
    for row in rows:
        if "process" in row:
            processes.setdefault(row["round"], set()).add(row["process"])
    seen = [process for found in processes.values() for process in found]
    assert len(seen) == len(set(seen)) >= 3


def _conv_model(channels: int) -> onnx.ModelProto:
    weight = np.zeros((channels, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 16, 16])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def test_onnx_files_and_folders_are_benched_without_a_space(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for channels in (4, 8):
        onnx.save(_conv_model(channels), folder / f"conv{channels}.onnx")
    onnx.save(_conv_model(2), tmp_path / "alone.onnx")
    (folder / "broken.onnx").write_bytes(b"not a graph")
    report = session.bench("nasbench-macro", [folder, tmp_path / "alone.onnx"])
    profile = report.profile
    assert set(profile.of_kind("model")) == {"conv4.onnx", "conv8.onnx", "alone.onnx", "broken.onnx"}
    assert to_json(report)["status"]["failed"] == 1
    assert "broken.onnx failed" in for_people(report)
    assert profile.header.space is None
    assert session.bench("nasbench-macro", [folder, tmp_path / "alone.onnx"]).was_finished


@pytest.mark.parametrize("name", ["missing.onnx", "empty"])
def test_a_path_without_onnx_files_is_refused(session: Session, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no ONNX file there"):
        session.bench("nasbench-macro", [tmp_path / name])


def test_another_devices_profile_is_not_continued(session: Session, tiny_toml: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.profile.jsonl"
    session.bench(str(tiny_toml), out=out)
    lines = out.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    header["identity"]["cpu_model"] = "Another CPU"
    out.write_text(json.dumps(header) + "\n" + "".join(lines[1:]))
    with pytest.raises(ProfileError, match=r"cpu_model: Another CPU / .*use --fresh"):
        session.bench(str(tiny_toml), out=out)
    threads = Session(device("cpu", Settings(batch=2)), QUICK, calibrate=3, quiet=True)
    with pytest.raises(ProfileError, match="batch: 1 / 2"):
        threads.bench(str(tiny_toml), out=out)


def measured_rows(path: Path) -> list[str]:
    """Complete lines that hold a visit."""
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].decode().splitlines()
    return [line for line in lines if '"wall_ns"' in line and '"row":"reference"' not in line][0:]


def kill_and_resume(space: Path, out: Path, delays_s: list[float]) -> BenchReport | Profile:
    """Kill the bench after each delay, then let it finish; nothing may be lost or measured twice."""
    kept: list[str] = []
    for delay in delays_s:
        process = subprocess.Popen(
            bench_command(space, out),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            process.communicate(timeout=delay)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        if out.exists():
            now = measured_rows(out)
            assert now[: len(kept)] == kept, "a finished row was lost"
            kept = now
    subprocess.run(bench_command(space, out), check=True, capture_output=True)
    assert measured_rows(out)[: len(kept)] == kept
    profile = Profile.load(out)  # raises where a row stands twice
    assert profile.finished
    assert all(len(profile.usable_visits(name)) >= 3 for name in profile.names)
    return profile


def test_a_killed_bench_goes_on_where_it_stopped(home: Path, tiny_toml: Path, tmp_path: Path) -> None:
    kill_and_resume(tiny_toml, tmp_path / "killed.profile.jsonl", [0.55, 0.8, 1.1])


@pytest.mark.slow
def test_forty_kills_at_random_moments_lose_nothing(home: Path, tiny_toml: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(int(time.time()))
    for number in range(8):
        delays = [float(delay) for delay in rng.uniform(0.2, 1.6, 5)]
        kill_and_resume(tiny_toml, tmp_path / f"killed{number}.profile.jsonl", delays)


def test_ctrl_c_ends_with_130_and_a_profile_that_can_be_resumed(
    home: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "interrupted.profile.jsonl"
    process = subprocess.Popen(bench_command(tiny_toml, out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not out.exists() or not measured_rows(out):
        assert process.poll() is None
        time.sleep(0.02)
    errors = b""
    while process.poll() is None:  # as a person does: an import may swallow the first one
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=0.4)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 130
    assert b"the same command goes on" in errors
    assert b"Traceback" not in errors
    assert not Profile.load(out).finished


def test_a_place_that_cannot_be_written_is_a_clear_error(session: Session, tiny_toml: Path) -> None:
    with pytest.raises(ProfileError, match=r"cannot write .*choose another --out"):
        session.bench(str(tiny_toml), out=Path("/proc/none/p.jsonl"))


def test_a_header_is_of_this_machine(cpu_header: Callable[[str], Header]) -> None:
    header = cpu_header("nasbench-macro")
    identity = dict(header.identity)
    assert {"cpu_model", "machine", "runtime", "runtime_version", "threads", "batch", "precision"} <= set(
        identity
    )
    assert replace(header, device="other").identity == header.identity
