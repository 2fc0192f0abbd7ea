"""Weights by name, and batch normalisation folded into a convolution."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from ponas_core.onnx_graph import block_model, network_model
from ponas_core.space_file import shipped_space
from ponas_core.weights import GivenWeights, RandomWeights, fold_batch_norm

MACRO = shipped_space("nasbench-macro")
SIZES = st.integers(1, 5)


def numbers(shape: tuple[int, ...], low: float, high: float) -> st.SearchStrategy[NDArray[np.float32]]:
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


@settings(deadline=None)
@given(data=st.data(), channels=SIZES, inputs=SIZES, epsilon=st.sampled_from([1e-5, 1e-3]))
def test_a_folded_convolution_equals_convolution_and_batch_norm(
    data: st.DataObject, channels: int, inputs: int, epsilon: float
) -> None:
    weight = data.draw(numbers((channels, inputs, 1, 1), -4, 4))
    gamma, beta, mean = (data.draw(numbers((channels,), -4, 4)) for _ in range(3))
    variance = data.draw(numbers((channels,), 0, 16))
    pixel = data.draw(numbers((inputs,), -4, 4))

    def product(kernel: NDArray[np.float32]) -> NDArray[np.float64]:
        return kernel[:, :, 0, 0].astype(np.float64) @ pixel.astype(np.float64)

    kernel, bias = fold_batch_norm(weight, gamma, beta, mean, variance, epsilon)
    plain = product(weight)
    wanted = gamma * (plain - mean) / np.sqrt(variance.astype(np.float64) + epsilon) + beta
    room = 1e-5 * (1 + np.abs(gamma) * (80 + np.abs(mean)) / np.sqrt(variance + epsilon))
    assert np.all(np.abs(product(kernel) + bias - wanted) <= room)
    assert kernel.dtype == bias.dtype == np.dtype(np.float32)
    assert (kernel.shape, bias.shape) == (weight.shape, beta.shape)


def test_folding_leaves_the_given_arrays_as_they_are() -> None:
    weight, gamma = np.ones((2, 1, 3, 3), np.float32), np.full(2, 3, np.float32)
    fold_batch_norm(weight, gamma, gamma, gamma, gamma, 1e-3)
    assert (weight == 1).all()
    assert (gamma == 3).all()


def test_random_weights_follow_seed_and_name() -> None:
    shape = (4, 3, 5, 5)
    one = RandomWeights(7).get("layer0.0.weight", shape)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, RandomWeights(7).get("layer0.0.weight", shape))
    assert not np.array_equal(one, RandomWeights(8).get("layer0.0.weight", shape))
    assert not np.array_equal(one, RandomWeights(7).get("layer1.0.weight", shape))


def test_random_kernels_are_he_normal() -> None:
    values = RandomWeights().get("layer0.0.weight", (400, 10, 3, 3))
    # 36,000 draws: a mean 6 standard errors off, or a spread 3 % off (8 of them), has a chance below 1e-8
    scale = np.sqrt(2 / 90)
    assert abs(values.mean()) < 6 * scale / np.sqrt(values.size)
    assert values.std() == pytest.approx(scale, rel=0.03)


@pytest.mark.parametrize(
    ("part", "value"),
    [("gamma", 1), ("variance", 1), ("beta", 0), ("mean", 0), ("bias", 0), ("reduce.bias", 0)],
)
def test_batch_norm_and_biases_stand_as_at_the_start_of_training(part: str, value: int) -> None:
    np.testing.assert_array_equal(
        RandomWeights(5).get(f"layer0.0.{part}", (6,)), np.full(6, value, np.float32)
    )


def test_given_weights_are_found_by_name_and_read_as_float32() -> None:
    array = np.arange(6, dtype=np.float64).reshape(2, 3)
    found = GivenWeights({"head1.0.weight": array.astype(np.float32)}).get("head1.0.weight", (2, 3))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array)


def test_a_missing_weight_is_named() -> None:
    weights = GivenWeights({"layer0.0.weight": np.zeros((64, 32, 1, 1), np.float32)})
    with pytest.raises(KeyError, match=r"no 'layer0\.0\.gamma' \(shape \(64,\)\)"):
        block_model(MACRO.layers[0], 0, weights)


def test_a_weight_of_another_shape_is_refused_with_both_shapes() -> None:
    weights = GivenWeights({"stem0.0.weight": np.zeros((32, 3, 5, 5), np.float32)})
    with pytest.raises(
        ValueError, match=r"stem0\.0\.weight has shape \(32, 3, 5, 5\), .* needs \(32, 3, 3, 3\)"
    ):
        network_model(MACRO.architecture([0] * 8), weights)
