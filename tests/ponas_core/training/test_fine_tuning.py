"""One block learns on; nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest

from ponas_core.training.batch_norm import freeze
from ponas_core.training.fine_tuning import BlockTuner
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Supernet, start_training
from ponas_core.training.recipe import TrainingRecipe
from tests.ponas_core.training.toys import TOY, on_cpu, toy_images

RECIPE = TrainingRecipe(epochs=1, batch=8, learning_rate=0.5)


def tuned(layer: int, op: int, *, frozen: bool = False) -> tuple[dict[str, bool], Supernet]:
    """Which arrays of a supernet fine-tuning one candidate has changed."""
    supernet = Supernet(TOY)
    start_training(supernet, 0)
    freeze(supernet, frozen=frozen)
    before = arrays(supernet)
    BlockTuner(supernet, on_cpu(toy_images(32)), RECIPE, steps=3)((1, 1)[:layer], layer, op)
    after = arrays(supernet)
    return {name: not np.array_equal(before[name], after[name]) for name in before}, supernet


@pytest.mark.parametrize("frozen", [False, True])
def test_only_the_candidate_that_is_tuned_changes(frozen: bool) -> None:
    changed, supernet = tuned(1, 1, frozen=frozen)
    moved = {name for name, has_changed in changed.items() if has_changed}
    assert moved
    assert all(name.startswith("layer1.mb_k3_e2.") for name in moved)
    assert "layer1.mb_k3_e2.0.weight" in moved
    # statistics move with the weights, unless all paths share them
    assert ("layer1.mb_k3_e2.0.mean" in moved) != frozen
    assert all(parameter.requires_grad for parameter in supernet.parameters())
    assert not supernet.training


def test_a_candidate_without_weights_changes_nothing() -> None:
    changed, _ = tuned(0, 0)  # skip
    assert not any(changed.values())


def test_tuning_again_from_the_same_weights_gives_the_same_weights() -> None:
    one, other = (arrays(tuned(2, 1)[1]) for _ in range(2))
    assert all(np.array_equal(one[name], other[name]) for name in one)
