"""Several processes that train one network (`torchrun`): gradients are added up, the first one has the file.

Every function that exchanges something is called by all processes together, in the same order.
"""

from __future__ import annotations

import hashlib
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
def add_up(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over all processes, in one exchange; the same bits in all of them."""
    found = list(tensors)
    if world() == 1 or not found:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in found])
    dist.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in found])
    for tensor, part in zip(found, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in one exchange."""
    found = list(tensors)
    add_up(found)
    for tensor in found:
        tensor.div_(world())


def together(value: bool, device: torch.device) -> bool:
    """Whether the value is true in any process."""
    if world() == 1:
        return value
    flag = torch.tensor(float(value), device=device)
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag.item())


def agree(words: str, device: torch.device) -> bool:
    """Whether all processes say the same words."""
    if world() == 1:
        return True
    number = int.from_bytes(hashlib.sha256(words.encode()).digest()[:7], "big")  # 56 bits: an int64 holds it
    ends = torch.tensor([number, -number], device=device)
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    highest, lowest = ends.tolist()
    return bool(highest == -lowest)


def from_first(content: bytes | None, device: torch.device) -> bytes | None:
    """What the first process holds; what the others give is not looked at."""
    if world() == 1:
        return content
    length = torch.tensor(-1 if content is None else len(content), device=device)
    dist.broadcast(length, 0)
    if length < 0:
        return None
    size = int(length.item())
    sent = torch.empty(size, dtype=torch.uint8, device=device)
    if rank() == 0 and content:
        sent.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    if size:
        dist.broadcast(sent, 0)
    return sent.cpu().numpy().tobytes()
