"""Statistics of batch normalisation, estimated anew or shared."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ponas_core.operators import BATCH_NORM_EPSILON
from ponas_core.training.batch_norm import estimate_statistics, freeze, recalibrate_bn
from ponas_core.training.modules import arrays, convolutions, set_weights
from ponas_core.training.networks import Network, Supernet
from tests.ponas_core.training.toys import TOY, DrawnWeights, drawn_images

OPS = (1, 2, 1)
BATCHES = [torch.from_numpy(drawn_images(TOY.shape_in, count, seed)) for seed, count in enumerate([8, 8, 5])]


def drawn_network() -> Network:
    return Network(TOY.architecture(OPS), DrawnWeights())


class Watched:
    """What each convolution of a network reads, batch by batch."""

    def __init__(self, network: nn.Module) -> None:
        self.parts = convolutions(network)
        self.inputs: dict[nn.Module, list[Tensor]] = {part: [] for part in self.parts}
        for part in self.parts:
            part.register_forward_pre_hook(lambda part, x: self.inputs[part].append(x[0].detach().clone()))


def test_statistics_are_the_mean_over_the_batches() -> None:
    plain = drawn_network()
    watched = Watched(plain)
    with torch.no_grad():
        for x in BATCHES:
            plain.train()(x)
    fresh = recalibrate_bn(drawn_network(), BATCHES)
    for part, found in zip(watched.parts, convolutions(fresh), strict=True):
        kind = part.operator
        outputs = [
            nn.functional.conv2d(x, part.weight, None, kind.stride, kind.kernel // 2, 1, kind.groups).double()
            for x in watched.inputs[part]
        ]
        mean = torch.stack([y.mean((0, 2, 3)) for y in outputs]).mean(0)
        variance = torch.stack([y.var((0, 2, 3)) for y in outputs]).mean(0)
        torch.testing.assert_close(found.mean.double(), mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.variance.double(), variance, rtol=1e-5, atol=1e-6)


def test_a_recalibrated_network_normalises_these_batches() -> None:
    fresh = recalibrate_bn(drawn_network(), BATCHES[:1])
    first = convolutions(fresh)[0]
    with torch.no_grad():
        y = nn.functional.conv2d(BATCHES[0], first.weight, None, 2, 1)
        normal = (y - first.mean.view(1, -1, 1, 1)) / (
            first.variance.view(1, -1, 1, 1) + BATCH_NORM_EPSILON
        ).sqrt()
    assert normal.mean((0, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(normal.var((0, 2, 3)), torch.ones(6), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_network_itself_stays_as_it_was(training: bool, frozen: bool) -> None:
    network = drawn_network().train(training)
    freeze(network, frozen=frozen)
    for part in convolutions(network):
        part.momentum = 0.25
    before = arrays(network)
    fresh = recalibrate_bn(network, BATCHES)
    after = arrays(network)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert {part.training for part in network.modules()} == {training}
    assert {(part.frozen, part.momentum) for part in convolutions(network)} == {(frozen, 0.25)}
    assert not any(part._forward_pre_hooks for part in convolutions(network))
    assert fresh is not network


def test_the_result_is_in_evaluation_mode_and_has_the_same_weights() -> None:
    network = drawn_network().train()
    fresh = recalibrate_bn(network, BATCHES)
    assert not any(part.training for part in fresh.modules())
    assert not any(part._forward_pre_hooks for part in convolutions(fresh))
    found, wanted = arrays(fresh), arrays(network)
    for name in wanted:
        same = not name.endswith((".mean", ".variance"))
        assert np.array_equal(found[name], wanted[name]) == same, name


@pytest.mark.parametrize("pollution", [1e6, -3.0, float("inf"), float("nan")])
def test_older_statistics_do_not_matter(pollution: float) -> None:
    clean, polluted = drawn_network(), drawn_network()
    with torch.no_grad():
        for buffer in polluted.buffers():
            buffer.fill_(pollution)
    found, wanted = arrays(recalibrate_bn(polluted, BATCHES)), arrays(recalibrate_bn(clean, BATCHES))
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("frozen", [False, True])
def test_frozen_statistics_are_estimated_anew_too(frozen: bool) -> None:
    network = drawn_network()
    freeze(network, frozen=frozen)
    fresh = recalibrate_bn(network, BATCHES)
    wanted = arrays(recalibrate_bn(drawn_network(), BATCHES))
    assert all(np.array_equal(array, wanted[name]) for name, array in arrays(fresh).items())
    assert {part.frozen for part in convolutions(fresh)} == {frozen}


def test_no_batch_is_refused_and_changes_nothing() -> None:
    network = drawn_network().train()
    before = arrays(network)
    for attempt in (lambda: recalibrate_bn(network, []), lambda: estimate_statistics(network, [])):
        with pytest.raises(ValueError, match="at least one batch"):
            attempt()
    assert all(np.array_equal(array, before[name]) for name, array in arrays(network).items())
    assert network.training


def test_a_batch_that_fails_leaves_no_hooks_and_no_other_mode() -> None:
    network = drawn_network().eval()
    with pytest.raises(RuntimeError):
        estimate_statistics(network, [(torch.zeros(1, 5, 8, 8), network)])
    assert not any(part.training or part.frozen or part._forward_pre_hooks for part in convolutions(network))


def test_statistics_of_a_supernet_are_means_over_what_goes_through_each_block() -> None:
    whole = Supernet(TOY, DrawnWeights()).eval()
    paths = [(1, 2, 0), (1, 0, 1), (3, 2, 1)]
    before = arrays(whole)
    passes: list[tuple[Tensor, Callable[[Tensor], Tensor]]] = [
        (x, partial(whole, ops=ops)) for x, ops in zip(BATCHES, paths, strict=True)
    ]
    estimate_statistics(whole, passes)
    assert not whole.training
    found = arrays(whole)
    # the stem sees every batch, and does so first
    alone = Supernet(TOY, DrawnWeights())
    estimate_statistics(alone["stem0"], [(x, alone["stem0"]["conv_k3"]) for x in BATCHES])  # type: ignore[index]
    np.testing.assert_array_equal(found["stem0.conv_k3.0.mean"], arrays(alone)["stem0.conv_k3.0.mean"])
    # a block of one path holds that batch's statistics; one of no path what it had
    single = recalibrate_bn(Supernet(TOY, DrawnWeights()).network(TOY.architecture((3, 0, 0))), BATCHES[2:])
    np.testing.assert_array_equal(found["layer0.conv_k3.0.mean"], arrays(single)["layer0.0.mean"])
    for name in before:
        if name.startswith(("layer0.mb_k3_e3_se", "layer1.mb_k3_e2", "layer1.conv_k3")):
            np.testing.assert_array_equal(found[name], before[name])


def test_freezing_holds_for_every_block_and_can_be_undone() -> None:
    whole = Supernet(TOY, DrawnWeights()).train()
    freeze(whole)
    before = arrays(whole)
    with torch.no_grad():
        for ops in [OPS, (3, 1, 0)]:
            whole(BATCHES[0], ops)
    assert all(np.array_equal(array, before[name]) for name, array in arrays(whole).items())
    freeze(whole, frozen=False)
    with torch.no_grad():
        whole(BATCHES[0], OPS)
    assert not np.array_equal(arrays(whole)["stem0.conv_k3.0.mean"], before["stem0.conv_k3.0.mean"])


def test_a_frozen_network_learns_as_it_is_evaluated() -> None:
    network = drawn_network()
    set_weights(network, DrawnWeights(4))
    freeze(network)
    with torch.no_grad():
        torch.testing.assert_close(network.train()(BATCHES[0]), network.eval()(BATCHES[0]))
