"""Real measurements of a small space; killed and resumed."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
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
from hwprofile.bench_report import for_people, to_json
from hwprofile.errors import UserError
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header, ProfileError
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
    """Complete lines that hold what was measured."""
    content = path.read_bytes()
    lines = content[: content.rfind(b"\n") + 1].decode().splitlines()
    return [
        line
        for line in lines
        if ('"wall_ns"' in line or '"run_us"' in line) and '"row":"reference"' not in line
    ]


def agent_of(process: int) -> int | None:
    """The process that a bench has started on its device."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[1]) == process:
            return int(folder.name)
    return None


def kill_after(command: list[str], delay_s: float, victim: str) -> None:
    """Start a bench, and kill it or its agent after a while."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        process.communicate(timeout=delay_s)
        return
    except subprocess.TimeoutExpired:
        killed = process.pid if victim == "parent" else agent_of(process.pid)
    if killed is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(killed, signal.SIGKILL)
    process.communicate()
    assert process.returncode in ((-signal.SIGKILL,) if killed == process.pid else (0, 6))


def kill_and_resume(space: Path, out: Path, kills: list[tuple[float, str]], *options: str) -> Profile:
    """Kill the bench or its agent after each delay, then let it finish; nothing is lost or measured twice."""
    kept: list[str] = []
    command = [*bench_command(space, out), *options]
    for delay, victim in kills:
        kill_after(command, delay, victim)
        if out.exists():
            now = measured_rows(out)
            assert now[: len(kept)] == kept, "a finished row was lost"
            kept = now
    subprocess.run(command, check=True, capture_output=True)
    assert measured_rows(out)[: len(kept)] == kept
    profile = Profile.load(out)  # raises where a row stands twice
    assert profile.finished
    for name in profile.names:  # a graph on which the agent was killed twice is given up
        progress = profile.progress(name)
        visits = len(progress.clean) + len(progress.disturbed)
        assert visits >= 3 or progress.failures >= 2, name
    return profile


def test_a_killed_bench_goes_on_where_it_stopped(home: Path, tiny_toml: Path, tmp_path: Path) -> None:
    kills = [(0.55, "parent"), (0.8, "agent"), (1.1, "parent")]
    kill_and_resume(tiny_toml, tmp_path / "killed.profile.jsonl", kills)


@pytest.mark.slow
def test_fifty_kills_at_random_moments_lose_nothing(home: Path, tiny_toml: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(int(time.time()))
    for number in range(10):
        kills = [(float(rng.uniform(0.2, 1.6)), str(rng.choice(["parent", "agent"]))) for _ in range(5)]
        inline = ["--inline"] if number % 2 else []
        kill_and_resume(tiny_toml, tmp_path / f"killed{number}.profile.jsonl", kills, *inline)


def test_ctrl_c_ends_with_130_and_a_profile_that_can_be_resumed(
    home: Path, tiny_toml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "interrupted.profile.jsonl"
    process = subprocess.Popen(
        bench_command(tiny_toml, out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    while not out.exists() or not measured_rows(out):
        assert process.poll() is None
        time.sleep(0.02)
    errors = b""
    while process.poll() is None:  # as a person does: a library may swallow the first one
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=0.4)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 130
    assert f"go on with: python -m {shlex.join(bench_command(tiny_toml, out)[2:])}\n".encode() in errors
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
