"""Training step by step: it learns, it follows its seed, and it goes on as if it had not stopped."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from ponas_core.datasets.images import LabelledImages
from ponas_core.samplers import largest_path
from ponas_core.training.accuracy import SupernetEvaluator, accuracy_percent
from ponas_core.training.batches import Augmentation
from ponas_core.training.modules import arrays, convolutions
from ponas_core.training.networks import Network, Supernet
from ponas_core.training.recipe import TrainingRecipe
from ponas_core.training.trainer import MOMENTUM, Trainer, TrainingError
from tests.ponas_core.training.toys import (
    BARE,
    PLAIN,
    TOY,
    DrawnWeights,
    network,
    on_cpu,
    recipe,
    relative_error,
    supernet,
    toy_images,
    trainer,
)

State = Mapping[str, NDArray[Any]]
WAYS: dict[str, dict[str, Any]] = {
    "fair": {},
    "uniform": {"sampling": "uniform"},
    "shared statistics": {"shared_epochs": 1},
    "distillation": {"distillation": 0.5},
    "all at once": {"sampling": "uniform", "shared_epochs": 2, "distillation": 0.3, "weight_decay": 0.01},
    "no momentum": {"momentum": 0.0},
    "mixed precision": {"mixed_precision": True},
    "parts": {"accumulate": 3},
    "a path for each part": {
        "accumulate": 2,
        "paths_per_part": True,
        "distillation": 0.3,
        "shared_epochs": 1,
    },
}


def assert_equal(found: State, wanted: State) -> None:
    """Every array to the last bit."""
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name].tobytes() == wanted[name].tobytes(), name


def finished(training: Trainer) -> State:
    list(training.run())
    assert training.step == training.steps
    return training.state()


# --- the same seed, the same weights


@pytest.mark.parametrize("way", WAYS)
def test_equal_seeds_give_equal_weights_to_the_last_bit(way: str) -> None:
    assert_equal(finished(trainer(**WAYS[way])), finished(trainer(**WAYS[way])))


@pytest.mark.parametrize("way", WAYS)
def test_a_training_that_stops_after_any_step_goes_on_as_if_it_had_not(way: str) -> None:
    whole = trainer(**WAYS[way])
    wanted = finished(whole)
    # statistics are shared from step 8 on, or from step 4 where all comes at once
    stops = {"fair": list(range(whole.steps + 1)), "all at once": [0, 3, 4, 5, 12]}
    for stop in stops.get(way, [4, 8, 9]):
        first = trainer(**WAYS[way])
        list(first.run(stop))
        state = first.state()
        second = trainer(supernet(99), **WAYS[way])
        second.restore(state, first.step)
        assert_equal(finished(second), wanted)


def test_a_training_that_stops_again_and_again_goes_on_too() -> None:
    wanted = finished(trainer(**WAYS["all at once"]))
    state, step = trainer(**WAYS["all at once"]).state(), 0
    for stop in (1, 3, 4, 5, 9, 12):
        part = trainer(supernet(stop), **WAYS["all at once"])
        part.restore(state, step)
        list(part.run(stop))
        state, step = part.state(), part.step
    assert_equal(state, wanted)


def test_one_trainer_may_stop_and_be_asked_again() -> None:
    part = trainer()
    for stop in (2, 2, 7, None):
        list(part.run(stop))
    assert_equal(part.state(), finished(trainer()))


def test_a_trainer_that_went_further_can_be_brought_back() -> None:
    part = trainer()
    fresh = part.state()
    list(part.run(5))
    early = part.state()
    list(part.run())
    wanted = part.state()
    for state, step in [(early, 5), (fresh, 0)]:
        part.restore(state, step)
        assert part.loss is None
        assert_equal(finished(part), wanted)


def test_a_network_alone_goes_on_too() -> None:
    wanted = finished(trainer(network()))
    first = trainer(network())
    list(first.run(7))
    second = trainer(network(seed=8))
    second.restore(first.state(), 7)
    assert_equal(finished(second), wanted)


@pytest.mark.parametrize("change", [{"seed": 4}, {"sampling": "uniform"}, {"learning_rate": 0.2}])
def test_another_recipe_gives_other_weights(change: dict[str, Any]) -> None:
    found, wanted = finished(trainer(**change)), finished(trainer())
    assert found["head0.classifier_h8.0.weight"].tobytes() != wanted["head0.classifier_h8.0.weight"].tobytes()


def test_a_state_is_a_copy() -> None:
    training = trainer()
    list(training.run(3))
    state = {name: array.copy() for name, array in training.state().items()}
    kept = training.state()
    list(training.run())
    assert_equal(kept, state)
    assert any(name.startswith(MOMENTUM) for name in kept)


def test_a_state_of_another_model_is_refused_by_the_name_of_a_weight() -> None:
    training = trainer()
    with pytest.raises(KeyError, match=r"no 'stem0\.conv_k3\.0\.weight'"):
        training.restore(arrays(network()), 3)
    with pytest.raises(ValueError, match="step 13 lies beyond the training's 12 steps"):
        training.restore(training.state(), 13)


# --- what a step does


def test_a_step_of_a_network_is_that_of_plain_sgd() -> None:
    """Written out for one step without momentum to look back on: weights less rate by gradient."""
    net, wanted = network(), network()
    training = trainer(net, augmentation=PLAIN, weight_decay=0.0, label_smoothing=0.0, largest_gradient=0.5)
    x, labels = training.data.batch(training.order(0))
    loss = nn.functional.cross_entropy(wanted.train()(x), labels)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: parameter.grad for name, parameter in wanted.named_parameters()}
    norm = math.sqrt(
        sum(float((gradient**2).sum()) for gradient in gradients.values() if gradient is not None)
    )
    assert norm > 0.5
    list(training.run(1))
    rate = training.recipe.rate_at(0, training.steps)
    for (name, found), before in zip(net.named_parameters(), wanted.parameters(), strict=True):
        gradient = gradients[name]
        assert gradient is not None
        # Nesterov's first step: gradient and momentum, which is the gradient
        step = rate * 1.9 * gradient * 0.5 / norm
        torch.testing.assert_close(found, before - step, rtol=1e-4, atol=1e-6)
    training.check()
    assert training.loss == pytest.approx(loss.item(), rel=1e-5)


def gradients(training: Trainer) -> dict[str, NDArray[Any]]:
    list(training.run(training.step + 1))
    parameters = training.model.named_parameters()
    return {name: part.grad.numpy().copy() for name, part in parameters if part.grad is not None}


@pytest.mark.parametrize("accumulate", [2, 3, 8])
@pytest.mark.parametrize("frozen", [False, True])
def test_parts_learn_what_the_whole_batch_does_where_no_batch_statistics_enter(
    accumulate: int, frozen: bool
) -> None:
    def training(**changes: Any) -> Trainer:
        if frozen:
            model: Network | Supernet = Supernet(TOY, DrawnWeights())
            return trainer(model, **changes, epochs=1, shared_epochs=1, distillation=0.3)
        model, images = Network(BARE.architecture([1]), DrawnWeights()), toy_images(shape=BARE.shape_in)
        return trainer(model, images, **changes, epochs=1)

    whole, parts = training(largest_gradient=1e9), training(largest_gradient=1e9, accumulate=accumulate)
    wanted, found = gradients(whole), gradients(parts)
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert relative_error(found[name], wanted[name]) < 1e-5, name
    for training_ in (whole, parts):
        training_.check()
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)


def test_each_part_is_normalised_by_itself() -> None:
    """By hand: every second image, each half through the network alone."""
    changes: dict[str, Any] = {"augmentation": PLAIN, "largest_gradient": 1e9, "label_smoothing": 0.0}
    model, wanted = (Network(TOY.architecture((1, 2, 1)), DrawnWeights()) for _ in range(2))
    training = trainer(model, accumulate=2, **changes)
    wanted.train()
    x, labels = training.data.batch(training.order(0))
    losses = [nn.functional.cross_entropy(wanted(x[part::2]), labels[part::2]) / 2 for part in (0, 1)]
    sum(losses, torch.zeros(())).backward()  # type: ignore[no-untyped-call]
    found = gradients(training)
    for name, parameter in wanted.named_parameters():
        assert parameter.grad is not None
        assert relative_error(found[name], parameter.grad.numpy()) < 1e-4, name
    training.check()
    assert training.loss == pytest.approx(sum(float(loss.detach()) for loss in losses), rel=1e-5)


def test_each_part_may_take_a_path_of_its_own() -> None:
    training = trainer(Supernet(TOY, DrawnWeights()), accumulate=2, paths_per_part=True)
    before = arrays(training.model)
    list(training.run(1))
    assert training.path_of is not None
    chains = [TOY.architecture(training.path_of(number)).chain for number in (0, 1)]
    prefixes = tuple(f"{layer.name}.{layer.blocks[op]}." for chain in chains for layer, op in chain)
    assert len(set(prefixes)) > len(chains[0])
    for name, array in arrays(training.model).items():
        if name.endswith("weight") or not name.startswith(prefixes):
            assert np.array_equal(array, before[name]) == (not name.startswith(prefixes)), name


def test_with_as_many_fair_paths_as_candidates_a_step_trains_each_once() -> None:
    """Strict fairness, as in FairNAS: four candidates in the first two layers."""
    training = trainer(accumulate=4, paths_per_part=True)
    for step in range(3):
        paths = np.array(training._paths(step))
        assert [sorted(ops) for ops in paths[:, :2].T.tolist()] == [[0, 1, 2, 3]] * 2


def test_parts_without_images_are_refused() -> None:
    with pytest.raises(TrainingError, match="5 images are too few for 4 parts: take fewer or give a larger"):
        trainer(images=toy_images(5), accumulate=4)


def test_weight_decay_is_of_kernels_and_matrices_only() -> None:
    decayed = {}
    for decay in (0.0, 0.5):
        training = trainer(network(), weight_decay=decay)
        list(training.run(1))
        decayed[decay] = arrays(training.model)
    for name, array in decayed[0.0].items():
        assert np.array_equal(array, decayed[0.5][name]) == (not name.endswith("weight")), name


def test_distillation_trains_the_largest_path_along() -> None:
    training = trainer(Supernet(TOY, DrawnWeights()), distillation=0.5)
    before = arrays(training.model)
    list(training.run(1))
    assert training.path_of is not None
    chains = [TOY.architecture(ops).chain for ops in (training.path_of(0), largest_path(TOY))]
    prefixes = tuple(f"{layer.name}.{layer.blocks[op]}." for chain in chains for layer, op in chain)
    assert len(set(prefixes)) > len(chains[0])
    for name, array in arrays(training.model).items():
        if name.endswith("weight") or not name.startswith(prefixes):
            assert np.array_equal(array, before[name]) == (not name.startswith(prefixes)), name


def test_shared_statistics_are_set_once_and_stay() -> None:
    training = trainer(shared_epochs=2)
    list(training.run(4))
    before = statistics(training.model)
    list(training.run(5))
    shared = statistics(training.model)
    assert all(part.frozen for part in convolutions(training.model))
    list(training.run())
    after = statistics(training.model)
    moved = [name for name in before if not np.array_equal(before[name], shared[name])]
    assert len(moved) == len(before)
    assert_equal(after, shared)


def statistics(model: nn.Module) -> State:
    return {name: array for name, array in arrays(model).items() if name.endswith((".mean", ".variance"))}


@given(st.integers(1, 500), st.floats(0, 1), st.floats(1e-4, 10))
def test_the_rate_rises_to_its_highest_and_falls_to_almost_nothing(
    steps: int, warmup: float, highest: float
) -> None:
    how = TrainingRecipe(warmup=warmup, learning_rate=highest)
    rates = [how.rate_at(step, steps) for step in range(steps)]
    top = int(np.argmax(rates))
    assert min(rates) > 0
    assert max(rates) == pytest.approx(highest)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert top <= max(1, round(warmup * steps))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch": 1},
        {"shared_epochs": 4},
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"distillation": 1.5},
        {"accumulate": 0},
        {"accumulate": 9},
        {"paths_per_part": True},
    ],
)
def test_numbers_that_no_training_can_have_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|above 0|from 0 to 1|several parts"):
        recipe(**change)


def test_progress_tells_steps_and_now_and_then_the_loss() -> None:
    training = trainer(epochs=6)
    told = list(training.run())
    assert [progress.step for progress in told] == list(range(1, 25))
    assert {progress.steps for progress in told} == {24}
    assert [progress.loss is None for progress in told] == [True] * 19 + [False] * 5
    assert all(math.isfinite(progress.loss) for progress in told if progress.loss is not None)
    assert [step for step, _ in training.losses] == list(range(1, 25))
    assert (told[19].loss, told[-1].loss) == (training.losses[19][1], training.losses[-1][1])


def test_a_batch_larger_than_the_data_is_all_of_the_data() -> None:
    training = trainer(images=toy_images(10), batch=64)
    assert (training.order.batch, training.steps) == (10, 3)
    list(training.run())


# --- what ends a training


@pytest.mark.parametrize("model", [supernet, network])
def test_a_loss_that_is_not_finite_ends_a_training_with_what_to_do(model: Any) -> None:
    training = trainer(model(), learning_rate=1e30, epochs=10)
    with pytest.raises(
        TrainingError, match=r"not finite at step 20 of 40: give a lower --learning-rate \(it was 1e\+30\)"
    ):
        list(training.run())


# --- it learns


def accuracies(training: Trainer, held_out: LabelledImages) -> list[float]:
    """Of every path, in per cent."""
    assert isinstance(training.model, Supernet)
    evaluator = SupernetEvaluator(
        training.model,
        training.data,
        on_cpu(held_out),
        shared_statistics=training.recipe.shared_epochs > 0,
    )
    return [evaluator.accuracy(architecture) for architecture in TOY.enumerate()]


@pytest.mark.parametrize("way", ["fair", "shared statistics", "distillation"])
def test_every_path_of_a_supernet_learns(way: str) -> None:
    changes = WAYS[way] | {"epochs": 16, "augmentation": PLAIN}
    if changes.get("shared_epochs"):
        changes["shared_epochs"] = 4
    training = trainer(images=toy_images(128), **changes)
    losses = [progress.loss for progress in training.run()]
    assert losses[-1] is not None
    # 200 images of four classes: a guess has 50 right, spread 6; 120 right by chance below 1e-25
    found = accuracies(training, toy_images(200, seed=1))
    assert min(found) > 60


def test_a_network_learns_and_its_loss_falls() -> None:
    net = network()
    training = trainer(net, toy_images(128), epochs=12, augmentation=Augmentation(), label_smoothing=0.0)
    told = list(training.run())
    assert told[19].loss is not None
    assert told[-1].loss is not None
    # a guess: log 4 = 1.39
    assert told[-1].loss < 0.7
    # by chance below 1e-25, as above
    assert accuracy_percent(net.eval(), on_cpu(toy_images(200, seed=1))) > 80


def test_a_network_without_batch_normalisation_learns() -> None:
    images = toy_images(64, shape=BARE.shape_in)
    training = Trainer(Network(BARE.architecture([1])), on_cpu(images), recipe(augmentation=PLAIN))
    list(training.run())
    assert training.loss is not None
    assert math.isfinite(training.loss)


def test_a_recipe_tells_what_came_later_only_where_it_is_used() -> None:
    told = recipe().notes()
    assert told["batch"] == 16
    assert told["augmentation"]["cutout"] == 2
    assert {"accumulate", "paths_per_part"}.isdisjoint(told)
    assert recipe(accumulate=2, paths_per_part=True).notes() == told | {
        "accumulate": 2,
        "paths_per_part": True,
    }


def test_a_recipe_is_a_value() -> None:
    assert recipe() == recipe()
    assert dataclasses.replace(recipe(), seed=9) != recipe()
    assert hash(recipe()) == hash(recipe())
