"""Encoded images (PNG, JPEG, ...) decoded with Pillow, which is imported here and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ponas_core.datasets.errors import DatasetError
from ponas_core.operators import TensorShape

if TYPE_CHECKING:
    from PIL import Image

_MODES = {1: "L", 3: "RGB"}
_GREY = ("1", "L", "LA")
_DEEP = ("I", "F")  # beginnings of the modes with more than 8 bits a channel


def require_pillow() -> None:
    """Raise DatasetError unless Pillow is there."""
    try:
        import PIL.Image  # noqa: F401 - only whether it can be imported
    except ImportError as error:
        raise DatasetError(
            "decoding images needs Pillow, which is not installed: pip install 'hwprofile[search]'"
        ) from error


def check_channels(shape: TensorShape) -> None:
    """Raise DatasetError unless image files can be decoded to this many channels."""
    if shape.channels not in _MODES:
        raise DatasetError(
            f"image files have 1 or 3 channels, the space reads {shape.channels}: use an .npz file, "
            "or set `input` of the space"
        )


def pixels_of_picture(picture: Image.Image, channels: int | None = None) -> NDArray[np.uint8]:
    """Pixels (C, H, W) of a Pillow image; as many channels as it has unless told, 1 or 3.

    Raises:
        DatasetError: its channels have more than 8 bits.
    """
    if channels is None:
        channels = 1 if picture.mode in _GREY else 3
    pixels = np.asarray(_converted(picture, channels))
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def pixels_of_file(file: Path, shape: TensorShape) -> NDArray[np.uint8]:
    """Decode a file to pixels of this shape: shorter side to the wanted size, middle of the longer side.

    Raises:
        DatasetError: the file cannot be read as an image; the message names it.
    """
    from PIL import Image, ImageOps

    size = (shape.width, shape.height)
    try:
        with Image.open(file) as picture:
            plain = _converted(picture, shape.channels)
            fitted = plain if plain.size == size else ImageOps.fit(plain, size, Image.Resampling.BILINEAR)
            return pixels_of_picture(fitted, shape.channels)
    except _undecodable() as error:
        raise _cannot_decode(file, error) from error


def decoded(encoded: Iterable[bytes], count: int, where: str) -> NDArray[np.uint8]:
    """Decode images of one size into one array (N, C, H, W); the first decides size and channels.

    One thread: small images (CIFAR's) spend their time in Pillow's Python code, where threads only wait for
    one another.

    Raises:
        DatasetError: there is none, or one cannot be decoded or is of another size; the message gives its
            number.
    """
    from PIL import Image

    pixels: NDArray[np.uint8] | None = None
    for number, data in enumerate(encoded):
        try:
            with Image.open(io.BytesIO(data)) as picture:
                image = pixels_of_picture(picture, None if pixels is None else pixels.shape[1])
        except _undecodable() as error:
            raise _cannot_decode(f"{where}, image {number}", error) from error
        if pixels is None:
            pixels = np.empty((count, *image.shape), np.uint8)
        if image.shape != pixels.shape[1:]:
            raise DatasetError(
                f"{where}: image {number} is {image.shape}, the first {pixels.shape[1:]}: "
                "packed images have one size; resize them, or use a folder of images"
            )
        pixels[number] = image
    if pixels is None:
        raise DatasetError(f"{where} holds no images")
    return pixels


def _converted(picture: Image.Image, channels: int) -> Image.Image:
    """The image with 1 or 3 channels of 8 bits; DatasetError where it has more bits."""
    if picture.mode.startswith(_DEEP):
        raise DatasetError(f"mode {picture.mode} has more than 8 bits a channel: convert it to 8 bits")
    mode = _MODES[channels]
    if picture.mode == mode:
        return picture
    # Pillow warns of palettes with transparency unless they become RGBA first; the colours are the same
    return (picture.convert("RGBA") if "transparency" in picture.info else picture).convert(mode)


def _undecodable() -> tuple[type[Exception], ...]:
    """What Pillow raises on files that it cannot read, or that we refuse."""
    from PIL import Image

    # SyntaxError: broken PNG; the bomb: a few bytes that claim to be gigapixels
    return (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def _cannot_decode(where: object, error: Exception) -> DatasetError:
    return DatasetError(f"cannot decode {where}: {error}; replace or remove it")
