"""Cross entropy and cost as one loss: values, slopes, units, what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.proxyless import LEAST_COUNTED, TARGET_COUNTS_AS, ProxylessSettings

LOSSES = st.floats(0.01, 10)
SHARES = st.floats(0.05, 50)
"""Of the target; the logarithm has a kink at 0.034."""


def test_the_published_coupling_of_the_published_unit() -> None:
    """At 100 ms with a target of 80: 0.2 * CE * (log 100 / log 80) ^ 0.3."""
    found = ProxylessSettings(target=80.0).coupled(2.0, 100.0)
    assert found.loss == pytest.approx(0.2 * 2.0 * (math.log(100) / math.log(80)) ** 0.3)
    assert found.loss == pytest.approx(found.by_cross_entropy * 2.0)


def test_the_linear_coupling() -> None:
    found = ProxylessSettings(coupling="add-linear", target=4.0).coupled(2.0, 5.0)
    assert (found.loss, found.by_cross_entropy, found.by_cost) == (2.0 + 0.1 * 0.25, 1.0, 0.1 / 4)


@pytest.mark.parametrize("coupling", ["mul-log", "add-linear"])
@given(loss=LOSSES, share=SHARES, target=st.floats(1e-4, 1e9))
def test_slopes_are_those_of_finite_differences(
    coupling: Any, loss: float, share: float, target: float
) -> None:
    how = ProxylessSettings(coupling=coupling, target=target, cost_weight=0.3)
    cost = share * target
    found = how.coupled(loss, cost)
    step = 1e-5 * cost
    by_cost = (how.coupled(loss, cost + step).loss - how.coupled(loss, cost - step).loss) / (2 * step)
    by_loss = (how.coupled(loss * 1.0001, cost).loss - how.coupled(loss * 0.9999, cost).loss) / (2e-4 * loss)
    assert found.by_cost * target == pytest.approx(by_cost * target, rel=1e-4, abs=1e-7)
    assert found.by_cross_entropy == pytest.approx(by_loss, rel=1e-6)


@pytest.mark.parametrize("coupling", ["mul-log", "add-linear"])
@given(loss=LOSSES, share=st.floats(0, 50), unit=st.floats(1e-6, 1e9))
def test_another_unit_changes_no_loss(coupling: Any, loss: float, share: float, unit: float) -> None:
    wanted = ProxylessSettings(coupling=coupling, target=1.0).coupled(loss, share)
    found = ProxylessSettings(coupling=coupling, target=unit).coupled(loss, share * unit)
    assert found.loss == pytest.approx(wanted.loss)
    assert found.by_cross_entropy == pytest.approx(wanted.by_cross_entropy)
    if not math.isclose(share * TARGET_COUNTS_AS, LEAST_COUNTED):
        assert found.by_cost * unit == pytest.approx(wanted.by_cost)


@pytest.mark.parametrize("cost", [-5.0, 0.0, 1e-9, 0.9 * LEAST_COUNTED])
def test_a_cost_far_below_the_target_has_a_value_and_no_slope(cost: float) -> None:
    how = ProxylessSettings(target=TARGET_COUNTS_AS)
    found = how.coupled(2.0, cost)
    assert found.by_cost == 0
    assert found.loss == how.coupled(2.0, LEAST_COUNTED).loss > 0
    assert how.reward(0.5, cost) == how.reward(0.5, LEAST_COUNTED)


def test_without_a_cost_the_loss_is_the_cross_entropy_and_the_reward_the_accuracy() -> None:
    found = ProxylessSettings().coupled(2.0, None)
    assert (found.loss, found.by_cross_entropy, found.by_cost) == (2.0, 1.0, 0.0)
    assert ProxylessSettings().reward(0.7, None) == 0.7


def test_the_reward_is_accuracy_times_a_power_of_target_by_cost() -> None:
    assert ProxylessSettings(target=3.0).reward(0.7, 6.0) == pytest.approx(0.7 * 0.5**0.1)
    assert ProxylessSettings(target=3.0, reward_exponent=0.0).reward(0.7, 6.0) == 0.7


@pytest.mark.parametrize(
    "change",
    [
        {"gradient": "three"},
        {"coupling": "mul#log"},
        {"target": 0.0},
        {"target": math.inf},
        {"architecture_rate": 0.0},
        {"architecture_rate": math.nan},
        {"loss_scale": 0.0},
        {"cost_weight": -1.0},
        {"reward_exponent": math.nan},
        {"baseline_decay": 1.0},
        {"warmup_epochs": -1},
        {"weights_only_epochs": -1},
        {"every": 0},
        {"networks": 0},
        {"validation_batch": 1},
    ],
)
def test_numbers_that_no_search_can_have_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is one of|above 0|from 0|at least 2"):
        ProxylessSettings(**change)


def test_settings_are_a_value() -> None:
    assert ProxylessSettings() == ProxylessSettings()
    assert hash(ProxylessSettings(target=2.0)) == hash(ProxylessSettings(target=2.0))


@pytest.mark.parametrize(("steps", "rate"), [(1, 0.05), (2_000, 0.05), (10_000, 0.01), (500_000, 1e-3)])
def test_a_short_search_takes_a_higher_rate_unless_one_is_set(steps: int, rate: float) -> None:
    assert ProxylessSettings().rate(steps) == pytest.approx(rate)
    assert ProxylessSettings(architecture_rate=0.3).rate(steps) == 0.3
