"""Blocks of a user's own as graphs to bench: torch modules, exported, or ONNX."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from devices.measurement import Graph
from hwprofile.errors import UserError
from hwprofile.profile import Kind
from hwprofile.subjects import GraphsAlone
from hwprofile.torch_export import onnx_of

if TYPE_CHECKING:
    import onnx
    import torch

Block: TypeAlias = "torch.nn.Module | onnx.ModelProto | bytes | str | Path"
"""A torch module; ONNX as a model, as bytes, or as the path of a file."""
Inputs: TypeAlias = "Sequence[int] | torch.Tensor | Sequence[Sequence[int] | torch.Tensor]"
"""What a module is called with: a whole shape, batch first, or an example; or one of these an argument."""


@dataclass(frozen=True)
class BlocksSubject(GraphsAlone):
    """Graphs by name.

    Attributes:
        name: `blocks-`, and a digest of what is measured.
        graphs: ONNX bytes by the name of the block.
    """

    name: str
    graphs: Mapping[str, bytes]

    @classmethod
    def of(cls, blocks: Mapping[str, Block], inputs: Inputs | Mapping[str, Inputs] | None) -> BlocksSubject:
        """Export what is a torch module; files and bytes are taken as they are.

        Two modules of one structure are one subject whatever their weights, since latency does not depend
        on these; so a script that makes its modules anew finds what it has measured.

        Args:
            blocks: by name.
            inputs: what torch modules are called with: one for all, or by the name of the block.

        Raises:
            UserError: no blocks, a block without inputs, of another kind, or that cannot be exported.
        """
        if not blocks:
            raise UserError("there are no blocks: give {name: torch module, ONNX file or bytes}")
        graphs, digest = {}, hashlib.sha256()
        for name, block in sorted(blocks.items()):
            if _is_module(block):
                found = inputs.get(name) if isinstance(inputs, Mapping) else inputs
                graphs[name] = _exported(name, block, found)
                content = _structure(graphs[name])
            else:
                content = graphs[name] = _onnx(name, block)
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        return cls(f"blocks-{digest.hexdigest()[:8]}", {name: graphs[name] for name in blocks})

    def first(self) -> Mapping[str, Kind]:
        """Every block."""
        return dict.fromkeys(self.graphs, "model")

    def graph(self, name: str, kind: Kind) -> Graph:
        """The block of this name."""
        return Graph(name, lambda: self.graphs[name])


def _is_module(block: object) -> bool:
    """Whether this is a torch module; where torch is not imported, there are none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(block, torch.nn.Module)


def _onnx(name: str, block: Any) -> bytes:
    """ONNX as bytes; UserError for a file that cannot be read, or anything else."""
    if isinstance(block, bytes):
        return block
    if isinstance(block, str | Path):
        try:
            return Path(block).read_bytes()
        except OSError as error:
            raise UserError(f"block {name}: cannot read {block}: {error.strerror}") from error
    if hasattr(block, "SerializeToString"):
        return bytes(block.SerializeToString())
    raise UserError(
        f"block {name} is of type {type(block).__name__}: give a torch module, or ONNX as file or bytes"
    )


def _exported(name: str, module: Any, inputs: Any) -> bytes:
    """The module as ONNX, as it answers in evaluation."""
    if inputs is None:
        raise UserError(
            f"block {name} is a torch module: give the shape it is called with, batch first, such as "
            f"inputs={{{name!r}: (1, 16, 32, 32)}}"
        )
    examples = tuple(_examples(name, inputs))
    try:
        return onnx_of(module, examples)
    except UserError as error:
        raise UserError(f"block {name}: {error}") from error


def _examples(name: str, inputs: Any) -> Iterator[Any]:
    """A tensor for every argument of a module."""
    import torch

    if isinstance(inputs, torch.Tensor) or all(isinstance(size, int) for size in inputs):
        inputs = [inputs]
    for one in inputs:
        if isinstance(one, torch.Tensor):
            yield one
        elif all(isinstance(size, int) and size > 0 for size in one):
            yield torch.zeros(tuple(one))
        else:
            raise UserError(f"block {name}: a shape is whole numbers from 1 on, not {one!r}")


def _structure(graph: bytes) -> bytes:
    """What a graph is without the values of its weights, all shapes in it."""
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph))
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
            for values in ("raw_data", "float_data", "double_data", "int32_data"):
                tensor.ClearField(values)
    return bytes(model.SerializeToString(deterministic=True))
