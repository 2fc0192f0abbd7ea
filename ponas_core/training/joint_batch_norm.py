"""Batch normalisation by the images of all processes, which share the images of a step.

torch's own `SyncBatchNorm` refuses to run on a processor. Here the forward pass exchanges mean and spread of
each process's images, the backward pass two sums; both work with gloo and with NCCL.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ponas_core.training import processes

_IMAGES_AND_PIXELS = (0, 2, 3)


def joint_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_variance: Tensor | None,
    gamma: Tensor,
    beta: Tensor,
    momentum: float,
    epsilon: float,
) -> Tensor:
    """What `torch.nn.functional.batch_norm` gives in training for the images of all processes together.

    All processes call it together, and run the backward pass together.

    Args:
        x: this process's images (batch, C, H, W), at least one; over all processes more than one value a
            channel.
        running_mean: moved towards the batch's (C); None to leave it alone.
        running_variance: likewise.
        gamma: scale (C).
        beta: shift (C).
        momentum: weight of the batch in the running statistics.
        epsilon: added to the variance.
    """
    with torch.no_grad():
        mean, variance, count = _statistics(x)
        if running_mean is not None and running_variance is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_variance.lerp_((variance * count / (count - 1)).to(running_variance), momentum)
    batch = (mean.to(gamma), variance.to(gamma), count.to(gamma))
    return _Normalised.apply(x, gamma, beta, batch, epsilon)  # type: ignore[no-untyped-call, no-any-return]  # torch leaves this one without types


def widened(x: Tensor) -> Tensor:
    """In single precision, or double where it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C) over all processes, and how many values a channel has; float64."""
    wide = widened(x)
    mean = wide.mean(_IMAGES_AND_PIXELS)
    # in place: on a processor memory that is asked for anew takes longer than the arithmetic
    spread = (wide - _to_channels(mean)).square_().sum(_IMAGES_AND_PIXELS).double()
    mean, count = mean.double(), mean.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
    # sums of squares about 0 differ little from each other where a mean is large: hence float64
    sums = torch.cat([count * mean, spread + count * mean.square(), count])
    processes.add_up([sums])
    channels = len(mean)
    count = sums[-1]
    mean = sums[:channels] / count
    return mean, (sums[channels:-1] / count - mean.square()).clamp_min(0), count


def _to_channels(values: Tensor) -> Tensor:
    """Values (C) that meet images."""
    return values.view(1, -1, 1, 1)


class _Normalised(torch.autograd.Function):
    """Normalisation by mean and variance of the batch (C), of which each channel has `count` values.

    torch differentiates it as if they were constants. They move along with x, and take its gradient's
    projections on 1 and on the normalised values back, of all processes together. How long these are stands
    in the gradients of beta and gamma. Arguments of `apply`: x; gamma; beta; mean, variance, count; epsilon.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, batch: tuple[Tensor, Tensor, Tensor], epsilon: float
    ) -> Tensor:
        """This process's images, normalised, scaled and shifted."""
        ctx.save_for_backward(x, gamma, *batch)
        ctx.epsilon = epsilon
        return functional.batch_norm(x, batch[0], batch[1], gamma, beta, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients in x, and of this process's images in gamma and beta."""
        x, gamma, mean, variance, count = ctx.saved_tensors
        constants = (mean, variance, None, None, False, ctx.epsilon, (True, True, True))
        of_x, of_gamma, of_beta = torch.ops.aten.native_batch_norm_backward(slopes[0], x, gamma, *constants)
        stretch, shift = of_gamma.clone(), of_beta.clone()
        processes.add_up([stretch, shift])
        deviation = torch.sqrt(variance + ctx.epsilon)
        rate = gamma / (count * deviation)
        centred = x - _to_channels(mean)
        of_x.addcmul_(centred, _to_channels(rate * stretch / deviation).to(centred), value=-1)
        of_x.sub_(_to_channels(rate * shift))
        return of_x, of_gamma, of_beta, None, None
