"""An additive table of a space: an entry for every block at every place, whatever form it came in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hwprofile.latency import SpaceLatency
from hwprofile.profile import Profile
from hwprofile.tables.files import TableError
from hwprofile.tables.keys import keys_of
from hwprofile.tables.values import Entry, KeyedTable, LayerTable, joined
from ponas_core.blocks import Skip
from ponas_core.cost import CostTable
from ponas_core.space import Layer, SearchSpace

Place: TypeAlias = tuple[str, int]
"""Name of a layer and an op index."""
NOTHING = Entry(0.0)


@dataclass(frozen=True)
class SpaceTable:
    """Latencies of the blocks of a space, to be added up.

    Attributes:
        space: the space.
        entries: by layer and op, fixed layers too where they are known one by one. What has none and is no
            fixed layer is left out of the graph, and costs nothing.
        once_ms: what every network costs besides: the intercept, and fixed layers without an entry.
        notice: what the table does not count; None where it is whole.
    """

    space: SearchSpace
    entries: Mapping[Place, Entry]
    once_ms: float
    notice: str | None = None

    @classmethod
    def from_latency(cls, latency: SpaceLatency, profile: Profile) -> SpaceTable:
        """The calibrated table of a profile.

        An entry is the corrected latency; its variance is that of the block's medians between processes as
        they were measured, and its count the number of processes.
        """
        of_key = {
            key: _measured(latency_ms, list(profile.process_ms(key).values()))
            for key, latency_ms in latency.table.block_costs_.items()
        }
        entries = {
            (layer.name, op): of_key[key]
            for layer in latency.space.all_layers
            for op in range(len(layer.blocks))
            if (key := layer.key(op)) is not None
        }
        return cls(latency.space, entries, latency.table.intercept_)

    @classmethod
    def from_keys(cls, space: SearchSpace, table: KeyedTable, origin: str) -> SpaceTable:
        """From ProxylessNAS' or Once-for-All's keys.

        Raises:
            UserError: a key is missing, or a block has none; the message names key and layer.
        """
        entries = {}
        for layer in space.all_layers:
            for op in range(len(layer.blocks)):
                keys = keys_of(space, layer, op)
                missing = [key for key in keys if key not in table.entries]
                if missing:
                    raise TableError(
                        f"{origin} has no latency for {layer.name} {layer.blocks[op]} of {space.name}: "
                        f"it lacks the key {missing[0]}"
                    )
                if keys:
                    entries[layer.name, op] = joined([table.entries[key] for key in keys])
        return cls(space, entries, 0.0)

    @classmethod
    def from_layers(cls, space: SearchSpace, table: LayerTable, origin: str) -> SpaceTable:
        """From a table by layer and op; layers go by their names, or all by their order.

        Raises:
            TableError: other layers, or an op is missing; the message names op and layer.
        """
        if table.space not in (None, space.name):
            raise TableError(f"{origin} is a table of {table.space}, not of {space.name}")
        names = [layer.name for layer in space.layers]
        rows = dict(zip(table.layers, table.rows, strict=True))
        if len(names) != len(rows):
            raise TableError(f"{origin} has {len(rows)} layers, but {space.name} has {len(names)}")
        strange = [name for name in rows if name not in names]
        if len(strange) == len(rows):
            rows = dict(zip(names, table.rows, strict=True))
        elif strange:
            raise TableError(f"{origin} has a layer {strange[0]}, which {space.name} lacks")
        entries = {}
        for layer in space.layers:
            for op, block in enumerate(layer.blocks):
                entry = rows[layer.name].get(str(block))
                if entry is not None:
                    entries[layer.name, op] = entry
                elif not isinstance(block, Skip):
                    known = ", ".join(rows[layer.name])
                    raise TableError(f"{origin} has no latency for {layer.name} {block}; it has {known}")
        return cls(space, entries, table.fixed_ms, table.notice)

    @property
    def cost(self) -> CostTable:
        """As an additive cost, what the solver sees."""
        known = (entry for layer in self.space.fixed_layers if (entry := self.entry(layer, 0)) is not None)
        fixed = math.fsum([self.once_ms, *(entry.mean_ms for entry in known)])
        rows = tuple(
            np.array([(self.entry(layer, op) or NOTHING).mean_ms for op in range(len(layer.blocks))])
            for layer in self.space.layers
        )
        return CostTable("latency_ms", fixed, rows)

    def entry(self, layer: Layer, op: int) -> Entry | None:
        """The entry of a block; None where it has none of its own."""
        return self.entries.get((layer.name, op))

    @property
    def by_layer(self) -> LayerTable:
        """Of the searchable layers by the names of layers and blocks, the rest in one number."""
        rows = tuple(
            {str(block): self.entry(layer, op) or NOTHING for op, block in enumerate(layer.blocks)}
            for layer in self.space.layers
        )
        names = tuple(layer.name for layer in self.space.layers)
        return LayerTable(names, rows, self.cost.fixed, self.space.name, self.notice)

    @property
    def by_key(self) -> KeyedTable:
        """By ProxylessNAS' or Once-for-All's keys, so that their sum over a network is ours.

        What every network pays once is in `Conv`, and what is measured as one block but has several keys is
        in the last of them.

        Raises:
            UserError: a block that the keys cannot say, or one key for two latencies.
        """
        found: dict[str, Entry] = {}
        zeros: list[str] = []
        for layer in self.space.all_layers:
            for op in range(len(layer.blocks)):
                keys = keys_of(self.space, layer, op)
                entry = self.entry(layer, op) or NOTHING
                if not keys:
                    continue
                zeros += keys[:-1]
                for key, value in [*((key, NOTHING) for key in keys[:-1]), (keys[-1], entry)]:
                    if found.setdefault(key, value) != value:
                        raise TableError(
                            f"{layer.name} {layer.blocks[op]}: the key {key} would stand for two latencies; "
                            "a table by layer can tell them apart: --format csv, npz, parquet or nni"
                        )
        first = next(key for key in found if key.startswith("Conv-"))
        found[first] = found[first].plus(self.once_ms)
        return KeyedTable(found, self._notes(first, zeros))

    def _notes(self, first: str, zeros: list[str]) -> tuple[str, ...]:
        notes = [f"{first} holds {self.once_ms!r} ms that every network pays once"]
        if zeros:
            notes.append(f"{', '.join(zeros)}: 0, since the classifier is measured as one, in Logits")
        return tuple(notes)


def _measured(latency_ms: float, process_ms: list[float]) -> Entry:
    var = float(np.var(process_ms, ddof=1)) if len(process_ms) > 1 else None
    return Entry(latency_ms, var, len(process_ms))
