"""Weights by name: drawn from a seed, or given.

Names are `<layer>.<operator>.<part>`, for example `layer3.1.weight`, `layer3.1.gamma`, `head1.0.bias`. A
convolution has `weight` and the batch normalisation's `gamma`, `beta`, `mean`, `variance`; the other
operators have weights and biases. Everything is float32.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

WeightsOrigin = Literal["random", "trained"]


class Weights(Protocol):
    """Where the ONNX writer takes its numbers from."""

    @property
    def origin(self) -> WeightsOrigin:
        """What the exported file says of its weights."""
        ...

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array of this name and shape."""
        ...


class RandomWeights:
    """He-normal kernels, batch normalisation as at the start of training; equal for equal seed and name."""

    origin: WeightsOrigin = "random"

    def __init__(self, seed: int = 0) -> None:
        """Store the seed."""
        self.seed = seed

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array of this name and shape."""
        part = name.rpartition(".")[2]
        if part in {"gamma", "variance"}:
            return np.ones(shape, np.float32)
        if not part.startswith("weight"):
            return np.zeros(shape, np.float32)
        return _drawn(self.seed, name, shape)


@functools.lru_cache(maxsize=512)
def _drawn(seed: int, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """He-normal values; the networks of a space share most of their kernels, so they are drawn once."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values = rng.standard_normal(shape, dtype=np.float32)
    values *= np.float32(math.sqrt(2.0 / math.prod(shape[1:])))
    values.flags.writeable = False
    return values


class GivenWeights:
    """Weights from a mapping of names to arrays, for example of a trained network."""

    origin: WeightsOrigin = "trained"

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Store the mapping."""
        self.arrays = arrays

    def get(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array of this name; KeyError when absent, ValueError for another shape."""
        if name not in self.arrays:
            raise KeyError(f"the weights have no {name!r} (shape {shape})")
        array = np.asarray(self.arrays[name], np.float32)
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, the network needs {shape}")
        return array


def fold_batch_norm(
    weight: NDArray[np.float32],
    gamma: NDArray[np.float32],
    beta: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    epsilon: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel and bias of the convolution that equals convolution and batch normalisation at inference.

    Args:
        weight: (out, in / groups, k, k).
        gamma: (out,), scale; `beta`, `mean`, `variance` likewise.
        beta: shift.
        mean: running mean.
        variance: running variance.
        epsilon: added to the variance.
    """
    scale = (gamma / np.sqrt(variance + np.float32(epsilon))).astype(np.float32)
    folded = weight * scale[:, None, None, None]
    return folded, (beta - mean * scale).astype(np.float32)
