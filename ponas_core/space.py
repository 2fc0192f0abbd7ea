"""Search spaces and architectures as frozen, checked values."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from ponas_core.blocks import Block, Placement, parse_block
from ponas_core.features import Features
from ponas_core.operators import Classifier, Recipe, TensorShape

SPACE_NAME = re.compile(r"[A-Za-z0-9._-]+")
ARCHITECTURE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
MOST_NAMED = 1000
"""Networks of a space that can have a name."""
_MOST_SHOWN = 10  # names in a message


@dataclass(frozen=True)
class Layer:
    """One place of a network and the blocks that may stand there, in the order of their op indexes."""

    name: str
    place: Placement
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for no candidates, a candidate twice, one that does not fit, or unlike results."""
        if not self.blocks:
            raise ValueError(f"{self.name} has no candidate blocks")
        if "/" in self.name:
            raise ValueError(f"the name of a layer cannot hold '/': {self.name!r}")
        if len(set(map(str, self.blocks))) != len(self.blocks):
            raise ValueError(f"{self.name} names a block twice: {', '.join(map(str, self.blocks))}")
        shapes = set()
        for block in self.blocks:
            try:
                shapes.add(block.recipe(self.place).output(self.place.shape_in))
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from error
        if len(shapes) > 1:
            raise ValueError(
                f"{self.name}: all candidates must give one shape, these give {', '.join(map(str, shapes))}"
            )

    def recipe(self, op: int) -> Recipe:
        """Operators of candidate `op` at this place."""
        return self.blocks[op].recipe(self.place)

    def key(self, op: int) -> str | None:
        """Name under which this block's latency is kept, equal for equal graphs.

        None for the identity: it leaves no operator in the graph, so there is nothing to measure.
        """
        recipe = self.recipe(op)
        if not recipe.operators:
            return None
        digest = getattr(recipe.operators[0], "digest", "")
        return f"{self.blocks[op]}@{self.place}{'-' + digest if digest else ''}"


@dataclass(frozen=True)
class SearchSpace:
    """A chain of layers with candidate blocks between a fixed stem and a fixed head.

    Attributes:
        name: short name, `[A-Za-z0-9._-]+`.
        description: one sentence for people.
        shape_in: input tensor without its batch.
        stem: fixed layers in front, one block each.
        layers: searchable layers.
        head: fixed layers behind, one block each.
        named: op indexes of networks that have a name, such as released ones, read-only.
    """

    name: str
    description: str
    shape_in: TensorShape
    stem: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    head: tuple[Layer, ...]
    # equal spaces have equal hashes without it, and a mapping has none
    named: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Raise ValueError for a bad name, no layers, layers or named networks that do not fit."""
        if not SPACE_NAME.fullmatch(self.name) or self.name.startswith("-"):
            raise ValueError(f"the name of a space is letters, digits, '.', '_', '-': {self.name!r}")
        if not self.layers:
            raise ValueError(f"space {self.name} has no searchable layers")
        for layer in self.fixed_layers:
            if len(layer.blocks) != 1:
                raise ValueError(f"{layer.name} is fixed: give it one block, not {len(layer.blocks)}")
        _check_chain(self.shape_in, self.all_layers)
        object.__setattr__(self, "named", MappingProxyType(dict(_checked_names(self))))

    def __reduce__(self) -> tuple[type[SearchSpace], tuple[Any, ...]]:
        """A copy is made from what the space was made from; what was worked out since stays behind."""
        made_from = {one.name: getattr(self, one.name) for one in fields(self)}
        return SearchSpace, tuple({**made_from, "named": dict(self.named)}.values())

    @property
    def size(self) -> int:
        """Number of architectures, exactly."""
        return math.prod(len(layer.blocks) for layer in self.layers)

    @property
    def op_counts(self) -> tuple[int, ...]:
        """Number of candidates of each searchable layer."""
        return tuple(len(layer.blocks) for layer in self.layers)

    @property
    def all_layers(self) -> tuple[Layer, ...]:
        """Stem, searchable layers and head, from input to output."""
        return (*self.stem, *self.layers, *self.head)

    @property
    def fixed_layers(self) -> tuple[Layer, ...]:
        """Stem and head."""
        return (*self.stem, *self.head)

    @cached_property
    def keyed_blocks(self) -> dict[str, tuple[Layer, int]]:
        """Every distinct block that costs something: its key, and one layer and op that give it."""
        found: dict[str, tuple[Layer, int]] = {}
        for layer in self.all_layers:
            for op in range(len(layer.blocks)):
                key = layer.key(op)
                if key is not None:
                    found.setdefault(key, (layer, op))
        return found

    @cached_property
    def expected_counts(self) -> dict[str, float]:
        """How often each distinct block occurs in a random network on average."""
        counts = dict.fromkeys(self.keyed_blocks, 0.0)
        for layer in self.all_layers:
            for op in range(len(layer.blocks)):
                key = layer.key(op)
                if key is not None:
                    counts[key] += 1 / len(layer.blocks)
        return counts

    def architecture(self, ops: Sequence[int]) -> Architecture:
        """The architecture with these op indexes, one a layer."""
        return Architecture(self, tuple(operator.index(op) for op in ops))

    def parse(self, text: str) -> Architecture:
        """Read an architecture: a name, op indexes (`2,2,1` or, below ten ops, `221`) or block strings.

        A name comes before a block string that reads the same.

        Raises:
            ValueError: wrong number of layers, an index out of range, or a block that the layer lacks; a word
                that could be a name is answered with the known ones.
        """
        word = text.strip()
        if word in self.named:
            return self.architecture(self.named[word])
        try:
            return self.architecture(self._ops(text))
        except ValueError as error:
            if not self.named or not ARCHITECTURE_NAME.fullmatch(word):
                raise
            raise ValueError(f"{error}; {known_names(self)}") from error

    def _ops(self, text: str) -> list[int]:
        words = [word for word in re.split(r"[\s,]+", text.strip()) if word]
        if len(words) == 1 and len(words[0]) == len(self.layers) and words[0].isdecimal():
            words = list(words[0])
        if len(words) != len(self.layers):
            raise ValueError(
                f"{text!r} names {len(words)} blocks, but {self.name} has {len(self.layers)} layers"
            )
        return [_op(layer, word) for layer, word in zip(self.layers, words, strict=True)]

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw every op uniformly and independently."""
        return self.architecture([int(rng.integers(len(layer.blocks))) for layer in self.layers])

    def describe(self, networks: Sequence[Architecture]) -> Features:
        """Named numbers of networks for latency predictors."""
        from ponas_core.chain_features import describe_chain

        return describe_chain(self, networks)

    def enumerate(self) -> Iterator[Architecture]:
        """All architectures, the last layer changing fastest."""
        for ops in np.ndindex(*(len(layer.blocks) for layer in self.layers)):
            yield self.architecture(ops)


@dataclass(frozen=True)
class Architecture:
    """One network of a space: an op index per layer. It cannot hold a block that its space lacks."""

    space: SearchSpace = field(repr=False)
    ops: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raise ValueError for a wrong length or an index out of range."""
        if len(self.ops) != len(self.space.layers):
            raise ValueError(
                f"{len(self.ops)} ops given, but {self.space.name} has {len(self.space.layers)} layers"
            )
        for layer, op in zip(self.space.layers, self.ops, strict=True):
            if type(op) is not int or not 0 <= op < len(layer.blocks):
                raise ValueError(f"{layer.name} has ops 0 to {len(layer.blocks) - 1}, not {op}")

    def __str__(self) -> str:
        """Write the op indexes as `2,2,1`."""
        return ",".join(map(str, self.ops))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The chosen block of every searchable layer."""
        return tuple(layer.blocks[op] for layer, op in self._chosen)

    @property
    def _chosen(self) -> Iterator[tuple[Layer, int]]:
        return zip(self.space.layers, self.ops, strict=True)

    @property
    def chain(self) -> tuple[tuple[Layer, int], ...]:
        """Every layer from input to output with its op, stem and head included."""
        stem = ((layer, 0) for layer in self.space.stem)
        head = ((layer, 0) for layer in self.space.head)
        return (*stem, *self._chosen, *head)

    @property
    def keys(self) -> tuple[str, ...]:
        """Latency keys of all blocks that leave an operator in the graph, stem and head included."""
        keys = (layer.key(op) for layer, op in self.chain)
        return tuple(key for key in keys if key is not None)


def _check_chain(shape: TensorShape, layers: Sequence[Layer]) -> None:
    if len({layer.name for layer in layers}) != len(layers):
        names = ", ".join(layer.name for layer in layers)
        raise ValueError(f"two layers have one name, but weights go by it: {names}")
    for layer in layers:
        if layer.place.shape_in != shape:
            raise ValueError(f"{layer.name} expects {layer.place.shape_in}, but gets {shape}")
        recipe = layer.recipe(0)
        if layer is not layers[-1] and any(isinstance(part, Classifier) for part in recipe.operators):
            raise ValueError(f"{layer.name}: a classifier can only be the last layer of a network")
        shape = recipe.output(shape)


def known_names(space: SearchSpace) -> str:
    """The named networks of a space for a message, the first few of them."""
    shown = list(space.named)[:_MOST_SHOWN]
    return f"named networks: {', '.join(shown) or 'none'}{', ...' if len(space.named) > len(shown) else ''}"


def _checked_names(space: SearchSpace) -> Iterator[tuple[str, tuple[int, ...]]]:
    if len(space.named) > MOST_NAMED:
        raise ValueError(f"{len(space.named)} networks are named, at most {MOST_NAMED} can be")
    for name, ops in space.named.items():
        if not ARCHITECTURE_NAME.fullmatch(name):
            raise ValueError(
                f"the name of a network is a letter, then letters, digits, '.', '_', '-': {name!r}"
            )
        try:
            yield name, space.architecture(ops).ops
        except ValueError as error:
            raise ValueError(f"network {name}: {error}") from error


def _op(layer: Layer, word: str) -> int:
    if word.isdecimal():
        return int(word)
    block = parse_block(word)
    for op, candidate in enumerate(layer.blocks):
        if candidate == block:
            return op
    raise ValueError(f"{layer.name} has no {word}; it has {', '.join(map(str, layer.blocks))}")
