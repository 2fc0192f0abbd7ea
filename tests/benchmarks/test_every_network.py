from __future__ import annotations

import numpy as np

from benchmarks.every_network import right_of_every_network
from ponas_core.training.accuracy import SupernetEvaluator
from ponas_core.training.modules import set_weights
from ponas_core.training.networks import Supernet
from tests.ponas_core.training.toys import TOY, DrawnWeights, on_cpu, toy_images


def test_shared_prefixes_and_folded_normalisation_change_no_accuracy() -> None:
    supernet = Supernet(TOY)
    set_weights(supernet, DrawnWeights())
    supernet.eval()
    images = on_cpu(toy_images(40))
    right = right_of_every_network(supernet, images, "toy")
    evaluator = SupernetEvaluator(supernet, images, images, shared_statistics=True)
    alone = [evaluator.accuracy(architecture) for architecture in TOY.enumerate()]
    assert len(alone) == TOY.size
    assert (100 * right.sum(axis=0) / 40).tolist() == alone
    assert len(np.unique(right)) > 1
