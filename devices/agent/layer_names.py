"""Names of an engine's layers: TensorRT fuses nodes, and joins their names into one.

Every node of our graphs is named for a value that begins with its block's name and `/`. A fused layer whose
nodes are all of one block begins with that block's name here too; one of several blocks begins with all of
them, joined by `+`, which is the name of no block: its time is told, but is no single block's.
"""

import re
from typing import List

JOINTS = re.compile(r"\s\+\s|\|\||,\s?|\.\.\.|[(){}\[\]]|\s")
"""What TensorRT puts between the names of nodes: `a + b`, `a || b`, `PWN(a, b)`, `{ForeignNode[a...b]}`."""
PREFIX = "node_of_"
"""What its parser puts before the name of a value where a node has no name."""


def owned(layer: str) -> str:
    """The name of a layer, beginning with the block or blocks whose nodes it computes.

    Args:
        layer: as the profiler tells it; one without a node of a block (a cast, a reformat at the border) is
            given back as it is.
    """
    blocks = owners(layer)
    if not blocks:
        return layer
    prefix = "+".join(blocks) + "/"
    return layer if layer.startswith(prefix) else prefix + layer


def owners(layer: str) -> List[str]:
    """Blocks whose nodes a layer computes, in the order in which its name tells them."""
    found: List[str] = []
    for word in JOINTS.split(layer):
        value = word[len(PREFIX) :] if word.startswith(PREFIX) else word
        block, end, _ = value.partition("/")
        if end and block and block not in found:
            found.append(block)
    return found
