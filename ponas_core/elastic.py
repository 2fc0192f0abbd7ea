"""Chains that run at several resolutions, and in which the last layers of a stage may be left out.

As Once-for-All searches (Cai et al., "Once-for-All: Train One Network and Specialize it for Efficient
Deployment", ICLR 2020): resolution, depth of every stage, kernel and expansion of every layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ponas_core.blocks import Block, Skip
from ponas_core.features import Features
from ponas_core.operators import TensorShape
from ponas_core.space import Architecture, Layer, SearchSpace, known_names

_TEXT = re.compile(r"\s*r([1-9][0-9]{0,5}):(.*)", re.DOTALL)


@dataclass(frozen=True)
class ElasticArchitecture:
    """One network: an architecture of the chain at its resolution (height and width of the input)."""

    resolution: int
    architecture: Architecture

    def __post_init__(self) -> None:
        """Raise ValueError for an architecture that reads another resolution."""
        shape = self.architecture.space.shape_in
        if (shape.height, shape.width) != (self.resolution, self.resolution):
            raise ValueError(f"resolution {self.resolution}, but the architecture reads {shape}")

    def __str__(self) -> str:
        """Write resolution and op indexes as `r160:3,1,9`."""
        return f"r{self.resolution}:{self.architecture}"


@dataclass(frozen=True)
class ElasticSpace:
    """A chain at each of several resolutions; a `NetworkSpace`.

    Neighbouring layers of one shape and one list of candidates with `skip` are a run. Which of its layers are
    left out makes no difference to the network, so the canonical form leaves out the last ones.

    Attributes:
        space: the chain at the resolution of its file.
        resolutions: heights and widths of the input, ascending.
    """

    space: SearchSpace
    resolutions: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for an input that is not square, or resolutions that lack it or do not ascend."""
        shape = self.space.shape_in
        if shape.height != shape.width or shape.height not in self.resolutions:
            raise ValueError(f"the input is {shape}: it must be square, and resolutions must hold its size")
        if list(self.resolutions) != sorted(set(self.resolutions)) or self.resolutions[0] < 1:
            raise ValueError(f"resolutions must ascend from at least 1, got {list(self.resolutions)}")

    @property
    def name(self) -> str:
        """Name of the chain."""
        return self.space.name

    def at(self, resolution: int) -> SearchSpace:
        """The chain at a resolution; where that is not its file's, its name ends in `-r160`.

        So neither profiles nor exported files of different resolutions can be taken for one another. Named
        networks are choices of blocks, and keep their names at every resolution.

        Raises:
            ValueError: no such resolution, or a block that cannot stand there (a user's ONNX file).
        """
        if resolution not in self.resolutions:
            known = ", ".join(map(str, self.resolutions))
            raise ValueError(f"{self.name} has no resolution {resolution}; it has {known}")
        if resolution not in self._chains:
            self._chains[resolution] = _resized(self.space, resolution)
        return self._chains[resolution]

    def architecture(self, resolution: int, ops: Sequence[int]) -> ElasticArchitecture:
        """The network of these op indexes in its canonical form.

        A skip in front of another block of its run is put behind it: that is the same network.

        Raises:
            ValueError: no such resolution, a wrong number of ops or an index out of range.
        """
        given = self.at(resolution).architecture(ops)
        ordered: list[int] = []
        for blocks, length in self._runs:
            chosen = given.ops[len(ordered) : len(ordered) + length]
            ordered += [op for op in chosen if blocks[op] != Skip()]
            ordered += [op for op in chosen if blocks[op] == Skip()]
        return ElasticArchitecture(resolution, given.space.architecture(ordered))

    def parse(self, text: str) -> ElasticArchitecture:
        """Read `r160:` and an architecture: a name, op indexes or block strings.

        A name alone is the network at the resolution of the file.

        Raises:
            ValueError: no such resolution, or no architecture of the chain.
        """
        if text.strip() in self.space.named:
            return self.architecture(self.space.shape_in.height, self.space.named[text.strip()])
        match = _TEXT.fullmatch(text)
        if not match:
            names = f"; {known_names(self.space)}" if self.space.named else ""
            raise ValueError(
                f"{text!r}: write resolution and blocks like r{self.resolutions[0]}:0,1,...{names}"
            )
        chain = self.at(int(match[1]))
        return self.architecture(int(match[1]), chain.parse(match[2]).ops)

    def sample(self, rng: np.random.Generator) -> ElasticArchitecture:
        """Draw resolution, how many layers of every run are kept, and their blocks, each uniformly."""
        resolution = int(rng.choice(self.resolutions))
        ops: list[int] = []
        for blocks, length in self._runs:
            skip = [op for op, block in enumerate(blocks) if block == Skip()]
            others = [op for op in range(len(blocks)) if op not in skip] or skip
            kept = int(rng.integers(0 if skip else length, length + 1))
            ops += [others[index] for index in rng.integers(len(others), size=kept)] + skip * (length - kept)
        return self.architecture(resolution, ops)

    def describe(self, networks: Sequence[ElasticArchitecture]) -> Features:
        """The chains' own numbers of the networks, and their resolution in a column of that name.

        Raises:
            ValueError: the chains are described by different columns.
        """
        resolutions = np.array([network.resolution for network in networks], np.int64)
        parts = {
            resolution: self.at(resolution).describe(
                [network.architecture for network in networks if network.resolution == resolution]
            )
            for resolution in sorted(set(resolutions.tolist()) or {self.resolutions[-1]})
        }
        first = next(iter(parts.values()))
        values = np.empty((len(networks), len(first.names) + 1))
        for resolution, part in parts.items():
            if (part.names, part.groups) != (first.names, first.groups):
                raise ValueError(f"{self.name}: columns at resolution {resolution} differ from the others'")
            values[resolutions == resolution, :-1] = part.values
        values[:, -1] = resolutions
        return replace(
            first, names=(*first.names, "resolution"), groups=(*first.groups, "resolution"), values=values
        )

    @cached_property
    def _chains(self) -> dict[int, SearchSpace]:
        """The chains that were asked for."""
        return {self.space.shape_in.height: self.space}

    @cached_property
    def _runs(self) -> list[tuple[tuple[Block, ...], int]]:
        """Candidates and number of layers of every run; a layer that cannot be left out is alone."""
        found: list[tuple[tuple[Block, ...], int]] = []
        last: Layer | None = None
        for layer in self.space.layers:
            alike = last is not None and (layer.place, layer.blocks) == (last.place, last.blocks)
            if alike and Skip() in layer.blocks:
                found[-1] = (layer.blocks, found[-1][1] + 1)
            else:
                found.append((layer.blocks, 1))
            last = layer
        return found


def _resized(space: SearchSpace, resolution: int) -> SearchSpace:
    shape_in = shape = TensorShape(space.shape_in.channels, resolution, resolution)

    def placed(layers: Sequence[Layer]) -> Iterator[Layer]:
        nonlocal shape
        for layer in layers:
            yield (moved := replace(layer, place=replace(layer.place, shape_in=shape)))
            shape = moved.recipe(0).output(shape)

    stem, layers, head = (tuple(placed(part)) for part in (space.stem, space.layers, space.head))
    name = f"{space.name}-r{resolution}"
    return SearchSpace(name, space.description, shape_in, stem, layers, head, space.named)
