"""Score tables read off cell by cell: one candidate of one layer after the other, within given networks.

`progressive_table` is PONAS (Huang and Chu, "PONAS: Progressive One-shot Neural Architecture Search for Very
Efficient Deployment", arXiv 2003.05112). Code of this step was not released; what its description leaves open
is an option here. `one_change_table` is the plain alternative. The third way, a fit to random networks, is
`ponas_core.table_fit`; docs/search.md compares the three.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ponas_core.complexity import complexity
from ponas_core.evaluation import Evaluator, Ledger, ledger_of
from ponas_core.provenance import estimated_by
from ponas_core.samplers import largest_path
from ponas_core.score_table import ScoreTable, log_error
from ponas_core.space import Architecture, SearchSpace

Context: TypeAlias = Literal["sampled", "largest"]
Ops = tuple[int, ...]


FineTune: TypeAlias = Callable[[Sequence[int], int, int], None]
"""Winners in front, layer, op: trains the candidate's weights before it is evaluated."""
Settle: TypeAlias = Callable[[int, int, Callable[[], float]], float]
"""Layer, op, how to evaluate: gives the cell's mean accuracy in per cent, a kept one or a new one."""


def evaluated_now(layer: int, op: int, evaluate: Callable[[], float]) -> float:
    """The way to settle a cell where none are kept."""
    return evaluate()


def progressive_table(
    space: SearchSpace,
    evaluator: Evaluator,
    rng: np.random.Generator,
    *,
    contexts: int = 4,
    context: Context = "sampled",
    fine_tune: FineTune | None = None,
    settle: Settle = evaluated_now,
) -> ScoreTable:
    """Fill a table front to back: layers in front hold their winners, layers behind a context.

    All candidates of a layer meet the same contexts, so that differences between contexts cancel: with
    contexts of its own for every candidate the table ranks far worse (docs/search.md). A row is the log error
    of the mean accuracy; the candidate with the highest is the layer's winner, the first of equals.

    Args:
        space: the space.
        evaluator: tells accuracies; a `Ledger` is used as it is.
        rng: draws the contexts, all of them before the first evaluation.
        contexts: networks a candidate is evaluated in; fewer where the layers behind have fewer spellings.
        context: `sampled`, layers behind are drawn; `largest`, each holds its block of most MACs, and there
            is one context.
        fine_tune: called before a candidate is evaluated; accuracies of before are forgotten then, since
            weights have changed.
        settle: called for every cell in order. One that keeps cells makes an interrupted run go on: with a
            generator of the same seed, a kept cell need not be evaluated (nor fine-tuned) again.

    Raises:
        OutOfEvaluations: the evaluator is a ledger, and it is spent.
        ValueError: no contexts.
    """
    if contexts < 1:
        raise ValueError(f"a candidate needs at least one context, not {contexts}")
    ledger = ledger_of(evaluator)
    winners: list[int] = []
    rows: list[list[float]] = []
    networks: list[Architecture] = []
    for layer, rests in enumerate(list(_contexts(space, rng, contexts, context))):
        rows.append([])
        cells = [
            [space.architecture((*winners, op, *rest)) for rest in rests]
            for op in range(len(space.layers[layer].blocks))
        ]
        if fine_tune is None:
            ledger.expect(list(itertools.chain(*cells)))
        for op, holding in enumerate(cells):
            tune = partial(fine_tune, tuple(winners), layer, op) if fine_tune else None
            rows[-1].append(settle(layer, op, partial(_cell, ledger, holding, tune)))
            networks += holding
        winners.append(int(np.argmax(rows[-1])))
    # with weights that change on the way, a network that comes again is another evaluation
    evaluations = len(networks) if fine_tune else len({network.ops for network in networks})
    estimate = estimated_by("progressive", ledger, evaluations, rng)
    settings = {"contexts": contexts, "context": context, "fine_tuned": fine_tune is not None}
    provenance = {**estimate, **settings, "winners": winners}
    # behind the last layer there is no context: its best cell is the network of all winners
    return _table(space, [log_error(row) for row in rows], winners, max(rows[-1]), provenance)


def progressive_evaluations(space: SearchSpace, contexts: int, context: Context = "sampled") -> int:
    """The most evaluations that `progressive_table` pays for; fewer where contexts meet by chance."""
    sizes = [len(layer.blocks) for layer in space.layers]
    most = contexts if context == "sampled" else 1
    return sum(size * min(most, math.prod(sizes[layer + 1 :])) for layer, size in enumerate(sizes))


def one_change_table(space: SearchSpace, evaluator: Evaluator, reference: Architecture) -> ScoreTable:
    """Fill a table with the networks that differ from a reference in one block.

    The cheapest of the tables, 1 + sum of (ops - 1) evaluations, and the one that noise hurts most: each
    entry rests on a single evaluation.

    Args:
        space: the space.
        evaluator: tells accuracies; a `Ledger` is used as it is.
        reference: the network that is changed, such as `middle_network(space)`.
    """
    ledger = ledger_of(evaluator)
    changed = [
        [_changed(reference, layer, op) for op in range(len(place.blocks))]
        for layer, place in enumerate(space.layers)
    ]
    ledger.expect(list(itertools.chain(*changed)))
    rows = [log_error([ledger.accuracy(network) for network in networks]) for networks in changed]
    evaluations = 1 + sum(len(place.blocks) - 1 for place in space.layers)
    estimate = estimated_by("one-change", ledger, evaluations, None)
    provenance = {**estimate, "reference": list(reference.ops)}
    return _table(space, rows, reference.ops, ledger.accuracy(reference), provenance)


def largest_network(space: SearchSpace) -> Architecture:
    """Every layer's block with the most multiply-accumulates."""
    return space.architecture(largest_path(space))


def middle_network(space: SearchSpace) -> Architecture:
    """Every layer's block of median multiply-accumulates, the lower of two."""
    return space.architecture(
        [int(np.argsort(row, kind="stable")[(row.size - 1) // 2]) for row in complexity(space, "macs").rows]
    )


def _contexts(
    space: SearchSpace, rng: np.random.Generator, contexts: int, context: Context
) -> Iterator[list[Ops]]:
    """For every layer, the ops of the layers behind it, distinct."""
    largest = largest_path(space)
    for layer in range(len(space.layers)):
        if context == "largest":
            yield [largest[layer + 1 :]]
        else:
            sizes = [len(place.blocks) for place in space.layers[layer + 1 :]]
            yield _suffixes(sizes, rng, contexts)


def _suffixes(sizes: Sequence[int], rng: np.random.Generator, count: int) -> list[Ops]:
    if math.prod(sizes) <= count:
        return list(np.ndindex(*sizes))
    found: dict[Ops, None] = {}
    while len(found) < count:
        found[tuple(int(rng.integers(size)) for size in sizes)] = None
    return list(found)


def _cell(ledger: Ledger, networks: Sequence[Architecture], tune: Callable[[], None] | None) -> float:
    """Mean accuracy of a candidate in its contexts, after its fine-tuning."""
    if tune is not None:
        tune()
        ledger.forget()
    return math.fsum(map(ledger.accuracy, networks)) / len(networks)


def _changed(reference: Architecture, layer: int, op: int) -> Architecture:
    ops = list(reference.ops)
    ops[layer] = op
    return reference.space.architecture(ops)


def _table(
    space: SearchSpace,
    rows: Sequence[NDArray[np.float64]],
    anchor: Sequence[int],
    accuracy: float,
    provenance: Mapping[str, Any],
) -> ScoreTable:
    """A table of log errors that says the given accuracy of one network."""
    sum_of_rows = math.fsum(row[op] for row, op in zip(rows, anchor, strict=True))
    return ScoreTable(
        space=space.name,
        kind="accuracy",
        meaning=f"accuracy in per cent, {provenance['method']}, read per block on the log of the error; "
        f"{provenance['evaluator']}",
        rows=tuple(rows),
        intercept=float(log_error(accuracy)) - sum_of_rows,
        link="log-error",
        provenance=provenance,
    )
