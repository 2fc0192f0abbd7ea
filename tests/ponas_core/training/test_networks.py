"""Networks and supernets: paths, their memory, what is taken out, and how it is exported."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ponas_core.network_weights import path_weights
from ponas_core.onnx_graph import network_model
from ponas_core.space_file import space_from_toml
from ponas_core.training.modules import BlockModule, arrays
from ponas_core.training.networks import Network, Supernet, start_training
from ponas_core.weights import GivenWeights
from tests.ponas_core.training.toys import (
    TOML,
    TOY,
    DrawnWeights,
    drawn_images,
    network,
    relative_error,
    run,
    supernet,
    through,
    trainer,
)

ALL_OPS = [architecture.ops for architecture in TOY.enumerate()]
X = drawn_images(TOY.shape_in, 4)
LABELS = torch.tensor([0, 1, 2, 3])


@pytest.mark.parametrize("training", [False, True])
def test_every_path_gives_what_its_network_gives(training: bool) -> None:
    whole, x = Supernet(TOY, DrawnWeights()), torch.from_numpy(X)
    for ops in ALL_OPS:
        taken = whole.network(TOY.architecture(ops))
        with torch.no_grad():
            assert torch.equal(whole.train(training)(x, ops), taken.train(training)(x))


def test_what_is_taken_out_is_a_copy() -> None:
    whole = Supernet(TOY, DrawnWeights())
    before = arrays(whole)
    taken = whole.network(TOY.architecture(ALL_OPS[-1]))
    with torch.no_grad():
        for tensor in taken.state_dict().values():
            tensor.add_(1)
    after = arrays(whole)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_arrays_are_copies() -> None:
    net = network()
    before = arrays(net)
    before["head0.0.bias"][:] = 7
    assert not arrays(net)["head0.0.bias"].any()


def test_names_tell_layer_and_block_and_survive_another_order_of_candidates() -> None:
    names = set(arrays(Supernet(TOY)))
    assert {
        "stem0.conv_k3.0.weight",
        "layer0.mb_k3_e3_se.2.reduce.bias",
        "layer2.conv_k1_linear.0.gamma",
    } <= names
    turned = space_from_toml(
        TOML.replace('"conv_k1_linear", "fb_k3_e2_g2"', '"fb_k3_e2_g2", "conv_k1_linear"')
    )
    other = Supernet(turned, GivenWeights(arrays(Supernet(TOY, DrawnWeights()))))
    wanted = Supernet(TOY, DrawnWeights()).network(TOY.architecture((1, 2, 0)))
    assert np.array_equal(through(other.network(turned.architecture((1, 2, 1))), X), through(wanted, X))


@pytest.mark.parametrize("ops", [ALL_OPS[0], (1, 2, 1), ALL_OPS[-1]])
def test_a_path_is_exported_with_its_weights_and_no_torch(ops: tuple[int, ...]) -> None:
    whole, architecture = Supernet(TOY, DrawnWeights()), TOY.architecture(ops)
    model = network_model(architecture, GivenWeights(path_weights(arrays(whole), architecture)), batch=len(X))
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert (notes["weights"], notes["architecture"]) == ("trained", str(architecture))
    with torch.no_grad():
        wanted = whole.eval()(torch.from_numpy(X), ops).numpy()
    assert relative_error(run(model, X), wanted) < 1e-5


def test_the_weights_of_a_path_are_those_of_its_network() -> None:
    whole, architecture = Supernet(TOY, DrawnWeights()), TOY.architecture((2, 0, 1))
    found, wanted = path_weights(arrays(whole), architecture), arrays(whole.network(architecture))
    assert found.keys() == wanted.keys()
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)


def test_a_block_whose_name_begins_another_name_keeps_its_own_weights() -> None:
    space = space_from_toml(TOML.replace('"mb_k3_e2", ', '"mb_k3_e3", "mb_k3_e30", '))
    whole = Supernet(space, DrawnWeights())
    for op in (1, 2):
        architecture = space.architecture((op, 0, 0))
        found = path_weights(arrays(whole), architecture)
        assert network_model(architecture, GivenWeights(found)) is not None
        assert np.array_equal(
            found["layer0.0.gamma"], arrays(whole)[f"layer0.{space.layers[0].blocks[op]}.0.gamma"]
        )


# --- memory and gradients of one path


def saved_bytes(forward: Callable[[Tensor], Tensor]) -> tuple[int, int]:
    """Number and bytes of tensors that a step keeps for its gradients."""
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(forward(torch.from_numpy(X)), LABELS)
    loss.backward()  # type: ignore[no-untyped-call]
    return len(sizes), sum(sizes)


@pytest.mark.parametrize("ops", [ALL_OPS[0], (1, 2, 1), ALL_OPS[-1]])
def test_a_step_along_a_path_keeps_as_much_as_a_step_of_its_network(ops: tuple[int, ...]) -> None:
    whole = supernet().train()
    taken = whole.network(TOY.architecture(ops)).train()
    count, size = saved_bytes(taken)
    assert size > 4 * X.size
    assert saved_bytes(lambda x: whole(x, ops)) == (count, size)


def bytes_of(tensors: Iterable[Tensor | None]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


def test_memory_of_a_step_does_not_grow_with_the_candidates() -> None:
    few = space_from_toml(TOML.replace('"skip", "mb_k3_e2", "mb_k3_e3_se", "conv_k3"', '"mb_k3_e2"'))
    small, large = Supernet(few), Supernet(TOY)
    found = []
    for whole, ops in [(small, (0, 0, 1)), (large, (1, 1, 1))]:
        start_training(whole, 0)
        saved = saved_bytes(lambda x, whole=whole, ops=ops: whole.train()(x, ops))  # type: ignore[misc]
        found.append((saved, bytes_of(parameter.grad for parameter in whole.parameters())))
    assert bytes_of(large.parameters()) > 2 * bytes_of(small.parameters())
    assert found[0] == found[1]


def test_gradients_are_on_the_path_and_nowhere_else() -> None:
    whole, ops = Supernet(TOY, DrawnWeights()).train(), (1, 2, 1)
    saved_bytes(lambda x: whole(x, ops))
    on_path = {id(parameter) for block in whole.path(ops) for parameter in block.parameters()}
    for name, parameter in whole.named_parameters():
        assert (parameter.grad is not None) == (id(parameter) in on_path), name
    assert sum(parameter.grad is not None for parameter in whole.parameters()) == len(on_path)


def test_a_step_changes_its_path_and_leaves_all_else_as_it_is() -> None:
    whole = Supernet(TOY, DrawnWeights())
    training = trainer(whole, weight_decay=0.1)
    list(training.run(2))
    before = arrays(whole)
    assert training.path_of is not None
    ops = training.path_of(2)
    list(training.run(3))
    after = arrays(whole)
    prefixes = tuple(f"{layer.name}.{layer.blocks[op]}." for layer, op in TOY.architecture(ops).chain)
    for name in before:
        if not name.startswith(prefixes) or name.endswith("weight"):  # a shift may be taken out again behind
            assert np.array_equal(before[name], after[name]) == (not name.startswith(prefixes)), name


# --- the start of a training


def test_a_training_begins_with_residual_blocks_that_are_identities() -> None:
    found = 0
    for block in supernet().train().modules():
        if isinstance(block, BlockModule) and block.residual:
            x = torch.from_numpy(drawn_images(TOY.shape_in.strided(6, 2)))
            assert torch.equal(block(x), x)
            found += 1
    assert found == 4


def test_the_seed_decides_how_a_training_begins() -> None:
    first, same, other = arrays(network(seed=1)), arrays(network(seed=1)), arrays(network(seed=2))
    assert all(np.array_equal(first[name], same[name]) for name in first)
    kernels = [name for name in first if name.endswith("weight")]
    assert not any(np.array_equal(first[name], other[name]) for name in kernels)


def test_a_training_begins_anew_also_with_a_network_that_was_trained() -> None:
    net = Network(TOY.architecture((1, 2, 1)), DrawnWeights())
    start_training(net, 3)
    assert all(np.array_equal(array, arrays(net)[name]) for name, array in arrays(network()).items())
