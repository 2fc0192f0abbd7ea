"""Architectures as ONNX files."""

from __future__ import annotations

from pathlib import Path

from hwprofile.catalog import space_named
from hwprofile.errors import UserError
from ponas_core.space import Architecture


def export_onnx(architecture: Architecture, path: Path, seed: int = 0, batch: int = 1) -> None:
    """Write a network with random weights; its metadata say so.

    Raises:
        UserError: the place cannot be written.
    """
    from ponas_core.onnx_graph import network_model
    from ponas_core.weights import RandomWeights

    model = network_model(architecture, RandomWeights(seed), batch)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def parse_architecture(space_name: str, text: str) -> Architecture:
    """An architecture from what a person typed; UserError when the space or the text is unusable."""
    try:
        return space_named(space_name).parse(text)
    except ValueError as error:
        raise UserError(str(error)) from error
