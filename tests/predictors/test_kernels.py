"""Fused kernels read from small graphs, and learned from made-up latencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from predictors.kernel_models import FEWEST, KindModel, held_out_errors
from predictors.kernel_networks import KernelNetworks, MeasuredNetwork
from predictors.kernels import Decomposition, FusedKernel, UnreadableGraph
from predictors.onnx_kernels import decompose

NODE = helper.make_node
CONV = NODE("Conv", ["x", "w33", "b"], ["c"], kernel_shape=[3, 3], pads=[1] * 4)
DEEP = NODE("Conv", ["x", "wd"], ["c"], kernel_shape=[3, 3], pads=[1] * 4, group=8)
K33 = "conv_k3{}@8x16x16-8"
CONSTANTS: dict[str, Any] = {
    "w33": np.zeros((8, 8, 3, 3), np.float32),
    "w11": np.zeros((8, 8, 1, 1), np.float32),
    "wd": np.zeros((8, 1, 3, 3), np.float32),
    "wg": np.zeros((8, 2, 3, 3), np.float32),
    "wf": np.zeros((2048, 10), np.float32),
    "bf": np.zeros(10, np.float32),
    "b": np.zeros(8, np.float32),
    "per_channel": np.ones((8, 1, 1), np.float32),
    "zero": np.array(0, np.float32),
    "three": np.array(3, np.float32),
    "six": np.array(6, np.float32),
    "sixth": np.array(1 / 6, np.float32),
    "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    "axes": np.array([2, 3]),
    "parts": np.array([1, 2, 4, 16, 16]),
    "whole": np.array([1, 8, 16, 16]),
    "flat": np.array([1, 2048]),
}


def graph(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str] = (1, 8, 16, 16), opset: int = 14, **more: Any
) -> onnx.ModelProto:
    """Nodes from `x` (and `z` of the same shape) to what the last node gives."""
    values = CONSTANTS | more
    used = {name for node in nodes for name in node.input}
    return helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "z")],
            [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
            [numpy_helper.from_array(values[name], name) for name in values if name in used],
        ),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("own", 1)],
    )


def keys(*nodes: onnx.NodeProto, **more: Any) -> list[str]:
    found = decompose(graph(nodes, **more))
    assert not found.unknown
    return [str(kernel) for kernel in found.kernels]


BATCH_NORM = NODE("BatchNormalization", ["c", "b", "b", "b", "b"], ["n"])
CLIP = NODE("Clip", ["c", "zero", "six"], ["y"])
LONG = [
    NODE("Add", ["c", "three"], ["p"]),
    NODE("Clip", ["p", "zero", "six"], ["q"]),
]


@pytest.mark.parametrize(
    ("nodes", "wanted"),
    [
        ([CONV], [K33.format("")]),
        ([CONV, BATCH_NORM, NODE("Relu", ["n"], ["y"])], [K33.format("_relu")]),
        ([CONV, CLIP], [K33.format("_relu6")]),
        ([CONV, NODE("HardSwish", ["c"], ["y"])], [K33.format("_hswish")]),
        ([CONV, NODE("Identity", ["c"], ["i"]), NODE("Relu", ["i"], ["y"])], [K33.format("_relu")]),
        ([CONV, NODE("Add", ["c", "per_channel"], ["d"]), NODE("Relu", ["d"], ["y"])], [K33.format("_relu")]),
        ([CONV, NODE("Add", ["c", "z"], ["s"]), NODE("Relu", ["s"], ["y"])], [K33.format("_add_relu")]),
        (
            [CONV, NODE("Add", ["z", "c"], ["s"]), NODE("Clip", ["s", "zero", "six"], ["y"])],
            [K33.format("_add"), "act_relu6@8x16x16"],
        ),
        ([DEEP, CLIP], ["dwconv_k3_relu6@8x16x16"]),
        (
            [NODE("Conv", ["x", "wg"], ["y"], group=4, strides=[2, 2], pads=[1] * 4)],
            ["gconv_k3_s2_g4@8x16x16-8"],
        ),
        ([NODE("Pad", ["x", "pads"], ["p"]), NODE("Conv", ["p", "w33"], ["y"])], [K33.format("")]),
        (
            [CONV, NODE("HardSigmoid", ["c"], ["g"]), NODE("Mul", ["c", "g"], ["y"])],
            [K33.format(""), "act_hswish@8x16x16"],
        ),
        (
            [CONV, NODE("Sigmoid", ["c"], ["g"]), NODE("Mul", ["g", "c"], ["y"])],
            [K33.format(""), "act_swish@8x16x16"],
        ),
        (
            [CONV, *LONG, NODE("Mul", ["c", "q"], ["r"]), NODE("Div", ["r", "six"], ["y"])],
            [K33.format(""), "act_longhswish@8x16x16"],
        ),
        (
            [CONV, *LONG, NODE("Mul", ["q", "sixth"], ["r"]), NODE("Mul", ["r", "c"], ["y"])],
            [K33.format(""), "act_longhswish@8x16x16"],
        ),
        (
            [
                NODE("ReduceMean", ["x"], ["m"], axes=[-1, -2], keepdims=1),
                NODE("Conv", ["m", "w11"], ["g"]),
                NODE("Sigmoid", ["g"], ["s"]),
                NODE("Mul", ["x", "s"], ["y"]),
            ],
            ["gap@8x16x16", "conv_k1_sigmoid@8x1x1-8", "scale@8x16x16"],
        ),
        ([NODE("Mul", ["x", "per_channel"], ["y"])], ["act_affine@8x16x16"]),
        ([NODE("BatchNormalization", ["x", "b", "b", "b", "b"], ["y"])], ["dwconv_k1@8x16x16"]),
        ([NODE("Concat", ["x", "z"], ["y"], axis=1)], ["concat@16x16x16"]),
        ([NODE("Add", ["x", "z"], ["y"])], ["add@8x16x16"]),
        ([NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], ["maxpool_k2_s2@8x16x16"]),
        (
            [
                NODE("Reshape", ["x", "parts"], ["p"]),
                NODE("Transpose", ["p"], ["t"], perm=[0, 2, 1, 3, 4]),
                NODE("Reshape", ["t", "whole"], ["y"]),
            ],
            ["shuffle_g2@8x16x16"],
        ),
        (
            [
                NODE("Reshape", ["x", "flat"], ["f"]),
                NODE("MatMul", ["f", "wf"], ["m"]),
                NODE("Add", ["m", "bf"], ["a"]),
                NODE("Softmax", ["a"], ["y"]),
            ],
            ["fc@2048x1x1-10", "softmax@10x1x1"],
        ),
    ],
)  # fmt: skip
def test_what_a_runtime_fuses_is_one_kernel(nodes: list[onnx.NodeProto], wanted: list[str]) -> None:
    assert keys(*nodes) == wanted


def test_sizes_that_a_graph_works_out_itself_cost_nothing() -> None:
    nodes = [
        NODE("Shape", ["x"], ["sizes"]),
        NODE("Gather", ["sizes", "zero_index"], ["batch"]),
        NODE("Concat", ["batch", "rest"], ["to"], axis=0),
        NODE("Reshape", ["x", "to"], ["f"]),
        NODE("Gemm", ["f", "wf"], ["y"]),
    ]
    more = {"zero_index": np.array([0]), "rest": np.array([2048])}
    assert keys(*nodes, **more) == ["fc@2048x1x1-10"]


def test_a_result_that_others_read_too_is_not_fused() -> None:
    both = [CONV, NODE("Relu", ["c"], ["r"]), NODE("Concat", ["c", "r"], ["y"], axis=1)]
    assert keys(*both) == [K33.format(""), "act_relu@8x16x16", "concat@16x16x16"]


def test_oblong_images_and_windows_are_kept() -> None:
    node = NODE("Conv", ["x", "long"], ["y"], pads=[0, 3, 0, 3], strides=[1, 2])
    found = decompose(graph([node], (2, 8, 12, 20), long=np.zeros((4, 8, 1, 7), np.float32)))
    (kernel,) = found.kernels
    assert str(kernel) == "conv_k1x7_s1x2@8x12x20-4"
    assert (kernel.shape_out, kernel.batch, kernel.macs) == ((4, 12, 10), 2, 2 * 4 * 120 * 7 * 8)
    assert kernel.elements_in == 2 * 8 * 240
    assert kernel.weight_bytes == 4 * 4 * 8 * 7


def test_operators_that_no_kernel_stands_for_are_named() -> None:
    nodes = [
        CONV,
        NODE("Erf", ["c"], ["e"]),
        NODE("Erf", ["e"], ["f"]),
        NODE("Own", ["f"], ["y"], domain="own"),
    ]
    found = decompose(graph(nodes))
    assert found.unknown == {"Erf": 2, "own.Own": 1}
    assert len(found.kernels) == 1


def test_a_symbolic_batch_is_one_and_another_symbolic_size_is_refused() -> None:
    assert decompose(graph([CONV], ("N", 8, 16, 16))).kernels[0].batch == 1
    with pytest.raises(UnreadableGraph, match=r"input 'x' has the symbolic size H \(axis 2\)"):
        decompose(graph([CONV], (1, 8, "H", 16)))


def test_shapes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UnreadableGraph, match="do not fit together"):
        decompose(graph([NODE("Gemm", ["x", "wf"], ["y"])]))


def made_up(rng: np.random.Generator) -> FusedKernel:
    channels, size, out = (int(rng.integers(2, high)) for high in (200, 60, 200))
    return FusedKernel("conv", (channels, size, size), (out, size, size), kernel=(3, 3))


def true_ms(kernel: FusedKernel) -> float:
    return 0.01 + kernel.macs / 3e7 + (kernel.elements_in + kernel.elements_out) / 1e7


def test_a_kind_is_learned_and_says_where_it_knows_nothing() -> None:
    rng = np.random.default_rng(0)
    kernels = [made_up(rng) for _ in range(80)]
    measured = {kernel: true_ms(kernel) for kernel in kernels[:60]}
    model = KindModel().fit(list(measured), list(measured.values()))
    found = model.predict(kernels[60:])
    errors = [one.latency_ms / true_ms(kernel) - 1 for one, kernel in zip(found, kernels[60:], strict=True)]
    assert float(np.abs(errors).mean()) < 0.1
    far = FusedKernel("conv", (4000, 500, 500), (4000, 500, 500), kernel=(11, 11), activation="sigmoid")
    assert not model.predict([far])[0].in_range
    assert sum(one.in_range for one in found) > 15
    assert held_out_errors(measured)["conv"] < 0.15
    assert model.predict([]) == []


@settings(deadline=None, max_examples=8, phases=[Phase.generate])
@given(st.floats(1e-4, 1e4), st.integers(FEWEST, 12), st.integers(0, 99))
def test_another_unit_of_time_changes_nothing_but_the_unit(factor: float, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernels = list(dict.fromkeys(made_up(rng) for _ in range(count)))
    times = [true_ms(kernel) for kernel in kernels]
    if len(kernels) < FEWEST:
        return
    held = [made_up(rng) for _ in range(3)]
    one = KindModel().fit(kernels, times).predict(held)
    other = KindModel().fit(kernels, [factor * time for time in times]).predict(held)
    for first, second in zip(one, other, strict=True):
        assert second.latency_ms == pytest.approx(factor * first.latency_ms, rel=0.02)
        assert first.latency_ms > 0


def test_too_few_kernels_and_times_that_are_none_are_refused() -> None:
    kernel = made_up(np.random.default_rng(0))
    with pytest.raises(ValueError, match="at least 4 kernels"):
        KindModel().fit([kernel], [1.0])
    with pytest.raises(ValueError, match="positive"):
        KernelNetworks().fit({kernel: 0.0}, [])


def test_networks_correct_the_sum_and_shares_say_what_it_rests_on() -> None:
    rng = np.random.default_rng(1)
    measured = {kernel: true_ms(kernel) for kernel in (made_up(rng) for _ in range(60))}
    networks = [tuple(made_up(rng) for _ in range(int(rng.integers(3, 12)))) for _ in range(30)]
    timed = [MeasuredNetwork(kernels, 1.3 * sum(map(true_ms, kernels))) for kernels in networks]
    model = KernelNetworks().fit(measured, timed[:20])
    found = model.predict([Decomposition(kernels, {}, {}) for kernels in networks[20:]])
    errors = [one.median_ms / two.latency_ms - 1 for one, two in zip(found, timed[20:], strict=True)]
    assert float(np.abs(errors).mean()) < 0.05
    assert all(one.low_ms < one.median_ms < one.high_ms for one in found)
    known, far = next(iter(measured)), FusedKernel("conv", (3000, 99, 99), (3000, 99, 99), kernel=(9, 9))
    exact, beyond = model.predict([Decomposition((known,), {}, {}), Decomposition((far,), {}, {})])
    assert (exact.measured, exact.in_range, exact.extrapolated) == (1.0, 0.0, 0.0)
    assert beyond.extrapolated == 1.0
    assert beyond.high_ms / beyond.median_ms > exact.high_ms / exact.median_ms


def test_what_no_model_stands_for_is_named_and_makes_a_lower_bound() -> None:
    rng = np.random.default_rng(2)
    measured = {kernel: true_ms(kernel) for kernel in (made_up(rng) for _ in range(10))}
    known = next(iter(measured))
    pool = FusedKernel("gap", (8, 4, 4), (8, 1, 1))
    model = KernelNetworks().fit(measured, [MeasuredNetwork((known, pool), 1.0)])
    assert model.networks_ == 0
    whole, part, none = model.predict(
        [
            Decomposition((known,), {}, {}),
            Decomposition((known, pool), {}, {"Erf": 2}),
            Decomposition((), {}, {"Erf": 1}),
        ]
    )
    assert part.unknown == {"Erf": 2, "kernel gap": 1}
    assert part.is_lower_bound
    assert not whole.is_lower_bound
    assert part.median_ms == pytest.approx(whole.median_ms)
    assert none.measured == none.in_range == none.extrapolated == 0.0
