"""Searches that ask a trained supernet how accurate networks are: random, evolution, table-guided, ..."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hwprofile import display
from hwprofile.errors import UserError
from hwprofile.learning.joint_search import Learned, run, table_of
from hwprofile.learning.search_folder import Journal, SearchFolder
from hwprofile.learning.supernet_search import told_by_supernet, trained_supernet, with_rank
from ponas_core.accuracies import Encoded
from ponas_core.evaluation import Ledger
from ponas_core.searches.candidates import Candidates
from ponas_core.searches.interface import Search
from ponas_core.space import SearchSpace

if TYPE_CHECKING:
    from hwprofile.learning.training import Learning


def search_asking(
    candidates: Candidates,
    search: Search,
    learning: Learning,
    folder: SearchFolder,
    *,
    evaluations: int,
    held_out: int,
    seed: int,
) -> Learned | None:
    """Train a supernet, then let a search ask it; what was asked fills a score table for other budgets.

    Interrupted at any moment, the same call goes on and ends with the same files.

    Args:
        candidates: the networks to choose from.
        search: asks.
        learning: what is learned, and how.
        folder: where everything is left.
        evaluations: networks that may be evaluated.
        held_out: further random networks that tell how well the table ranks.
        seed: of what is drawn.

    Returns:
        What was found; None in a process that only helped to train.

    Raises:
        UserError: the folder holds another search, or cannot be written; the training went astray; too few
            evaluations for the search.
    """
    space = candidates.space
    if not isinstance(space, SearchSpace):
        raise UserError(f"{space.name} is a space of cells, which are not trained here: use --evaluator")
    # in a small space some networks are left that the table has not seen
    evaluations = int(min(evaluations, space.size - held_out))
    if evaluations < 2:
        raise UserError(
            f"{space.name} has {space.size} networks, {held_out} of them held out: a score table takes at "
            "least two others; allow more --evaluations, or fewer --held-out"
        )
    trained = trained_supernet(space, learning, folder)
    if trained is None:
        return None
    supernet, weights = trained
    journal = Journal(folder.evaluations, weights.digest)
    with (
        told_by_supernet(supernet, weights, learning, kept=folder.evaluations) as evaluator,
        display.progress("evaluate networks", quiet=learning.quiet) as bar,
    ):

        def paid(architecture: Encoded, accuracy: float) -> None:
            journal.append(architecture, accuracy)
            bar.advance(min(behind.evaluations, total), total, f"{accuracy:.1f} %")

        total = evaluations + held_out
        behind = Ledger(evaluator, history=journal.history(space), on_new=paid)
        asked = Ledger(behind, most=evaluations)
        found = run(search, candidates, asked, seed)
        table = found.table
        if table is None or table.kind != "accuracy":
            table = table_of(space, asked.history, asked.description)
        table = with_rank(space, asked, behind, table, held_out, seed, len(learning.data.validation))
        score = behind.accuracy(space.architecture(found.ops))
    table = replace(table, provenance={**table.provenance, "evaluations": asked.evaluations})
    return Learned(found.ops, table, asked.history, score, weights)
