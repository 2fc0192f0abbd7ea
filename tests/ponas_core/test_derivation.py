"""Networks that follow from logits: the most probable, and the most probable within limits."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ponas_core.complexity import complexity
from ponas_core.cost import CostTable, Limit
from ponas_core.derivation import derive, log_probability_table
from ponas_core.path_distribution import expected_cost
from ponas_core.score_table import ScoreTable, ScoreTableError
from ponas_core.solve import Infeasible
from tests.ponas_core.additive import uneven_space

SPACE = uneven_space()
MACS = complexity(SPACE, "macs")
LOWEST, HIGHEST = (MACS.fixed + sum(float(end(row)) for row in MACS.rows) for end in (np.min, np.max))


def drawn(seed: int, spread: float = 1.0) -> list[NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    return [spread * rng.standard_normal(len(layer.blocks)) for layer in SPACE.layers]


def test_the_table_adds_up_to_the_logarithm_of_a_networks_probability() -> None:
    table = log_probability_table(SPACE, drawn(0))
    table.check(SPACE)
    assert (table.kind, table.link, table.intercept) == ("custom", "identity", 0.0)
    assert "log-probability" in table.meaning
    total = math.fsum(
        math.exp(table.value(ops)) for ops in itertools.product(*(range(row.size) for row in table.rows))
    )
    assert total == pytest.approx(1)


def test_the_table_is_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    table = log_probability_table(SPACE, drawn(0))
    table.save(path)
    assert [row.tolist() for row in ScoreTable.load(path).rows] == [row.tolist() for row in table.rows]


@pytest.mark.parametrize("broken", ["missing", "nan"])
def test_logits_of_another_space_are_refused(broken: str) -> None:
    logits = drawn(0)
    if broken == "nan":
        logits[0][0] = np.nan
    with pytest.raises(ScoreTableError):
        log_probability_table(SPACE, logits if broken == "nan" else logits[1:])


@given(st.integers(0, 10_000), st.floats(0, 1.1), st.sampled_from([0.01, 1.0, 20.0]))
def test_the_projected_network_is_the_most_probable_within_the_limit(
    seed: int, share: float, spread: float
) -> None:
    logits, limit = drawn(seed, spread), Limit(MACS, LOWEST + share * (HIGHEST - LOWEST))
    found = derive(SPACE, logits, [limit])
    assert limit.holds(found.projected.ops)
    table = log_probability_table(SPACE, logits)
    paths = itertools.product(*(range(row.size) for row in table.rows))
    wanted = max(table.total(ops) for ops in paths if limit.holds(ops))
    assert table.total(found.projected.ops) == pytest.approx(wanted, rel=1e-12)
    assert found.projected_log_probability == table.total(found.projected.ops)
    assert found.argmax.ops == tuple(int(row.argmax()) for row in logits)
    if limit.holds(found.argmax.ops):
        assert found.projected == found.argmax


def test_costs_of_both_and_the_expected_one_are_told() -> None:
    logits = drawn(3)
    latency = CostTable("latency_ms", 0.5, tuple(row / 1e5 for row in MACS.rows))
    limit = Limit(MACS, LOWEST + 0.2 * (HIGHEST - LOWEST))
    found = derive(SPACE, logits, [limit], [latency])
    assert set(found.expected) == {"latency_ms", "macs"}
    for cost in (latency, MACS):
        assert found.expected[cost.name] == expected_cost(logits, cost)
        assert found.argmax_costs[cost.name] == cost.total(found.argmax.ops)
        assert found.projected_costs[cost.name] == cost.total(found.projected.ops)


def test_an_expectation_within_the_limit_does_not_bind_the_most_probable_network() -> None:
    """Even odds for the dearest block of every layer: half of the range expected, all of it most probable."""
    logits = [np.where(np.arange(row.size) == row.argmax(), 1e-3, 0.0) for row in MACS.rows]
    limit = Limit(MACS, expected_cost(logits, MACS))
    found = derive(SPACE, logits, [limit])
    assert found.expected["macs"] == limit.at_most
    assert found.argmax_costs["macs"] == HIGHEST > limit.at_most
    assert found.projected_costs["macs"] <= limit.at_most


def test_several_limits_hold_together_and_one_that_nothing_holds_is_told() -> None:
    params = complexity(SPACE, "params")
    middle = [Limit(cost, expected_cost(drawn(1), cost)) for cost in (MACS, params)]
    found = derive(SPACE, drawn(1, 5.0), middle)
    assert all(limit.holds(found.projected.ops) for limit in middle)
    with pytest.raises(Infeasible):
        derive(SPACE, drawn(1), [Limit(MACS, LOWEST / 2)])
