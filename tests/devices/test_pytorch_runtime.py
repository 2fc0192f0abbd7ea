"""PyTorch beside ONNX Runtime: the same numbers for every operator, every block and a network."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from devices import catalog
from devices.agent import pytorch_providers, pytorch_runtime
from devices.connection import RequestFailed
from devices.device import Device
from devices.runtimes.pytorch import PyTorch
from devices.runtimes.runtime import Unsupported
from devices.runtimes.torch_calls.operators import OPERATORS
from devices.settings import Settings
from ponas_core.onnx_graph import block_model, network_model
from ponas_core.space_file import shipped_space, shipped_spaces
from tests.devices.onnx_cases import CASES, IMAGE, drawn, graph, one, whole

Array = NDArray[Any]
UNCOMPILED = ["eager", "channels_last"]
COMPILED = ["compile", "compile+channels_last"]
SPACES = {name: shipped_space(name) for name in shipped_spaces()}


def prepare(data: bytes) -> bytes:
    return PyTorch().prepare(data, "fp32", {})


def reference(data: bytes, inputs: Sequence[Array]) -> list[Array]:
    """What ONNX Runtime computes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    found: list[Array] = session.run(None, dict(zip(names, inputs, strict=True)))
    return found


def assert_same_numbers(data: bytes, provider: str) -> None:
    slots, run = pytorch_runtime.build(prepare(data), provider)
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal(tuple(slot.shape)).astype(np.float32) for slot in slots]
    for slot, array in zip(slots, inputs, strict=True):
        slot.copy_(torch.from_numpy(array))
    for found, expected in zip(run(), reference(data, inputs), strict=True):
        assert tuple(found.shape) == expected.shape
        assert np.abs(found.numpy() - expected).max() < 1e-4 * max(float(np.abs(expected).max()), 1e-6)


# --- the same numbers as ONNX Runtime


def test_every_operator_is_compared() -> None:
    assert {name.partition(",")[0] for name in CASES} == set(OPERATORS)


@pytest.mark.parametrize("provider", UNCOMPILED)
@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_the_same_numbers(case: str, provider: str) -> None:
    assert_same_numbers(CASES[case], provider)


def kinds_of_blocks() -> list[tuple[str, int, int]]:
    """Space, layer and place of one block for each string, stride and residual."""
    found = {}
    for name, space in SPACES.items():
        for number, layer in enumerate(space.layers):
            for op, block in enumerate(layer.blocks):
                recipe = layer.recipe(op)
                if recipe.operators:
                    found[name, str(block), layer.place.stride, recipe.residual] = (name, number, op)
    return list(found.values())


@pytest.mark.parametrize("provider", UNCOMPILED)
@pytest.mark.parametrize(("space", "layer", "op"), kinds_of_blocks())
def test_a_block_gives_the_same_numbers(space: str, layer: int, op: int, provider: str) -> None:
    model = block_model(SPACES[space].layers[layer], op)
    assert_same_numbers(model.SerializeToString(), provider)


@pytest.mark.parametrize("provider", UNCOMPILED)
@pytest.mark.parametrize("name", SPACES)
def test_a_network_gives_the_same_numbers(name: str, provider: str) -> None:
    model = network_model(SPACES[name].sample(np.random.default_rng(3)), batch=2)
    assert_same_numbers(model.SerializeToString(), provider)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of its own modules
@pytest.mark.parametrize("provider", COMPILED)
def test_a_compiled_block_gives_the_same_numbers(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.fspath(tmp_path))
    model = block_model(SPACES["proxyless"].layers[2], 0)
    assert_same_numbers(model.SerializeToString(), provider)


@st.composite
def convolutions(draw: st.DrawFn) -> bytes:
    """Any convolution of two dimensions that has an output."""
    number = st.integers
    group, wide, high = draw(number(1, 3)), draw(number(1, 3)), draw(number(1, 3))
    strides, dilations = (draw(st.lists(number(1, 3), min_size=2, max_size=2)) for _ in range(2))
    channels_in = draw(number(1, 2))
    padding = draw(
        st.sampled_from(["SAME_UPPER", "SAME_LOWER", "VALID"])
        | st.lists(number(0, 3), min_size=4, max_size=4)
    )
    return one(
        "Conv",
        (draw(number(1, 2)), group * channels_in, draw(number(7, 12)), draw(number(7, 12))),
        drawn(group * draw(number(1, 3)), channels_in, high, wide),
        group=group,
        strides=strides,
        # ONNX Runtime knows no dilations beside SAME
        dilations=[1, 1] if isinstance(padding, str) else dilations,
        **({"auto_pad": padding} if isinstance(padding, str) else {"pads": padding}),
    )


@settings(max_examples=40)
@given(data=convolutions(), provider=st.sampled_from(UNCOMPILED))
def test_any_convolution_gives_the_same_numbers(data: bytes, provider: str) -> None:
    assert_same_numbers(data, provider)


# --- what is written, and what is built from it


@pytest.mark.parametrize(
    ("space", "op", "functions"),
    [
        ("proxyless", 0, "conv2d relu6 conv2d relu6 conv2d add"),
        ("fbnet", 1, "conv2d relu reshape permute reshape conv2d relu conv2d add"),
        (
            "ofa-mbv3",
            0,
            "conv2d hardswish conv2d hardswish "
            "adaptive_avg_pool2d conv2d relu conv2d hardsigmoid mul conv2d add",
        ),
    ],
)
def test_blocks_are_the_calls_that_a_person_would_write(space: str, op: int, functions: str) -> None:
    layer = next(layer for layer in reversed(SPACES[space].layers) if layer.place.keeps_shape)
    with np.load(io.BytesIO(prepare(block_model(layer, op).SerializeToString()))) as archive:
        steps = json.loads(archive["graph"].tobytes())["steps"]
    assert [step["function"] for step in steps] == functions.split()


def test_what_is_prepared_does_not_depend_on_the_moment() -> None:
    assert prepare(CASES["Conv"]) == prepare(CASES["Conv"])


def test_a_constant_that_is_used_twice_is_sent_once() -> None:
    nodes = [helper.make_node("Add", ["x", "c"], ["a"]), helper.make_node("Mul", ["a", "c"], ["y"])]
    with np.load(io.BytesIO(prepare(graph(nodes, {"x": (2, 3), "c": drawn(2, 3)}, ["y"])))) as archive:
        assert set(archive.files) == {"graph", "c0"}


def test_channels_last_is_the_layout_of_inputs_kernels_and_results() -> None:
    inputs, run = pytorch_runtime.build(prepare(CASES["Conv"]), "channels_last")
    for tensor in (*inputs, *run()):
        assert tensor.is_contiguous(memory_format=torch.channels_last)
        assert not tensor.is_contiguous()


def test_one_inference_records_no_gradients() -> None:
    _, run = pytorch_runtime.build(prepare(CASES["Conv"]), "eager")
    assert all(output.is_inference() for output in run())
    assert not torch.is_inference_mode_enabled()


# --- what cannot be taken is named


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (one("Erf", IMAGE), "Erf 'alone': operator Erf is not known; known: Add, "),
        (one("Gelu", IMAGE, domain="com.microsoft"), "operator com.microsoft.Gelu is not known"),
        (one("Pad", IMAGE, whole(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect"), "Pad 'alone': mode reflect"),
        (one("Relu", (1, 0)), "input 'input0' has the dynamic shape"),
        (one("AveragePool", IMAGE, kernel_shape=[3, 3], pads=[0, 1, 1, 1]), "AveragePool 'alone': padding"),
        (
            one("AveragePool", IMAGE, kernel_shape=[2, 2], dilations=[2, 2], opset=19),
            "AveragePool 'alone': dilations other than 1",
        ),
        (one("Clip", IMAGE, ()), "Clip 'alone': input 1 is computed; it must be a constant"),
        (one("Clip", IMAGE, drawn(2)), "Clip 'alone'"),
        (one("Concat", (2, 3), (4, 5), axis=1), "not a usable ONNX file"),
        (b"", "not a usable ONNX file"),
        (b"\x08\x08" * 100, "not a usable ONNX file"),
    ],
)
def test_a_graph_that_cannot_be_taken_says_why(data: bytes, message: str) -> None:
    with pytest.raises(Unsupported) as caught:
        prepare(data)
    assert message in str(caught.value)


def test_an_input_that_is_no_fp32_is_refused() -> None:
    model = onnx.load_model_from_string(one("Relu", IMAGE))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(Unsupported, match="input 'input0' has type FLOAT16; float32 is possible"):
        prepare(model.SerializeToString())


def test_a_second_output_that_is_used_is_refused() -> None:
    model = onnx.load_model_from_string(one("MaxPool", IMAGE, kernel_shape=[2, 2], outputs=2))
    model.graph.output[1].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(Unsupported, match="MaxPool 'alone': its output 'output1' is used"):
        prepare(model.SerializeToString())


def test_an_attribute_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATORS, "Softmax", lambda node: node.call("softmax", node.reference(0), dim=0))
    with pytest.raises(Unsupported, match="Softmax 'alone': attribute axis is not known"):
        prepare(one("Softmax", IMAGE, axis=1))


def test_int8_is_refused() -> None:
    with pytest.raises(Unsupported, match="precision int8; possible: fp32"):
        PyTorch().prepare(CASES["Relu"], "int8", {})


# --- artefacts that are none


@given(data=st.data())
def test_an_artefact_that_is_cut_off_is_a_value_error(data: st.DataObject) -> None:
    whole_artefact = prepare(CASES["Add, broadcast"])
    length = data.draw(st.integers(0, len(whole_artefact) - 1))
    with pytest.raises(ValueError, match="the artefact is not a graph for PyTorch"):
        pytorch_runtime.build(whole_artefact[:length], "eager")


def packed(description: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, graph=np.frombuffer(json.dumps(description).encode(), np.uint8))
    return buffer.getvalue()


GOOD = {"value": "v0", "name": "x", "shape": [2, 3]}
STEP = {"function": "relu", "inputs": ["v0"], "settings": {}, "output": "v1"}


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ([], "not a graph for PyTorch: its description is no object"),
        ({}, "malformed: KeyError"),
        ({"inputs": [GOOD], "steps": [{"function": "relu"}], "outputs": [GOOD]}, "malformed: KeyError"),
        ({"inputs": [GOOD], "steps": [{**STEP, "inputs": ["v7"]}], "outputs": [GOOD]}, "malformed: KeyError"),
        ({"inputs": [GOOD], "steps": [{**STEP, "function": "save"}], "outputs": [GOOD]}, "calls 'save'"),
        ({"inputs": 3, "steps": [], "outputs": []}, "malformed: TypeError"),
        (
            {"inputs": [GOOD], "steps": [STEP], "outputs": [{**GOOD, "value": "v1", "shape": [3, 2]}]},
            r"shapes \[\[2, 3\]\], but \[\[3, 2\]\] was expected",
        ),
    ],
)
def test_a_malformed_description_is_a_value_error(description: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytorch_runtime.build(packed(description), "eager")


def test_an_absent_provider_is_answered_with_the_present_ones() -> None:
    with pytest.raises(ValueError, match="provider Imagined is absent here; present: eager, compile, "):
        pytorch_runtime.build(prepare(CASES["Relu"]), "Imagined")


# --- through the agent


def pytorch_on_cpu(provider: str) -> Device:
    return catalog.device("cpu", Settings(runtime="pytorch", provider=provider))


def test_both_halves_know_the_same_providers_and_functions() -> None:
    assert PyTorch.providers == tuple(pytorch_providers.WAYS)
    assert all(map(callable, pytorch_runtime._functions().values()))


def test_an_unknown_operator_is_told_through_the_device() -> None:
    with pytorch_on_cpu("eager").process() as process:
        with pytest.raises(RequestFailed, match="pytorch: Erf 'alone': operator Erf is not known"):
            process.load("graph", one("Erf", IMAGE))
        process.load("graph", CASES["Relu"])
        assert process.time("graph", 1).wall_ns


def test_a_missing_compiler_is_found_in_the_error_that_wraps_it() -> None:
    class InvalidCxxCompiler(RuntimeError):
        pass

    def run() -> None:
        try:
            raise InvalidCxxCompiler
        except InvalidCxxCompiler as error:
            raise TypeError("the backend failed") from error

    with pytest.raises(RuntimeError, match="install g\\+\\+, or set CXX to one"):
        pytorch_runtime._first(run)


@pytest.mark.slow
def test_a_missing_compiler_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", os.fspath(tmp_path / "absent"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.fspath(tmp_path))
    told = r"torch.compile needs a C\+\+ compiler, and there is none"
    with pytorch_on_cpu("compile").process() as process, pytest.raises(RequestFailed, match=told):
        process.load("graph", CASES["Relu"])


@pytest.mark.slow
def test_more_compiled_graphs_than_one_function_may_have_are_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", os.fspath(tmp_path))
    with pytorch_on_cpu("compile+channels_last").process() as process:
        for size in range(5, 15):  # PyTorch compiles one function for eight kinds of inputs at most
            process.load(f"graph{size}", one("Relu", (1, 2, size, size)))
        for size in range(5, 15):
            assert process.time(f"graph{size}", 1).wall_ns
