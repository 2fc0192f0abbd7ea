"""Networks as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hwprofile.catalog import network_space_named
from hwprofile.errors import UserError
from ponas_core.cell_space import CellSpace
from ponas_core.space import Architecture

if TYPE_CHECKING:
    import onnx


def export_onnx(architecture: Architecture, path: Path, seed: int = 0, batch: int = 1) -> None:
    """Write a network with random weights; its metadata say so.

    Raises:
        UserError: the place cannot be written.
    """
    from ponas_core.onnx_graph import network_model
    from ponas_core.weights import RandomWeights

    _write(network_model(architecture, RandomWeights(seed), batch), path)


def export_typed(space_name: str, text: str, path: Path, seed: int = 0, batch: int = 1) -> str:
    """Write the network that a person typed with random weights; give its space and canonical form.

    Raises:
        UserError: the space or the text is unusable, or the place cannot be written.
    """
    space = network_space_named(space_name)
    try:
        if isinstance(space, CellSpace):
            from ponas_core.cell_onnx import cell_network_model
            from ponas_core.weights import RandomWeights

            cell = space.parse(text)
            _write(cell_network_model(space, cell, RandomWeights(seed), batch), path)
            return f"{space.name} {cell}"
        architecture = space.parse(text)
    except ValueError as error:
        raise UserError(str(error)) from error
    export_onnx(architecture, path, seed, batch)
    return f"{space.name} {architecture}"


def _write(model: onnx.ModelProto, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
