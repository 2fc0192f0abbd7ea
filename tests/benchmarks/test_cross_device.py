"""Each device's fastest network at equal accuracy, chosen as a search through all networks would."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cross_device import (
    APART,
    EQUAL,
    Level,
    chosen_levels,
    device_of,
    even_levels,
    fastest,
    is_unbeaten,
    main,
    measured_anew,
    most_accurate,
    rivals,
    verdicts,
)
from benchmarks.published import folder, published, rows
from devices.schedule import Goal
from hwprofile.errors import UserError
from hwprofile.subjects import NetworksSubject
from ponas_core.space_file import shipped_space

needs_tables = pytest.mark.skipif(
    not folder().is_dir(),
    reason=f"the published measurements {folder()} are absent; HWPROFILE_TEST_DATA tells their folder",
)
DEVICES = 2


def toy(seed: int, networks: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    accuracy = np.round(rng.uniform(90, 92, networks), 2)
    return accuracy, rng.uniform(1, 2, (DEVICES, networks)) + (accuracy - 90)


def brute_force(accuracy: np.ndarray, latency_ms: np.ndarray) -> dict[float, tuple[tuple[int, ...], float]]:
    """By level: the pair of networks whose smallest lead is wanted, where nothing more accurate is faster."""
    found = {}
    for level in sorted(set(accuracy.tolist())):
        pair, leads = [], []
        for times in latency_ms:
            equal = [n for n in range(len(accuracy)) if abs(accuracy[n] - level) <= EQUAL + 1e-9]
            above = [n for n in range(len(accuracy)) if accuracy[n] >= level - EQUAL - 1e-9]
            own = min(equal, key=lambda n: times[n])
            if all(times[own] <= times[n] for n in above):
                pair.append(own)
        if len(pair) == DEVICES:
            leads = [latency_ms[at][pair[1 - at]] / latency_ms[at][pair[at]] - 1 for at in range(DEVICES)]
            found[level] = (tuple(pair), min(leads))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_level_with_the_largest_of_the_smaller_leads_comes_first(seed: int) -> None:
    accuracy, latency_ms = toy(seed)
    known = {level: one for level, one in brute_force(accuracy, latency_ms).items() if one[1] >= 0.01}
    found = chosen_levels(accuracy, latency_ms, 3, 0.01, 0.0)
    assert bool(found) == bool(known)
    for level in found:
        assert known[level.accuracy][0] == level.networks
        assert known[level.accuracy][1] == pytest.approx(level.advantage)
    if found:
        assert found[0].advantage == pytest.approx(max(lead for _, lead in known.values()))
    for one, other in itertools.combinations(found, 2):
        assert abs(one.accuracy - other.accuracy) >= APART
        assert one.advantage >= other.advantage


def test_some_toys_have_pairs() -> None:
    assert sum(bool(chosen_levels(*toy(seed), 3, 0.01, 0.0)) for seed in range(20)) >= 5


def test_no_pair_where_one_order_rules_both_devices() -> None:
    accuracy, latency_ms = toy(0)
    ruled = np.stack([latency_ms[0], latency_ms[0] ** 2])
    assert chosen_levels(accuracy, ruled, 3, 1e-9, 0.0) == []
    shared = chosen_levels(accuracy, ruled, 3, 0.0, 0.0)
    assert shared
    assert all(len(set(level.networks)) == 1 for level in shared)


def test_a_network_that_a_more_accurate_one_beats_is_not_taken() -> None:
    accuracy = np.array([90.0, 90.04, 91.0])
    latency_ms = np.array([[1.0, 2.0, 3.0], [2.0, 1.0, 0.5]])
    level = fastest(accuracy, latency_ms, 90.02)
    assert level is not None
    assert level.networks == (0, 1)
    assert level.slower.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert not is_unbeaten(level, accuracy, latency_ms)
    assert is_unbeaten(level, accuracy, latency_ms[:, [0, 1, 1]])
    assert fastest(accuracy, latency_ms, 92.0) is None


def test_levels_below_the_lowest_are_left_out() -> None:
    accuracy, latency_ms = toy(1, 300)
    assert all(level.accuracy >= 91 for level in chosen_levels(accuracy, latency_ms, 9, 0.0, 91.0))


def test_even_levels_hold_every_network_once() -> None:
    accuracy, latency_ms = toy(2, 300)
    levels = even_levels(accuracy + 0.001, latency_ms, 90.0)  # none on an edge
    counts = [np.sum(np.abs(accuracy + 0.001 - level.accuracy) <= EQUAL) for level in levels]
    assert sum(counts) == 300


def times_of(*medians_ms: float) -> dict[int, dict[int, float]]:
    """Ten processes a network, one per cent of noise."""
    rng = np.random.default_rng(0)
    return {
        index: dict(enumerate((median_ms * rng.normal(1, 0.01, 10)).tolist()))
        for index, median_ms in enumerate(medians_ms)
    }


def test_only_what_is_significantly_slower_loses() -> None:
    level = Level(90.0, (0, 1), np.array([[0.0, 0.2], [0.2, 0.0]]))
    found = rivals([level], [times_of(1.0, 1.2), times_of(2.0, 2.0)])
    assert [(rival.device, rival.other, rival.own_wins) for rival in found] == [(0, 1, True), (1, 0, False)]
    assert found[0].change.ratio == pytest.approx(1.2, abs=0.02)
    words = verdicts(found, ["here", "there"]).splitlines()
    assert words[2].endswith("  slower")
    assert words[3].endswith("  NOT slower")
    reverse = rivals([level], [times_of(1.2, 1.0), times_of(2.0, 1.0)])
    assert [rival.own_wins for rival in reverse] == [False, True]


def test_networks_are_measured_on_all_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWPROFILE_HOME", str(tmp_path))
    space = shipped_space("nasbench-macro")
    networks = {
        str(network): network for network in (space.architecture([0] * 8), space.architecture([1] * 8))
    }
    subject = NetworksSubject(space, space.name, networks, 1)
    goal = Goal(precision=0.5, rounds=2, most_rounds=2)
    profiles = measured_anew([device_of("fp32"), device_of("onnxruntime:int8")], subject, goal)
    assert [profile.header.identity["precision"] for profile in profiles] == ["fp32", "int8"]
    assert all(len(profile.process_ms(name)) == 2 for profile in profiles for name in networks)


def test_an_unknown_data_type_is_refused() -> None:
    with pytest.raises(UserError, match="not in int3"):
        device_of("int3")


# --- the published tables


@needs_tables
def test_the_most_accurate_within_a_budget_are_the_published_optima() -> None:
    data = published("nasbench201")
    assert data.kinds is not None
    accuracy = np.array([float(row["c10_test200"]) for row in rows("nb201_acc.csv.gz")])
    checked = 0
    for row in rows("nb201_optimum_public.csv"):
        if row["dataset"] != "c10" or row["device"] not in data.latency_ms:
            continue
        latency_ms = np.where(data.kinds >= 0, data.latency_ms[row["device"]], np.inf)
        best = most_accurate(accuracy, np.nan_to_num(latency_ms, nan=np.inf), float(row["budget_ms"]))
        assert accuracy[best] == pytest.approx(float(row["opt_test"]), abs=1e-3)
        checked += 1
    assert checked >= 10


@needs_tables
def test_the_published_part_prints_its_matrices(capsys: pytest.CaptureFixture[str]) -> None:
    main(["published", "--devices", "titanx_256", "silver_4114", "pixel3", "--levels", "1"])
    text = capsys.readouterr().out
    lines = text.split("nothing more accurate is faster")[1].strip().splitlines()
    assert [line.split()[1] for line in lines[2:5]] == ["titanx_256", "silver_4114", "pixel3"]
    assert all(line.count("(") == 1 and line.count("+") >= 2 for line in lines[2:5])
    assert "within the 75th percentile" in text
    with pytest.raises(SystemExit, match="no published device toaster"):
        main(["published", "--devices", "toaster", "pixel3"])


def test_absent_tables_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HWPROFILE_TEST_DATA", str(tmp_path))
    published.cache_clear()
    main(["published"])
    assert capsys.readouterr().out.startswith("skipped: the published measurements")
