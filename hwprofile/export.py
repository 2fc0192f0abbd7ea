"""Networks as ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwprofile.errors import UserError
from ponas_core.cell_space import CellSpace
from ponas_core.elastic import ElasticArchitecture
from ponas_core.features import NetworkSpace
from ponas_core.space import Architecture
from ponas_core.weights import Weights

if TYPE_CHECKING:
    import onnx


def export_onnx(
    architecture: Architecture,
    path: Path,
    weights: Weights,
    batch: int = 1,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write a network; its metadata say whether its weights are random or trained, and further notes.

    Raises:
        UserError: the place cannot be written.
    """
    from ponas_core.onnx_graph import network_model

    _write(network_model(architecture, weights, batch, notes), path)


def export_random(space: NetworkSpace, network: Any, path: Path, seed: int = 0, batch: int = 1) -> None:
    """Write a network of any space with random weights.

    Raises:
        UserError: a cell whose output does not depend on its input, or the place cannot be written.
    """
    try:
        model = model_of(space, network, seed, batch)
    except ValueError as error:
        raise UserError(str(error)) from error
    _write(model, path)


def model_of(space: NetworkSpace, network: Any, seed: int = 0, batch: int = 1) -> onnx.ModelProto:
    """The ONNX graph of a network of any space, with random weights.

    Raises:
        ValueError: a cell whose output does not depend on its input.
    """
    from ponas_core.cell_onnx import cell_network_model
    from ponas_core.onnx_graph import network_model
    from ponas_core.weights import RandomWeights

    if isinstance(space, CellSpace):
        return cell_network_model(space, network, RandomWeights(seed), batch)
    chain = network.architecture if isinstance(network, ElasticArchitecture) else network
    return network_model(chain, RandomWeights(seed), batch)


def _write(model: onnx.ModelProto, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
