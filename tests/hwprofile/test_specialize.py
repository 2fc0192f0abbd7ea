"""The whole walk on this computer: bench, solve, measure, correct, confirm, export."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from devices.catalog import device
from devices.schedule import Goal
from devices.settings import Settings
from hwprofile.budget import parse_budget
from hwprofile.errors import BudgetInfeasible
from hwprofile.learning.scores_and_weights import ScoresAndWeights
from hwprofile.result import Result
from hwprofile.session import Session
from ponas_core.closed_loop import CHOOSING_PROCESSES, CONFIRMING_PROCESSES

QUICK = Goal(precision=0.2, rounds=2, most_rounds=4)


@pytest.fixture
def session(home: Path) -> Session:
    return Session(device("cpu", Settings()), QUICK, calibrate=4, quiet=True)


def specialize(session: Session, space: Path, budget: str, out: Path, *, measure: bool = True) -> Result:
    budgets = [parse_budget(budget)]
    return session.specialize(str(space), None, ScoresAndWeights("macs"), budgets, measure=measure, out=out)


def test_the_winner_is_measured_exported_and_reported(
    session: Session, tiny_toml: Path, tmp_path: Path
) -> None:
    result = specialize(session, tiny_toml, "80%", tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "result.json").read_text())
    assert facts == result.to_json()
    measured, loop = facts["measured_ms"], facts["loop"]
    assert measured["low"] <= measured["median"] <= measured["high"]
    assert facts["holds_budget"] == (measured["high"] <= facts["budget"]["latency_ms"])
    assert loop["confirmations"][-1] == {"architecture": facts["architecture"], "measured_ms": measured}
    assert facts["architecture"] in {candidate["architecture"] for candidate in loop["candidates"]}
    assert CONFIRMING_PROCESSES >= CHOOSING_PROCESSES >= 5
    words = result.for_people()
    assert "holds the budget" in words or "does NOT hold the budget" in words
    network = onnxruntime.InferenceSession(facts["onnx"], providers=["CPUExecutionProvider"])
    (scores,) = network.run(None, {"input": np.zeros((1, 3, 16, 16), np.float32)})
    assert scores.shape == (1, 10)


def test_a_budget_below_every_network_is_answered_at_once(
    session: Session, tiny_toml: Path, tmp_path: Path
) -> None:
    with pytest.raises(BudgetInfeasible, match=r"the smallest reachable is [\d.]+ (us|ms)"):
        specialize(session, tiny_toml, "0.1us", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_second_answer_uses_the_profile_of_the_first(
    session: Session, tiny_toml: Path, tmp_path: Path
) -> None:
    first = specialize(session, tiny_toml, "90%", tmp_path / "one", measure=False)
    before = first.profile.path.read_bytes()
    second = specialize(session, tiny_toml, "70%", tmp_path / "two", measure=False)
    assert second.profile.path == first.profile.path
    assert second.profile.path.read_bytes() == before
