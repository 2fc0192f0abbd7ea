"""Energies as people meet them: benched on a made-up computer, shown, played back, limited."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from devices.links.local import LocalLink
from devices.rounds import ENERGY
from hwprofile.budget import Budget
from hwprofile.catalog import scores_named
from hwprofile.cli import main
from hwprofile.energy import Energy, SpaceEnergy
from hwprofile.latency import SpaceLatency
from hwprofile.matching import check_fits
from hwprofile.profile import Profile
from hwprofile.profile_lines import Header, ProfileError
from hwprofile.specialize import MOST_ENERGY_TRIES, Specialization, Specializer
from hwprofile.verification import Verifier
from ponas_core.closed_loop import Latency
from ponas_core.space import Architecture, SearchSpace
from ponas_core.space_file import shipped_space
from tests.devices.made_up_energy import JETSON, MADE_UP, NO_SOURCE, EnergyLink
from tests.hwprofile.made_up import SOURCE, TINY, true_network_mj, write_made_up_profile

QUICK = ("--rounds", "2", "--precision", "90", "--calibrate", "2")
MACRO = "nasbench-macro"


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: object) -> dict[str, Any]:
    code, text, errors = run(*arguments, "--json")
    assert code == 0, errors
    found: dict[str, Any] = json.loads(text)
    return found


def become(patch: pytest.MonkeyPatch, before: str) -> None:
    """Make this computer another one, by code that runs before the agent comes."""
    link = EnergyLink(before)
    patch.setattr(LocalLink, "start", lambda self, arguments, stderr: link.start(arguments, stderr))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ONNX files."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "tiny.toml").write_text(TINY)
    for arch in ("0,0,0", "1,2,2"):
        code, text, errors = run(
            "export", "--space", folder / "tiny.toml", "--arch", arch, "--out", folder / f"{arch}.onnx"
        )
        assert code == 0, text + errors
    return folder


@pytest.fixture(scope="module")
def benched(models: Path) -> Iterator[Path]:
    """A profile of them with energies, on a made-up computer; `bench` goes on there in every test."""
    with pytest.MonkeyPatch.context() as patch:
        become(patch, MADE_UP)
        out = models / "benched.profile.jsonl"
        facts = answer("bench", "--onnx", models, "--energy", "--out", out, *QUICK)
        assert facts["energy"] == SOURCE.to_json()
        yield out


# --- benched on a made-up computer


def test_bench_reads_the_energy_of_every_graph(benched: Path) -> None:
    profile = Profile.load(benched)
    assert profile.errors == {}
    rows = [json.loads(line) for line in benched.read_text().splitlines()]
    assert rows[0]["energy"] == SOURCE.to_json()
    energies = [row for row in rows if row.get("row") == "energy"]
    assert set(energies[0]) == {
        "row", "name", "round", "process", "runs", "wall_ns", "energy_uj", "source", "idle_ns", "idle_uj",
    }  # fmt: skip
    assert all(len(profile.energies[name]) == len(profile.visits[name]) >= 2 for name in profile.names)
    states = [state for end in profile.ends.values() for state in end.conditions]
    assert {state.get("phase") for state in states} == {None, ENERGY}


def test_show_tells_energies(benched: Path, macro_profile: Path) -> None:
    code, text, _ = run("show", benched)
    assert code == 0
    assert "dynamic mJ" in text
    assert "energy: rapl package-0, processor package, idle included" in text
    profile = Profile.load(benched)
    for row in answer("show", benched)["graphs"]:
        energy = row["energy"]
        assert energy["low_mj"] <= energy["median_mj"] <= energy["high_mj"]
        assert energy["median_mj"] == pytest.approx(np.median(list(profile.process_mj(row["name"]).values())))
    assert "mJ" not in run("show", macro_profile)[1]
    assert answer("show", macro_profile)["energy"] is None


def test_an_interrupted_bench_goes_on_among_its_energies(benched: Path, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "cut.profile.jsonl"
    lines = benched.read_text().splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if '"row":"energy"' in line)
    kept = "".join(lines[: first + 1])
    out.write_text(kept + lines[first + 1][:20])  # torn inside the second energy
    # what was begun with energies goes on with them
    answer("bench", "--onnx", models, "--out", out, *QUICK)
    assert out.read_text().startswith(kept)
    profile = Profile.load(out)  # raises where a row stands twice
    assert profile.finished
    assert all(set(profile.energies[name]) == set(profile.visits[name]) for name in profile.names)


def test_energies_are_played_back(benched: Path, models: Path, tmp_path: Path) -> None:
    played = tmp_path / "played.profile.jsonl"
    device = f"replay:{benched}"
    answer("bench", "--onnx", models, "--device", device, "--energy", "--out", played, *QUICK)
    found, before = Profile.load(played), Profile.load(benched)
    assert found.header.energy == before.header.energy
    assert found.energies == before.energies


def test_without_a_source_it_is_said_at_once_what_would_give_one(
    home: Path, tiny_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, NO_SOURCE)
    code, text, errors = run("bench", "--space", tiny_toml, "--energy", *QUICK)
    assert (code, text) == (1, "")
    assert "no energy source on this device: no RAPL counters" in errors
    assert not list(home.rglob("*.jsonl"))
    code, text, errors = run(
        "specialize", "--space", tiny_toml, "--scores", "macs", "--budget", "2mJ", *QUICK
    )
    assert (code, text) == (2, "")
    assert "budget 2mJ: no energy source on this device: " in errors
    assert len(errors.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_winner_is_measured_against_its_energy_budget(
    home: Path, tiny_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, MADE_UP)
    found = answer(
        "specialize", "--space", tiny_toml, "--scores", "macs", "--budget", "1s", "--budget", "5J", *QUICK
    )
    assert found["budget"] == {"latency_ms": 1000.0, "energy_mj": 5000.0}
    assert found["holds_energy_budget"] is True
    assert found["measured_mj"]["low"] <= found["measured_mj"]["median"] <= found["measured_mj"]["high"]
    assert found["energy_source"] == SOURCE.to_json()
    assert Profile.load(Path(found["profile"])).header.energy == SOURCE


@pytest.mark.slow
def test_the_energy_model_is_held_against_networks_that_it_never_saw(
    home: Path, tiny_toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, MADE_UP)
    arguments = ["validate", "--space", tiny_toml, "--networks", "3", "--processes", "2", "--energy", *QUICK]
    found = answer(*arguments)["energy"]
    assert set(found) >= {"bias", "mape", "spearman", "interval_coverage"}
    assert "energy: bias" in run(*arguments)[1]


# --- boards


def test_a_board_in_a_small_mode_is_told_at_the_start_and_is_another_device(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(monkeypatch, JETSON)
    out = tmp_path / "board.profile.jsonl"
    arguments = ["bench", "--onnx", models / "0,0,0.onnx", "--out", out, *QUICK]
    code, _, errors = run(*arguments)
    assert code == 0
    assert "the board is in power mode 15W: " in errors
    assert "the board's clocks follow the load: " in errors
    identity = Profile.load(out).header.identity
    assert (identity["power_mode"], identity["clocks_locked"]) == ("15W", False)
    become(monkeypatch, JETSON.replace("612000000", "306000000"))
    code, _, errors = run(*arguments)
    assert code == 1
    assert "clocks_locked: False / True" in errors


# --- a made-up profile


@pytest.fixture(scope="module")
def with_energy(tmp_path_factory: pytest.TempPathFactory, cpu_header: Callable[[str], Header]) -> Path:
    """A finished profile of nasbench-macro with energies."""
    path = tmp_path_factory.mktemp("energies") / "macro.profile.jsonl"
    write_made_up_profile(path, shipped_space(MACRO), replace(cpu_header(MACRO), energy=SOURCE))
    return path


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return shipped_space(MACRO)


@pytest.fixture(scope="module")
def energy(with_energy: Path, space: SearchSpace) -> SpaceEnergy:
    found = SpaceEnergy.from_profile(Profile.load(with_energy), space)
    assert found is not None
    return found


def test_a_table_of_energies_predicts_whole_networks(energy: SpaceEnergy, space: SearchSpace) -> None:
    rng = np.random.default_rng(1)
    networks = [space.sample(rng) for _ in range(40)]
    truth = np.array([true_network_mj(space, str(network)) for network in networks])
    predicted = [energy.predict(network) for network in networks]
    errors = np.array([found.median_mj for found in predicted]) / truth - 1
    assert np.abs(errors).max() < 0.05
    inside = [found.low_mj <= true <= found.high_mj for found, true in zip(predicted, truth, strict=True)]
    assert np.mean(inside) >= 0.9
    ops = np.array([network.ops for network in networks])
    assert energy.predict_ops(ops) == pytest.approx([found.median_mj for found in predicted])


def test_a_profile_without_energies_has_no_model_of_them(macro_profile: Path, space: SearchSpace) -> None:
    assert SpaceEnergy.from_profile(Profile.load(macro_profile), space) is None


def test_several_budgets_are_solved_exactly(
    home: Path, with_energy: Path, energy: SpaceEnergy, space: SearchSpace
) -> None:
    latency = SpaceLatency.from_profile(Profile.load(with_energy), space)
    ops = np.array(list(itertools.product(*(range(len(layer.blocks)) for layer in space.layers))))
    ms, mj = latency.cost.totals(ops), energy.cost.totals(ops)
    scores = scores_named(space, "macs").table
    values = sum(row[ops[:, layer]] for layer, row in enumerate(scores.rows))
    for share_ms, share_mj in [(0.5, 0.5), (0.9, 0.3), (0.3, 0.9)]:
        at_most_ms, at_most_mj = float(np.quantile(ms, share_ms)), float(np.quantile(mj, share_mj))
        found = answer(
            "specialize", "--space", MACRO, "--profile", with_energy, "--scores", "macs", "--no-measure",
            "--budget", f"{at_most_ms!r}ms", "--budget", f"{at_most_mj!r}mJ",
        )  # fmt: skip
        within = (ms <= at_most_ms) & (mj <= at_most_mj)
        chosen = space.parse(found["architecture"]).ops
        value = sum(row[op] for row, op in zip(scores.rows, chosen, strict=True))
        assert value == pytest.approx(values[within].max())
        assert found["predicted_mj"]["median"] <= at_most_mj * (1 + 1e-9)
        assert found["predicted_ms"]["median"] <= at_most_ms * (1 + 1e-9)
        assert found["holds_energy_budget"] is None


def test_an_energy_that_no_network_holds_is_answered_with_the_smallest(
    home: Path, with_energy: Path, energy: SpaceEnergy
) -> None:
    limited = ["specialize", "--space", MACRO, "--profile", with_energy, "--scores", "macs"]
    arguments = [*limited, "--no-measure", "--budget"]
    code, _, errors = run(*arguments, "0.001mJ")
    assert code == 4
    assert "is predicted within 0.001 mJ: the smallest reachable is " in errors
    smallest = errors.rpartition("reachable is ")[2].strip().replace(" ", "")
    found = answer(*arguments, smallest)
    assert found["predicted_mj"]["median"] == pytest.approx(energy.cost.total(energy.cost.smallest()))


def test_a_limit_on_energy_needs_a_profile_with_energies(home: Path, macro_profile: Path) -> None:
    code, _, errors = run(
        "specialize", "--space", MACRO, "--profile", macro_profile, "--no-measure", "--budget", "2mJ"
    )
    assert code == 2
    assert "hwprofile bench --energy" in errors


def test_predictions_tell_energies_where_the_profile_does(
    home: Path,
    with_energy: Path,
    macro_profile: Path,
    tmp_path: Path,
    energy: SpaceEnergy,
    space: SearchSpace,
) -> None:
    networks = tmp_path / "networks.csv"
    networks.write_text('arch\n"0,0,0,0,0,0,0,0"\n"1,1,1,1,1,1,1,1"\n')
    arguments = ["predict", "--space", MACRO, "--networks", networks, "--profile"]
    code, text, errors = run(*arguments, with_energy)
    assert code == 0, errors
    header, *rows = text.splitlines()
    assert header == "arch,latency_ms,low_ms,high_ms,energy_mj"
    predicted = [energy.predict(space.architecture((op,) * 8)).median_mj for op in (0, 1)]
    assert [float(row.rpartition(",")[2]) for row in rows] == pytest.approx(predicted)
    assert run(*arguments, macro_profile)[1].startswith("arch,latency_ms,low_ms,high_ms\n")


def test_a_profile_from_another_source_is_not_continued(
    with_energy: Path, cpu_header: Callable[[str], Header]
) -> None:
    profile, plain = Profile.load(with_energy), cpu_header(MACRO)
    check_fits(profile, plain)
    check_fits(profile, replace(plain, energy=SOURCE))
    with pytest.raises(ProfileError, match="energy from rapl package-0, and this device tells nvml"):
        check_fits(profile, replace(plain, energy=replace(SOURCE, name="nvml")))


def test_a_profile_without_energies_is_not_what_energy_asks_for(
    macro_profile: Path, cpu_header: Callable[[str], Header]
) -> None:
    with pytest.raises(ProfileError, match="begun without --energy"):
        check_fits(Profile.load(macro_profile), replace(cpu_header(MACRO), energy=SOURCE))


def test_competition_while_energies_were_read_is_seen(with_energy: Path, tmp_path: Path) -> None:
    """Other programs' energy is counted too, even where they came after all latencies."""
    busy = {"clock_s": 10.0, "busy_s": 12.0, "own_s": 9.0, "process": 1, "phase": ENERGY}
    quiet = {"clock_s": 0.0, "busy_s": 0.0, "own_s": 0.0, "process": 1}
    lines = []
    for line in with_energy.read_text().splitlines():
        row = json.loads(line)
        if row.get("row") == "round" and row["round"] < 2:
            row["conditions"] = [quiet, busy]
        lines.append(json.dumps(row))
    path = tmp_path / "busy.profile.jsonl"
    path.write_text("\n".join(lines) + "\n")
    profile = Profile.load(path)
    name = profile.names[0]
    assert not any(profile.disturbances.values())
    assert set(profile.process_ms(name)) >= {0, 1}
    assert not set(profile.process_mj(name)) & {0, 1}


# --- a winner that breaks its energy budget


@dataclass
class MadeUpVerifier(Verifier):
    """Measures networks by their predictions; energies are so much higher."""

    latency: SpaceLatency = None  # type: ignore[assignment]  # fields of the base have defaults
    model: SpaceEnergy = None  # type: ignore[assignment]
    factor: float = 1.0
    measured: list[Architecture] = field(default_factory=list)

    def measure(self, architectures: Sequence[Architecture], processes: int) -> list[Latency]:
        self.measured += architectures
        self.levels.append(0.0)
        for one in architectures:
            mj = self.factor * self.model.predict(one).median_mj
            self.energies[str(one)] = Energy(mj, 0.99 * mj, 1.01 * mj)
        return [self.latency.predict([one])[0] for one in architectures]


def specialized(
    with_energy: Path, space: SearchSpace, energy: SpaceEnergy, budget_mj: float, factor: float
) -> Specialization:
    profile = Profile.load(with_energy)
    latency = SpaceLatency.from_profile(profile, space)
    budgets = [Budget(f"{budget_mj}mJ", "energy_mj", budget_mj)]
    verifier = MadeUpVerifier(None, None, profile, None, latency=latency, model=energy, factor=factor)  # type: ignore[arg-type]
    return Specializer(latency, scores_named(space, "macs"), budgets, energy).from_measurements(verifier)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1, 1.4])
def test_a_winner_that_uses_too_much_corrects_the_model(
    with_energy: Path, space: SearchSpace, energy: SpaceEnergy, factor: float
) -> None:
    reach = [energy.cost.total(choice) for choice in (energy.cost.smallest(), (2,) * 8)]
    budget_mj = reach[0] + 0.6 * (reach[1] - reach[0])
    found = specialized(with_energy, space, energy, budget_mj, factor)
    assert found.holds_energy is True
    assert found.measured_energy is not None
    assert found.measured_energy.high_mj <= budget_mj
    # and not by taking far too little
    assert found.measured_energy.high_mj >= 0.9 * min(budget_mj, factor * budget_mj)


def test_a_budget_that_no_measured_network_holds_is_said_to_be_broken(
    with_energy: Path, space: SearchSpace, energy: SpaceEnergy
) -> None:
    smallest = energy.cost.total(energy.cost.smallest())
    found = specialized(with_energy, space, energy, 1.02 * smallest, factor=2.0)
    assert found.holds_energy is False
    assert MOST_ENERGY_TRIES >= 2


def test_without_a_model_energy_cannot_be_limited(with_energy: Path, space: SearchSpace) -> None:
    latency = SpaceLatency.from_profile(Profile.load(with_energy), space)
    with pytest.raises(ValueError, match="no model of it"):
        Specializer(latency, scores_named(space, "macs"), [Budget("2mJ", "energy_mj", 2.0)])
