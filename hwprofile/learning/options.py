"""What the training options of `hwprofile search` and `hwprofile train` stand for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hwprofile.display import notices
from hwprofile.errors import BadInput, UserError
from ponas_core.complexity import complexity
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    import torch

    from hwprofile.learning.training import Learning

WORTH_THREADS_MACS = 1e8
"""Multiply-accumulates of a batch from which on several threads save time."""


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
            accumulate=options["accumulate"],
            paths_per_part=options.get("paths_per_part", False),
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
    fleet = options.get("fleet")
    return Learning(data, recipe, options["checkpoint_every"], quiet=options["quiet"], fleet=fleet)


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
