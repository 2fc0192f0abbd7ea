"""Images on the device that trains, in seeded order, augmented there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ponas_core.datasets.images import ArrayImages, LabelledImages
from ponas_core.datasets.normalization import Normalization


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to training images at random.

    Attributes:
        shift: pixels by which an image is moved at most, zeros coming in.
        flip: whether half of the images are mirrored left to right.
        cutout: side of a square that is set to the mean; 0 for none.
    """

    shift: int = 0
    flip: bool = False
    cutout: int = 0

    @classmethod
    def usual(cls, channels: int, height: int) -> Augmentation:
        """An eighth of the height as shift; colour images are mirrored too, grey ones (digits) not."""
        return cls(shift=max(1, height // 8), flip=channels == 3)


class DeviceImages:
    """Labelled images as batches of tensors on a device.

    Images in memory are copied to the device once; others are asked for batch by batch.
    """

    def __init__(self, data: LabelledImages, normalization: Normalization, device: torch.device) -> None:
        self.data, self.device = data, device
        self.labels = _tensor(data.labels).to(device)
        images = data.images
        self.pixels = _tensor(images.pixels).to(device) if isinstance(images, ArrayImages) else None
        shape = (1, -1, 1, 1)
        self.mean = torch.tensor(normalization.mean, device=device).view(shape) * 255
        self.std = torch.tensor(normalization.std, device=device).view(shape) * 255

    def __len__(self) -> int:
        """Number of images."""
        return len(self.data.labels)

    def batch(self, indexes: NDArray[np.intp]) -> tuple[Tensor, Tensor]:
        """Normalised images (batch, C, H, W), channels last in memory, and their labels."""
        where = torch.from_numpy(indexes)
        if self.pixels is not None:
            pixels = self.pixels[where.to(self.device)]
        else:
            pixels = _tensor(self.data.images.batch(indexes)).to(self.device, non_blocking=True)
        x = ((pixels.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return x, self.labels[where.to(self.device)]

    def in_order(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, in their order."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self)), dtype=np.intp))


def _tensor(array: NDArray[Any]) -> Tensor:
    """The array as a tensor; a copy where it cannot be written to, which torch has no word for."""
    return torch.from_numpy(np.require(array, requirements="W"))


@dataclass(frozen=True, slots=True)
class Epochs:
    """Every image once an epoch, in an order drawn anew for each; a last short batch is left out.

    Attributes:
        images: how many there are.
        batch: images of one step.
        seed: equal seeds give equal orders.
    """

    images: int
    batch: int
    seed: int

    @property
    def steps(self) -> int:
        """Steps of one epoch."""
        return max(1, self.images // self.batch)

    def __call__(self, step: int) -> NDArray[np.intp]:
        """Indexes of the images of a step."""
        epoch, position = divmod(step, self.steps)
        order = _order(self.images, self.seed, epoch)
        return order[position * self.batch : (position + 1) * self.batch]


@lru_cache(maxsize=2)
def _order(images: int, seed: int, epoch: int) -> NDArray[np.intp]:
    return np.random.default_rng([seed, epoch]).permutation(images).astype(np.intp)


def augment(
    x: Tensor, how: Augmentation, generator: torch.Generator, part: tuple[int, NDArray[np.intp]] | None = None
) -> Tensor:
    """Shift, mirror and cut out at random, on the device of `x` (batch, C, H, W).

    Args:
        x: images.
        how: what is done to them.
        generator: what is drawn from.
        part: where `x` is a part of a larger batch, its size and the positions of `x` in it: what is drawn
            for an image is the same whoever holds it.
    """
    batch, _, height, width = x.shape
    device = x.device
    drawn_for, places = (batch, None) if part is None else (part[0], torch.from_numpy(part[1]).to(device))

    def draw(highest: int) -> Tensor:
        drawn = torch.randint(highest, (drawn_for, 1, 1), generator=generator, device=device)
        return drawn if places is None else drawn[places]

    if how.shift or how.flip:
        rows = torch.arange(height, device=device).view(1, -1, 1) + draw(2 * how.shift + 1)
        columns = torch.arange(width, device=device).view(1, 1, -1)
        if how.flip:
            columns = torch.where(draw(2) == 1, width - 1 - columns, columns)
        columns = columns + draw(2 * how.shift + 1)
        padded = functional.pad(x, [how.shift] * 4).permute(0, 2, 3, 1)
        which = torch.arange(batch, device=device).view(-1, 1, 1)
        x = padded[which, rows, columns].permute(0, 3, 1, 2)
    if how.cutout:
        # how far behind the upper left corner of the square, whose middle lies in the image
        rows = torch.arange(height, device=device).view(1, -1, 1) - draw(height) + how.cutout // 2
        columns = torch.arange(width, device=device).view(1, 1, -1) - draw(width) + how.cutout // 2
        inside = (rows >= 0) & (rows < how.cutout) & (columns >= 0) & (columns < how.cutout)
        x = x.masked_fill(inside.unsqueeze(1), 0.0)
    return x
