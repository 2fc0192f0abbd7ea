"""What the options of `hwprofile search` and `hwprofile train` stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwprofile.catalog import space_named
from hwprofile.display import notices
from hwprofile.errors import BadInput, UserError
from hwprofile.learning.data import needed
from hwprofile.learning.known_networks import KnownNetworks
from hwprofile.learning.search_folder import SearchFolder
from hwprofile.learning.supernet_search import SearchReport, TableOptions, search_known, search_ponas
from hwprofile.learning.tabular_search import Choosing, chosen_by_table
from ponas_core.complexity import complexity
from ponas_core.evaluation import Ledger, TabularEvaluator
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    import torch

    from hwprofile.learning.training import Learning

NOT_BOTH = "give --data to train, or --evaluator for known accuracies, not both"
WORTH_THREADS_MACS = 1e8
"""Multiply-accumulates of a batch from which on several threads save time."""


def run_search(
    space_name: str,
    data_name: str | None,
    evaluator_name: str | None,
    out: Path,
    table: TableOptions,
    options: Mapping[str, Any],
    choosing: Choosing,
) -> SearchReport | None:
    """Search with a supernet on a data set, or over known accuracies.

    Args:
        space_name: as typed.
        data_name: a data set; None with an evaluator.
        evaluator_name: `tabular` or `tabular:FILE.csv:COLUMN`; None with a data set.
        out: folder that a search leaves its files in.
        table: how the score table is filled.
        options: of the training, as the command names them.
        choosing: what the network that is named with an evaluator has to hold.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        BadInput: neither or both of data set and evaluator.
        UserError: something named is unusable, or the search cannot go on.
    """
    space, folder = space_named(space_name), SearchFolder(out)
    if evaluator_name is not None:
        if data_name is not None:
            raise BadInput(NOT_BOTH)
        known = KnownNetworks.named(space, evaluator_name)
        pool = choosing.pool(known)  # a budget that nothing holds is refused before anything is written
        ledger = Ledger(TabularEvaluator(known.accuracies))
        report = search_known(space, space_name, ledger, table, folder)
        return replace(
            report, chosen=chosen_by_table(known, pool, choosing.budgets, report.table, ledger.history)
        )
    if choosing != Choosing():
        raise BadInput(
            "a score table that is trained is for every device and budget: give --budget to "
            "`hwprofile specialize`, and leave --latency away"
        )
    return search_ponas(space, space_name, learning_of(space, needed(data_name), options), table, folder)


def evaluator_of(method: str, data_name: str | None, evaluator_name: str | None) -> str:
    """The evaluator of a method that searches among known accuracies.

    Raises:
        BadInput: neither or both of data set and evaluator.
        UserError: a data set, from which this method cannot learn.
    """
    if evaluator_name is not None and data_name is not None:
        raise BadInput(NOT_BOTH)
    if evaluator_name is not None:
        return evaluator_name
    if data_name is not None:
        raise UserError(f"search {method}: cannot learn from data here; give --evaluator, or search ponas")
    raise BadInput("give --evaluator tabular:FILE.csv:COLUMN: known accuracies of networks")


def learning_of(space: SearchSpace, data_name: str, options: Mapping[str, Any]) -> Learning:
    """What training options stand for.

    Raises:
        BadInput: options that do not go together.
        UserError: no torch, no such device, or an unusable data set.
    """
    # before anything imports torch, which reads its environment then
    device = training_device(space, options["accelerator"], options["threads"], options["batch_size"])
    from hwprofile.learning.training import Learning, TrainingData
    from ponas_core.training.batches import Augmentation
    from ponas_core.training.recipe import TrainingRecipe

    data = TrainingData.named(space, data_name, device, notices(quiet=options["quiet"]))
    shape = space.shape_in
    usual = Augmentation.usual(shape.channels, shape.height)
    shared = options.get("shared_epochs")
    try:
        recipe = TrainingRecipe(
            epochs=options["epochs"],
            batch=options["batch_size"],
            learning_rate=options["learning_rate"],
            sampling=options.get("sampling", "fair"),
            distillation=options.get("distillation", 0.0),
            shared_epochs=options["epochs"] // 4 if shared is None else shared,
            augmentation=usual if options["augment"] == "usual" else Augmentation(),
            seed=options["seed"],
            mixed_precision=options["mixed_precision"],
        )
    except ValueError as error:
        raise BadInput(str(error)) from error
    return Learning(data, recipe, options["checkpoint_every"], quiet=options["quiet"])


def training_device(space: SearchSpace, name: str, threads: int | None, batch: int) -> torch.device:
    """What trains networks of a space, this process joined with the others that `torchrun` started.

    Args:
        space: the space.
        name: `auto`, `cpu` or `cuda`.
        threads: of the processor; None for as many as a step of this batch is worth.
        batch: images of a step.

    Raises:
        UserError: no torch, or no such device.
    """
    # threads that wait for each other in a loop take the processor from whoever else needs it, themselves
    # included: on two busy cores a training of small networks took ten times as long; but who does not wait
    # at all sleeps too often. GNU's count of rounds goes before the policy, which other libraries know
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        import torch  # noqa: F401  # told here, in words, before anything else fails for lack of it
    except ImportError as error:
        raise UserError("training needs torch: pip install 'hwprofile[search]'") from error
    from hwprofile.learning.training import accelerator, join_processes

    device = accelerator(name, threads or _threads(space, batch))
    join_processes(device)
    return device


def _threads(space: SearchSpace, batch: int) -> int:
    """Threads that a step is worth: one for small networks, else all processors."""
    macs = complexity(space, "macs")
    mean = macs.fixed + sum(float(row.mean()) for row in macs.rows)
    return 1 if mean * batch < WORTH_THREADS_MACS else os.cpu_count() or 1
