"""The expected cost as a torch module: equal to the table's expectation, wherever torch runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ponas_core.cost import CostTable
from ponas_core.path_distribution import Floats, expected_cost, softmax
from ponas_core.training.expected_cost import ExpectedCost, hinge_penalty, log_ratio_penalty


def drawn(ops: list[int], seed: int) -> tuple[CostTable, list[Floats]]:
    rng = np.random.default_rng(seed)
    rows = tuple(rng.uniform(0, 9, count) for count in ops)
    return CostTable("latency_ms", float(rng.uniform(0, 3)), rows), [rng.normal(size=count) for count in ops]


def probabilities(logits: list[Floats], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return [torch.tensor(softmax(row), dtype=dtype) for row in logits]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(0, 99), st.booleans())
def test_it_equals_the_expectation_of_the_table(ops: list[int], seed: int, single: bool) -> None:
    cost, logits = drawn(ops, seed)
    dtype = torch.float32 if single else torch.float64
    found = ExpectedCost(cost, dtype)(probabilities(logits, dtype=dtype))
    assert found.shape == ()
    assert float(found) == pytest.approx(expected_cost(logits, cost), rel=1e-6)


def test_a_sure_choice_costs_what_the_table_says() -> None:
    cost, _ = drawn([4] * 6, 1)
    choice = [3, 0, 1, 2, 3, 0]
    sure = nn.functional.one_hot(torch.tensor(choice), 4).double()
    assert float(ExpectedCost(cost)(sure)) == pytest.approx(cost.total(choice), rel=1e-12)


def test_it_is_made_of_arrays_in_which_a_layer_may_lack_an_op() -> None:
    latency_ms = np.array([[1.0, np.nan, 3.0], [np.nan, 5.0, 7.0], [11.0, 13.0, 17.0]])
    module = ExpectedCost.from_arrays(latency_ms, 0.5)
    assert module.ops == (2, 2, 3)
    sure = [torch.tensor(row, dtype=torch.float64) for row in ([0, 1], [1, 0], [0, 1, 0])]
    assert float(module(sure)) == 0.5 + 3.0 + 5.0 + 13.0
    with pytest.raises(ValueError, match="layer 0: needs one number per op"):
        ExpectedCost.from_arrays(np.full((2, 2), np.nan), 0.0)


def test_its_gradient_is_that_of_finite_differences() -> None:
    cost, logits = drawn([3, 5, 2], 2)
    module = ExpectedCost(cost)

    def of_logits(*rows: Tensor) -> Tensor:
        return module([row.softmax(-1) for row in rows])  # type: ignore[no-any-return] # a module's call is Any

    assert torch.autograd.gradcheck(of_logits, [torch.tensor(row, requires_grad=True) for row in logits])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_round_the_table(dtype: torch.dtype) -> None:
    cost, logits = drawn([7] * 21, 3)
    module, given = ExpectedCost(cost), probabilities(logits)
    with torch.autocast("cpu", dtype):
        assert float(module(given)) == pytest.approx(expected_cost(logits, cost), rel=1e-12)


@pytest.mark.slow  # its compiler takes many seconds
def test_compiled_it_says_the_same() -> None:
    cost, logits = drawn([7] * 21, 4)
    module, given = ExpectedCost(cost), probabilities(logits)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    assert float(compiled(given)) == pytest.approx(float(module(given)), rel=1e-12)


class Searched(nn.Module):
    """What a search trains: one distribution, and the table beside it."""

    def __init__(self, cost: CostTable) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(len(cost.rows), len(cost.rows[0]), dtype=torch.float64))
        self.cost = ExpectedCost(cost)

    def forward(self) -> Tensor:
        return self.cost(self.logits.softmax(-1))  # type: ignore[no-any-return] # a module's call is Any


def test_it_works_in_a_model_that_several_processes_train(tmp_path: Path) -> None:
    cost, _ = drawn([3, 3], 9)
    place = f"file://{tmp_path / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=place, rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(Searched(cost))
        torch.autograd.backward(model())
        found = model.module.logits.grad
    finally:
        torch.distributed.destroy_process_group()
    alone = Searched(cost)
    torch.autograd.backward(alone())
    wanted = alone.logits.grad
    assert found is not None
    assert wanted is not None
    assert torch.equal(found, wanted)


def test_the_table_travels_with_the_model() -> None:
    cost, _ = drawn([3, 4], 5)
    other = ExpectedCost(drawn([3, 4], 6)[0])
    assert not list(other.parameters())
    other.load_state_dict(ExpectedCost(cost).state_dict())
    assert np.array_equal(other.costs.numpy(), np.concatenate(cost.rows))


@pytest.mark.parametrize("ops", [[3], [3, 4, 1], [4, 3], [7]])
def test_other_layers_or_ops_are_refused(ops: list[int]) -> None:
    module = ExpectedCost(drawn([3, 4], 7)[0])
    with pytest.raises(ValueError, match=r"layers with \(3, 4\) ops are expected"):
        module(probabilities(drawn(ops, 8)[1]))


def test_a_batch_of_distributions_is_refused() -> None:
    module = ExpectedCost(drawn([3, 3], 7)[0])
    with pytest.raises(ValueError, match="are expected"):
        module(torch.ones(2, 3, 1))


def test_penalties_are_relative_and_know_their_side() -> None:
    ms = torch.tensor([5.0, 10.0, 15.0], requires_grad=True)
    hinge = hinge_penalty(ms, 10.0)
    assert hinge.tolist() == pytest.approx([0.0, 0.0, 0.5])
    (slope,) = torch.autograd.grad(hinge.sum(), ms)
    assert slope.tolist() == pytest.approx([0.0, 0.0, 0.1])
    us = torch.log(torch.tensor([0.5, 1.0, 1.5]))
    assert torch.allclose(log_ratio_penalty(ms, 10.0), us)
    assert torch.allclose(log_ratio_penalty(1e3 * ms, 1e4), us)
