"""How the images of a step are shared: among its parts, and among the processes that train together.

A step's images are dealt out to its parts, which go through the network one after another. Where processes
can take whole parts, each takes some; else all of them share every part. So what a part holds, and with it
everything that a step computes, does not depend on the number of processes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ponas_core.training import processes


@dataclass(frozen=True, slots=True)
class Pass:
    """Images that go through a network together, in one process.

    Attributes:
        part: number of the part that they belong to.
        places: which of the step's images they are, by position.
        weight: their share of the step's images.
    """

    part: int
    places: NDArray[np.intp]
    weight: float


@dataclass(frozen=True, slots=True)
class Sharing:
    """Who sends which images of a step through the network.

    Attributes:
        images: of a step, over all parts and processes.
        parts: how many parts they are dealt out to.
        rank: number of this process, from 0 on.
        world: how many processes there are.

    Raises:
        ValueError: a part has too few images: 2 where there are several parts, one for each process that
            shares it.
    """

    images: int
    parts: int = 1
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError where a part has too few images."""
        smallest = self.images // self.parts
        if self.joint and smallest < self.world:
            what = "steps" if self.parts == 1 else "parts"
            raise ValueError(f"{self.world} processes cannot share {what} of {smallest} images: start fewer")
        if self.parts > 1 and smallest < 2:
            raise ValueError(f"{self.images} images are too few for {self.parts} parts: take fewer")

    @classmethod
    def here(cls, images: int, parts: int) -> Sharing:
        """Among the processes that train together, as this one sees it."""
        return cls(images, parts, processes.rank(), processes.world())

    @property
    def joint(self) -> bool:
        """Whether all processes share every part; else each takes whole parts."""
        return self.parts % self.world > 0

    def passes(self) -> list[Pass]:
        """What this process sends through the network, in order."""
        everyones = np.arange(self.images, dtype=np.intp)
        mine = range(self.parts) if self.joint else range(self.rank, self.parts, self.world)
        first, step = (self.rank, self.world) if self.joint else (0, 1)
        found = [(part, everyones[part :: self.parts][first::step]) for part in mine]
        return [Pass(part, places, len(places) / self.images) for part, places in found]
