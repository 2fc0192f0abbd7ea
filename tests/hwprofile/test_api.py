"""The Python API: the stable names, and what they do on a real processor."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from devices.settings import Settings
from hwprofile import api as hw
from hwprofile import places
from hwprofile.display import SilentProgress
from hwprofile.onnx_prediction import FilePrediction
from hwprofile.tables.csv_tables import csv_layers

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
QUICK: dict[str, Any] = {"rounds": 2, "precision": 0.5}
SIGNATURES = {
    "bench": "(device, space, *, precision, rounds, calibrate, inline, energy, fresh, out, quiet)",
    "bench_blocks": "(blocks, device, inputs, *, precision, rounds, energy, fresh, out, quiet)",
    "bench_kernels": "(device, count, *, precision, rounds, fresh, out, quiet)",
    "device": "(name, *, runtime, provider, threads, batch, dtype, cache, calibration_inputs, "
    "graph_timeout_s)",
    "latency_model": "(on, space, *, quiet)",
    "load_profile": "(path)",
    "pareto": "(on, space, scores, *, search, quiet)",
    "predict_onnx": "(files, on)",
    "space": "(name)",
    "specialize": "(on, space, budgets, scores, *, measure, out, search, data, fine_tune, seed, quiet)",
    "validate": "(device, space, profile, *, networks, processes, seed, quiet)",
}
ATTRIBUTES = {
    "Architecture": {"space", "ops", "blocks", "keys"},
    "Device": {"name", "settings"},
    "Front": {"space", "architectures", "latencies", "values"},
    "Latency": {"median_ms", "low_ms", "high_ms"},
    "LatencyModel": {"space", "predict", "predict_many", "table", "expected_cost"},
    "LayerTable": {"layers", "ops", "latency_ms", "var_ms2", "count", "fixed_ms"},
    "Profile": {"path", "header", "names", "summary", "verdict", "finished", "why_disturbed"},
    "Result": {"found", "network", "holds_budget", "to_json", "for_people"},
    "SearchSpace": {"name", "layers", "size", "op_counts", "parse", "architecture", "sample", "enumerate"},
    "Validation": {"to_json", "for_people"},
}
ERRORS = {"UserError", "BudgetInfeasible", "DeviceUnreachable"}


def without_defaults(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    plain = [
        each.replace(default=inspect.Parameter.empty, annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
    ]
    return str(inspect.Signature(plain))


def test_the_stable_names_are_the_documented_ones() -> None:
    page = PAGE.read_text("utf-8")
    assert set(SIGNATURES) | set(ATTRIBUTES) | ERRORS == set(hw.__all__)
    for name, signature in SIGNATURES.items():
        assert without_defaults(getattr(hw, name)) == signature
        assert f"`hw.{name}(" in page
    for name, attributes in ATTRIBUTES.items():
        found = getattr(hw, name)
        assert attributes <= {*dir(found), *inspect.get_annotations(found)} | (
            {"path", "header", "finished"} if name == "Profile" else set()
        )
        for attribute in attributes:
            assert f"`{attribute}`" in page or f"`{attribute}(" in page, (name, attribute)
    assert all(issubclass(getattr(hw, name), hw.UserError) for name in ERRORS)


def test_every_signature_on_the_page_is_that_of_the_code() -> None:
    page = PAGE.read_text("utf-8")
    for name in SIGNATURES:
        signature = inspect.signature(getattr(hw, name))
        plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
        assert f"`hw.{name}{inspect.Signature(plain)}`" in page


def test_importing_the_api_needs_neither_a_runtime_nor_torch() -> None:
    code = (
        "import sys\n"
        "from hwprofile import api\n"
        "assert not {'sklearn', 'torch', 'onnxruntime'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# --- a space, from a profile of the made-up machine


@pytest.fixture
def model(macro_profile: Path) -> hw.LatencyModel:
    return hw.latency_model(hw.load_profile(macro_profile))


def test_a_model_predicts_one_network_however_it_is_named_and_many_alike(model: hw.LatencyModel) -> None:
    ops = [2, 2, 2, 1, 2, 2, 0, 2]
    one = model.predict(ops)
    assert one == model.predict("2,2,2,1,2,2,0,2") == model.predict(model.space.architecture(ops))
    assert one.low_ms < one.median_ms < one.high_ms
    medians_ms, intervals_ms = model.predict_many([ops, [0] * 8])
    assert (medians_ms.shape, intervals_ms.shape) == ((2,), (2, 2))
    assert medians_ms[0] == one.median_ms
    assert intervals_ms[0].tolist() == [one.low_ms, one.high_ms]


def test_the_table_and_the_torch_module_add_up_to_the_model(model: hw.LatencyModel) -> None:
    ops = np.array([[2, 2, 2, 1, 2, 2, 0, 2], [0, 1, 2, 0, 1, 2, 0, 1]])
    table = model.table()
    assert table.latency_ms.shape == (8, len(table.ops))
    assert table.layers == tuple(layer.name for layer in model.space.layers)
    columns = [[table.ops.index(str(layer.blocks[op])) for op in range(3)] for layer in model.space.layers]
    at = np.array(columns)[np.arange(8), ops]
    sums_ms = table.fixed_ms + table.latency_ms[np.arange(8), at].sum(axis=1)
    np.testing.assert_allclose(sums_ms, model.predict_many(ops)[0], rtol=1e-9)
    expected = model.expected_cost()
    certain = [nn.functional.one_hot(torch.tensor(op), 3).double() for op in ops[0]]
    assert float(expected(certain)) == pytest.approx(sums_ms[0], rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.predict("9,9"), "names 2 blocks, but nasbench-macro has 8 layers"),
        (lambda model: model.predict([0, 0, 0, 0, 0, 0, 0, 9]), "layer7 has ops 0 to 2, not 9"),
        (lambda model: model.predict(["a"] * 8), "cannot be interpreted as an integer"),
        (lambda model: model.predict_many([0, 1]), r"shape \(networks, 8\), not int64 of shape \(2,\)"),
        (lambda model: model.predict_many([[0.5] * 8]), "not float64"),
        (lambda model: model.predict_many([[0] * 8, [-1] * 8]), "network 1: layer0 has ops 0 to 2"),
        (lambda _: hw.latency_model("cpu"), "say of which space"),
        (lambda _: hw.device("no"), "no device 'no'; known devices: cpu"),
        (lambda _: hw.device(dtype="int3"), "int3"),  # type: ignore[arg-type]  # as who does not check types
        (lambda _: hw.space("no"), "no space 'no'; shipped: cifar-tiny"),
        (lambda _: hw.load_profile("no"), "no"),
        (lambda _: hw.specialize("cpu", "digits", []), "give at least one budget, such as 15ms"),
        (lambda _: hw.validate("cpu", "digits", networks=1), "two networks and two processes"),
        (lambda _: hw.bench_kernels("cpu", 3), "at least 13 kernels"),
    ],
)
def test_an_error_says_what_to_do(
    model: hw.LatencyModel, home: Path, call: Callable[[hw.LatencyModel], object], words: str
) -> None:
    with pytest.raises(hw.UserError, match=words):
        call(model)


def test_a_network_is_chosen_on_a_profile_without_its_device(
    macro_profile: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    profile = hw.load_profile(macro_profile)
    result = hw.specialize(profile, "nasbench-macro", "60%", out="best")
    front = hw.pareto(profile, hw.space("nasbench-macro"))
    chosen = result.found.chosen
    assert result.holds_budget is None  # nothing was measured
    assert chosen.architecture in front.architectures
    at = list(front.architectures).index(chosen.architecture)
    assert front.latencies[at].median_ms == pytest.approx(chosen.predicted.median_ms)
    onnx.checker.check_model(onnx.load("best/network.onnx"))
    with pytest.raises(hw.BudgetInfeasible, match="the smallest reachable is"):
        hw.specialize(profile, "nasbench-macro", ["1us"])
    assert capfd.readouterr() == ("", "")


def test_a_published_table_is_a_model(model: hw.LatencyModel, home: Path, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(csv_layers(model.table()))
    found = hw.latency_model(f"table:{tmp_path / 'table.csv'}", "nasbench-macro")
    ops = [2, 2, 2, 1, 2, 2, 0, 2]
    assert found.predict(ops).median_ms == pytest.approx(model.predict(ops).median_ms)
    np.testing.assert_allclose(found.table().latency_ms, model.table().latency_ms)


# --- measured here


@pytest.mark.slow
def test_the_code_of_the_page_runs(home: Path, tiny_profile: Path) -> None:
    place = places.profile_path("cpu", "cifar-tiny", Settings())
    place.parent.mkdir(parents=True)
    place.write_bytes(tiny_profile.read_bytes())
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 3
    for code in blocks:
        subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_space_is_benched_and_a_network_measured(home: Path, tiny_toml: Path) -> None:
    device = hw.device("cpu")
    profile = hw.bench(device, tiny_toml, calibrate=2, **QUICK)
    assert (profile.finished, profile.header.space) == (True, str(tiny_toml))
    assert hw.bench(device, tiny_toml, calibrate=2, **QUICK).path == profile.path
    assert hw.latency_model(device, tiny_toml).predict("0,0,0") == hw.latency_model(profile).predict("0,0,0")
    # a space made in Python is known by its name
    space = hw.space(tiny_toml)
    assert hw.bench(device, space, calibrate=2, **QUICK).path == profile.path


@pytest.mark.slow
def test_what_is_chosen_is_measured_on_a_device_and_the_model_validated(home: Path, tiny_toml: Path) -> None:
    device = hw.device("cpu")
    profile = hw.bench(device, tiny_toml, calibrate=2, **QUICK)
    result = hw.specialize(device, tiny_toml, ["95%", "300MMACs"], scores="macs")
    assert result.holds_budget is not None
    found = hw.validate(device, tiny_toml, profile, networks=2, processes=2)
    assert found.profile.path == profile.path


@pytest.mark.slow
def test_an_onnx_file_is_predicted_from_kernels(home: Path) -> None:
    kernels = hw.bench_kernels("cpu", 14, **QUICK)
    Path("net.onnx").write_bytes(sum_of_two())
    [found] = hw.predict_onnx("net.onnx", kernels)
    assert isinstance(found, FilePrediction)
    assert hw.predict_onnx(["net.onnx"], "cpu") == [found]


# --- blocks of one's own


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, image: Tensor, other: Tensor) -> Tensor:
        found: Tensor = self.norm(self.conv(image)) * other
        return found


def sum_of_two() -> bytes:
    """x + x, as a user's ONNX file."""
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Add", ["x", "x"], ["y"])
    shape = [1, 8, 16, 16]
    graph = onnx.helper.make_graph([node], "sum", [value("x", 1, shape)], [value("y", 1, shape)])
    opsets = [onnx.helper.make_opsetid("", 13)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def made() -> dict[str, Any]:
    """The same blocks with new weights."""
    Path("sum.onnx").write_bytes(sum_of_two())
    return {
        "sum": "sum.onnx",
        "conv": nn.Conv2d(4, 8, 3, padding=1),
        "two": TwoInputs(),
        "bytes": sum_of_two(),
    }


INPUTS: dict[str, Any] = {
    "conv": (1, 4, 16, 16),
    "two": [torch.rand(1, 4, 16, 16), (1, 8, 1, 1)],
}


def test_own_blocks_become_rows_of_a_profile_and_are_measured_once(home: Path) -> None:
    blocks = made()
    profile = hw.bench_blocks(blocks, "cpu", INPUTS, **QUICK)
    assert set(profile.of_kind("model")) == set(blocks)
    assert all(profile.summary(name).median_ms > 0 for name in blocks)
    assert profile.header.space is None
    assert all(part.training for part in blocks["two"].modules())  # as they were
    before = profile.path.read_bytes()
    assert hw.bench_blocks(made(), "cpu", INPUTS, **QUICK).path.read_bytes() == before
    wider = {**made(), "conv": nn.Conv2d(4, 9, 3, padding=1)}
    with pytest.raises(hw.UserError, match="holds blocks-"):
        hw.bench_blocks(wider, "cpu", INPUTS, out=profile.path, **QUICK)


def test_an_interrupted_call_goes_on_when_it_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: SilentProgress, done: int, total: int, text: str) -> None:
        if done >= 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SilentProgress, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hw.bench_blocks(made(), "cpu", INPUTS, **QUICK)
    [path] = (home / "profiles").iterdir()
    begun = path.read_bytes()
    profile = hw.bench_blocks(made(), "cpu", INPUTS, **QUICK)
    assert profile.path == path
    assert profile.finished
    assert path.read_bytes().startswith(begun)


@pytest.mark.parametrize(
    ("blocks", "inputs", "words"),
    [
        ({}, None, "there are no blocks"),
        (
            {"a": nn.Linear(3, 3)},
            None,
            r"give the shape .*inputs=\{'a': \(1, 16, 32, 32\)\}",
        ),
        ({"a": nn.Linear(3, 3)}, {"b": (1, 3)}, "block a is a torch module: give the shape"),
        ({"a": nn.Linear(3, 3)}, (1, 4), "block a: Linear cannot be exported to ONNX: .*Error: "),
        ({"a": nn.Linear(3, 3)}, (0, 3), "a shape is whole numbers from 1 on, not"),
        ({"a": nn.Linear(3, 3)}, "x", "a shape is whole numbers"),
        ({"a": "missing.onnx"}, None, "block a: cannot read missing.onnx: No such file"),
        ({"a": 3}, None, "block a is of type int: give a torch module, or ONNX"),
    ],
)
def test_a_block_that_cannot_be_measured_is_named(home: Path, blocks: Any, inputs: Any, words: str) -> None:
    with pytest.raises(hw.UserError, match=words):
        hw.bench_blocks(blocks, "cpu", inputs)
