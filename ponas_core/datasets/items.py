"""What a torch Dataset gives, (image, label), as pixels and labels; torch itself is not imported."""

from __future__ import annotations

import operator
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError
from ponas_core.datasets.pictures import pixels_of_picture
from ponas_core.datasets.pixels import to_bytes

_ACCEPTED = (
    "a PIL image, a numpy array (H, W, C) or (H, W) of uint8, "
    "or a torch tensor (C, H, W) of uint8 or of floats in 0..1"
)


def pixels_of_item(item: Any, channels: int | None, where: str) -> NDArray[np.uint8]:
    """Pixels (C, H, W) of the image of an item.

    Args:
        item: (image, label).
        channels: what a PIL image is converted to, 1 or 3; None: as many as it has.
        where: names the item in errors.

    Raises:
        DatasetError: the item is no pair, or its image is of a kind that is not known.
    """
    image = _pair(item, where)[0]
    if _is_a(image, "PIL.Image", "Image"):
        return pixels_of_picture(image, channels if channels in (1, 3) else None)
    if _is_a(image, "torch", "Tensor"):
        return _pixels_of_tensor(image, where)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim in (2, 3):
        return image[np.newaxis] if image.ndim == 2 else image.transpose(2, 0, 1)
    raise _unknown(image, where)


def label_of_item(item: Any, where: str) -> int:
    """Label of an item; DatasetError unless it is a whole number."""
    label = _pair(item, where)[1]
    try:
        return operator.index(label)
    except TypeError as error:
        raise DatasetError(f"{where} has the label {label!r:.80}: labels are whole numbers from 0") from error


def _pixels_of_tensor(image: Any, where: str) -> NDArray[np.uint8]:
    values = image.detach().cpu()
    # bfloat16 has no counterpart in numpy
    array = (values.float() if values.is_floating_point() else values).numpy()
    if array.ndim != 3:
        raise _unknown(image, where)
    return to_bytes(array, where)


def _pair(item: Any, where: str) -> Any:
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise DatasetError(f"{where}: an item is (image, label), not {type(item).__name__}")
    return item


def _is_a(image: object, module: str, name: str) -> bool:
    """Whether it is of a class of a module that need not be there: who made it has imported it."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(image, getattr(loaded, name))


def _unknown(image: Any, where: str) -> DatasetError:
    details = [str(getattr(image, name)) for name in ("dtype", "shape") if hasattr(image, name)]
    return DatasetError(f"{where} is {' '.join([type(image).__name__, *details])}; accepted is {_ACCEPTED}")
