"""`hwprofile train`: one network, from nothing or from a supernet, as ONNX with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwprofile.catalog import space_named
from hwprofile.errors import UserError
from hwprofile.export import export_onnx
from hwprofile.learning.data import needed
from hwprofile.learning.evaluation import Evaluation, evaluate_exported
from hwprofile.learning.options import learning_of
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.trained_supernet import notes_of
from ponas_core.network_weights import WeightsFile, path_weights
from ponas_core.space import Architecture
from ponas_core.weights import GivenWeights

if TYPE_CHECKING:
    from hwprofile.learning.training import Learning


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that was trained.

    Attributes:
        architecture: the network.
        evaluation: of the exported file, on test images; on verification images where there are none.
    """

    architecture: Architecture
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        names = {"space": self.architecture.space.name, "architecture": str(self.architecture)}
        return {**names, "weights": "trained", **self.evaluation.to_json()}

    def for_people(self) -> str:
        """Two lines."""
        return f"{self.architecture.space.name} {self.architecture}, trained\n{self.evaluation.for_people()}"


def run_training(
    space_name: str,
    text: str,
    data_name: str | None,
    search_path: Path | None,
    out: Path,
    options: Mapping[str, Any],
) -> TrainedNetwork | None:
    """Train a network and write `network.onnx` and `weights.npz`.

    Args:
        space_name: as typed.
        text: the architecture, as typed.
        data_name: what it learns.
        search_path: folder of a search whose supernet it begins with; None to begin with nothing.
        out: folder to write to.
        options: of the training, as the command names them.

    Returns:
        What came of it; None in a process that only helped.

    Raises:
        BadInput: no data set.
        UserError: something named is unusable, or the training cannot go on.
    """
    space = space_named(space_name)
    try:
        architecture = space.parse(text)
    except ValueError as error:
        raise UserError(str(error)) from error
    learning = learning_of(space, needed(data_name), {**options, "shared_epochs": 0})
    began = None if search_path is None else SearchFolder(search_path).trained()[0]
    weights = trained_weights(architecture, learning, out, began)
    if weights is None:
        return None
    path = out / "network.onnx"
    export_onnx(architecture, path, weights, notes=notes_of(learning.data.about(space)))
    return TrainedNetwork(architecture, evaluate_exported(path, learning.data.dataset, quiet=learning.quiet))


def trained_weights(
    architecture: Architecture, learning: Learning, out: Path, began: WeightsFile | None
) -> GivenWeights | None:
    """Train one network; the training lives in `weights.npz`.

    Args:
        architecture: the network.
        learning: what it learns, and how.
        out: folder of the file.
        began: a supernet whose weights it begins with; None to begin with nothing.

    Returns:
        The weights, with statistics over training images; None in a process that only helped.

    Raises:
        UserError: the supernet does not fit, or the training cannot go on.
    """
    from hwprofile.learning.training import is_first, train
    from ponas_core.training.accuracy import recalibration_batches
    from ponas_core.training.batch_norm import recalibrate_bn
    from ponas_core.training.modules import arrays, set_weights
    from ponas_core.training.networks import Network, start_training

    folder = SearchFolder(out)
    folder.make()
    network = Network(architecture)
    start_training(network, learning.recipe.seed)
    about: dict[str, Any] = {"architecture": str(architecture), "began_with": began and began.digest}
    try:
        if began is not None:
            set_weights(network, GivenWeights(path_weights(began.arrays, architecture)))
    except (KeyError, ValueError) as error:
        raise UserError(f"the supernet's weights do not fit {architecture}: {error.args[0]}") from error
    trained = train(network, architecture.space, learning, out / "weights.npz", about)
    if not is_first():
        return None
    set_weights(network, GivenWeights(trained.arrays))
    final = recalibrate_bn(network, recalibration_batches(learning.data.training, learning.recipe.seed))
    return GivenWeights(arrays(final))
