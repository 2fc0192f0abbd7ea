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
        deviation = torch.sqrt(variance + epsilon)
        mean, variance = mean.to(gamma), variance.to(gamma)
    x = _Centred.apply(x, mean, deviation.to(gamma), count.to(gamma))  # type: ignore[no-untyped-call]  # torch leaves this one without types
    return functional.batch_norm(x, mean, variance, gamma, beta, False, 0.0, epsilon)


def widened(x: Tensor) -> Tensor:
    """In single precision, or double where it has that."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (C) over all processes, and how many values a channel has; float64."""
    wide = widened(x)
    mean = wide.mean(_IMAGES_AND_PIXELS)
    spread = (wide - mean.view(1, -1, 1, 1)).square().sum(_IMAGES_AND_PIXELS).double()
    mean, count = mean.double(), mean.new_tensor([x.numel() // x.shape[1]], dtype=torch.float64)
    # sums of squares about 0 differ little from each other where a mean is large: hence float64
    sums = torch.cat([count * mean, spread + count * mean.square(), count])
    processes.add_up([sums])
    channels = len(mean)
    count = sums[-1]
    mean = sums[:channels] / count
    return mean, (sums[channels:-1] / count - mean.square()).clamp_min(0), count


class _Centred(torch.autograd.Function):
    """The identity, whose gradient loses what batch statistics undo: a shift and a stretch of all values.

    Behind it follows a normalisation that takes the statistics for constants. Its gradient in x lacks that
    mean and deviation move along with x; taking its projections on 1 and on the normalised values away makes
    up for that. Arguments of `apply`: x; mean and deviation (C); number of values a channel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, deviation: Tensor, count: Tensor) -> Tensor:
        """As it is."""
        ctx.save_for_backward(x, mean, deviation, count)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient in x, less its projections, which all processes add up."""
        x, mean, deviation, count = ctx.saved_tensors
        slope = widened(slopes[0])
        normalised = (widened(x) - mean.view(1, -1, 1, 1)) / deviation.view(1, -1, 1, 1)
        shift = slope.sum(_IMAGES_AND_PIXELS)
        stretch = (slope * normalised).sum(_IMAGES_AND_PIXELS)
        processes.add_up([shift, stretch])
        taken = normalised.mul_((stretch / count).view(1, -1, 1, 1)).add_((shift / count).view(1, -1, 1, 1))
        return (slope - taken).to(x.dtype), None, None, None
