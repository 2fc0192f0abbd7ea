"""Weights for exported networks: those of a search, or those that come with a space."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from devices.inference import Classifier
from hwprofile.errors import UserError
from hwprofile.learning.data import dataset_for, splits_of
from hwprofile.learning.evaluation import count_right
from hwprofile.learning.search_folder import Journal, SearchFolder
from ponas_core.accuracies import Encoded
from ponas_core.datasets.images import Dataset, LabelledImages
from ponas_core.datasets.normalization import Normalization
from ponas_core.evaluation import Ledger
from ponas_core.network_weights import WeightsFile, block_names, path_weights, shipped_weights
from ponas_core.onnx_graph import network_model
from ponas_core.score_table import Scores, ScoreTableError
from ponas_core.space import Architecture, SearchSpace
from ponas_core.verification import ImageCheck
from ponas_core.weights import GivenWeights

if TYPE_CHECKING:
    import onnx
    import torch

EVALUATED_AT_ONCE = 100
"""Batch of the graphs that networks are evaluated with."""


@dataclass(frozen=True)
class TrainedSupernet:
    """A supernet's weights, and what is known of the data that they learned from.

    Attributes:
        space: the space.
        weights: of the supernet.
        dataset: the data, where it is at hand.
    """

    space: SearchSpace
    weights: WeightsFile
    dataset: Dataset | None = None

    def __post_init__(self) -> None:
        """Raise UserError where the weights are of another space or of other data, or tell too little."""
        if not {"data", "recipe", "normalization"} <= set(self.weights.about):
            raise UserError("the weights do not tell what they learned from: `hwprofile search` writes that")
        told = self.weights.about.get("blocks")
        if self.weights.space != self.space.name or told != block_names(self.space):
            raise UserError(
                f"the weights are of space {self.weights.space}, or of other blocks than {self.space.name} "
                "has now: search anew"
            )
        learned = self.weights.about["data"]
        if self.dataset is not None and self.dataset.digest != learned["digest"]:
            raise UserError(f"the weights learned from {learned['name']}, which is not what --data gives")
        if self.dataset is None and not self.shares_statistics:
            raise UserError(
                f"networks of this search need images of {learned['name']} for statistics of their own: "
                "give --data"
            )

    @property
    def shares_statistics(self) -> bool:
        """Whether every network works as it is taken out."""
        return int(self.weights.about["recipe"]["shared_epochs"]) > 0

    @property
    def notes(self) -> dict[str, str]:
        """What an exported file says of its input and its classes."""
        return notes_of(self.weights.about)

    @property
    def data_name(self) -> str:
        """What the weights learned from."""
        return str(self.weights.about["data"]["name"])

    def with_data(self, name: str, tell: Callable[[str | None], None]) -> TrainedSupernet:
        """The same with its data at hand; UserError where it is other data."""
        return TrainedSupernet(self.space, self.weights, dataset_for(self.space, name, tell))

    def weights_of(self, architecture: Architecture) -> GivenWeights:
        """A network's weights, its statistics included."""
        found = GivenWeights(path_weights(self.weights.arrays, architecture))
        return found if self.shares_statistics else self._with_own_statistics(architecture, found)

    def export_model(self, architecture: Architecture, batch: int) -> onnx.ModelProto:
        """The ONNX graph of a network with its trained weights."""
        return network_model(architecture, self.weights_of(architecture), batch, self.notes)

    def _with_own_statistics(self, architecture: Architecture, weights: GivenWeights) -> GivenWeights:
        from ponas_core.training.batch_norm import recalibrate_bn
        from ponas_core.training.modules import arrays
        from ponas_core.training.networks import Network

        return GivenWeights(arrays(recalibrate_bn(Network(architecture, weights), self._recalibration)))

    @cached_property
    def _recalibration(self) -> Sequence[torch.Tensor]:
        import torch

        from ponas_core.training.accuracy import recalibration_batches
        from ponas_core.training.batches import DeviceImages

        assert self.dataset is not None  # checked at birth
        normalization = Normalization.from_notes(self.weights.about["normalization"])
        assert normalization is not None
        training = DeviceImages(splits_of(self.dataset).training, normalization, torch.device("cpu"))
        return recalibration_batches(training, int(self.weights.about["recipe"]["seed"]))


def notes_of(about: Mapping[str, Any]) -> dict[str, str]:
    """What an exported file says of its input and its classes, from what its weights' file says."""
    classes = ",".join(about.get("classes", []))
    return {**about["normalization"], "classes": classes, "data": str(about["data"]["name"])}


class OnnxEvaluator:
    """Accuracy of networks as they will be exported, through ONNX Runtime.

    Args:
        supernet: gives the networks.
        images: what accuracies are counted on.
    """

    def __init__(self, supernet: TrainedSupernet, images: LabelledImages) -> None:
        self._supernet, self._images = supernet, images

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy in per cent."""
        network = self._supernet.space.architecture(architecture.ops)
        model = self._supernet.export_model(network, min(EVALUATED_AT_ONCE, len(self._images)))
        classifier = Classifier(model.SerializeToString())
        return count_right(classifier, self._images).percent


def shipped(space: SearchSpace) -> TrainedSupernet | None:
    """The supernet that comes with a space; None where none does, or the space is another of its name."""
    weights = shipped_weights(space.name)
    if weights is None or weights.about.get("blocks") != block_names(space):
        return None
    return TrainedSupernet(space, weights)


def searched(
    space: SearchSpace, folder: SearchFolder, data_name: str | None, tell: Callable[[str | None], None]
) -> tuple[TrainedSupernet, Scores]:
    """Weights and scores of a search, its best networks checked on verification images where they are given.

    Raises:
        UserError: the search has not ended, is of another space or other data, or a file is unusable.
    """
    weights, table = folder.trained()
    dataset = None if data_name is None else dataset_for(space, data_name, tell)
    supernet = TrainedSupernet(space, weights, dataset)
    try:
        table.check(space)
    except ScoreTableError as error:
        raise UserError(f"{folder.scores}: {error}") from error
    if dataset is None:
        return supernet, Scores(table)
    images = splits_of(dataset).verification
    journal = Journal(folder.verifications, f"{weights.digest}-{dataset.digest}")
    ledger = Ledger(OnnxEvaluator(supernet, images), history=journal.history(space), on_new=journal.append)
    return supernet, Scores(table, check=ImageCheck(ledger, len(images)))
