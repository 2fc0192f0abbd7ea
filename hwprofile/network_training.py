"""`hwprofile train`: one network, from nothing or from a supernet, as ONNX with its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devices.inference import Classifier
from hwprofile.catalog import space_named
from hwprofile.data import Split, needed
from hwprofile.errors import UserError
from hwprofile.evaluation import Evaluation, evaluate
from hwprofile.export import export_onnx
from hwprofile.search import learning
from hwprofile.search_folder import SearchFolder
from ponas_core.network_weights import path_weights
from ponas_core.space import Architecture
from ponas_core.weights import GivenWeights


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
    data, recipe = learning(space, needed(data_name), {**options, "shared_epochs": 0})
    from hwprofile.training import is_first, train
    from ponas_core.training.accuracy import recalibration_batches
    from ponas_core.training.batch_norm import recalibrate_bn
    from ponas_core.training.modules import arrays, set_weights
    from ponas_core.training.networks import Network, start_training

    folder = SearchFolder(out)
    folder.make()
    network = Network(architecture)
    start_training(network, recipe.seed)
    about: dict[str, Any] = {"architecture": str(architecture), "began_with": None}
    if search_path is not None:
        weights, _ = SearchFolder(search_path).trained()
        about["began_with"] = weights.digest
        try:
            set_weights(network, GivenWeights(path_weights(weights.arrays, architecture)))
        except (KeyError, ValueError) as error:
            raise UserError(f"{search_path} does not fit {architecture}: {error.args[0]}") from error
    trained = train(network, space, data, recipe, out / "weights.npz", about, quiet=options["quiet"])
    if not is_first():
        return None
    set_weights(network, GivenWeights(trained.arrays))
    final = recalibrate_bn(network, recalibration_batches(data.training, recipe.seed))
    path = out / "network.onnx"
    notes = {**data.normalization.notes(), "classes": ",".join(data.dataset.classes)}
    export_onnx(architecture, path, GivenWeights(arrays(final)), notes=notes)
    split: Split = "test" if data.dataset.test is not None else "verification"
    classifier = Classifier(path.read_bytes())
    return TrainedNetwork(
        architecture, evaluate(path, classifier, data.dataset, split, quiet=options["quiet"])
    )
