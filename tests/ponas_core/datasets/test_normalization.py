from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.datasets.images import ArrayImages, LabelledImages
from ponas_core.datasets.normalization import Normalization

numbers = st.floats(-10, 10, allow_nan=False)


@given(st.lists(st.tuples(numbers, st.floats(1e-3, 10)), min_size=1, max_size=4))
def test_notes_give_the_same_numbers_back(channels: list[tuple[float, float]]) -> None:
    normalization = Normalization(*(tuple(values) for values in zip(*channels, strict=True)))
    assert Normalization.from_notes({**normalization.notes(), "other": "note"}) == normalization


def test_notes_of_another_kind_tell_nothing_and_garbled_ones_are_refused() -> None:
    assert Normalization.from_notes({"input_mean": "0.5"}) is None
    with pytest.raises(ValueError, match="could not convert"):
        Normalization.from_notes({"input_mean": "a half", "input_std": "1"})


def test_normalised_images_have_mean_zero_and_deviation_one_in_every_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 3, 8, 8), dtype=np.uint8)
    pixels[:, 1] //= 2
    normalization = Normalization.of(LabelledImages(ArrayImages(pixels), np.zeros(50, np.int64)))
    found = normalization.apply(pixels)
    assert found.dtype == np.float32
    assert found.mean((0, 2, 3)) == pytest.approx(np.zeros(3), abs=1e-5)
    assert found.std((0, 2, 3)) == pytest.approx(np.ones(3), abs=1e-5)


def test_an_empty_channel_does_not_divide_by_zero() -> None:
    pixels = np.full((4, 1, 2, 2), 7, np.uint8)
    normalization = Normalization.of(LabelledImages(ArrayImages(pixels), np.zeros(4, np.int64)))
    assert np.isfinite(normalization.apply(pixels)).all()
