"""Which path of a supernet each training step takes.

A sampler is a pure function of the step, so that a training that goes on after a crash takes the same paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Literal, TypeAlias

import numpy as np

from ponas_core.complexity import complexity
from ponas_core.space import SearchSpace

Sampling: TypeAlias = Literal["fair", "uniform"]
PathOf: TypeAlias = Callable[[int], tuple[int, ...]]
"""The op of each searchable layer at a step."""


def sampler(
    space: SearchSpace, sampling: Sampling, seed: int, alive: Sequence[Sequence[int]] | None = None
) -> PathOf:
    """Paths by step.

    Args:
        space: the space.
        sampling: `fair`, each layer deals out all of its candidates before one comes again, so that all are
            trained equally often (FairNAS, Chu et al., ICCV 2021); `uniform`, each draw by itself (SPOS, Guo
            et al., ECCV 2020).
        seed: equal seeds give equal paths.
        alive: for each layer, the ops that paths may take; None for all.
    """
    ops = tuple(map(tuple, alive)) if alive else tuple(tuple(range(count)) for count in space.op_counts)
    choose = _fair if sampling == "fair" else _uniform
    return partial(_among, ops, partial(choose, tuple(map(len, ops)), seed))


def _among(alive: Sequence[Sequence[int]], choose: PathOf, step: int) -> tuple[int, ...]:
    return tuple(ops[choice] for ops, choice in zip(alive, choose(step), strict=True))


def _uniform(sizes: Sequence[int], seed: int, step: int) -> tuple[int, ...]:
    draw = np.random.default_rng([seed, step])
    return tuple(int(draw.integers(size)) for size in sizes)


def _fair(sizes: Sequence[int], seed: int, step: int) -> tuple[int, ...]:
    return tuple(_dealt(seed, layer, step // size, size)[step % size] for layer, size in enumerate(sizes))


@lru_cache(maxsize=4096)
def _dealt(seed: int, layer: int, cycle: int, size: int) -> tuple[int, ...]:
    return tuple(np.random.default_rng([seed, layer, cycle]).permutation(size).tolist())


def largest_path(space: SearchSpace) -> tuple[int, ...]:
    """The candidate with the most multiply-accumulates of each layer."""
    return tuple(int(row.argmax()) for row in complexity(space, "macs").rows)
