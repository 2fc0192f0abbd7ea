"""Two profiles beside each other: how often nothing is found where nothing is, and what is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.comparison import Compared, compared

Times = dict[str, dict[int, float]]


def processes(
    rng: np.random.Generator,
    names: list[str],
    sd: float,
    count: int = 5,
    scale: dict[str, float] | None = None,
    level_sd: float = 0.01,
) -> Times:
    """Process medians of graphs: each has a spread of its own around `sd`, and a process shifts them all."""
    levels = level_sd * rng.standard_normal(count)
    found = {}
    for index, name in enumerate(names):
        own = sd * float(np.exp(0.4 * rng.standard_normal()))
        middle = (0.1 + 0.01 * index) * (scale or {}).get(name, 1.0)
        found[name] = {
            process: float(middle * np.exp(own * rng.standard_normal() + levels[process]))
            for process in range(count)
        }
    return found


NAMES = [f"block{number}" for number in range(70)]


def slower(found: Compared) -> list[str]:
    return [graph.graph for graph in found.graphs if graph.change == "slower"]


def changed(found: Compared) -> list[str]:
    return [graph.graph for graph in found.graphs if graph.change != "same"]


def test_where_nothing_changed_almost_nothing_is_called_slower() -> None:
    # 200 comparisons of 70 graphs; 5 % may call one slower, and the smallest effect lowers that further
    alarms = levels = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = compared(processes(rng, NAMES, 0.012), processes(rng, NAMES, 0.012))
        alarms += bool(slower(found))
        levels += found.level_change == "slower"
    assert alarms <= 16  # 10 expected at most; more than 16 happens once in 40 times
    assert levels <= 16


@pytest.mark.slow
def test_without_a_smallest_effect_false_alarms_are_about_as_rare_as_asked() -> None:
    alarms = levels = 0
    for seed in range(300):
        rng = np.random.default_rng(10_000 + seed)
        before, after = (processes(rng, NAMES, 0.012) for _ in range(2))
        found = compared(before, after, smallest_effect=0.0, false_alarms=0.2)
        alarms += bool(slower(found))
        levels += found.level_change == "slower"
    assert alarms <= 90  # 60 where the spreads were known exactly
    assert levels <= 80


@pytest.mark.parametrize(("factor", "change"), [(1.05, "slower"), (1 / 1.05, "faster")])
def test_one_changed_block_is_found_alone(factor: float, change: str) -> None:
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        name = NAMES[seed]
        found = compared(processes(rng, NAMES, 0.008), processes(rng, NAMES, 0.008, scale={name: factor}))
        named = [(graph.graph, graph.change) for graph in found.graphs if graph.change != "same"]
        hits += named == [(name, change)]
        assert found.level_change == "same"
    assert hits >= 36


@pytest.mark.parametrize(("factor", "change"), [(1.08, "slower"), (1 / 1.08, "faster"), (1.02, "same")])
def test_a_change_of_everything_is_one_of_the_level(factor: float, change: str) -> None:
    rng = np.random.default_rng(4)
    before, after = (
        processes(rng, NAMES, 0.01, scale=dict.fromkeys(NAMES, by), level_sd=0.004) for by in (1.0, factor)
    )
    found = compared(before, after)
    assert changed(found) == []
    assert found.level_change == change
    assert found.level == pytest.approx(factor - 1, abs=0.01)


def test_few_graphs_have_no_common_level() -> None:
    rng = np.random.default_rng(5)
    before, after = (
        processes(rng, ["one", "two"], 0.005, scale={"one": by, "two": by}, level_sd=0.0) for by in (1.0, 1.1)
    )
    found = compared(before, after)
    assert slower(found) == ["one", "two"] or slower(found) == ["two", "one"]
    assert (found.level, found.level_change) == (0.0, "same")


def test_an_outlying_process_hides_no_change_and_makes_none() -> None:
    rng = np.random.default_rng(3)
    before, after = (
        processes(rng, NAMES, 0.008),
        processes(rng, NAMES, 0.008, count=8, scale={"block7": 1.06}),
    )
    after["block7"][2] *= 1.3
    before["block8"][0] *= 1.3
    after["block9"][4] *= 1.3
    assert slower(compared(before, after)) == ["block7"]


def test_differences_below_the_smallest_effect_are_no_change() -> None:
    rng = np.random.default_rng(0)
    before, after = processes(rng, NAMES, 1e-4), processes(rng, NAMES, 1e-4, scale={"block3": 1.02})
    assert changed(compared(before, after)) == []
    assert changed(compared(before, after, smallest_effect=0.01)) == ["block3"]


def test_the_greatest_slowdown_comes_first() -> None:
    rng = np.random.default_rng(1)
    scale = {"block5": 1.5, "block9": 1.2, "block2": 0.5}
    found = compared(processes(rng, NAMES, 0.01), processes(rng, NAMES, 0.01, scale=scale))
    assert [graph.graph for graph in found.graphs[:2]] == ["block5", "block9"]
    assert found.graphs[-1].graph == "block2"
    assert found.graphs[0].ratio == pytest.approx(1.5, rel=0.05)


def test_graphs_in_one_profile_only_or_measured_once_are_left_out() -> None:
    twice, once = {0: 1.0, 1: 1.0}, {0: 1.0}
    found = compared({"a": twice, "b": twice, "c": once}, {"a": twice, "c": twice, "d": twice})
    assert [graph.graph for graph in found.graphs] == ["a"]
    assert compared({"a": once}, {"a": twice}).graphs == ()


TIMES = st.dictionaries(st.integers(0, 6), st.floats(0.01, 100.0), min_size=2)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES[:14]), st.tuples(TIMES, TIMES), min_size=1))
def test_exchanging_the_profiles_exchanges_slower_and_faster(
    pairs: dict[str, tuple[dict[int, float], dict[int, float]]],
) -> None:
    before = {name: pair[0] for name, pair in pairs.items()}
    after = {name: pair[1] for name, pair in pairs.items()}
    there = {graph.graph: graph for graph in compared(before, after).graphs}
    back = {graph.graph: graph for graph in compared(after, before).graphs}
    assert set(there) == set(back) == set(pairs)
    for name, graph in there.items():
        assert 0 <= graph.p <= 1
        assert graph.p == pytest.approx(back[name].p, abs=1e-9)
        assert graph.ratio == pytest.approx(1 / back[name].ratio)
        assert 1 + graph.beside_others == pytest.approx(1 / (1 + back[name].beside_others))
        assert {graph.change, back[name].change} in ({"same"}, {"slower", "faster"})


@settings(deadline=None)
@given(st.floats(1e-3, 1e3))
def test_units_do_not_matter(factor: float) -> None:
    rng = np.random.default_rng(2)
    before = processes(rng, NAMES[:20], 0.01)
    after = processes(rng, NAMES[:20], 0.01, scale={"block1": 1.2})
    scaled = [
        {name: {process: factor * ms for process, ms in of.items()} for name, of in times.items()}
        for times in (before, after)
    ]
    found, again = compared(before, after), compared(scaled[0], scaled[1])
    assert [graph.change for graph in found.graphs] == [graph.change for graph in again.graphs]
    assert again.level == pytest.approx(found.level, abs=1e-9)
