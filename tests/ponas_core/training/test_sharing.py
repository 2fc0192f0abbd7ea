"""Who sends which images of a step through the network: each image once, whatever the number of processes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ponas_core.training.sharing import Pass, Sharing


def everyones(images: int, parts: int, world: int) -> list[list[Pass]]:
    return [Sharing(images, parts, rank, world).passes() for rank in range(world)]


def by_part(passes: list[list[Pass]], parts: int) -> list[list[int]]:
    found = [[place for mine in passes for some in mine if some.part == part for place in some.places]
             for part in range(parts)]  # fmt: skip
    return [sorted(part) for part in found]


@given(st.integers(1, 200), st.integers(1, 8), st.integers(1, 8))
def test_parts_hold_the_same_images_whatever_the_number_of_processes(
    images: int, parts: int, world: int
) -> None:
    assume(images // parts >= max(2 if parts > 1 else 1, world))
    passes = everyones(images, parts, world)
    assert by_part(passes, parts) == by_part(everyones(images, parts, 1), parts)
    assert sorted(place for part in by_part(passes, parts) for place in part) == list(range(images))
    assert sum(some.weight for mine in passes for some in mine) == pytest.approx(1)
    assert all(some.weight == len(some.places) / images for mine in passes for some in mine)


@given(st.integers(1, 8), st.integers(1, 8))
def test_processes_go_through_equal_numbers_of_passes_and_share_parts_only_where_they_must(
    parts: int, world: int
) -> None:
    passes = everyones(64, parts, world)
    assert len({len(mine) for mine in passes}) == 1
    holders = [sum(some.part == part for mine in passes for some in mine) for part in range(parts)]
    assert set(holders) == ({1} if parts % world == 0 else {world})
    assert Sharing(64, parts, 0, world).joint == (parts % world > 0)


@given(st.integers(1, 8), st.integers(1, 8))
def test_no_pass_holds_more_than_its_part(parts: int, world: int) -> None:
    largest = max(len(some.places) for mine in everyones(61, parts, world) for some in mine)
    assert largest <= -(-61 // parts)


def test_a_process_alone_takes_all_images_in_their_order() -> None:
    (found,) = Sharing(5).passes()
    assert found.places.tolist() == [0, 1, 2, 3, 4]
    assert (found.part, found.weight) == (0, 1.0)
    assert found.places.dtype == np.intp


@pytest.mark.parametrize(
    ("images", "parts", "world", "words"),
    [
        (3, 1, 4, "4 processes cannot share steps of 3 images: start fewer"),
        (8, 2, 5, "5 processes cannot share parts of 4 images: start fewer"),
        (7, 4, 1, "7 images are too few for 4 parts: take fewer"),
        (7, 4, 4, "7 images are too few for 4 parts: take fewer"),
    ],
)
def test_parts_that_are_too_small_are_refused(images: int, parts: int, world: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sharing(images, parts, 0, world)
