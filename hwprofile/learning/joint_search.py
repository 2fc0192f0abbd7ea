"""Searches that train a supernet and choose in turns: DDPNAS, PAD-NAS, ProxylessNAS.

What is asked while weights change is asked in one order, and every answer is kept in a journal. So an
interrupted search is run again from its start: the journal answers what was asked before, the training goes
on from its file, and the result is that of a search without an interruption.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hwprofile.budget import in_words
from hwprofile.errors import UserError
from hwprofile.learning.search_folder import Journal, SearchFolder
from hwprofile.learning.supernet_search import evaluator_of
from ponas_core.accuracies import Encoded, KnownAccuracies
from ponas_core.cost import CostTable
from ponas_core.derivation import Derived, derive, log_probability_table
from ponas_core.evaluation import Evaluated, Ledger
from ponas_core.proxyless import ProxylessSettings
from ponas_core.samplers import sampler
from ponas_core.score_table import ScoreTable, ScoreTableError
from ponas_core.searches.candidates import Candidates, Ops, SolvedCandidates
from ponas_core.searches.ddpnas import Ddpnas
from ponas_core.searches.interface import Found, Search
from ponas_core.searches.padnas import PadNas
from ponas_core.searches.settings import settings_of
from ponas_core.space import SearchSpace
from ponas_core.table_fit import fitted_table

if TYPE_CHECKING:
    from hwprofile.learning.training import Learning
    from ponas_core.network_weights import WeightsFile
    from ponas_core.training.accuracy import SupernetEvaluator
    from ponas_core.training.trainer import Trainer


@dataclass(frozen=True)
class Learned:
    """What a search has found, and the supernet that it has trained.

    Attributes:
        ops: the chosen network.
        table: the search's score table.
        history: what was evaluated, in order.
        score: accuracy of the chosen network in per cent, on validation images.
        weights: of the supernet.
        told: what else the search says of itself, as JSON values.
        notes: the same for people: a word and what it says.
    """

    ops: Ops
    table: ScoreTable
    history: Sequence[Evaluated]
    score: float
    weights: WeightsFile
    told: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()


def search_ddpnas(
    candidates: Candidates, search: Ddpnas, learning: Learning, folder: SearchFolder, *, seed: int
) -> Learned | None:
    """DDPNAS: every network that is drawn is trained for one epoch, and then evaluated.

    There are as many evaluations as the recipe has epochs.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        UserError: the folder holds another search, or cannot be written; the training went astray; too few
            epochs for a search.
    """
    about = {"search": "ddpnas", "budget": _budget(candidates), **settings_of(search)}
    joint = _Joint.begun(candidates, learning, folder, about)
    epoch = joint.trainer.order.steps
    drawn = [network.ops for network, _ in joint.history]

    class EpochEach:
        """Train the network for an epoch with the supernet's weights, then count."""

        def accuracy(self, architecture: Encoded) -> float:
            drawn.append(architecture.ops)
            file.train(len(drawn) * epoch)
            return joint.evaluator.accuracy(architecture)

    joint.trainer.path_of = lambda step: drawn[step // epoch]
    with joint.file() as file:
        behind = Ledger(EpochEach(), lasting=False, history=joint.history, on_new=joint.journal.append)
        asked = Ledger(behind, most=learning.recipe.epochs, lasting=False)
        found = run(search, candidates, asked, seed)
        joint.trainer.path_of = lambda step: found.ops  # epochs that no network was drawn for
        weights = file.train()
    return joint.learned(found.ops, found.table, asked.history, weights)


def search_padnas(
    candidates: Candidates,
    search: PadNas,
    learning: Learning,
    folder: SearchFolder,
    *,
    evaluations: int,
    seed: int,
) -> Learned | None:
    """PAD-NAS: train among the ops that are alive, evaluate, drop the worst of each layer, again.

    Every stage takes an equal part of the recipe's epochs.

    Args:
        candidates: the networks to choose from.
        search: its settings.
        learning: what is learned, and how.
        folder: where everything is left.
        evaluations: networks that may be evaluated, over all stages.
        seed: of what is drawn.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        UserError: as `search_ddpnas`.
    """
    about = {"search": "padnas", "evaluations": evaluations, "budget": _budget(candidates)}
    about |= settings_of(search)
    joint = _Joint.begun(candidates, learning, folder, about)
    steps = joint.trainer.steps
    ends = [round((stage + 1) * steps / search.stages) for stage in range(search.stages)]
    alive_in: list[Sequence[Sequence[int]]] = []

    def path_of(step: int) -> tuple[int, ...]:
        stage = sum(step >= end for end in ends)
        recipe = learning.recipe
        return sampler(joint.space, recipe.sampling, recipe.seed, alive_in[stage])(step)

    def train(stage: int, alive: Sequence[Sequence[int]]) -> None:
        alive_in.append(alive)
        file.train(ends[stage])

    joint.trainer.path_of = path_of
    with joint.file() as file:
        behind = Ledger(joint.evaluator, lasting=False, history=joint.history, on_new=joint.journal.append)
        asked = Ledger(behind, most=evaluations)
        found = run(replace(search, train=train), candidates, asked, seed)
        weights = file.train()
    return joint.learned(found.ops, found.table, asked.history, weights)


def search_proxyless(
    candidates: Candidates, settings: ProxylessSettings, learning: Learning, folder: SearchFolder
) -> Learned | None:
    """ProxylessNAS: weights and the distribution over paths learn in turns.

    The budget is the target of the expected cost. Holding it in expectation does not bind the most probable
    network, so the exact solver finds the most probable one within the budget; both are told.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        UserError: the folder holds another search, or cannot be written; the training went astray; a cost
            that does not add up over layers.
    """
    from hwprofile.learning.training import is_first, training_file
    from ponas_core.training.networks import Supernet, start_training
    from ponas_core.training.proxyless_trainer import ProxylessTrainer

    if not isinstance(candidates, SolvedCandidates):
        raise UserError(
            "ProxylessNAS needs latencies that add up over layers: give a profile as --latency, or a budget "
            "of multiply-accumulates or parameters"
        )
    space, limits = candidates.space, candidates.limits
    supernet = Supernet(space)
    start_training(supernet, learning.recipe.seed)
    cost = limits[0].cost if limits else None
    settings = replace(settings, target=limits[0].at_most if limits else None)
    folder.make()
    data = learning.data
    try:
        trainer = ProxylessTrainer(supernet, data.training, data.validation, learning.recipe, settings, cost)
    except ValueError as error:
        raise UserError(str(error)) from error
    with training_file(trainer, space, learning, folder.supernet, {"search": "proxyless"}) as file:
        weights = file.train()
    if not is_first():
        return None
    evaluator = evaluator_of(supernet, weights, learning.data)
    found = derive(space, trainer.logits, limits, [cost] if cost else [])
    score = evaluator.accuracy(found.projected)
    history = [(found.projected, score)]
    if found.argmax != found.projected:
        history.append((found.argmax, evaluator.accuracy(found.argmax)))
    told = {
        "expected": dict(found.expected),
        "argmax": {"architecture": str(found.argmax), "score": history[-1][1], **found.argmax_costs},
        "projected": {"architecture": str(found.projected), "score": score, **found.projected_costs},
    }
    table = replace(log_probability_table(space, trainer.logits), provenance={"method": "proxyless", **told})
    notes = _in_words(found, cost, history[-1][1])
    return Learned(found.projected.ops, table, history, score, weights, told, notes)


def _in_words(found: Derived, cost: CostTable | None, score: float) -> tuple[tuple[str, str], ...]:
    """The most probable network beside the chosen one, and the cost that was expected."""
    argmax = f"{found.argmax}, {score:.2f} %"
    if cost is None:
        return (("argmax", argmax),)
    at_argmax, expected = found.argmax_costs[cost.name], found.expected[cost.name]
    return (
        ("expected", in_words(cost.name, expected)),
        ("argmax", f"{argmax}, {in_words(cost.name, at_argmax)}"),
    )


def run(search: Search, candidates: Candidates, ledger: Ledger, seed: int) -> Found:
    """Search; UserError where the search says that it cannot."""
    try:
        return search.run(candidates, ledger, np.random.default_rng([seed, 2]))
    except ValueError as error:
        raise UserError(str(error)) from error


def table_of(space: SearchSpace, history: Sequence[Evaluated], source: str = "the search") -> ScoreTable:
    """A table fitted to what was evaluated, the last accuracy of each network.

    Raises:
        UserError: fewer than two networks were.
    """
    known = {network.ops: accuracy for network, accuracy in history}
    try:
        return fitted_table(space, KnownAccuracies(known, source))
    except ScoreTableError as error:
        raise UserError(f"{error}: allow more --evaluations, or a wider --budget") from error


def _budget(candidates: Candidates) -> Any:
    """What tells one choice of candidates from another, as JSON values."""
    if isinstance(candidates, SolvedCandidates):
        return {limit.cost.name: limit.at_most for limit in candidates.limits}
    return candidates.cost_limit()


@dataclass(frozen=True)
class _Joint:
    """A supernet in training, who tells its accuracies, and what was told before an interruption."""

    space: SearchSpace
    learning: Learning
    trainer: Trainer
    path: Path
    about: Mapping[str, Any]
    journal: Journal
    history: Sequence[Evaluated]
    evaluator: SupernetEvaluator

    @classmethod
    def begun(
        cls, candidates: Candidates, learning: Learning, folder: SearchFolder, about: Mapping[str, Any]
    ) -> _Joint:
        """Everything that a search of weights and networks needs; UserError where it cannot be."""
        from ponas_core.training import processes
        from ponas_core.training.accuracy import SupernetEvaluator
        from ponas_core.training.networks import Supernet, start_training
        from ponas_core.training.trainer import Trainer

        space = candidates.space
        if not isinstance(space, SearchSpace):
            raise UserError(f"{space.name} is a space of cells, which are not trained here: use --evaluator")
        if processes.world() > 1:
            raise UserError(f"{about['search']} decides while it trains: start it in one process")
        folder.make()
        recipe, data = replace(learning.recipe, shared_epochs=0), learning.data
        supernet = Supernet(space)
        start_training(supernet, recipe.seed)
        trainer = Trainer(supernet, data.training, recipe)
        evaluator = SupernetEvaluator(
            supernet, data.training, data.validation, shared_statistics=False, seed=recipe.seed
        )
        basis = json.dumps([data.about(space), trainer.about, about], sort_keys=True, default=list)
        journal = Journal(folder.evaluations, hashlib.sha256(basis.encode()).hexdigest()[:16])
        history = journal.history(space)
        return cls(space, learning, trainer, folder.supernet, about, journal, history, evaluator)

    def file(self) -> Any:
        """The training in its file."""
        from hwprofile.learning.training import training_file

        return training_file(self.trainer, self.space, self.learning, self.path, dict(self.about))

    def learned(
        self, ops: Ops, table: ScoreTable | None, history: Sequence[Evaluated], weights: WeightsFile
    ) -> Learned:
        """What was found, the chosen network evaluated with the final weights."""
        if table is None:
            table = table_of(self.space, history)
        score = self.evaluator.accuracy(self.space.architecture(ops))
        return Learned(ops, table, history, score, weights)
