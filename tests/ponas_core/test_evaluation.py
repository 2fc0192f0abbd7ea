from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ponas_core.accuracies import Encoded, KnownAccuracies
from ponas_core.evaluation import Ledger, OutOfEvaluations, TabularEvaluator, described, ledger_of
from tests.ponas_core.additive import MACRO, AdditiveWorld

NETWORKS = [MACRO.architecture(ops) for ops in ((0,) * 8, (1,) * 8, (2,) * 8, (2, 1) * 4)]
KNOWN = KnownAccuracies({network.ops: 70.0 + n for n, network in enumerate(NETWORKS)}, "a list")


def test_known_accuracies_are_given_as_they_are() -> None:
    evaluator = TabularEvaluator(KNOWN)
    assert [evaluator.accuracy(network) for network in NETWORKS] == [70, 71, 72, 73]
    assert described(evaluator) == "known accuracies (a list)"


def test_an_accuracy_that_is_not_known_is_named() -> None:
    with pytest.raises(KeyError, match=r"1,1,1,1,1,1,1,2.*a list"):
        TabularEvaluator(KNOWN).accuracy(MACRO.architecture((1,) * 7 + (2,)))


def test_noise_belongs_to_the_network_and_the_seed_not_to_the_order_of_calls() -> None:
    evaluator, again, other = (TabularEvaluator(KNOWN, 0.5, seed) for seed in (3, 3, 4))
    forwards = [evaluator.accuracy(network) for network in NETWORKS]
    backwards = [again.accuracy(network) for network in reversed(NETWORKS)]
    assert forwards == backwards[::-1]
    assert not set(forwards) & {other.accuracy(network) for network in NETWORKS}
    assert len({round(value - 70 - n, 9) for n, value in enumerate(forwards)}) == 4
    assert "0.5 points, seed 3" in described(evaluator)


def test_noise_has_the_spread_that_was_asked_for() -> None:
    noise = [TabularEvaluator(KNOWN, 0.5, seed).accuracy(NETWORKS[0]) - 70 for seed in range(1000)]
    assert np.std(noise) == pytest.approx(0.5, rel=0.1)
    assert np.mean(noise) == pytest.approx(0, abs=0.06)


def test_noise_leaves_percentages() -> None:
    perfect = KnownAccuracies({NETWORKS[0].ops: 100.0}, "a list")
    values = [TabularEvaluator(perfect, 5.0, seed).accuracy(NETWORKS[0]) for seed in range(20)]
    assert max(values) == 100
    assert min(values) < 100


@pytest.mark.parametrize("noise_sd", [-0.1, float("nan"), float("inf")])
def test_noise_that_is_no_spread_is_refused(noise_sd: float) -> None:
    with pytest.raises(ValueError, match="from 0 on"):
        TabularEvaluator(KNOWN, noise_sd)


def test_a_network_is_paid_for_once() -> None:
    world = AdditiveWorld(MACRO, 0)
    ledger = Ledger(world)
    first = [ledger.accuracy(network) for network in NETWORKS]
    assert [ledger.accuracy(network) for network in reversed(NETWORKS)] == first[::-1]
    assert ledger.evaluations == len(world.asked) == 4
    assert ledger.history == tuple(zip(NETWORKS, first, strict=True))
    assert ledger.description == "a world that adds up"


def test_what_is_spent_is_spent_but_what_is_kept_is_still_given() -> None:
    ledger = Ledger(AdditiveWorld(MACRO, 0), most=2)
    first = ledger.accuracy(NETWORKS[0])
    ledger.accuracy(NETWORKS[1])
    with pytest.raises(OutOfEvaluations, match="all 2 evaluations") as caught:
        ledger.accuracy(NETWORKS[2])
    assert caught.value.most == 2
    assert ledger.accuracy(NETWORKS[0]) == first
    assert ledger.evaluations == 2


def test_an_interrupted_search_goes_on() -> None:
    journal: list[tuple[Encoded, float]] = []

    def note(architecture: Encoded, accuracy: float) -> None:
        journal.append((architecture, accuracy))

    whole = Ledger(AdditiveWorld(MACRO, 0))
    before = Ledger(AdditiveWorld(MACRO, 0), on_new=note)
    for network in NETWORKS[:2]:
        before.accuracy(network)
    world = AdditiveWorld(MACRO, 0)
    after = Ledger(world, history=list(journal), most=4, on_new=note)
    assert [after.accuracy(network) for network in NETWORKS] == [whole.accuracy(net) for net in NETWORKS]
    assert world.asked == [network.ops for network in NETWORKS[2:]]
    assert after.history == whole.history == tuple(journal)
    with pytest.raises(OutOfEvaluations):
        after.accuracy(MACRO.architecture((1,) * 7 + (2,)))


class Eager(AdditiveWorld):
    """A world that begins with what it hears of."""

    def __init__(self) -> None:
        super().__init__(MACRO, 0)
        self.begun: list[tuple[int, ...]] = []

    def expect(self, architectures: Sequence[Encoded]) -> None:
        self.begun += [architecture.ops for architecture in architectures]


def test_an_eager_evaluator_hears_of_what_is_new_and_may_be_paid_for() -> None:
    world = Eager()
    behind = Ledger(world, history=[(NETWORKS[0], 50.0)])
    ledger = Ledger(behind, most=3)
    ledger.accuracy(NETWORKS[1])
    ledger.expect([NETWORKS[1], NETWORKS[2], NETWORKS[2], NETWORKS[0], NETWORKS[3]])
    # the second is kept, the first is by the ledger behind, and the fourth would be one too many
    assert world.begun == [NETWORKS[2].ops]
    assert ledger.evaluations == behind.evaluations - 1 == 1
    ledger.accuracy(NETWORKS[2])
    ledger.accuracy(NETWORKS[0])
    ledger.expect(NETWORKS)
    assert world.begun == [NETWORKS[2].ops]


def test_nothing_begins_where_accuracies_do_not_last_or_nobody_listens() -> None:
    world = Eager()
    Ledger(world, lasting=False).expect(NETWORKS)
    assert world.begun == []
    plain = AdditiveWorld(MACRO, 0)
    Ledger(plain).expect(NETWORKS)
    assert plain.asked == []


def test_weights_that_have_changed_are_paid_for_anew() -> None:
    ledger = Ledger(AdditiveWorld(MACRO, 0))
    ledger.accuracy(NETWORKS[0])
    ledger.forget()
    ledger.accuracy(NETWORKS[0])
    assert ledger.evaluations == 2


@pytest.mark.parametrize("accuracy", [-0.1, 100.1, float("nan"), float("inf")])
def test_an_answer_that_is_no_percentage_is_refused_and_not_kept(accuracy: float) -> None:
    class Broken:
        def accuracy(self, architecture: Encoded) -> float:
            return accuracy

    ledger = Ledger(Broken())
    with pytest.raises(ValueError, match="no percentage"):
        ledger.accuracy(NETWORKS[0])
    assert ledger.evaluations == 0
    assert described(Broken()) == "Broken"


def test_a_ledger_is_used_as_it_is() -> None:
    ledger = Ledger(AdditiveWorld(MACRO, 0))
    assert ledger_of(ledger) is ledger
    assert isinstance(ledger_of(AdditiveWorld(MACRO, 0)), Ledger)
