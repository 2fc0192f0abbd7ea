"""Which weights the network of a specialisation is exported with, and how accurate the file is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwprofile.catalog import network_space_named, scores_named
from hwprofile.errors import BadInput, UserError
from hwprofile.export import export_onnx, export_random
from hwprofile.learning.evaluation import accuracy_json, accuracy_words, evaluate_exported
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.trained_supernet import TrainedSupernet, searched, shipped
from ponas_core.accuracies import CountedAccuracy, published_test_accuracy
from ponas_core.score_table import Scores
from ponas_core.space import Architecture, SearchSpace
from ponas_core.weights import RandomWeights, Weights

FINE_TUNING_RATE = 0.1
"""Learning rate of fine-tuning, as a share of that of the search."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A file with what is known of its weights.

    Attributes:
        onnx: the file.
        learned_from: name of the data; None for random weights.
        counted: accuracy on images that chose nothing; None where it is not known.
        images: what was counted on, such as `test images of digits`.
    """

    onnx: Path
    learned_from: str | None = None
    counted: CountedAccuracy | None = None
    images: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; accuracies in per cent."""
        found: dict[str, Any] = {
            "weights": "random" if self.learned_from is None else "trained",
            "onnx": str(self.onnx),
        }
        if self.learned_from is not None:
            found["learned_from"] = self.learned_from
        if self.counted is not None:
            found["counted"] = {**accuracy_json(self.counted), "of": self.images}
        return found

    def words(self) -> str:
        """One line."""
        if self.learned_from is None:
            return f"{self.onnx}: architecture only, untrained (random weights)"
        if self.counted is None:
            return f"{self.onnx}: trained on {self.learned_from}; give --data to have its accuracy counted"
        return f"{self.onnx}: trained, {accuracy_words(self.counted)} of {self.counted.images} {self.images}"


@dataclass(frozen=True)
class ScoresAndWeights:
    """What is maximised, and the weights that a chosen network is exported with.

    Attributes:
        scores: `macs`, a .csv or a .json; None for those of the search, or that come with the space.
        search: folder of a search; None for what comes with the space.
        data: name of a data set that candidates are checked on and the result is tested on; None for none.
        fine_tune: epochs that the chosen network learns on, by itself.
        seed: of random weights, where there are no others.
    """

    scores: str | None = None
    search: Path | None = None
    data: str | None = None
    fine_tune: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise BadInput for options that need others."""
        if self.fine_tune and self.data is None:
            raise BadInput("--fine-tune needs --data to learn from")

    def supernet(self, space: SearchSpace) -> TrainedSupernet | None:
        """The supernet that weights are taken from, without its data; None where there is none.

        Raises:
            UserError: the search has not ended, or is of another space.
        """
        if self.search is not None:
            return TrainedSupernet(space, SearchFolder(self.search).trained()[0])
        return shipped(space) if self.scores is None else None

    def found(
        self, space: SearchSpace, tell: Callable[[str | None], None]
    ) -> tuple[TrainedSupernet | None, Scores]:
        """The supernet, where there is one, and what is maximised.

        Raises:
            BadInput: two places for scores.
            UserError: something named is unusable.
        """
        if self.search is not None:
            if self.scores is not None:
                raise BadInput("give --search or --scores, not both: a search has scores of its own")
            return searched(space, SearchFolder(self.search), self.data, tell)
        supernet = self.supernet(space)
        if self.data is not None and supernet is None:
            raise BadInput("--data checks trained networks: give --search, the folder of `hwprofile search`")
        if supernet is not None and self.data is not None:
            supernet = supernet.with_data(self.data, tell)
        return supernet, scores_named(space, self.scores)

    def export(
        self,
        architecture: Architecture,
        supernet: TrainedSupernet | None,
        path: Path,
        batch: int,
        *,
        quiet: bool,
    ) -> ExportedNetwork:
        """Write a network, and count how accurate the file is where there are images.

        Raises:
            UserError: the place cannot be written, or a training cannot go on.
        """
        if supernet is None:
            export_onnx(architecture, path, RandomWeights(self.seed), batch)
            return ExportedNetwork(path)
        weights = self._fine_tuned(architecture, supernet, path.parent, quiet=quiet) or supernet.weights_of(
            architecture
        )
        export_onnx(architecture, path, weights, batch, supernet.notes)
        if supernet.dataset is not None:
            found = evaluate_exported(path, supernet.dataset, quiet=quiet)
            images = f"{found.split} images of {found.data}"
            return ExportedNetwork(path, supernet.data_name, found.counted, images)
        known = published_test_accuracy(architecture) if self.search is None else None
        return ExportedNetwork(path, supernet.data_name, known, f"test images of {supernet.data_name}")

    def _fine_tuned(
        self, architecture: Architecture, supernet: TrainedSupernet, out: Path, *, quiet: bool
    ) -> Weights | None:
        """Weights of the network after it learned on by itself; None where that was not asked for."""
        if not self.fine_tune or self.data is None or supernet.dataset is None:
            return None
        from hwprofile.learning.network_training import trained_weights
        from hwprofile.learning.options import training_device

        space, told = architecture.space, supernet.weights.about["recipe"]
        # before anything imports torch, which reads its environment then
        device = training_device(space, "auto", None, int(told["batch"]))
        from hwprofile.learning.training import Learning, TrainingData
        from ponas_core.training.batches import Augmentation
        from ponas_core.training.recipe import TrainingRecipe
        from ponas_core.training.training_file import CHECKPOINT_EVERY_S

        recipe = TrainingRecipe(
            epochs=self.fine_tune,
            batch=int(told["batch"]),
            accumulate=int(told.get("accumulate", 1)),
            learning_rate=FINE_TUNING_RATE * float(told["learning_rate"]),
            augmentation=Augmentation.usual(space.shape_in.channels, space.shape_in.height),
            seed=int(told["seed"]),
            mixed_precision=bool(told["mixed_precision"]),
        )
        data = TrainingData(supernet.dataset, device, self.data)
        learning = Learning(data, recipe, CHECKPOINT_EVERY_S, quiet=quiet)
        weights = trained_weights(architecture, learning, out, supernet.weights)
        if weights is None:
            raise UserError("--fine-tune runs in one process")
        return weights


def export_typed(space_name: str, text: str, path: Path, source: ScoresAndWeights, batch: int) -> str:
    """Write the network that a person typed; tell what it is and what its weights are.

    Raises:
        UserError: the space, the text or the search is unusable, or the place cannot be written.
    """
    space = network_space_named(space_name)
    try:
        network = space.parse(text)
    except ValueError as error:
        raise UserError(str(error)) from error
    if isinstance(space, SearchSpace) and isinstance(network, Architecture):
        written = source.export(network, source.supernet(space), path, batch, quiet=True)
    else:
        export_random(space, network, path, source.seed, batch)
        written = ExportedNetwork(path)
    return f"{space.name} {network}\n{written.words()}"
