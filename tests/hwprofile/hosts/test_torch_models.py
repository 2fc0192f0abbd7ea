"""Torch modules as ONNX files, and their latencies."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwprofile.errors import UserError
from hwprofile.hosts.archai import module_evaluator
from hwprofile.hosts.torch_models import ModuleLatency
from hwprofile.torch_export import onnx_of
from predictors.kernel_networks import NetworkLatency
from tests.hwprofile.hosts import stand_ins

INPUTS = (torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16),)


def network() -> nn.Sequential:
    head = (nn.ReLU(), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *head)


def test_a_module_becomes_a_file_that_computes_the_same_as_in_evaluation() -> None:
    import onnxruntime

    model = network()
    model[2].eval()
    session = onnxruntime.InferenceSession(onnx_of(model, INPUTS))
    (name,) = [one.name for one in session.get_inputs()]
    (found,) = session.run(None, {name: INPUTS[0].numpy()})
    assert [part.training for part in model] == [True, True, False, True, True, True, True]
    expected = model.eval()(*INPUTS).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Broken(nn.Module):
    """Its code fails."""

    def forward(self, image: Tensor) -> Tensor:
        raise RuntimeError("wants two pictures\nand more")


def test_what_torch_cannot_export_is_named_and_left_as_it_was() -> None:
    model = Broken()
    with pytest.raises(UserError, match="Broken cannot be exported to ONNX: RuntimeError: wants two"):
        onnx_of(model, INPUTS)
    assert model.training


def test_a_missing_torch_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"needs torch: pip install 'hwprofile\[pytorch\]'"):
        onnx_of(model, INPUTS)


class Kernels:
    """A model that counts kernels."""

    def predict(self, read: Any) -> list[NetworkLatency]:
        return [NetworkLatency(len(one.kernels), 0, 99, 1, 0, 0, one.unknown) for one in read]


def test_a_module_is_predicted_from_its_kernels() -> None:
    latency: Any = ModuleLatency(Kernels())  # type: ignore[arg-type]  # it predicts as well
    found = latency.predict(network(), INPUTS)
    assert (found.median_ms, dict(found.unknown)) == (3, {})


def test_archai_is_told_the_seconds_of_a_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stand_ins.install(monkeypatch, "archai.discrete_search.api", ModelEvaluator=stand_ins.Evaluator)
    latency: Any = ModuleLatency(Kernels())  # type: ignore[arg-type]  # it predicts as well
    monkeypatch.setattr(ModuleLatency, "from_profile", {tmp_path: latency}.__getitem__)
    evaluator = module_evaluator(tmp_path, INPUTS)
    assert evaluator.evaluate(SimpleNamespace(arch=network())) == pytest.approx(0.003)
