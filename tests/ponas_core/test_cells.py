"""Cells of NAS-Bench-201: written and read, what is left of them, and their numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponas_core.cell_features import BASIC_GROUPS, LARGE_SAMPLE_GROUPS, describe
from ponas_core.cell_space import CELL_SPACES
from ponas_core.cell_views import VIEWS, Operation, View, bwd_view, full_view, live_view
from ponas_core.cells import OPERATIONS, Cell, parse_cell
from ponas_core.features import Features, NetworkSpace
from tests.ponas_core.published_cells import published_cells

SPACE = CELL_SPACES["nasbench201"]
CELLS = st.tuples(*[st.integers(0, len(OPERATIONS) - 1)] * 6).map(Cell)
EXAMPLE = parse_cell("342104")


def kinds(view: View) -> list[str]:
    return [operation.kind for operation in view.operations]


def row(features: Features, at: int = 0) -> dict[str, float]:
    return dict(zip(features.names, features.values[at].tolist(), strict=True))


def described(cell: Cell) -> dict[str, float]:
    return row(describe([cell]))


def paths(view: View, value: int) -> Iterator[tuple[int, ...]]:
    """Every way that ends in a value."""
    inputs = view.operations[value].inputs
    if not inputs:
        yield (value,)
    for source in inputs:
        for path in paths(view, source):
            yield (*path, value)


# --- written and read


@given(CELLS)
def test_a_cell_is_read_as_it_is_written(cell: Cell) -> None:
    assert parse_cell(str(cell)) == cell
    assert parse_cell("".join(map(str, cell.ops))) == cell
    assert parse_cell(" " + ", ".join(map(str, cell.ops))) == cell


def test_a_cell_is_written_as_the_field_does() -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    assert parse_cell(text).ops == (3, 3, 1, 0, 4, 2)
    assert str(parse_cell("331042")) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("34210", "5 ops given, but a cell has 6 edges"),
        ("342105", "edge 2-3 has ops 0 to 4, not 5"),
        ("3,4,2,1,0,11", "edge 2-3 has ops 0 to 4, not 11"),
        ("", "neither a cell such as"),
        ("conv", "neither a cell such as"),
        ("|none~0|+|none~0|none~1|", "3 ops given"),
        ("|none|+|none~0|none~1|+|none~0|none~1|none~2|", "5 ops given"),
        (
            "|none~0|+|none~1|none~0|+|none~0|none~1|none~2|",
            "not written as a cell; with these operations it",
        ),
        ("|none~0|+|none~0|none~1|+none~0|none~1|none~2|", "not written as a cell; with these operations it"),
        ("|none~0|+|none~0|sep_conv~1|+|none~0|none~1|none~2|", "no operation 'sep_conv'"),
    ],
)
def test_what_is_no_cell_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_cell(text)


@given(CELLS)
def test_connected_cells_have_a_way_through(cell: Cell) -> None:
    e01, e02, e12, e03, e13, e23 = (OPERATIONS[op] != "none" for op in cell.ops)
    assert cell.connected == (e03 or (e01 and e13) or (e02 and e23) or (e01 and e12 and e23))
    assert (kinds(live_view(cell)) == ["zeros"]) is not cell.connected


def test_a_space_of_cells_draws_every_operation_alike() -> None:
    space: NetworkSpace = SPACE
    rng = np.random.default_rng(1)
    drawn = np.array([space.sample(rng).ops for _ in range(2000)])
    for op in range(len(OPERATIONS)):
        assert np.abs((drawn == op).mean(axis=0) - 0.2).max() < 0.05
    every = list(SPACE.enumerate())
    assert len(set(every)) == len(every) == SPACE.size == 15_625
    assert sum(not cell.connected for cell in every) == 341


# --- views


def test_the_full_view_is_the_cell_as_written() -> None:
    view = full_view(EXAMPLE)
    assert kinds(view) == [
        "input", "conv3x3", "pool", "conv1x1", "add", "skip", "zeros", "pool", "add",
    ]  # fmt: skip
    assert view.operations[-1].inputs == (5, 6, 7)
    assert view.output == 8


def test_going_back_from_the_output_drops_what_ends_in_zeros() -> None:
    view = bwd_view(parse_cell("344020"))
    assert kinds(view) == ["input", "conv3x3", "zeros", "conv1x1", "zeros", "add"]
    assert view.operations[-1].inputs == (2, 3, 4)
    # zeros are constants, not followed forwards
    assert kinds(bwd_view(parse_cell("000003"))) == [
        "zeros",
        "zeros",
        "add",
        "zeros",
        "zeros",
        "conv3x3",
        "add",
    ]


def test_a_way_of_copies_only_leaves_no_operation() -> None:
    assert live_view(parse_cell("110010")) == View((Operation("input"),), 0)
    assert live_view(parse_cell("101001")) == View((Operation("input"),), 0)


def test_operations_on_zeros_give_zeros() -> None:
    # node 1 and so node 2's second term are zeros; node 3 is the input and a convolution of node 2
    assert live_view(parse_cell("022123")) == View(
        (
            Operation("input"),
            Operation("conv1x1", (0,)),
            Operation("conv3x3", (1,)),
            Operation("add", (0, 2)),
        ),
        3,
    )


def test_pools_of_one_tensor_are_one_but_convolutions_have_their_own_weights() -> None:
    assert kinds(live_view(parse_cell("440401"))) == ["input", "pool", "add"]
    assert kinds(live_view(parse_cell("330301"))) == ["input", "conv3x3", "conv3x3", "add"]


@given(CELLS)
def test_views_are_graphs_in_order_that_only_lose_operations(cell: Cell) -> None:
    sizes = []
    for view in (build(cell) for build in VIEWS.values()):
        for position, operation in enumerate(view.operations):
            assert all(value < position for value in operation.inputs)
            assert len(operation.inputs) in {"input": [0], "add": [2, 3], "zeros": [0, 1]}.get(
                operation.kind, [1]
            )
        sizes.append(len(view.operations))
    assert sizes == sorted(sizes, reverse=True) or not cell.connected
    for view in (bwd_view(cell), live_view(cell)):
        reached = {value for operation in view.operations for value in operation.inputs} | {view.output}
        assert reached == set(range(len(view.operations)))


def unfolded(view: View, value: int) -> list[str]:
    """Terms of a value as an expression, every shared result written out where it is used."""
    kind, inputs = view.operations[value]
    if kind == "add":
        return sorted(term for source in inputs for term in unfolded(view, source))
    return [f"{kind}({'+'.join(unfolded(view, source))})" for source in inputs] or [kind]


def test_isomorphic_cells_compute_the_same_expression() -> None:
    # the classes were formed on expressions: cells of one may differ in what they share, not in the function
    expressions = defaultdict(set)
    for published in published_cells():
        view = live_view(published.cell)
        expressions[published.iso_class].add("+".join(unfolded(view, view.output)))
    assert len(expressions) == 6_466
    assert all(len(found) == 1 for found in expressions.values())


# --- features


def test_the_columns_are_the_same_whichever_cells_are_described() -> None:
    cells = [SPACE.sample(np.random.default_rng(seed)) for seed in range(40)]
    together = SPACE.describe(cells)
    for at in (0, 17, 39):
        alone = SPACE.describe([cells[at]])
        assert alone.names == together.names
        assert alone.groups == together.groups
        np.testing.assert_array_equal(alone.values[0], together.values[at])
    assert SPACE.describe([]).values.shape == (0, len(together.names))
    assert list(dict.fromkeys(together.groups)) == [*BASIC_GROUPS, *LARGE_SAMPLE_GROUPS]
    assert all(
        name.startswith(f"{group}:") for name, group in zip(together.names, together.groups, strict=True)
    )


def test_no_column_is_the_same_for_all_cells() -> None:
    values = SPACE.describe(list(SPACE.enumerate())).values
    assert (values != values[0]).any(axis=0).all()
    assert np.isfinite(values).all()


@given(CELLS)
def test_nodes_may_change_places_where_nothing_joins_them(cell: Cell) -> None:
    e01, e02, _, e03, e13, e23 = cell.ops
    one, other = described(Cell((e01, e02, 0, e03, e13, e23))), described(Cell((e02, e01, 0, e03, e23, e13)))
    for name, value in one.items():
        if name.startswith("live."):
            assert other[name] == value, name


@given(CELLS)
def test_counts_are_those_of_the_view(cell: Cell) -> None:
    found = described(cell)
    for name, build in VIEWS.items():
        counts = Counter(
            {kind: times for kind, times in Counter(kinds(build(cell))).items() if kind != "input"}
        )
        counts["add"] = sum(len(x.inputs) - 1 for x in build(cell).operations if x.kind == "add")
        for kind in ("zeros", "skip", "conv1x1", "conv3x3", "pool", "add"):
            # a column that is missing is the same for all cells
            expected = {"full": {"add": 3}, "live": {"skip": 0}}.get(name, {}).get(kind)
            assert counts[kind] == found.get(f"{name}.cnt:{kind}", expected)


PATHS = {
    "conv3x3": (1, 0, 0, 0),
    "convolutions": (1, 1, 0, 0),
    "work": (9, 1, 0.5, 0.2),
    "operations": (1, 1, 1, 1),
    "mixed": (2.5, 1, 1, 0.3),
}


@given(CELLS)
def test_the_longest_path_is_the_longest_of_all(cell: Cell) -> None:
    found = described(cell)
    for name in ("bwd", "live"):
        view = VIEWS[name](cell)
        for column, weights in PATHS.items():
            weight = dict(zip(("conv3x3", "conv1x1", "pool", "add"), weights, strict=True))
            own = [
                weight.get(x.kind, 0) * (len(x.inputs) - 1 if x.kind == "add" else 1) for x in view.operations
            ]
            longest = max(sum(own[value] for value in path) for path in paths(view, view.output))
            assert found[f"{name}.crit:path.{column}"] == pytest.approx(longest)
            if column == "work":
                assert found[f"{name}.crit:work.beside"] == pytest.approx(sum(own) - longest)


@given(CELLS)
def test_operations_by_depth(cell: Cell) -> None:
    found = described(cell)
    work = {"conv3x3": 9, "conv1x1": 1, "pool": 0.5}
    for name in ("bwd", "live"):
        view = VIEWS[name](cell)
        at_depth = defaultdict(list)
        for value, kind in enumerate(kinds(view)):
            if kind in work:
                at_depth[
                    max(sum(kinds(view)[x] in work for x in path) for path in paths(view, value))
                ].append(work[kind])
        for depth in (1, 2, 3):
            assert found[f"{name}.crit:depth{depth}.operations"] == len(at_depth[depth])
            assert found[f"{name}.crit:depth{depth}.heaviest"] == max(at_depth[depth], default=0)


@given(CELLS)
def test_labels_are_counted_with_what_is_taken_and_with_consumers(cell: Cell) -> None:
    found = described(cell)
    for name in ("bwd", "live"):
        view = VIEWS[name](cell)
        expected: Counter[str] = Counter()
        order = ["input", "zeros", "skip", "conv1x1", "conv3x3", "pool", "add", "output"]
        for value, (kind, inputs) in enumerate(view.operations):
            taken = sorted((kinds(view)[source] for source in inputs), key=order.index)
            users: list[str] = [x.kind for x in view.operations for source in x.inputs if source == value]
            users += ["output"] * (value == view.output)
            label = f"{name}.wl1:{kind}({','.join(taken)})"
            expected[label] += 1
            expected[f"{label}>{','.join(sorted(users, key=order.index))}"] += 1
        labels = {key: number for key, number in found.items() if key.startswith(f"{name}.wl1:") and number}
        assert labels == expected


@pytest.mark.parametrize(
    ("digits", "convolved", "fusable", "shared", "most_alive"),
    [
        ("303003", 3, 2, 0, 2),  # three convolutions behind each other
        ("000300", 1, 0, 0, 2),
        ("330011", 1, 2, 1, 3),  # two convolutions of the input end in a sum
        ("330311", 1, 3, 1, 4),
        ("440044", 0, 0, 1, 2),  # two pools behind each other, the second added to itself
        ("111111", 0, 0, 1, 3),  # the input again and again
    ],
)
def test_context_of_cells_that_can_be_counted_by_hand(
    digits: str, convolved: int, fusable: int, shared: int, most_alive: int
) -> None:
    found = described(parse_cell(digits))
    names = ("convolved", "fusable", "shared", "most_alive")
    assert [found[f"live.ctx:{name}"] for name in names] == [convolved, fusable, shared, most_alive]


def test_edges_say_what_stands_where() -> None:
    found = described(EXAMPLE)
    ones = [name for name, value in found.items() if name.startswith("edges:") and value]
    assert ones == [
        "edges:0-1=nor_conv_3x3", "edges:0-2=avg_pool_3x3", "edges:1-2=nor_conv_1x1",
        "edges:0-3=skip_connect", "edges:1-3=none", "edges:2-3=avg_pool_3x3",
    ]  # fmt: skip
