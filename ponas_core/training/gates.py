"""Binary gates on the paths of a supernet, and the gradient of the loss in them (ProxylessNAS, section 3).

A layer's output is o = sum_j g_j o_j(x) with one gate open (1) and the others closed (0). Closed gates have a
gradient too, dL/dg_j = <dL/do, o_j(x)>, for which their ops must be run. Here they are run in the backward
pass, one after another and without a graph, so that memory is that of the open path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ponas_core.path_distribution import Draw
from ponas_core.training.batch_norm import untracked
from ponas_core.training.modules import BlockModule
from ponas_core.training.networks import Supernet


class Gated(torch.autograd.Function):
    """sum_j g_j o_j(x), differentiable in the gates and in the output of the open op.

    Gates are float64 on the processor. The gradient in x goes through the open op's output alone, which is
    all of it where the other gates are 0. Arguments of `apply`: gates; x; the open op's output; its position
    among the gates; the blocks of all gates; whether they run in mixed precision.
    """

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, x: Tensor, opened: Tensor, at: int, blocks: Sequence[nn.Module], mixed: bool
    ) -> Tensor:
        """The open op's output as it is; an op whose gate is 0 is not run."""
        ctx.save_for_backward(gates, x, opened)
        ctx.at, ctx.blocks, ctx.mixed = at, blocks, mixed
        values = gates.tolist()
        total = opened if values[at] == 1 else values[at] * opened
        for place, (value, block) in enumerate(zip(values, blocks, strict=True)):
            if place != at and value:
                total = total + value * block(x)
        return total

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """dL/dg_j of every gate, and dL/do times the open gate."""
        (slope,) = slopes
        gates, x, opened = ctx.saved_tensors
        with torch.no_grad(), torch.autocast(x.device.type, torch.bfloat16, enabled=ctx.mixed):
            along = [
                _inner(slope, opened if place == ctx.at else block(x))
                for place, block in enumerate(ctx.blocks)
            ]
        return torch.stack(along).to(gates), None, slope * gates[ctx.at].to(slope), None, None, None


def _inner(one: Tensor, other: Tensor) -> Tensor:
    """Inner product, at least in single precision."""
    wide = torch.promote_types(one.dtype, torch.float32)
    return torch.sum(one.to(wide) * other.to(wide))


def gate_gradients(
    supernet: Supernet,
    images: tuple[Tensor, Tensor],
    draws: Sequence[Draw],
    *,
    stored: bool,
    mixed_precision: bool = False,
    weight: float = 1.0,
) -> tuple[Tensor, list[Tensor]]:
    """Cross entropy of a batch along the active path, and its gradient in the gates of all sampled ops.

    Neither weights nor running statistics change, and no weight gets a gradient. In training mode batch
    normalisation goes by the batch, or by the running statistics where they are frozen.

    Args:
        supernet: the supernet, in training mode.
        images: (batch, channels, height, width), and labels.
        draws: of every searchable layer.
        stored: whether all sampled ops run in the forward pass, for plain automatic differentiation, which
            keeps everything in memory.
        mixed_precision: bfloat16 where it is safe.
        weight: what everything is multiplied with: the share of these images in a larger batch.

    Returns:
        The cross entropy, and for each layer dL/dg_j by position in `sampled`, float64 on the processor; 0
        where nothing else was sampled.
    """
    x, labels = images
    gates = [_opened(draw) for draw in draws]
    gate_of = {layer.name: place for place, layer in enumerate(supernet.space.layers)}
    with untracked(supernet), without_gradients(supernet):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=mixed_precision):
            for layer in supernet.space.all_layers:
                place = gate_of.get(layer.name)
                if place is None:
                    x = supernet.block(layer, 0)(x)
                    continue
                draw, gate = draws[place], gates[place]
                blocks = [supernet.block(layer, op) for op in draw.sampled]
                x = _through(x, blocks, draw.active, gate, stored, mixed_precision)
            loss = functional.cross_entropy(x.float() if mixed_precision else x, labels) * weight
        learning = [gate for gate in gates if gate.requires_grad]
        found = iter(torch.autograd.grad(loss, learning) if learning else ())
    return loss.detach(), [next(found) if gate.requires_grad else torch.zeros_like(gate) for gate in gates]


def _opened(draw: Draw) -> Tensor:
    gate = torch.zeros(len(draw.sampled), dtype=torch.float64)
    gate[draw.active] = 1
    return gate.requires_grad_(len(draw.sampled) > 1)


def _through(
    x: Tensor, blocks: Sequence[BlockModule], active: int, gate: Tensor, stored: bool, mixed: bool
) -> Tensor:
    """The output of a layer with gates."""
    if not gate.requires_grad:
        return blocks[active](x)  # type: ignore[no-any-return]  # what torch's call gives has no type
    if not stored:
        opened = blocks[active](x)
        return Gated.apply(gate, x.detach(), opened, active, blocks, mixed)  # type: ignore[no-any-return, no-untyped-call]  # likewise
    total: Tensor | None = None
    for place, block in enumerate(blocks):
        output = block(x)
        part = gate[place].to(output) * output
        total = part if total is None else total + part
    assert total is not None
    return total


@contextmanager
def without_gradients(module: nn.Module) -> Iterator[None]:
    """No parameter asks for a gradient meanwhile; those that they have stay."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
