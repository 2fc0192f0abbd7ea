"""bench on TensorRT from the command line, over stand-ins: it was never run on a GPU."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hwprofile import places
from hwprofile.cli import main
from hwprofile.profile import Profile
from ponas_core.onnx_graph import block_model
from ponas_core.space_file import shipped_space
from tests.devices import tensorrt_standin
from tests.hwprofile.made_up import TINY

TENSORRT = ("--runtime", "tensorrt", "--rounds", 2, "--precision", 90, "--quiet")


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tensorrt_standin.install(tmp_path_factory.mktemp("tensorrt"), "10.16.1.11")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def model(standin: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model to bench, with the stand-ins on the agent's path and one home for all tests."""
    monkeypatch.setenv("PYTHONPATH", str(standin))
    monkeypatch.setenv("HWPROFILE_HOME", str(place / "home"))
    path = place / "block.onnx"
    path.write_bytes(block_model(shipped_space("digits").layers[1], 1).SerializeToString())
    return path


@pytest.fixture
def first(model: Path, place: Path) -> Path:
    """A profile of the model, benched once."""
    path = place / "first.profile.jsonl"
    if not path.exists():
        assert run("bench", "--onnx", model, *TENSORRT, "--out", path)[0] == 0
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout + result.stderr


def visits_of(path: Path) -> dict[int, Any]:
    """Visits of the first model by round."""
    return next(rounds for name, rounds in Profile.load(path).visits.items() if name.startswith("block"))


def engines(path: Path) -> list[tuple[str, str]]:
    """Where the engine of the model came from in every round, and its hash."""
    visits = visits_of(path).values()
    notes: list[Any] = [visit.notes for visit in visits if visit is not None]
    return [(one["engine_from"], one["engine"]) for one in notes]


def test_every_process_and_the_next_bench_run_the_engine_of_the_first(
    first: Path, model: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.profile.jsonl"
    assert run("bench", "--onnx", model, *TENSORRT, "--fresh", "--out", second)[0] == 0
    built, *kept = engines(first)
    assert built[0] == "built"
    assert set(kept) | set(engines(second)) == {("kept", built[1])}
    assert list(places.engines_folder().iterdir())
    code, text = run("show", first)
    assert code == 0
    assert all(part in text for part in ("h2d", "d2h", "enqueue", "inputs already there"))
    row = json.loads(run("show", first, "--json")[1])["graphs"][0]
    assert row["enqueue_ms"] > 0
    assert row["notes"]["engine"] == built[1]
    assert Profile.load(first).header.identity["gpu"] == "Stand-in"


def test_a_builder_that_crashes_costs_the_graph_and_not_the_bench(
    first: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(block_model(shipped_space("digits").layers[1], 2).SerializeToString())
    monkeypatch.setenv("STANDIN_TENSORRT", "crash")
    path = tmp_path / "second.profile.jsonl"
    code, _ = run("bench", "--onnx", model, other, *TENSORRT, "--out", path)
    assert code == 0
    profile = Profile.load(path)
    known, crashed = sorted(profile.visits)
    assert profile.verdict(crashed).status == "failed"
    assert "SIGSEGV" in profile.errors[crashed][-1]
    assert profile.verdict(known).summary is not None


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_a_space_in_other_types_with_times_inside_networks(model: Path, tmp_path: Path, dtype: str) -> None:
    space, path = tmp_path / "tiny.toml", tmp_path / "tiny.profile.jsonl"
    space.write_text(TINY)
    options = (*TENSORRT, "--dtype", dtype, "--inline", "--calibrate", 2)
    code, text = run("bench", "--space", space, *options, "--out", path)
    assert code == 0, text
    profile = Profile.load(path)
    assert profile.header.identity["precision"] == dtype
    assert profile.insides
    assert not profile.errors
    code, text = run(
        "validate", "--space", space, *options, "--profile", path, "--networks", 4, "--processes", 2
    )
    assert code == 0, text


def test_what_is_played_back_tells_what_was_recorded(first: Path, model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.profile.jsonl"
    device = ("--device", f"replay:{first}", "--rounds", 2, "--precision", 90, "--quiet")
    code, text = run("bench", "--onnx", model, *device, "--out", again)
    assert code == 0, text
    recorded, played = visits_of(first), visits_of(again)
    for number, visit in played.items():
        assert visit == recorded[number]
        assert visit is not None
        assert visit.enqueue_ns is not None


def test_without_a_gpu_it_is_said_what_is_missing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_CUDA_DEVICES", "0")
    code, text = run("bench", "--onnx", model, *TENSORRT, "--out", tmp_path / "none.profile.jsonl")
    assert code == 6
    assert "CUDA sees no GPU" in text
    monkeypatch.setenv("PYTHONPATH", os.devnull)
    code, text = run("bench", "--onnx", model, *TENSORRT, "--out", tmp_path / "none.profile.jsonl")
    assert code == 6
    assert "pip install tensorrt" in text
