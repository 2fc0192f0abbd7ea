"""Write the table of a space for other people's code."""

from __future__ import annotations

from pathlib import Path

from hwprofile.tables.files import write_table
from hwprofile.tables.formats import LAYER_FORMATS, layer_bytes
from hwprofile.tables.ofa_yaml import yaml_text
from hwprofile.tables.space_table import SpaceTable

KEYED = "ofa-yaml"
TABLE_FORMATS = (KEYED, *LAYER_FORMATS)


def export_table(table: SpaceTable, form: str, path: Path, origin: Path) -> str:
    """Write a table in one of `TABLE_FORMATS`, and tell in a few lines what it holds.

    Raises:
        UserError: the format cannot say a block, needs a library that is missing, or the place cannot be
            written.
    """
    notes: tuple[str, ...] = ()
    if form == KEYED:
        keyed = table.by_key
        data, size, notes = yaml_text(keyed).encode(), f"{len(keyed.entries)} keys", keyed.notes
    else:
        layers = table.by_layer
        data = layer_bytes(layers, form)
        size = f"{len(layers.layers)} layers, {len(layers.ops)} ops, fixed part {layers.fixed_ms:.4g} ms"
    write_table(path, data)
    return "\n".join([f"{path}: {form} of {table.space.name} from {origin}; {size}; in ms", *notes])
