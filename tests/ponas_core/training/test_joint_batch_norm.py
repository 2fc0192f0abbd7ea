"""Batch normalisation over all processes: alone it is torch's own; `test_processes` holds two to one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ponas_core.training.joint_batch_norm import joint_batch_norm

CHANNELS = 3
Normalise = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ours(x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return joint_batch_norm(x, mean, variance, gamma, beta, 0.3, 1e-5)


def torchs(x: Tensor, mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, variance, gamma, beta, True, 0.3, 1e-5)


def everything(normalise: Normalise, x: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Outputs, running statistics, and gradients of a loss in which every value weighs differently."""
    wide = torch.promote_types(dtype, torch.float32)
    mean, variance = drawn(1, CHANNELS).to(wide), drawn(2, CHANNELS).square().to(wide)
    gamma, beta = (drawn(seed, CHANNELS).to(wide).requires_grad_() for seed in (3, 4))
    x = x.to(dtype).requires_grad_()
    y = normalise(x, mean, variance, gamma, beta)
    (y * drawn(5, *x.shape).to(y)).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert gamma.grad is not None
    assert beta.grad is not None
    assert y.dtype == x.grad.dtype == dtype
    return [y.detach(), mean, variance, x.grad, gamma.grad, beta.grad]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("dtype", "shift", "error"),
    [
        (torch.float64, 0.0, 1e-12),
        (torch.float64, 100.0, 1e-9),
        (torch.float32, 0.0, 1e-5),
        (torch.float32, 100.0, 1e-3),
        (torch.bfloat16, 0.0, 0.05),  # three digits
    ],
)
def test_alone_it_is_torchs_own(
    layout: torch.memory_format, dtype: torch.dtype, shift: float, error: float
) -> None:
    x = (drawn(0, 5, CHANNELS, 2, 4) + shift).contiguous(memory_format=layout)
    for found, wanted in zip(everything(ours, x, dtype), everything(torchs, x, dtype), strict=True):
        torch.testing.assert_close(found, wanted, rtol=error, atol=error)


def test_its_gradient_is_that_of_what_it_computes() -> None:
    still = (torch.zeros(CHANNELS, dtype=torch.float64), torch.ones(CHANNELS, dtype=torch.float64))
    inputs = [drawn(0, 4, CHANNELS, 2, 1), drawn(3, CHANNELS), drawn(4, CHANNELS)]

    def normalised(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        return ours(x, still[0].clone(), still[1].clone(), gamma, beta)

    assert torch.autograd.gradcheck(normalised, [part.requires_grad_() for part in inputs])


def test_without_running_statistics_it_normalises_alike() -> None:
    x = drawn(0, 4, CHANNELS, 2, 2)
    ones, zeros = torch.ones(CHANNELS, dtype=torch.float64), torch.zeros(CHANNELS, dtype=torch.float64)
    found = joint_batch_norm(x, None, None, ones, zeros, 0.1, 1e-5)
    torch.testing.assert_close(found, functional.batch_norm(x, None, None, ones, zeros, True, 0.1, 1e-5))
