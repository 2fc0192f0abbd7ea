"""Binary gates: gradients against finite differences and each other; nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ponas_core.cost import CostTable
from ponas_core.path_distribution import Draw, expected_cost, gate_costs, logit_gradients
from ponas_core.space import SearchSpace
from ponas_core.training.batch_norm import freeze, untracked
from ponas_core.training.gates import Gated, gate_gradients, without_gradients
from ponas_core.training.modules import arrays, convolutions
from ponas_core.training.networks import Supernet
from tests.ponas_core.training.toys import BARE, TOY, DrawnWeights, drawn_images

Floats = NDArray[np.float64]
SIZES = [len(layer.blocks) for layer in TOY.layers]
PATHS = [(0, 0, 0), (1, 2, 1), (3, 0, 0), (2, 3, 1)]
"""Op 0 of the first two layers is the identity."""


def double(space: SearchSpace = TOY) -> Supernet:
    """Numbers in double precision, which finite differences need."""
    model = Supernet(space, DrawnWeights())
    model.double().train()
    return model


def batch(count: int = 6) -> tuple[Tensor, Tensor]:
    x = torch.from_numpy(drawn_images(TOY.shape_in, count)).double()
    return x, torch.arange(count) % 4


def of_all(path: Sequence[int]) -> list[Draw]:
    return [Draw(tuple(range(size)), op) for size, op in zip(SIZES, path, strict=True)]


def pairs(path: Sequence[int]) -> list[Draw]:
    """The active op and the next one, cyclically."""
    found = []
    for size, op in zip(SIZES, path, strict=True):
        pair = tuple(sorted((op, (op + 1) % size)))
        found.append(Draw(pair, pair.index(op)))
    return found


def soft_loss(model: Supernet, images: tuple[Tensor, Tensor], gates: Sequence[Tensor]) -> Tensor:
    """Cross entropy with all ops run and weighed by their gates: what the gradients are of."""
    x, labels = images
    opened = iter(gates)
    searched = {layer.name for layer in TOY.layers}
    for layer in TOY.all_layers:
        if layer.name in searched:
            gate = next(opened)
            x = torch.stack([gate[op] * model.block(layer, op)(x) for op in range(len(layer.blocks))]).sum(0)
        else:
            x = model.block(layer, 0)(x)
    return functional.cross_entropy(x, labels)


@torch.no_grad()
def differences(model: Supernet, images: tuple[Tensor, Tensor], path: Sequence[int]) -> list[Floats]:
    """Slopes of the loss in every gate, one gate open a layer."""
    step, found = 1e-6, []
    with untracked(model):
        for layer, size in enumerate(SIZES):
            slopes = np.zeros(size)
            for op in range(size):
                values = []
                for sign in (1, -1):
                    gates = [
                        torch.eye(size).double()[chosen] for size, chosen in zip(SIZES, path, strict=True)
                    ]
                    gates[layer][op] += sign * step
                    values.append(float(soft_loss(model, images, gates)))
                slopes[op] = (values[0] - values[1]) / (2 * step)
            found.append(slopes)
    return found


def found_by(
    model: Supernet, images: tuple[Tensor, Tensor], draws: Sequence[Draw], *, stored: bool = False
) -> list[Floats]:
    _, gates = gate_gradients(model, images, draws, stored=stored)
    return [gate.numpy() for gate in gates]


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_all_three_ways_give_the_slopes_of_the_loss_in_the_gates(path: tuple[int, ...], frozen: bool) -> None:
    model, images = double(), batch()
    freeze(model, frozen=frozen)
    wanted = differences(model, images, path)
    full = found_by(model, images, of_all(path), stored=True)
    one_by_one = found_by(model, images, of_all(path))
    two = found_by(model, images, pairs(path))
    for layer, draw in enumerate(pairs(path)):
        assert full[layer] == pytest.approx(wanted[layer], abs=1e-7)
        assert one_by_one[layer] == pytest.approx(full[layer], rel=1e-9, abs=1e-13)
        assert two[layer] == pytest.approx(full[layer][list(draw.sampled)], rel=1e-9, abs=1e-13)


def test_in_single_precision_the_ways_agree_as_far_as_it_goes() -> None:
    model = Supernet(TOY, DrawnWeights()).train()
    x, labels = batch(32)
    one, other = (
        found_by(model, (x.float(), labels), of_all((1, 3, 0)), stored=stored) for stored in (False, True)
    )
    for first, second in zip(one, other, strict=True):
        assert first == pytest.approx(second, rel=1e-3, abs=1e-5)


def test_the_cross_entropy_is_that_of_the_active_path() -> None:
    model, (x, labels) = double(), batch()
    with untracked(model):
        wanted = functional.cross_entropy(model(x, (1, 2, 1)), labels)
    for stored in (False, True):
        loss, _ = gate_gradients(model, (x, labels), of_all((1, 2, 1)), stored=stored)
        assert float(loss) == pytest.approx(wanted.item(), rel=1e-12)
        assert not loss.requires_grad


def test_torch_itself_finds_the_gradient_of_the_gates_right() -> None:
    model = double()
    layer = TOY.layers[0]
    blocks = [model.block(layer, op) for op in range(4)]
    x = torch.from_numpy(drawn_images(layer.place.shape_in, 3)).double()
    with untracked(model), without_gradients(model):
        for at in range(4):
            gates = torch.eye(4).double()[at].requires_grad_()
            opened = blocks[at](x).clone().requires_grad_()

            def gated(gates: Tensor, opened: Tensor, at: int = at) -> Tensor:
                found: Tensor = Gated.apply(gates, x, opened, at, blocks, False)  # type: ignore[no-untyped-call]
                return found

            assert torch.autograd.gradcheck(gated, (gates, opened))


def test_what_flows_through_an_open_gate_is_not_changed() -> None:
    """Gradient in the input of a layer: that of the open op alone."""
    model = double()
    layer = TOY.layers[1]
    blocks = [model.block(layer, op) for op in range(4)]
    x = torch.from_numpy(drawn_images(layer.place.shape_in, 3)).double().requires_grad_()
    with untracked(model):
        (wanted,) = torch.autograd.grad((blocks[1](x) ** 2).sum(), x)
        gates = torch.eye(4).double()[1].requires_grad_()
        gated = Gated.apply(gates, x.detach(), blocks[1](x), 1, blocks, False)  # type: ignore[no-untyped-call]
        (found,) = torch.autograd.grad((gated**2).sum(), x)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("path", [(0, 0, 0), (1, 0, 1)])
def test_cost_has_its_gradient_where_the_identity_is_active(path: tuple[int, ...]) -> None:
    """Automatic differentiation of E[T], which knows of no gates."""
    rng = np.random.default_rng(0)
    rows = [rng.standard_normal(size) for size in SIZES]
    cost = CostTable("latency_ms", 1.5, tuple(rng.uniform(0, 3, size) for size in SIZES))
    logits = [torch.tensor(row, requires_grad=True) for row in rows]
    total = torch.tensor(cost.fixed, dtype=torch.float64)
    for row, costs in zip(logits, cost.rows, strict=True):
        total = total + (torch.softmax(row, 0) * torch.tensor(np.array(costs))).sum()
    assert total.item() == pytest.approx(expected_cost(rows, cost))
    wanted = torch.autograd.grad(total, logits)
    draws = of_all(path)
    for one, other in zip(logit_gradients(rows, draws, gate_costs(cost, draws)), wanted, strict=True):
        assert one == pytest.approx(other.numpy(), abs=1e-12)


@pytest.mark.parametrize("stored", [False, True])
def test_nothing_else_changes(stored: bool) -> None:
    """Running statistics, weights, their gradients and what asks for one."""
    model, images = double(), batch()
    model(images[0], (1, 2, 1)).sum().backward()
    next(model.parameters()).requires_grad_(False)
    asked = [parameter.requires_grad for parameter in model.parameters()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [None if part.grad is None else part.grad.clone() for part in model.parameters()]
    gate_gradients(model, images, of_all((3, 1, 1)), stored=stored)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or torch.equal(parameter.grad, gradient)  # type: ignore[arg-type]
    assert [parameter.requires_grad for parameter in model.parameters()] == asked
    assert all(part.tracking and not part.frozen for part in convolutions(model))


def test_what_was_changed_for_a_step_is_restored_when_it_fails() -> None:
    model, (x, labels) = double(), batch()
    with pytest.raises(RuntimeError):
        gate_gradients(model, (x[:, :1], labels), of_all((1, 1, 1)), stored=False)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(part.tracking for part in convolutions(model))


def test_batches_go_by_their_own_statistics_without_moving_the_running_ones() -> None:
    model = Supernet(TOY, DrawnWeights()).train()
    x = torch.from_numpy(drawn_images(TOY.shape_in, 8))
    before = arrays(model)
    with untracked(model):
        found = model(x, (1, 2, 1))
    for name, array in arrays(model).items():
        assert np.array_equal(array, before[name]), name
    assert torch.equal(found, model(x, (1, 2, 1)))
    assert not all(np.array_equal(array, before[name]) for name, array in arrays(model).items())


def test_a_layer_that_samples_one_op_has_no_gradient_and_a_space_of_one_network_neither() -> None:
    model, images = double(), batch()
    draws = [Draw((2,), 0), *of_all((2, 1, 0))[1:]]
    gates = found_by(model, images, draws)
    assert gates[0].tolist() == [0.0]
    assert np.abs(gates[1]).min() > 0
    found = found_by(model, images, [Draw((op,), 0) for op in (2, 1, 0)])
    assert [gate.tolist() for gate in found] == [[0.0]] * 3


@pytest.mark.parametrize("stored", [False, True])
def test_a_space_that_begins_with_a_choice_has_gradients_too(stored: bool) -> None:
    """No weight in front of the first gate asks for a gradient, nor does the image."""
    model = double(BARE)
    x = torch.from_numpy(drawn_images(BARE.shape_in, 4)).double()
    _, (gate,) = gate_gradients(model, (x, torch.arange(4)), [Draw((0, 1), 0)], stored=stored)
    assert gate.abs().min() > 0


@pytest.mark.parametrize("stored", [False, True])
def test_mixed_precision_gives_nearly_the_same(stored: bool) -> None:
    model = Supernet(TOY, DrawnWeights()).train()
    x, labels = batch(32)
    draws = of_all((1, 3, 0))
    _, wanted = gate_gradients(model, (x.float(), labels), draws, stored=stored)
    _, found = gate_gradients(model, (x.float(), labels), draws, stored=stored, mixed_precision=True)
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == torch.float64
        assert float((one - other).norm() / other.norm()) < 0.2


def kept_bytes(forward: Callable[[Supernet, tuple[Tensor, Tensor]], object]) -> int:
    """What is kept for the backward pass, everything once, without weights and gates."""
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.dtype == torch.float32:
            storages[storage.data_ptr()] = storage  # alive, so that no other takes its place
        return tensor

    model = Supernet(TOY, DrawnWeights()).train()
    weights = {part.untyped_storage().data_ptr() for part in model.state_dict().values()}
    x, labels = batch(32)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward(model, (x.float(), labels))
    return sum(storage.nbytes() for place, storage in storages.items() if place not in weights)


@pytest.mark.parametrize("path", PATHS)
def test_a_step_keeps_no_more_than_training_along_its_path_whatever_the_number_of_ops(
    path: tuple[int, ...],
) -> None:
    plain = kept_bytes(lambda model, images: functional.cross_entropy(model(images[0], path), images[1]))

    def of_gates(draws: list[Draw], *, stored: bool) -> int:
        return kept_bytes(lambda model, images: gate_gradients(model, images, draws, stored=stored))

    two, one_by_one = of_gates(pairs(path), stored=False), of_gates(of_all(path), stored=False)
    assert two == one_by_one < plain < of_gates(of_all(path), stored=True)
