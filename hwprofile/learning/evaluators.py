"""Who tells a search how accurate networks are: this process, or the workers of a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hwprofile.display import notices
from hwprofile.errors import UserError
from hwprofile.learning.options import training_device
from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Evaluator, described
from ponas_core.network_weights import WeightsFile
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    from hwprofile.fleet.worker import Recipe
    from hwprofile.learning.training import TrainingData


@contextmanager
def told_by(
    evaluator: Evaluator,
    fleet: str | None,
    *,
    quiet: bool,
    kept: Path | None,
    recipe: Recipe | None = None,
) -> Iterator[Evaluator]:
    """The evaluator itself, or one that has the workers of a fleet do the same.

    Args:
        evaluator: tells accuracies.
        fleet: address of a Dask scheduler; None for this process.
        quiet: no notices.
        kept: the journal that the search goes on from.
        recipe: how a worker makes the evaluator; None where it travels as it is.

    Raises:
        DeviceUnreachable: nobody is there, or went away for long.
        UserError: Dask is not installed, or a worker cannot evaluate.
    """
    if fleet is None:
        yield evaluator
        return
    from hwprofile.fleet.evaluations import FleetEvaluator
    from hwprofile.fleet.scheduler import Scheduler

    tell = notices(quiet=quiet)
    means = str(getattr(recipe, "means", ""))
    with FleetEvaluator(
        Scheduler(fleet, tell), recipe or evaluator, described(evaluator), tell, means, kept=kept
    ) as found:
        yield found


@dataclass(frozen=True, eq=False)
class SupernetRecipe:
    """How a worker makes the evaluator of a trained supernet; data sets do not travel.

    Attributes:
        space: of the supernet.
        weights: its weights, and what they learned from.
        data_name: of the data set, as typed.
        device: what computes, as torch calls it.
        threads: of the processor: the same everywhere, since sums depend on it.
        means: what computes here.
    """

    space: SearchSpace
    weights: WeightsFile
    data_name: str
    device: str
    threads: int
    means: str

    @classmethod
    def of(cls, space: SearchSpace, weights: WeightsFile, data: TrainingData) -> SupernetRecipe:
        """From what is at hand here; UserError for data without a name that workers could load it by."""
        import torch

        from hwprofile.learning.training import means_of

        if not data.typed:
            raise UserError("workers of a fleet load the data themselves: name it (TrainingData.named)")
        threads = torch.get_num_threads()
        return cls(space, weights, data.typed, data.device.type, threads, means_of(data.device))

    def evaluator(self) -> Evaluator:
        """The evaluator; UserError where torch or the data are not here, or are others."""
        device = training_device(self.space, self.device, self.threads, batch=1)
        from hwprofile.learning.supernet_search import evaluator_of
        from hwprofile.learning.training import TrainingData, means_of
        from ponas_core.training.networks import Supernet

        data = TrainingData.named(self.space, self.data_name, device, lambda text: None)
        if data.dataset.digest != self.weights.about["data"]["digest"]:
            raise UserError(
                f"--data {self.data_name} is other data there than where the search runs: copy it, or give a "
                "path that holds the same on every computer"
            )
        evaluator = evaluator_of(Supernet(self.space), self.weights, data)
        return _OnThreads(evaluator, self.threads, means_of(device))


@dataclass(frozen=True)
class _OnThreads:
    """An evaluator whose sums are made by so many threads, whatever thread asks."""

    within: Evaluator
    threads: int
    means: str

    def accuracy(self, architecture: Encoded) -> float:
        """Accuracy in per cent."""
        import torch

        torch.set_num_threads(self.threads)  # torch counts them for each thread that asks
        return self.within.accuracy(architecture)
