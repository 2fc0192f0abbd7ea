"""Slopes are computed right where they are known, and the simulation runs, on the real code, to its end."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet_at_scale import look_ups, profiles, total
from benchmarks.fleet_at_scale.fresh import ROOT, Watch, costs_of
from benchmarks.fleet_at_scale.made_up import block_names, write
from benchmarks.fleet_at_scale.slopes import Series, power_law
from devices.disturbances import Disturbance, RoundEvidence, disturbances
from hwprofile.profile import Profile

NO_DEADLINE = settings(deadline=None)  # a busy machine is no failure
SIZES = st.lists(st.floats(1, 1e6), min_size=3, max_size=8, unique_by=lambda size: round(math.log(size), 2))


# --- slopes


@NO_DEADLINE
@given(SIZES, st.floats(-1, 3), st.floats(1e-6, 1e3))
def test_the_law_of_exact_costs_is_found_whatever_its_slope(
    sizes: list[float], slope: float, scale: float
) -> None:
    law = power_law(sizes, [scale * size**slope for size in sizes])
    assert law.slope == pytest.approx(slope, abs=1e-6)
    assert law.half_width == pytest.approx(0, abs=1e-4)
    assert law.at(10 * law.largest) == pytest.approx(scale * (10 * law.largest) ** slope, rel=1e-4)
    assert law.factor_at(law.largest) == pytest.approx(1, abs=1e-3)


def test_what_every_call_pays_does_not_bend_the_slope_of_large_sizes() -> None:
    sizes = [10.0**power for power in range(8)]
    assert power_law(sizes, [5 + 0.001 * size**2 for size in sizes]).slope == pytest.approx(2, abs=0.01)


def test_the_interval_of_a_slope_holds_it_as_often_as_it_says() -> None:
    rng, sizes, held = np.random.default_rng(0), [1.0, 3.0, 10.0, 30.0], []
    for _ in range(2000):
        law = power_law(sizes, [size * np.exp(0.1 * rng.standard_normal()) for size in sizes])
        at_large = abs(math.log(law.at(300.0) / 300.0)) < math.log(law.factor_at(300.0))
        held.append((abs(law.slope - 1) < law.half_width, at_large))
    assert np.mean(held, axis=0) == pytest.approx([0.95, 0.95], abs=0.015)


def test_two_sizes_leave_the_spread_open() -> None:
    law = power_law([1.0, 10.0], [1.0, 10.0])
    assert law.slope == pytest.approx(1)
    assert law.half_width == law.factor_at(100.0) == math.inf


@pytest.mark.parametrize(
    ("sizes", "costs"), [([1.0], [1.0]), ([2.0, 2.0], [1.0, 1.0]), ([1.0, 2.0], [0.0, 1.0])]
)
def test_what_has_no_slope_is_refused(sizes: list[float], costs: list[float]) -> None:
    with pytest.raises(ValueError, match="a slope needs two sizes, and costs above 0"):
        power_law(sizes, costs)


def test_sizes_of_the_sum_are_measured_or_follow_the_law() -> None:
    costs = total.Costs([Series("load", "s", "samples", (10.0, 100.0, 1000.0), (1.0, 10.0, 100.0))])
    assert costs.near("load", "s", "samples", 120) == 10
    assert costs.at("load", "s", "samples", 1e4)[0] == pytest.approx(1000)
    assert costs.at("load", "s", "samples", 1e4)[1].startswith("extrapolated 10-fold, slope 1.00")
    assert costs.size_at("load", "s", "samples", 500.0)[0] == pytest.approx(5000)


# --- what is measured


def test_a_made_up_profile_is_read_judged_and_called_quiet(tmp_path: Path) -> None:
    path = tmp_path / "paper.profile.jsonl"
    write(path, block_names(30), 5, 9)
    profile = Profile.load(path)
    assert profile.finished
    assert profile.why_disturbed() is None
    assert sum(
        len(visit.wall_ns) for rounds in profile.visits.values() for visit in rounds.values() if visit
    ) == (30 * 5 * 9)


def test_a_bench_on_paper_goes_through_the_real_loop() -> None:
    watch = Watch()
    profiles.loop(watch, 4, 3)
    assert watch.costs["visits"] >= 4 * 3
    assert watch.costs["loop_s"] > 0


@pytest.mark.parametrize("rounds", [5, 15])
def test_how_often_rounds_are_judged_does_not_grow_with_them(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []

    def noting(evidence: Mapping[int, RoundEvidence]) -> dict[int, tuple[Disturbance, ...]]:
        judged.append(len(evidence))
        return disturbances(evidence)

    monkeypatch.setattr("hwprofile.profile.disturbances", noting)
    profiles.loop(Watch(), 4, rounds)
    assert 1 <= len(judged) <= 4
    assert min(judged) >= rounds


def test_a_task_is_measured_in_a_process_of_its_own() -> None:
    found = costs_of(f"{look_ups.HERE}:find", files=30)
    assert found["candidates_s"] > 0
    assert found["of_device_bytes"] >= os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_the_simulation_runs_to_its_end(tmp_path: Path) -> None:
    files = {"--out": tmp_path / "scale.json", "--plot": tmp_path / "scale.svg"}
    given = [str(word) for pair in files.items() for word in pair]
    command = [sys.executable, "-m", "benchmarks.fleet_at_scale", "--quick", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "Sizes are tiny: these are no figures." in done.stdout
    series = json.loads(files["--out"].read_text())
    assert {"profile, load", "loop of a bench", "scheduler, a task", "fleet's client, a round"} <= {
        one["what"] for one in series
    }
    assert files["--plot"].read_text().startswith("<svg ")
