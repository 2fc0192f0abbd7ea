"""Statistics of batch normalisation: of one network anew, or shared by all paths of a supernet.

A path of a supernet that uses the running statistics of a single-path training is close to guessing: those
are a blend of all paths. So statistics are estimated anew for each network that is taken out (Guo et al.,
ECCV 2020, as released; BigNAS, Yu et al., ECCV 2020).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

from ponas_core.training.modules import ConvolutionModule, convolutions

RECALIBRATION_BATCHES = 20
_Module = TypeVar("_Module", bound=nn.Module)


def recalibrate_bn(network: _Module, batches: Iterable[Tensor]) -> _Module:
    """A copy of a network, in evaluation mode, whose running statistics are the mean over these batches.

    The network itself stays as it was.

    Args:
        network: takes a batch.
        batches: inputs (batch, C, H, W), about 20 of 128 training images; at least one.

    Raises:
        ValueError: no batch was given.
    """
    fresh = copy.deepcopy(network)
    estimate_statistics(fresh, ((x, fresh) for x in batches))
    fresh.eval()
    return fresh


@torch.no_grad()
def estimate_statistics(
    module: nn.Module, passes: Iterable[tuple[Tensor, Callable[[Tensor], Tensor]]]
) -> None:
    """Set the running statistics of every convolution to the mean over the batches that go through it.

    Each process estimates for itself. A convolution that no batch goes through keeps those that it has.

    Args:
        module: holds the convolutions; its mode is restored.
        passes: batches, each with what sends it through the module or a path of it; at least one.

    Raises:
        ValueError: no batch was given.
    """
    count = 0
    with _averaging(module):
        for x, forward in passes:
            forward(x)
            count += 1
    if count == 0:
        raise ValueError("statistics of batch normalisation need at least one batch")


@contextmanager
def _averaging(module: nn.Module) -> Iterator[None]:
    """Training mode in which running statistics become the plain mean over batches, old ones forgotten."""
    parts, training = convolutions(module), module.training
    before = [(part.frozen, part.momentum, part.joint) for part in parts]
    seen = dict.fromkeys(parts, 0)

    def weigh(part: nn.Module, _: object) -> None:
        assert isinstance(part, ConvolutionModule)
        if not seen[part]:  # weight 0 would not make them forget what is not finite
            part.mean.zero_()
            part.variance.zero_()
        seen[part] += 1
        part.momentum = 1 / seen[part]

    hooks = [part.register_forward_pre_hook(weigh) for part in parts]
    freeze(module, frozen=False)
    for part in parts:
        part.joint = False
    module.train()
    try:
        yield
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
        for part, (frozen, momentum, joint) in zip(parts, before, strict=True):
            part.frozen, part.momentum, part.joint = frozen, momentum, joint


@contextmanager
def untracked(module: nn.Module) -> Iterator[None]:
    """Let batches that pass meanwhile leave the running statistics as they are, whatever the mode."""
    parts = convolutions(module)
    before = [part.tracking for part in parts]
    for part in parts:
        part.tracking = False
    try:
        yield
    finally:
        for part, tracking in zip(parts, before, strict=True):
            part.tracking = tracking


@contextmanager
def jointly(parts: Sequence[ConvolutionModule], *, joint: bool) -> Iterator[None]:
    """Let batches that pass meanwhile be parts of one, which all processes send together, or not."""
    if not joint:
        yield
        return
    for part in parts:
        part.joint = True
    try:
        yield
    finally:
        for part in parts:
            part.joint = False


def freeze(module: nn.Module, *, frozen: bool = True) -> None:
    """Let training use the running statistics and leave them alone, or not."""
    for part in convolutions(module):
        part.frozen = frozen
