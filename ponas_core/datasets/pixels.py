"""Pixels as every set of images gives them: channels first, uint8."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError

_CHANNELS = (1, 3)


def to_bytes(values: NDArray[Any], where: str) -> NDArray[np.uint8]:
    """Pixels as uint8: uint8 as they are, floats in 0..1 scaled to 0..255 and rounded.

    Raises:
        DatasetError: the values are of another type, or floats outside 0..1; `where` says which they are.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind != "f":
        raise DatasetError(f"{where}: pixels are uint8, or floats in 0..1, not {values.dtype}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # a NaN fails too
        raise DatasetError(
            f"{where}: pixels that are floats lie in 0..1, these do not; "
            "leave out any normalisation, or save them as uint8"
        )
    scaled: NDArray[np.uint8] = np.rint(values * 255).astype(np.uint8)
    return scaled


def channels_first(values: NDArray[Any], where: str) -> NDArray[Any]:
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W); C is 1 or 3.

    Raises:
        DatasetError: another number of axes, or no axis or both could be the channels.
    """
    if values.ndim == 3:
        return values[:, np.newaxis]
    if values.ndim != 4:
        raise DatasetError(
            f"{where}: images are arrays (N, H, W), (N, H, W, C) or (N, C, H, W), this one is {values.shape}"
        )
    first, last = values.shape[1] in _CHANNELS, values.shape[3] in _CHANNELS
    if first == last:
        found = "both the second and the last axis" if first else "no axis"
        raise DatasetError(
            f"{where}: {found} of {values.shape} could be the channels (1 or 3): "
            "save the images as (N, C, H, W) or (N, H, W, C) with one such axis"
        )
    return values if first else values.transpose(0, 3, 1, 2)
