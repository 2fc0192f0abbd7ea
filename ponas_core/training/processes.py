"""Several processes that train one network (`torchrun`): gradients are averaged, the first one writes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor


def rank() -> int:
    """Number of this process, 0 where it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def join(device: torch.device) -> None:
    """Join the processes that `torchrun` started."""
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def leave() -> None:
    """Part from the others."""
    if dist.is_initialized():
        dist.destroy_process_group()


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one exchange."""
    found = list(tensors)
    if world() == 1 or not found:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in found])
    dist.all_reduce(flat)
    flat /= world()
    parts = torch.split(flat, [tensor.numel() for tensor in found])
    for tensor, part in zip(found, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def together(value: bool, device: torch.device) -> bool:
    """Whether the value is true in any process."""
    if world() == 1:
        return value
    flag = torch.tensor(float(value), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag.item())
