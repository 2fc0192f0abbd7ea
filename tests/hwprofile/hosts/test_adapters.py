"""Every adapter says what the latency model says, tried on stand-ins of the hosts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hwprofile.catalog import space_named
from hwprofile.errors import UserError
from hwprofile.hosts.archai import latency_evaluator
from hwprofile.hosts.latency_of_ops import (
    LatencyBudget,
    LatencyOfOps,
    choices_of,
    latency_of,
    median_ms,
    ops_of,
)
from hwprofile.hosts.nni import latency_profiler
from hwprofile.hosts.once_for_all import OfaLatency
from hwprofile.hosts.optuna import OptunaBudget, suggest_ops
from hwprofile.hosts.pymoo import latency_problem
from hwprofile.hosts.syne_tune import LatencyMetrics, config_space
from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from tests.hwprofile.hosts import stand_ins

OPS = (1, 3, 0, 2, 1, 0)


@pytest.fixture(scope="module")
def latency(tiny_profile: Path) -> SpaceLatency:
    return SpaceLatency.from_profile(Profile.load(tiny_profile), space_named("cifar-tiny"))


@pytest.fixture(scope="module")
def truth_ms(latency: SpaceLatency) -> float:
    return latency.median_ms(latency.space.architecture(OPS))


def blocks(latency: LatencyOfOps) -> dict[str, str]:
    """The network as a host's choice."""
    return {
        layer: texts[op] for (layer, texts), op in zip(choices_of(latency.space).items(), OPS, strict=True)
    }


def test_a_file_is_a_latency_model_of_the_space_it_names(tiny_profile: Path, truth_ms: float) -> None:
    assert median_ms(latency_of(tiny_profile), OPS) == truth_ms
    with pytest.raises(UserError, match="holds cifar-tiny, not proxyless"):
        latency_of(tiny_profile, "proxyless")


def test_a_published_table_serves_as_well(latency: SpaceLatency, tmp_path: Path) -> None:
    rows = [
        f"{layer},{block},{cost!r}"
        for (layer, texts), row in zip(choices_of(latency.space).items(), latency.cost.rows, strict=True)
        for block, cost in zip(texts, row.tolist(), strict=True)
    ]
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["layer,op,latency_ms", f"fixed,,{latency.cost.fixed!r}", *rows]))
    with pytest.raises(UserError, match="names no space"):
        latency_of(f"table:{table}")
    found = latency_of(f"table:{table}", "cifar-tiny")
    assert median_ms(found, OPS) == pytest.approx(latency.cost.total(OPS))


def test_a_profile_without_a_space_is_refused(tiny_profile: Path, tmp_path: Path) -> None:
    text = tiny_profile.read_text().replace('"space":"cifar-tiny"', '"space":null', 1)
    path = tmp_path / "none.profile.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match="adapters need the blocks of a space"):
        latency_of(path)


def test_a_choice_that_is_no_network_is_named(latency: SpaceLatency) -> None:
    chosen = blocks(latency)
    assert ops_of(latency.space, chosen) == OPS
    with pytest.raises(UserError, match="layer0 has no mb_k9_e9; it has conv_k1_linear"):
        ops_of(latency.space, chosen | {"layer0": "mb_k9_e9"})
    del chosen["layer3"]
    with pytest.raises(UserError, match="no block is chosen for layer3"):
        ops_of(latency.space, chosen)
    with pytest.raises(UserError, match="no network of cifar-tiny"):
        median_ms(latency, [9] * 6)


def test_a_budget_is_held_by_the_prediction_or_by_its_interval(
    latency: SpaceLatency, truth_ms: float
) -> None:
    high_ms = latency.predict([latency.space.architecture(OPS)])[0].high_ms
    assert LatencyBudget(latency, truth_ms).over_ms(OPS) == pytest.approx(0)
    assert LatencyBudget(latency, truth_ms, surely=True).over_ms(OPS) == pytest.approx(high_ms - truth_ms)
    with pytest.raises(ValueError, match="positive number of milliseconds"):
        LatencyBudget(latency, 0)


def test_optuna_is_told_what_is_above_the_budget(latency: SpaceLatency, truth_ms: float) -> None:
    trial: Any = stand_ins.Trial(lambda layer, _: blocks(latency)[layer])
    limit = OptunaBudget(LatencyBudget(latency, truth_ms - 0.01))
    ops = suggest_ops(trial, latency.space)
    limit.set_on(trial, ops)
    assert ops == OPS
    assert trial.constraints == {"latency": pytest.approx(0.01)}
    assert limit.constraints(trial) == pytest.approx((0.01,))
    assert limit.latency_ms(trial) == truth_ms


def test_pymoo_gets_objectives_and_a_constraint(
    latency: SpaceLatency, truth_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install(monkeypatch, "pymoo.core.problem", ElementwiseProblem=stand_ins.Problem)
    limited: Any = latency_problem(latency, sum, LatencyBudget(latency, truth_ms + 0.01))
    free: Any = latency_problem(latency, sum)
    assert limited.evaluate(np.array(OPS)) == {"F": [sum(OPS), truth_ms], "G": [pytest.approx(-0.01)]}
    assert free.evaluate(np.array(OPS)) == {"F": [sum(OPS), truth_ms]}
    assert (free.bounds["n_ieq_constr"], limited.bounds["n_ieq_constr"]) == (0, 1)
    assert limited.bounds["xu"].tolist() == [3] * 6


def test_syne_tune_gets_metrics_of_a_configuration(
    latency: SpaceLatency, truth_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install(monkeypatch, "syne_tune.config_space", choice=tuple)
    assert config_space(latency.space) == {
        name: tuple(texts) for name, texts in choices_of(latency.space).items()
    }
    config = blocks(latency) | {"learning_rate": 0.1}
    over, held = LatencyBudget(latency, truth_ms - 0.01), LatencyBudget(latency, truth_ms + 0.01)
    assert LatencyMetrics(over)(config) == {"latency_ms": truth_ms, "violation_ms": pytest.approx(0.01)}
    assert LatencyMetrics(held)(config)["violation_ms"] == 0


def test_archai_is_answered_in_seconds(
    latency: SpaceLatency, truth_ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_ins.install(monkeypatch, "archai.discrete_search.api", ModelEvaluator=stand_ins.Evaluator)
    evaluator = latency_evaluator(latency)
    assert evaluator.evaluate(SimpleNamespace(archid="1,3,0,2,1,0")) == pytest.approx(truth_ms / 1000)
    with pytest.raises(UserError, match="no network of cifar-tiny"):
        evaluator.evaluate(SimpleNamespace(archid="a-digest"))


@pytest.fixture
def nni(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins.install(monkeypatch, "nni.nas.profiler", ExpressionProfiler=stand_ins.Profiler)
    stand_ins.install(monkeypatch, "nni.mutable", MutableExpression=stand_ins.Expression)


@pytest.mark.usefixtures("nni")
def test_a_profiler_of_nni_says_the_latency_of_a_sample(latency: SpaceLatency, truth_ms: float) -> None:
    profiler = latency_profiler(stand_ins.ModelSpace(choices_of(latency.space)), latency)
    assert profiler.profile(blocks(latency)) == pytest.approx(truth_ms)


@pytest.mark.usefixtures("nni")
def test_a_model_space_of_other_labels_or_blocks_is_refused(latency: SpaceLatency) -> None:
    choices = choices_of(latency.space)
    with pytest.raises(UserError, match="layer0 offers 'conv7x7'"):
        latency_profiler(stand_ins.ModelSpace(choices | {"layer0": ["conv7x7"]}), latency)
    with pytest.raises(UserError, match="no choice labelled layer0"):
        latency_profiler(stand_ins.ModelSpace({"mine": ["skip"]}), latency)


class Sizes:
    """A latency model that says resolution and number of blocks, as milliseconds."""

    def __init__(self, name: str) -> None:
        self.space = space_named(name)
        self.asked: list[list[int]] = []

    def predict_ops(self, ops: Any) -> Any:
        self.asked += ops.tolist()
        kept = (ops != 9).sum(axis=1) + 1000.0 * self.space.shape_in.height
        return kept, np.column_stack([kept, kept])


def test_once_for_all_asks_by_resolution_depth_kernel_and_expansion() -> None:
    found = OfaLatency([Sizes("ofa-mbv3@160"), Sizes("ofa-mbv3")])
    network: dict[str, Any] = {"ks": [3] * 20, "e": [6] * 20, "d": [2, 3, 4, 2, 3], "image_size": 160}
    assert found.resolutions == (160, 224)
    assert found.get_efficiency(network) == 160_014
    assert found.get_efficiency(network | {"r": [224], "wid": None}) == 224_014
    sizes = Sizes("ofa-mbv3")
    OfaLatency([sizes]).get_efficiency(
        {"ks": [7, 5, 0, 0] * 5, "e": [3, 6, 0, 0] * 5, "d": [2] * 5, "r": 224}
    )
    assert sizes.asked == [[2, 7, 9, 9] * 5]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"r": [192]}, "no latencies at resolution 192, only at 224: hwprofile bench --space ofa-mbv3@192"),
        ({"r": [192, 224]}, "no resolution"),
        ({"d": [2] * 3}, "20 kernels, 20 expansions and 3 stages"),
        ({"ks": [9] * 20}, "has no kernel 9 with expansion 3"),
        ({"d": [1] * 5}, "cannot be left out"),
    ],
)
def test_what_is_no_sub_network_is_named(wrong: dict[str, Any], words: str) -> None:
    network = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5, "r": [224]}
    with pytest.raises(UserError, match=words):
        OfaLatency([Sizes("ofa-mbv3")]).get_efficiency(network | wrong)
