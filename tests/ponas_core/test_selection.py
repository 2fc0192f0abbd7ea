from __future__ import annotations

import itertools

import numpy as np
import pytest

from ponas_core.accuracies import KnownAccuracies, published_accuracies
from ponas_core.complexity import complexity
from ponas_core.cost import Limit
from ponas_core.probes import canaries, winners
from ponas_core.score_table import Scores, macs_proxy
from ponas_core.selection import front, select
from ponas_core.solve import Infeasible
from ponas_core.space_file import shipped_space
from ponas_core.table_fit import fitted_table

MACRO = shipped_space("nasbench-macro")
MACS = complexity(MACRO, "macs")
PUBLISHED = published_accuracies(MACRO)
assert PUBLISHED is not None
FULL = Scores(fitted_table(MACRO, PUBLISHED), PUBLISHED)


def true_best(at_most: float) -> float:
    return max(value for ops, value in PUBLISHED.values.items() if MACS.total(ops) <= at_most)  # type: ignore[union-attr] # checked above


@pytest.mark.parametrize("mmacs", [20, 35, 50, 65, 80, 200])
def test_where_every_accuracy_is_known_the_true_optimum_is_selected(mmacs: int) -> None:
    found = select(MACRO, FULL, [Limit(MACS, mmacs * 1e6)], 3)
    assert found.optimal
    assert FULL.value(found.architectures[0]) == true_best(mmacs * 1e6)
    values = [FULL.value(architecture) for architecture in found.architectures]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3


def test_where_some_accuracies_are_known_the_best_of_the_table_are_ranked_anew() -> None:
    assert PUBLISHED is not None
    partial = KnownAccuracies(dict(itertools.islice(PUBLISHED.values.items(), 3000, 6560)), "a part")
    scores = Scores(FULL.table, partial)
    limit = Limit(MACS, 60e6)
    found = select(MACRO, scores, [limit], 1)
    by_table = select(MACRO, Scores(FULL.table), [limit], 1)
    assert by_table.optimal
    assert scores.value(found.architectures[0]) >= scores.value(by_table.architectures[0])
    assert found.optimal == (found.architectures[0] == by_table.architectures[0])


@pytest.mark.parametrize("scores", [FULL, Scores(macs_proxy(MACRO))], ids=["known", "table"])
def test_an_unreachable_limit_names_the_smallest_reachable(scores: Scores) -> None:
    with pytest.raises(Infeasible, match="smallest reachable") as caught:
        select(MACRO, scores, [Limit(MACS, 1e6)], 1)
    assert caught.value.smallest == MACS.total(MACS.smallest())


@pytest.mark.parametrize("scores", [FULL, Scores(FULL.table)], ids=["known", "table"])
def test_no_network_beats_one_of_the_front(scores: Scores) -> None:
    found = front(MACRO, scores, MACS)
    costs = [MACS.total(architecture.ops) for architecture in found]
    values = [scores.value(architecture) for architecture in found]
    assert costs == sorted(costs)
    assert values == sorted(values)
    rng = np.random.default_rng(0)
    for other in (MACRO.sample(rng) for _ in range(300)):
        cost, value = MACS.total(other.ops), scores.value(other)
        assert any(c <= cost and v >= value - 1e-9 for c, v in zip(costs, values, strict=True))


def test_winners_are_spread_and_distinct() -> None:
    space = shipped_space("proxyless")
    macs = complexity(space, "macs")
    found = winners(space, macs_proxy(space), macs, 10)
    assert len({architecture.ops for architecture in found}) == len(found) == 10
    totals = [macs.total(architecture.ops) for architecture in found]
    assert totals == sorted(totals)
    assert totals[-1] > 2 * totals[0]


def test_canaries_are_a_light_and_a_heavy_network() -> None:
    light, heavy = canaries(MACRO)
    assert MACS.total(MACS.smallest()) < MACS.total(light.ops) < MACS.total(heavy.ops)
