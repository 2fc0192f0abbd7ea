"""Digests of data sets: whether the data of a search are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = 12


def digest_of(chunks: Iterable[bytes | memoryview]) -> str:
    """First digits of SHA-256 over chunks; where one ends and the next begins counts."""
    total = hashlib.sha256()
    for chunk in chunks:
        total.update(hashlib.sha256(chunk).digest())
    return total.hexdigest()[:_LENGTH]


def array_chunks(array: NDArray[Any]) -> Iterable[bytes | memoryview]:
    """An array for `digest_of`: its shape and its bytes, the same on every machine."""
    yield str(array.shape).encode()
    yield np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data
