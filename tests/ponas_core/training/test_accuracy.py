"""Accuracies of networks, and of paths of a supernet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ponas_core.training.accuracy import RECALIBRATION_BATCH, SupernetEvaluator, accuracy_percent
from ponas_core.training.batch_norm import recalibrate_bn
from ponas_core.training.modules import arrays
from ponas_core.training.networks import Supernet
from tests.ponas_core.training.toys import TOY, DrawnWeights, on_cpu, toy_images

ARCHITECTURE = TOY.architecture((1, 2, 1))
HELD_OUT = on_cpu(toy_images(37, seed=1))


@pytest.mark.parametrize("count", [1, 249, 250, 601])
def test_accuracy_is_the_share_of_right_answers_over_all_batches(count: int) -> None:
    data = on_cpu(toy_images(count))

    def always_the_first_class(x: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.zeros(len(x), dtype=torch.int64), 4).float()

    right = int((data.data.labels == 0).sum())
    assert accuracy_percent(always_the_first_class, data) == 100 * right / count


def test_shared_statistics_are_used_as_they_are() -> None:
    whole = Supernet(TOY, DrawnWeights())
    evaluator = SupernetEvaluator(whole, on_cpu(toy_images()), HELD_OUT, shared_statistics=True)
    found, wanted = arrays(evaluator.network(ARCHITECTURE)), arrays(whole.network(ARCHITECTURE))
    assert all(np.array_equal(found[name], wanted[name]) for name in wanted)
    with torch.no_grad():
        right = accuracy_percent(lambda x: whole.eval()(x, ARCHITECTURE.ops), HELD_OUT)
    assert evaluator.accuracy(ARCHITECTURE) == right


@pytest.mark.parametrize("count", [5, RECALIBRATION_BATCH, 2 * RECALIBRATION_BATCH + 1])
def test_other_statistics_are_those_of_training_images_in_full_batches(count: int) -> None:
    whole, training = Supernet(TOY, DrawnWeights()), on_cpu(toy_images(count))
    before = arrays(whole)
    evaluator = SupernetEvaluator(whole, training, HELD_OUT, shared_statistics=False, seed=4)
    order = np.random.default_rng([4, 1]).permutation(count).astype(np.intp)
    full = max(1, count // RECALIBRATION_BATCH)
    batches = [training.batch(part)[0] for part in np.split(order, range(128, count, 128))][:full]
    wanted = recalibrate_bn(whole.network(ARCHITECTURE), batches)
    for _ in range(2):  # a second evaluation finds everything as the first
        found = evaluator.network(ARCHITECTURE)
        assert not found.training
        for name, array in arrays(wanted).items():
            np.testing.assert_allclose(arrays(found)[name], array, rtol=1e-5, atol=1e-6)
        assert evaluator.accuracy(ARCHITECTURE) == accuracy_percent(wanted, HELD_OUT)
    assert all(np.array_equal(before[name], array) for name, array in arrays(whole).items())
