"""Pieces of drawings: axes that hold their values, texts that stay texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwprofile.report import svg

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=5)
POSITIVE = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5)


@given(VALUES)
def test_an_axis_holds_its_values_and_has_few_round_ticks_within(values: list[float]) -> None:
    check(svg.Axis.around(values, 60, 460), values)


@given(POSITIVE)
def test_so_does_a_logarithmic_one(values: list[float]) -> None:
    check(svg.Axis.around(values, 60, 460, log=True), values)


def check(axis: svg.Axis, values: list[float]) -> None:
    assert all(60 <= axis.at(value) <= 460 for value in values)
    ticks = axis.ticks()
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= svg.MOST_TICKS + 1
    slack = 1e-6 * (axis.high - axis.low)
    assert all(axis.low - slack <= tick <= axis.high + slack for tick in ticks)


def test_ticks_are_round() -> None:
    assert svg.Axis(0.0, 10.0, 0, 1).ticks() == [0, 2, 4, 6, 8, 10]
    assert svg.Axis(0.9, 12.0, 0, 1, log=True).ticks() == [1, 2, 5, 10]


def test_texts_and_attributes_are_escaped() -> None:
    found = svg.element("text", "<b>", title='"&')
    assert found == '<text title="&#34;&amp;">&lt;b&gt;</text>'
    assert "<b>" not in svg.dot(1, 2, "circle", "<b>", "point")


@pytest.mark.parametrize(("mark", "tag"), [("circle", "circle"), ("square", "rect"), ("diamond", "path")])
def test_every_mark_says_what_it_is(mark: str, tag: str) -> None:
    found = svg.dot(10, 20, mark, "a network", "point")
    assert found.startswith(f"<{tag} ")
    assert "<title>a network</title>" in found
