"""The store of engines: what is put is got back whole or not at all, and it stays within its bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.agent_device import AgentDevice, AgentProcess
from devices.catalog import settings_for
from devices.connection import AgentDied, RequestFailed
from devices.engine_store import EngineStore, fingerprint
from devices.links.local import LocalLink
from tests.devices import tensorrt_standin

NO_DEADLINE = settings(deadline=None)


@pytest.fixture
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "engines", 1000)


def files(store: EngineStore) -> list[Path]:
    return sorted(store.folder.iterdir())


@NO_DEADLINE
@given(st.dictionaries(st.text(), st.binary(max_size=60), max_size=5))
def test_what_is_put_is_got_back(tmp_path_factory: pytest.TempPathFactory, entries: dict[str, bytes]) -> None:
    store = EngineStore(tmp_path_factory.mktemp("engines"))
    assert all(store.put(key, data) for key, data in entries.items())
    assert all(store.get(key) == data for key, data in entries.items())
    assert store.get("another") is None or "another" in entries


def test_what_was_put_last_under_a_key_counts(store: EngineStore) -> None:
    store.put("key", b"first")
    store.put("key", b"second")
    assert store.get("key") == b"second"
    assert len(files(store)) == 1
    store.drop("key")
    store.drop("key")
    assert store.get("key") is None


@pytest.mark.parametrize("damage", [b"", b"short", b"\0" * 40])
def test_a_damaged_file_counts_as_absent_and_is_written_anew(store: EngineStore, damage: bytes) -> None:
    store.put("key", b"an engine")
    files(store)[0].write_bytes(damage)
    assert store.get("key") is None
    assert store.put("key", b"an engine")
    assert store.get("key") == b"an engine"


def test_the_longest_unused_go_first(store: EngineStore) -> None:
    for number in range(3):
        store.put(str(number), bytes(300))
        os.utime(files(store)[-1])
    for age, key in enumerate(["1", "2", "0"]):
        path = store._path(key)
        os.utime(path, ns=(age, age))
    store.get("1")  # it is used, and so the newest
    store.put("3", bytes(300))
    assert [key for key in "0123" if store.get(key) is not None] == ["0", "1", "3"]
    assert sum(path.stat().st_size for path in files(store)) <= 1000


def test_what_is_larger_than_the_store_is_not_kept(store: EngineStore) -> None:
    store.put("small", b"x")
    assert not store.put("large", bytes(1000))
    assert store.get("small") == b"x"


def test_a_place_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = EngineStore(tmp_path / "file")
    assert not store.put("key", b"x")
    assert store.get("key") is None


def test_no_half_written_file_is_left(store: EngineStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise OSError("the disk is full")

    store.put("key", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert not store.put("key", b"after")
    assert store.get("key") == b"before"
    assert len(files(store)) == 1


def test_a_fingerprint_tells_targets_apart_and_not_the_settings_of_a_measurement() -> None:
    identity = {"gpu": "a", "runtime_version": "10.1", "precision": "fp16", "threads": 1, "provider": "graph"}
    software = {"gpu_driver": "550", "kernel": "6.1"}
    one = fingerprint("gpu", identity, software)
    assert one == fingerprint(
        "gpu", {**identity, "threads": 2, "provider": "stream"}, {**software, "kernel": "6.2"}
    )
    changes = {"gpu": "b", "runtime_version": "10.2", "precision": "int8"}
    others = [fingerprint("gpu", {**identity, name: value}, software) for name, value in changes.items()]
    others.append(fingerprint("gpu", identity, {**software, "gpu_driver": "560"}))
    others.append(fingerprint("jetson", identity, software))
    assert len({one, *others}) == 6


# --- engines of a real agent, over the stand-in


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tensorrt_standin.install(tmp_path_factory.mktemp("tensorrt"), "10.16.1.11")


@pytest.fixture
def device(standin: Path, store: EngineStore, monkeypatch: pytest.MonkeyPatch) -> AgentDevice:
    monkeypatch.setenv("PYTHONPATH", str(standin))
    larger = EngineStore(store.folder)
    return AgentDevice("gpu", LocalLink(), settings_for("tensorrt"), store=larger)


def notes(process: AgentProcess, graph: bytes) -> dict[str, object]:
    """What loading a graph told."""
    process.load("graph", graph)
    return dict(process._notes["graph"])


def test_a_second_process_runs_the_engine_that_the_first_has_built(device: AgentDevice, tiny: bytes) -> None:
    with device.process() as process:
        first = notes(process, tiny)
    with device.process() as process:
        second = notes(process, tiny)
        process.node_times("graph", tiny)
    assert (first["engine_from"], second["engine_from"]) == ("built", "kept")
    assert first["engine"] == second["engine"]
    assert device.store is not None
    assert len(files(device.store)) == 2  # an engine, and what the builder has timed


def test_an_engine_that_is_damaged_on_the_host_is_built_again(device: AgentDevice, tiny: bytes) -> None:
    assert device.store is not None
    with device.process() as process:
        first = notes(process, tiny)
        for path in files(device.store):
            path.write_bytes(path.read_bytes()[:-1])
        second = notes(process, tiny)
        third = notes(process, tiny)
    assert [one["engine_from"] for one in (first, second, third)] == ["built", "built", "kept"]
    assert first["engine"] != second["engine"] == third["engine"]


def test_an_engine_that_the_target_refuses_is_replaced(
    device: AgentDevice, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert device.store is not None
    with device.process() as process:
        notes(process, tiny)
        key = process._keys(tiny)["engine"]
        device.store.put(key, b"of another version")
        refused, again = notes(process, tiny), notes(process, tiny)
    assert refused["engine_from"] == "refused, then built"
    assert again["engine_from"] == "kept"


def test_a_crash_in_the_builder_ends_the_process_only(
    device: AgentDevice, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("STANDIN_TENSORRT", "crash")
        with device.process() as process, pytest.raises(AgentDied, match="SIGSEGV"):
            process.load("graph", tiny)
    with device.process() as process:
        assert notes(process, tiny)["engine_from"] == "built"


def test_a_build_that_fails_is_an_answer_with_the_reason(
    device: AgentDevice, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_TENSORRT", "unbuilt")
    with device.process() as process, pytest.raises(RequestFailed, match="no implementation for node X"):
        process.load("graph", tiny)


def test_a_visit_tells_the_parts_and_the_notes(
    device: AgentDevice, tiny: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_CUDA_FAILS", "cudaStreamEndCapture:900")
    with device.process() as process:
        process.load("graph", tiny)
        visit = process.time("graph", 3)
    assert visit.notes is not None
    assert visit.notes["cuda_graph"] is False
    assert "stream is capturing" in visit.notes["cuda_graph_refused"]
    for part in (visit.h2d_ns, visit.d2h_ns, visit.enqueue_ns):
        assert part is not None
        assert len(part) == len(visit.wall_ns)
    assert visit.cpu_ns is None


# --- what a host asks of a GPU


def test_a_gpu_is_warmed_up_longer_and_its_own_cache_is_filled() -> None:
    asked: list[dict[str, object]] = []

    class Asked:
        def request(self, verb: str, payload: bytes, timeout_s: float, **fields: object) -> dict[str, object]:
            asked.append(dict(fields))
            return {"runs_per_sample": 1, "wall_ns": [1], "warmup_runs": 3, "settled": True}

    for runtime in ("tensorrt", "onnxruntime"):
        chosen = settings_for(runtime, cache="cold")
        process = AgentDevice("gpu", LocalLink(), chosen).process()
        process.software = {"gpu_l2_bytes": 1000, "last_level_cache_bytes": 5000}
        process._connection = Asked()  # type: ignore[assignment]  # nothing is sent
        process.time("graph", 3)
    gpu, cpu = (one["plan"] for one in asked)
    assert isinstance(gpu, dict)
    assert isinstance(cpu, dict)
    assert (gpu["warmup_ms"], gpu["evict_bytes"], gpu["thread_clock"]) == (200.0, 2000, False)
    assert (cpu["evict_bytes"], cpu["thread_clock"]) == (10_000, True)
    assert "warmup_ms" not in cpu
