"""`hwprofile search ponas`: data in; a trained supernet and a score table out.

Torch is imported when it begins to train: a search over known accuracies needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hwprofile import display
from hwprofile.errors import UserError
from hwprofile.learning.evaluators import SupernetRecipe, told_by
from hwprofile.learning.search_folder import Journal, SearchFolder
from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Evaluator, Ledger, ledger_of
from ponas_core.held_out import FEWEST, held_out_rank
from ponas_core.sampling import random_sample
from ponas_core.score_table import ScoreTable
from ponas_core.space import SearchSpace
from ponas_core.table_estimation import (
    Context,
    FineTune,
    Settle,
    evaluated_now,
    middle_network,
    one_change_table,
    progressive_evaluations,
    progressive_table,
)
from ponas_core.table_fit import fitted_estimate
from ponas_core.verification import binomial_sd

if TYPE_CHECKING:
    from hwprofile.learning.training import Learning, TrainingData
    from ponas_core.network_weights import WeightsFile
    from ponas_core.training.accuracy import SupernetEvaluator
    from ponas_core.training.networks import Supernet

TableMethod: TypeAlias = Literal["fitted", "progressive", "one-change"]


@dataclass(frozen=True)
class TableOptions:
    """How a score table is filled.

    Attributes:
        method: `fitted` to random networks; `progressive`, layer by layer (PONAS); `one-change` from the
            network of middle blocks.
        evaluations: networks that are evaluated to fill it, about; one-change takes as many as it takes.
        held_out: further random networks that tell how well it ranks.
        context: what stands behind the layer that is filled: `sampled` or `largest` (progressive only).
        fine_tune_steps: batches that a candidate learns from before it is evaluated (progressive only).
        seed: of what is drawn.
    """

    method: TableMethod = "fitted"
    evaluations: int = 96
    held_out: int = 24
    context: Context = "sampled"
    fine_tune_steps: int = 0
    seed: int = 0

    @property
    def fills_otherwise(self) -> bool:
        """Whether the table is filled in another way than by default."""
        return self.method != "fitted" or self.context != "sampled" or self.fine_tune_steps > 0

    def __post_init__(self) -> None:
        """Raise UserError for options that do not go together."""
        if self.fine_tune_steps and self.method != "progressive":
            raise UserError("--fine-tune-steps belong to --table progressive")
        if self.context != "sampled" and self.method != "progressive":
            raise UserError("--context belongs to --table progressive")
        if self.held_out < FEWEST:
            raise UserError(f"--held-out needs at least {FEWEST} networks")


@dataclass(frozen=True)
class SearchReport:
    """What a search left.

    Attributes:
        folder: where.
        space_name: as typed.
        table: the score table; its provenance tells the rest.
        data: the data set as it was typed; None for known accuracies.
        chosen: with known accuracies, the table's best network and what is known of it, as JSON values.
    """

    folder: SearchFolder
    space_name: str
    table: ScoreTable
    data: str | None
    chosen: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "scores": str(self.folder.scores),
            "weights": None if self.data is None else str(self.folder.supernet),
            "space": self.table.space,
            "data": self.data,
            "provenance": dict(self.table.provenance),
            **self.chosen,
        }

    def for_people(self) -> str:
        """What was found, how well it ranks, and what to type next."""
        told, rank = self.table.provenance, self.table.provenance["held_out"]
        rows = [
            [
                name.capitalize(),
                f"{rank[name]:.3f}",
                f"{rank[f'{name}_low']:.3f} to {rank[f'{name}_high']:.3f}",
            ]
            for name in ("spearman", "kendall")
        ]
        best = self.table.value([int(np.argmax(row)) for row in self.table.rows])
        data = f" --data {self.data}" if self.data else ""
        return "\n".join(
            [
                f"{self.table.space}: score table, {told['method']}, {told['evaluations']} evaluations",
                "",
                display.table([f"{rank['networks']} networks held out", "rank correlation", "95 %"], rows),
                "",
                f"the table's best network without a budget: {best:.2f} % predicted",
                f"{self.folder.scores}: written; next: hwprofile specialize --space {self.space_name} "
                f"--search {self.folder.path}{data} --budget 60%",
            ]
        )


def search_known(
    space: SearchSpace, space_name: str, evaluator: Evaluator, options: TableOptions, folder: SearchFolder
) -> SearchReport:
    """Fill a table from known accuracies: what a search would do, without the training.

    Raises:
        UserError: too few networks are known.
    """
    folder.make()
    filling = Ledger(evaluator)
    table = with_rank(
        space, filling, evaluator, _table(space, filling, options), options.held_out, options.seed
    )
    folder.save(table)
    return SearchReport(folder, space_name, table, None)


def search_ponas(
    space: SearchSpace,
    space_name: str,
    learning: Learning,
    options: TableOptions,
    folder: SearchFolder,
) -> SearchReport | None:
    """Train a supernet, fill a score table with its accuracies, and say how well it ranks.

    Interrupted at any moment, the same call goes on and ends with the same files.

    Args:
        space: the space.
        space_name: as typed.
        learning: what is learned, and how.
        options: of the table.
        folder: where everything is left.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        UserError: the folder holds another search, or cannot be written; the training went astray.
    """
    trained = trained_supernet(space, learning, folder)
    if trained is None:
        return None
    supernet, weights = trained
    table = _table_of_supernet(supernet, weights, learning, options, folder)
    told = {
        "data": weights.about["data"],
        "recipe": weights.about["recipe"],
        "weights": weights.digest,
        "statistics": "shared" if learning.recipe.shared_epochs else "of each network",
        "validation_images": len(learning.data.validation),
    }
    table = replace(table, provenance={**table.provenance, **told})
    folder.save(table)
    return SearchReport(folder, space_name, table, learning.data.typed)


def trained_supernet(
    space: SearchSpace, learning: Learning, folder: SearchFolder
) -> tuple[Supernet, WeightsFile] | None:
    """A supernet trained along one path a step, and its file; None in a process that only helped.

    Raises:
        UserError: the folder holds another training, or cannot be written; the training went astray.
    """
    from hwprofile.learning.training import is_first, train
    from ponas_core.training.networks import Supernet, start_training

    folder.make()
    supernet = Supernet(space)
    start_training(supernet, learning.recipe.seed)
    weights = train(supernet, space, learning, folder.supernet, {})
    return (supernet, weights) if is_first() else None


def evaluator_of(supernet: Supernet, weights: WeightsFile, data: TrainingData) -> SupernetEvaluator:
    """Accuracies of networks on validation images, with the weights as the file has them."""
    from ponas_core.training.accuracy import SupernetEvaluator
    from ponas_core.training.batch_norm import freeze
    from ponas_core.training.modules import set_weights
    from ponas_core.weights import GivenWeights

    set_weights(supernet, GivenWeights(weights.arrays))  # as the file has them, whoever trained
    recipe = weights.about["recipe"]
    shared = int(recipe["shared_epochs"]) > 0
    freeze(supernet, frozen=shared)
    return SupernetEvaluator(
        supernet, data.training, data.validation, shared_statistics=shared, seed=int(recipe["seed"])
    )


@contextmanager
def told_by_supernet(
    supernet: Supernet, weights: WeightsFile, learning: Learning, *, kept: Path
) -> Iterator[Evaluator]:
    """Accuracies as `evaluator_of` counts them, here or on the workers of a fleet; errors are `told_by`'s.

    Args:
        supernet: gets the weights.
        weights: trained.
        learning: the data, and the fleet.
        kept: the journal that the search goes on from.
    """
    evaluator = evaluator_of(supernet, weights, learning.data)
    recipe = SupernetRecipe.of(supernet.space, weights, learning.data) if learning.fleet else None
    with told_by(evaluator, learning.fleet, quiet=learning.quiet, kept=kept, recipe=recipe) as found:
        yield found


def _table_of_supernet(
    supernet: Supernet, weights: WeightsFile, learning: Learning, options: TableOptions, folder: SearchFolder
) -> ScoreTable:
    """The table, and how well it ranks; no evaluation is paid for twice, whatever interrupts."""
    from hwprofile.learning.training import BlockTuning

    space, data = supernet.space, learning.data
    tuned, images = options.fine_tune_steps > 0, len(data.validation)
    journal = Journal(folder.evaluations, weights.digest)
    with (
        told_by_supernet(supernet, weights, learning, kept=folder.evaluations) as evaluator,
        display.progress("evaluate networks", quiet=learning.quiet) as bar,
    ):
        total = _evaluations(space, options)

        def paid(architecture: Encoded, accuracy: float) -> None:
            if not tuned:
                journal.append(architecture, accuracy)
            bar.advance(min(ledger.evaluations, total), total, f"{accuracy:.1f} %")

        # with weights that change on the way, cells are kept instead of evaluations
        ledger = Ledger(evaluator, history=() if tuned else journal.history(space), on_new=paid)
        # what fills the table, whether it is paid for now or was before an interruption
        filling = Ledger(ledger)
        if tuned:
            tuning = BlockTuning(supernet, data, learning.recipe, options.fine_tune_steps, folder, weights)
            filling = Ledger(evaluator, on_new=paid)
            table = _table(space, filling, options, tuning.tune, tuning.settle)
        else:
            folder.tuned.unlink(missing_ok=True)
            table = _table(space, filling, options)
        return with_rank(space, filling, ledger, table, options.held_out, options.seed, images)


def _evaluations(space: SearchSpace, options: TableOptions) -> int:
    """How many evaluations are expected, held-out ones included."""
    if options.method == "fitted":
        return options.evaluations + options.held_out
    if options.method == "progressive":
        return progressive_evaluations(space, _contexts(space, options), options.context) + options.held_out
    return 1 + sum(len(layer.blocks) - 1 for layer in space.layers) + options.held_out


def _contexts(space: SearchSpace, options: TableOptions) -> int:
    cells = sum(len(layer.blocks) for layer in space.layers)
    return max(1, round(options.evaluations / cells))


def _table(
    space: SearchSpace,
    ledger: Ledger,
    options: TableOptions,
    fine_tune: FineTune | None = None,
    settle: Settle = evaluated_now,
) -> ScoreTable:
    rng = np.random.default_rng([options.seed, 0])
    try:
        if options.method == "fitted":
            return fitted_estimate(
                space, ledger, rng, min(options.evaluations, space.size - options.held_out)
            )
        if options.method == "one-change":
            return one_change_table(space, ledger, middle_network(space))
        contexts, context = _contexts(space, options), options.context
        return progressive_table(
            space, ledger, rng, contexts=contexts, context=context, fine_tune=fine_tune, settle=settle
        )
    except (KeyError, ValueError) as error:
        raise UserError(str(error.args[0])) from error


def with_rank(
    space: SearchSpace,
    filling: Ledger,
    evaluator: Evaluator,
    table: ScoreTable,
    held_out: int,
    seed: int,
    images: int | None = None,
) -> ScoreTable:
    """The table with what further random networks say of it.

    Args:
        space: the space.
        filling: what filled the table.
        evaluator: tells the accuracies.
        table: is judged.
        held_out: how many networks.
        seed: of the draw.
        images: that an accuracy is counted on; None for accuracies without that noise.

    Raises:
        UserError: too few networks.
    """
    rng = np.random.default_rng([seed, 1])
    filled = [architecture for architecture, _ in filling.history]
    try:
        networks = random_sample(space, rng, held_out, without=filled)
        ledger = ledger_of(evaluator)
        ledger.expect(networks)
        accuracies = [ledger.accuracy(network) for network in networks]
        noise_sd = None if images is None else binomial_sd(float(np.mean(accuracies)), images)
        return held_out_rank(table, networks, accuracies, rng, noise_sd)
    except (KeyError, ValueError) as error:
        raise UserError(str(error.args[0])) from error
